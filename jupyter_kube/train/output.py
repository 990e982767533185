"""The one writer of a worker's log: what its cell's processes write, and frames between lines.

Lines of several processes begin with their rank, as in ``[3] epoch 1``.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from . import frames
from .lines import Later, Lines
from .series import Series, row_of

_REPORTS = 0.1  # seconds between two reports
_REPEAT = 2 * 1024 * 1024  # bytes of the log after which reports are written again


class Output:
    """Write lines and frames to the log.

    Parameters
    ----------
    fd
        File descriptor of the log.
    key, rank
        What frames are signed with; the rank is the pod's first one.
    procs
        How many ranks there are in the pod.
    later
        Calls a function after some seconds.
    clock, now
        Tell seconds: one for spans of time, one since 1970.

    """

    def __init__(
        self,
        fd: int,
        key: bytes,
        rank: int,
        *,
        procs: int = 1,
        later: Later,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._fd, self._key, self._rank = fd, key, rank
        self._later, self._clock, self._now = later, clock, now
        self._lines = [
            Lines(
                self._write,
                b"[%d] " % (rank + local) if procs > 1 else b"",
                later=later,
                clock=clock,
            )
            for local in range(procs)
        ]
        self._series = Series()
        self._reported_at = -_REPORTS
        self._report_waits = False
        self._written = 0
        self._repeated_at = 0  # bytes written when reports were last repeated
        self.generation = 0

    def feed(self, data: bytes, local: int = 0) -> None:
        """Take some of what the process of a rank of the pod writes."""
        self._lines[local].feed(data)

    def finish(self) -> None:
        """End unfinished lines, and write the reports that wait, all where the log is long."""
        for lines in self._lines:
            lines.finish()
        self._flush_reports()
        if self._written > max(_REPEAT, self._repeated_at):
            self._repeat()

    def frame(self, kind: str, local: int = 0, /, **data: Any) -> None:
        """Write a frame of a rank of the pod."""
        self._flush_reports()
        self._write(self._encoded(kind, data, local))

    def result(self, blob: bytes, **about: Any) -> None:
        """Write a result."""
        self._parts("result", blob, about)

    def display(self, packed: bytes, local: int = 0) -> None:
        """Write what the notebook is to show."""
        self._parts("display", packed, {}, local)

    def report(self, step: int | float | None, metrics: Mapping[str, Any], local: int = 0) -> None:
        """Write a report; of those that come too fast the last value of each metric wins."""
        row = row_of(self.generation, self._rank + local, self._now(), step, metrics)
        if before := self._series.add(row):
            self._write(self._encoded("report", {"rows": before}))
        wait = self._reported_at + _REPORTS - self._clock()
        if wait <= 0:
            self._flush_reports()
        elif not self._report_waits:
            self._report_waits = True
            self._later(wait, self._flush_reports)

    def _flush_reports(self) -> None:
        self._report_waits = False
        if rows := self._series.take():
            self._reported_at = self._clock()
            self._write(self._encoded("report", {"rows": rows}))

    def _repeat(self) -> None:
        """Write the reports again: the file that has them may be rotated away."""
        self._repeated_at = self._written + _REPEAT  # not while doing so
        for rows in self._series.repeated():
            self._write(self._encoded("report", {"rows": rows}))
        self._repeated_at = self._written

    def _parts(self, kind: str, blob: bytes, about: Mapping[str, Any], local: int = 0) -> None:
        for line in frames.encode_parts(
            kind, blob, about, self._key, rank=self._rank + local, generation=self.generation
        ):
            self._write(line)

    def _encoded(self, kind: str, data: Mapping[str, Any], local: int = 0) -> bytes:
        rank = self._rank + local
        return frames.encode(kind, data, self._key, rank=rank, generation=self.generation)

    def _write(self, data: bytes) -> None:
        self._written += len(data)
        while data:
            data = data[os.write(self._fd, data) :]
        if self._written - self._repeated_at >= _REPEAT:
            self._repeat()
