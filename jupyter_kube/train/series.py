"""A worker's reports: those to be written next, and a thinned copy of all to be repeated.

A log's file is rotated away when it has grown, so what must survive is written again now and then.
Reports are numbered from 1: a reader knows those it has seen, and how many it has missed.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Row = list[Any]
"""One report: number, generation, rank, seconds since 1970, step or none, metrics."""

_MOST = 30
"""Reports written at once; what comes faster is joined with the last of them."""
_LONGEST = 6000
"""Bytes of reports written at once: one frame holds them, and one report is at most 4 kB."""
_KEPT = 200
"""Reports in the copy."""


class Series:
    """The reports of one pod's processes of all generations."""

    def __init__(self) -> None:
        self._number = 0
        self._waiting: list[Row] = []
        self._sizes: list[int] = []
        self._kept: list[Row] = []
        self._stride = 1

    def add(self, row: Row) -> list[Row]:
        """Number a report and let it wait; returns what has to be written before it."""
        self._number += 1
        row[0] = self._number
        self._keep(row)
        if len(self._waiting) >= _MOST and (last := self._last_of(row[2])) is not None:
            joined = [*row[:5], {**self._waiting[last][5], **row[5]}]
            if len(json.dumps(joined)) <= _LONGEST:
                row = joined
                del self._waiting[last], self._sizes[last]
        size = len(json.dumps(row))
        before = self.take() if sum(self._sizes) + size > _LONGEST else []
        self._waiting.append(row)
        self._sizes.append(size)
        return before

    def _last_of(self, rank: int) -> int | None:
        """Find the last report of a rank among those that wait."""
        places = range(len(self._waiting) - 1, -1, -1)
        return next((at for at in places if self._waiting[at][2] == rank), None)

    def take(self) -> list[Row]:
        """Return the reports that wait, to be written now."""
        taken, self._waiting, self._sizes = self._waiting, [], []
        return taken

    def repeated(self) -> Iterator[list[Row]]:
        """Give the copy of all reports in pieces to be written at once."""
        piece: list[Row] = []
        size = 0
        for row in self._kept:
            longer = len(json.dumps(row))
            if piece and size + longer > _LONGEST:
                yield piece
                piece, size = [], 0
            piece.append(row)
            size += longer
        if piece:
            yield piece

    def _keep(self, row: Row) -> None:
        """Keep each report whose number the stride divides, and the last one."""
        if self._kept and self._kept[-1][0] % self._stride:
            self._kept.pop()
        self._kept.append(row)
        if len(self._kept) > _KEPT:
            self._stride *= 2
            self._kept = [each for each in self._kept[:-1] if each[0] % self._stride == 0] + [row]


def row_of(
    generation: int, rank: int, time: float, step: float | None, metrics: Mapping[str, Any]
) -> Row:
    """Make a report that has no number yet."""
    return [0, generation, rank, round(time, 3), step, dict(metrics)]
