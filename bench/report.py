"""Samples by figure and arm, and how they are shown: JSON for machines, Markdown for people."""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
"""Where a page has the table of medians."""


@dataclass(frozen=True)
class Figure:
    """One thing that is measured: its key in the samples, its name for people, its unit."""

    key: str
    name: str
    unit: str = "ms"


FIGURES = (
    Figure("start", "start → first result"),
    Figure("create call", "answer to the request for a kernel"),
    Figure("restart", "restart → first result"),
    Figure("crash", "kill -9 → next result"),
    Figure("interrupt", "interrupt → reply"),
    Figure("delete call", "answer to DELETE"),
    Figure("gone", "DELETE → process gone"),
    Figure("round trip", "cell, back to back"),
    Figure("output", "50 MB of output"),
    Figure("lost", "of these lost", "MB"),
    Figure("calls", "API requests of an idle kernel", "per min"),
    Figure("start of 5", "5 kernels at once → all have a result"),
    Figure("start of 10", "10 kernels at once → all have a result"),
    Figure("server start", "server's process → its first answer"),
    Figure("added", "of this added by the extension"),
    Figure("import", "import of the server extension"),
)

_OF_A_LIFE = (
    "start",
    "restart",
    "crash",
    "interrupt",
    "gone",
    "round trip",
    "output",
    "lost",
    "calls",
)
LIFE = tuple(figure for figure in FIGURES if figure.key in _OF_A_LIFE)
"""What happens to every kernel."""


@dataclass(frozen=True)
class Aim:
    """What one arm's median should be: at most ``most`` times another arm's, or ``most`` itself.

    With ``more`` it is the mean that may be so much above the other arm's: what is told once a
    second lies anywhere within it, and the median of some rounds is a matter of luck.
    """

    figure: str
    arm: str
    base: str | None
    most: float
    more: float = 0.0


class Samples:
    """Values by (figure, arm), in the order they were taken."""

    def __init__(self) -> None:
        self.taken: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.facts: dict[str, str] = {
            "taken": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python "
            f"{platform.python_version()}",
            "load before": f"{os.getloadavg()[0]:.1f}",
        }

    def add(self, arm: str, taken: Mapping[str, float | Sequence[float]]) -> None:
        """Keep what was measured of one arm."""
        for figure, value in taken.items():
            values = [value] if isinstance(value, (int, float)) else value
            self.taken[figure][arm].extend(values)

    def fail(self, arm: str) -> None:
        """Count a measurement that gave no sample."""
        key = f"failed measurements of {arm}"
        self.facts[key] = str(int(self.facts.get(key, "0")) + 1)

    def median(self, figure: str, arm: str) -> float:
        """Return the median of one arm."""
        return statistics.median(self.taken[figure][arm])

    def ratio(self, figure: str, arm: str, base: str) -> tuple[float, float, float]:
        """Return the ratio of two medians with its bootstrap 95 % interval."""
        ours, other = self.taken[figure][arm], self.taken[figure][base]
        draw = random.Random(1)
        ratios = sorted(
            statistics.median(draw.choices(ours, k=len(ours)))
            / statistics.median(draw.choices(other, k=len(other)))
            for _ in range(2000)
        )
        return self.median(figure, arm) / self.median(figure, base), ratios[50], ratios[1949]

    def difference(self, figure: str, arm: str, base: str) -> tuple[float, float, float]:
        """Return the difference of two means with its bootstrap 95 % interval."""
        ours, other = self.taken[figure][arm], self.taken[figure][base]
        draw = random.Random(1)
        differences = sorted(
            statistics.fmean(draw.choices(ours, k=len(ours)))
            - statistics.fmean(draw.choices(other, k=len(other)))
            for _ in range(2000)
        )
        seen = statistics.fmean(ours) - statistics.fmean(other)
        return seen, differences[50], differences[1949]

    def write(self, path: Path) -> None:
        """Write all samples as JSON, whole or not at all."""
        self.facts["load after"] = f"{os.getloadavg()[0]:.1f}"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({"facts": self.facts, "samples": self.taken}, indent=1))
        partial.replace(path)

    def read(self, path: Path) -> None:
        """Add the samples of an earlier part of the same run."""
        earlier = json.loads(path.read_text())
        self.facts = {**self.facts, **earlier["facts"]}
        for figure, arms in earlier["samples"].items():
            for arm, values in arms.items():
                self.add(arm, {figure: values})


def of_sizes(figures: Iterable[Figure], sizes: Iterable[int]) -> list[Figure]:
    """Return the figures of jobs of several sizes: keys end, as in ``running of 8``."""
    return [
        Figure(f"{figure.key} of {size}", f"{size} workers: {figure.name}", figure.unit)
        for size in sorted(set(sizes))
        for figure in figures
    ]


def side_by_side(samples: Samples, arms: Sequence[str], figures: Sequence[Figure] = FIGURES) -> str:
    """Show the medians: a row per figure, a column per arm."""
    shown = [arm for arm in arms if any(arm in by_arm for by_arm in samples.taken.values())]
    rows = []
    for figure in figures:
        by_arm = samples.taken.get(figure.key)
        if by_arm:
            cells = (_median(by_arm.get(arm)) for arm in shown)
            rows.append([_what(figure), *cells])
    return _table(["", *shown], rows)


def in_detail(samples: Samples, figures: Sequence[Figure] = FIGURES) -> str:
    """Show each figure of each arm: how many samples, and how they spread."""
    rows = []
    for figure in figures:
        for arm, values in samples.taken.get(figure.key, {}).items():
            p95 = sorted(values)[min(len(values) - 1, round(0.95 * len(values)))]
            numbers = (statistics.median(values), p95, min(values), max(values))
            cells = (str(len(values)), *(_number(n) for n in numbers))
            rows.append([_what(figure), arm, *cells])
    return _table(["figure", "arm", "n", "p50", "p95", "min", "max"], rows)


def aims(samples: Samples, wanted: Iterable[Aim]) -> str:
    """Say which aims are reached, with the 95 % interval of each ratio."""
    rows = []
    for aim in wanted:
        if not all(samples.taken[aim.figure].get(arm) for arm in (aim.arm, aim.base or aim.arm)):
            continue
        if aim.base is None:
            value, interval = samples.median(aim.figure, aim.arm), ""
        elif aim.more:
            value, low, high = samples.difference(aim.figure, aim.arm, aim.base)
            interval = f"{low:.0f}–{high:.0f}"
        else:
            value, low, high = samples.ratio(aim.figure, aim.arm, aim.base)
            interval = f"{low:.2f}–{high:.2f}"
        between = f" {'−' if aim.more else '/'} {aim.base}" if aim.base else ""
        what = f"{aim.figure}: {aim.arm}{between}"
        most = aim.more or aim.most
        verdict = "yes" if value <= most else "**no**"
        rows.append([what, _number(value), interval, f"≤ {most:.3g}", verdict])
    return _table(["figure", "seen", "95 % interval", "aim", "reached"], rows)


def facts(samples: Samples) -> str:
    """Say when, where and with what all was taken."""
    return "\n".join(f"- {name}: {value}" for name, value in samples.facts.items())


def between_marks(page: str, table: str) -> str:
    """Put a table into a page, in the place of what is between its two marks.

    Raises
    ------
    ValueError
        If they are not there.

    """
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def _what(figure: Figure) -> str:
    return f"{figure.name}, {figure.unit}" if figure.unit else figure.name


def _median(values: Sequence[float] | None) -> str:
    return _number(statistics.median(values)) if values else "–"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
