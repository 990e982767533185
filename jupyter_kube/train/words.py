"""What is said of a job and its ranks, in one line each (pure)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .view import JobView, RankView

MOST_RANKS = 32
"""Ranks shown one by one; the rest is summed up."""

_MOST_RUNS = 12

TOTALS = {"step": "steps", "epoch": "epochs"}
"""Metrics that tell how far a rank is, and those that tell of how many."""

CALM = ("running", "succeeded")
"""Phases of ranks that are well."""

_CODES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]?|\][^\x07]*\x07?|.)?")
"""A terminal's control sequences."""


def uncoded(text: str) -> str:
    """Take a terminal's control sequences out of a text."""
    return _CODES.sub("", text) if "\x1b" in text else text


def duration(seconds: float) -> str:
    """Write a duration as people say it: ``45 s``, ``1 min 12 s``, ``2 h 3 min``, ``1 d 4 h``."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def metrics(values: Mapping[str, Any]) -> str:
    """Write reported metrics in the order reported, numbers to four digits, steps as 3/10."""
    of = {name: values[total] for name, total in TOTALS.items() if {name, total} <= values.keys()}
    return "  ".join(
        f"{name} {_short(value)}" + (f"/{_short(of[name])}" if name in of else "")
        for name, value in values.items()
        if not any(name == TOTALS[each] for each in of)
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def title(view: JobView) -> str:
    """Write what the job is."""
    number = f"{view.least} to {view.workers}" if view.least else str(view.workers)
    workers = ", ".join(view.roles) or f"{number} worker" + "s" * (view.workers != 1)
    workers += f" of {view.procs} processes" if view.procs > 1 else ""
    return " · ".join(part for part in (view.name, view.framework, workers, view.profile) if part)


def state(view: JobView, now: float, how_far: str = "") -> str:
    """Write how the job stands, for how long, and how far it is where that is known."""
    parts = [view.phase]
    if view.started is not None:
        parts.append(duration((view.ended or now) - view.started))
    if how_far and view.phase == "running":
        parts.append(how_far)
    return ", ".join(parts)


def detail(rank: RankView, now: float) -> str:
    """Write what there is to say about a rank: its reason to wait, else progress or metrics."""
    if rank.state.phase in ("running", "succeeded"):
        told = metrics(rank.metrics)
        return rank.says or "  ".join(part for part in (told, uncoded(rank.progress)) if part)
    if rank.due is None:
        return rank.reason
    replaced = f"Kubernetes replaces it in {duration(rank.due - now)}"
    return f"{rank.reason}; {replaced}" if rank.reason else replaced


def place(view: JobView, rank: RankView) -> str:
    """Name a rank's role, or its pod where several share one; empty in the plainest jobs."""
    return rank.role or (f"pod {rank.rank // view.procs}" if view.procs > 1 else "")


def shown(view: JobView) -> tuple[list[RankView], list[str]]:
    """Choose the ranks to show one by one, those in trouble first, and sum up the rest."""
    if len(view.ranks) <= MOST_RANKS:
        return list(view.ranks), []
    order = sorted(view.ranks, key=lambda r: (r.state.phase in CALM, r.rank))
    one_by_one = sorted(order[:MOST_RANKS], key=lambda r: r.rank)
    rest = order[MOST_RANKS:]
    return one_by_one, [f"     and {len(rest)} more: {counts(rest)}"]


def ranges(numbers: Sequence[int]) -> str:
    """Write sorted numbers, as in ``2–9, 16``; of too many the first ones."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    shown = ["–".join(map(str, run)) for run in runs[:_MOST_RUNS]]
    return ", ".join([*shown, *(["…"] if len(runs) > _MOST_RUNS else [])])


def counts(ranks: Iterable[RankView]) -> str:
    """Count ranks by phase, as in ``3 running, 1 waiting``."""
    found = Counter(rank.state.phase for rank in ranks)
    return ", ".join(f"{number} {phase}" for phase, number in found.items())
