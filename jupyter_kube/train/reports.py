"""The reports of a job: what ``kube.report`` told in all ranks, as rows or as a table."""

from __future__ import annotations

import importlib
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MOST = 100_000
"""Reports kept of one job, an equal share of each pod; beyond, every second one is given up."""


@dataclass(frozen=True, slots=True)
class Report:
    """One call of ``kube.report``."""

    number: int
    """Counts the calls in one pod, from 1."""
    generation: int
    rank: int
    time: float
    """Seconds since 1970, by the pod's clock."""
    step: float | None
    metrics: Mapping[str, Any]

    def row(self) -> dict[str, Any]:
        """Return it as a flat dictionary."""
        return {
            "rank": self.rank,
            "generation": self.generation,
            "time": datetime.fromtimestamp(self.time, UTC),
            "step": self.step,
            **self.metrics,
        }


def newest(rows: Sequence[Sequence[Any]]) -> dict[int, dict[str, Any]]:
    """Return what reports written together say, by rank: the last step, and of each metric."""
    steps = {row[2]: row[4] for row in rows}
    joined = {rank: {} if step is None else {"step": step} for rank, step in steps.items()}
    for row in rows:
        joined[row[2]] |= row[5]
    return joined


class Reports:
    """All reports of a job, each once; filled by one thread and read by another.

    Parameters
    ----------
    most
        Reports kept.

    """

    def __init__(self, most: int = MOST) -> None:
        self._lock = threading.Lock()
        self._pods: dict[str, dict[int, Report]] = {}
        self._newest: dict[str, int] = {}
        self._most = most
        self._stride = 1
        self.version = 0
        """Changes with each new report."""

    def add(self, pod: str, rows: Iterable[Sequence[Any]]) -> bool:
        """Take in a frame's rows; returns whether the newest of them is new."""
        with self._lock:
            known = self._pods.setdefault(pod, {})
            before = newest = self._newest.get(pod, 0)
            for row in rows:
                report = Report(*row)
                if report.number > newest:
                    if newest % self._stride:  # it was there only for being the newest
                        known.pop(newest, None)
                    newest = report.number
                elif report.number % self._stride:
                    continue
                known[report.number] = report
            self._newest[pod] = newest
            self.version += 1
            if len(known) > self._most // len(self._pods):
                self._thin()
            return newest > before

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._pods.values()))

    def __iter__(self) -> Iterator[Report]:
        """Give the reports by rank, as they came."""
        with self._lock:
            found = [report for pod in self._pods.values() for report in pod.values()]
        return iter(sorted(found, key=lambda r: (r.rank, r.generation, r.number)))

    @property
    def missing(self) -> int:
        """How many reports are not here: joined with others, thinned out, or lost with a log."""
        with self._lock:
            return sum(self._newest[name] - len(pod) for name, pod in self._pods.items())

    def table(self) -> Any:
        """Return a pandas DataFrame, or a list of dictionaries where there is no pandas.

        Columns are ``rank``, ``generation``, ``time`` (UTC), ``step`` and each metric; rows are
        sorted by rank. Warns if reports are missing.
        """
        if self.missing:
            warnings.warn(
                f"{self.missing} of {self.missing + len(self)} reports are missing: up to 300 a"
                f" second and rank are kept, {MOST} in all, fewer of a log that was rotated away",
                stacklevel=3,
            )
        rows = [report.row() for report in self]
        try:
            pandas: Any = importlib.import_module("pandas")
        except ImportError:
            return rows
        columns = list(dict.fromkeys(name for row in rows for name in row))
        return pandas.DataFrame(rows, columns=columns or ["rank", "generation", "time", "step"])

    def _thin(self) -> None:
        """Give up every second report of each pod; the newest ones stay."""
        self._stride *= 2
        for pod, known in self._pods.items():
            newest = self._newest[pod]
            self._pods[pod] = {
                n: report for n, report in known.items() if n % self._stride == 0 or n == newest
            }
