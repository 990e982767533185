"""How far a job is and how long it will take: from reports, progress bars and epochs (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .feed import Line
from .view import JobView, RankView
from .words import TOTALS, duration, uncoded

_EPOCH = re.compile(r"\s*Epoch:? \[?(\d{1,9}) ?(?:/|of) ?(\d{1,9})\b", re.IGNORECASE)
"""How Keras and others begin an epoch."""
_PERCENT = re.compile(r"\b(\d{1,3})(?:\.\d+)? ?%")
_OF = re.compile(r"\b(\d{1,9}) ?/ ?(\d{1,9})\b")
_SOONEST = 1.0
"""Seconds of progress before an end is foretold."""


class Progress:
    """Notes how far a job is, as time goes by.

    The slowest of the ranks that tell anything counts. After a new start, from a checkpoint or the
    beginning, the pace is measured anew.
    """

    def __init__(self) -> None:
        self.fraction: float | None = None
        """How much is done, 0 to 1; None if nobody tells."""
        self._epochs: dict[int, tuple[int, int]] = {}
        self._since: tuple[float, float] | None = None
        self._left: float | None = None

    def hear(self, lines: Iterable[Line]) -> None:
        """Note which epoch ranks begin."""
        for line in lines:
            if "poch" in line.text and (found := _EPOCH.match(uncoded(line.text))):
                self._epochs[line.rank] = int(found[1]), int(found[2])

    def see(self, view: JobView, now: float) -> None:
        """Note how far the ranks are; ``now`` in seconds since 1970."""
        told = [done for rank in view.ranks if (done := self._done(rank)) is not None]
        before, self.fraction = self.fraction, min(told, default=None)
        if view.phase == "succeeded":
            self.fraction, self._left = None if self.fraction is None else 1.0, None
        elif self.fraction is None or view.phase != "running":
            self._since = self._left = None
        elif self._since is None or self.fraction < (before or 0.0):
            self._since, self._left = (now, self.fraction), None
        elif self.fraction != before:  # a new end is foretold where there is news, not by the clock
            self._left = _left(self._since, now, self.fraction, self._left)

    def words(self) -> str:
        """Say how much is done, and how long the rest will take; empty if nobody tells."""
        if self.fraction is None:
            return ""
        done = f"{int(self.fraction * 100)} %"
        return done if self._left is None else f"{done}, about {duration(round(self._left))} left"

    def _done(self, rank: RankView) -> float | None:
        """Tell how far a rank is, as it reports or as its progress bar shows."""
        if rank.state.phase == "succeeded":
            return 1.0 if self.fraction is not None else None
        reported = _reported(rank.metrics)
        if reported is not None:
            return reported
        bar = _bar(uncoded(rank.progress))
        if rank.rank not in self._epochs:
            return bar
        epoch, epochs = self._epochs[rank.rank]
        return _part(epoch - 1 + (bar or 0.0), epochs)


def _reported(metrics: Mapping[str, Any]) -> float | None:
    for step, steps in TOTALS.items():
        done, total = metrics.get(step), metrics.get(steps)
        if isinstance(done, int | float) and isinstance(total, int | float):
            return _part(done, total)
    return None


def _bar(text: str) -> float | None:
    """Read a progress bar."""
    if found := _PERCENT.search(text):
        return _part(int(found[1]), 100)
    if found := _OF.search(text):
        return _part(int(found[1]), int(found[2]))
    return None


def _part(done: float, total: float) -> float | None:
    """Divide, if that makes sense: reports hold what users wrote."""
    if not 0 < total < float("inf") or not 0 <= done < float("inf"):
        return None
    return min(done / total, 1.0)


def _left(
    since: tuple[float, float], now: float, fraction: float, before: float | None
) -> float | None:
    """Foretell the seconds to the end from the pace so far."""
    (begun, first), done = since, fraction - since[1]
    if now - begun < _SOONEST or done <= 0 or fraction <= first:
        return before
    return (1.0 - fraction) * (now - begun) / done
