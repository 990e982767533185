"""The one writer of a worker's log: the cell's output line by line, and frames between lines.

Container runtimes hand on whole lines only. So progress bars, which go back to the start of their
line, become lines that end with a carriage return, a few a second; a reader shows the last one.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from . import frames
from .series import Series, row_of

LONGEST_LINE = 64 * 1024
"""Bytes after which a line is cut."""

_PROGRESS = 0.2  # seconds between two states of a progress bar
_IDLE = 0.5  # seconds after which an unfinished line is shown
_REPORTS = 0.1  # seconds between two reports
_REPEAT = 2 * 1024 * 1024  # bytes of the log after which reports are written again

Later = Callable[[float, Callable[[], None]], object]
"""``later(seconds, function)``: an event loop's ``call_later``."""


class Output:
    """Write lines and frames to the log.

    Parameters
    ----------
    fd
        File descriptor of the log.
    key, rank
        What frames are signed with.
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
        later: Later,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._fd, self._key, self._rank = fd, key, rank
        self._later, self._clock, self._now = later, clock, now
        self._line = b""  # what came after the last line's end
        self._shown = b""  # how much of it is in the log already
        self._progress_at = -_PROGRESS
        self._waiting = False
        self._series = Series()
        self._reported_at = -_REPORTS
        self._report_waits = False
        self._written = 0
        self._repeated_at = 0  # bytes written when reports were last repeated
        self.generation = 0

    def feed(self, data: bytes) -> None:
        """Take some of the cell's output."""
        data = self._line + data
        self._line = b""
        if b"\r" not in data:  # all whole lines at once: cells may print a lot
            lines, newline, data = data.rpartition(b"\n")
            if newline:
                self._write(lines + newline)
                self._shown = b""
        while data:
            line, end, data = _first_line(data)
            if end == b"\n":
                self._write(line + b"\n")
                self._shown = b""
            elif end == b"\r" and data:
                self._progress(line)
            elif len(line) > LONGEST_LINE:
                self._write(line + b"\n")
            else:
                self._line = line + end
        if self._line and not self._waiting:
            self._waiting = True
            self._later(_IDLE, self._idle)

    def finish(self) -> None:
        """End the unfinished line, and write the reports that wait, all where the log is long."""
        line = self._line.rstrip(b"\r")
        self._line = self._shown = b""
        if line:
            self._write(line + b"\n")
        self._flush_reports()
        if self._written > max(_REPEAT, self._repeated_at):
            self._repeat()

    def frame(self, kind: str, **data: Any) -> None:
        """Write a frame."""
        self._flush_reports()
        self._write(self._encoded(kind, data))

    def result(self, blob: bytes, **about: Any) -> None:
        """Write a result."""
        self._parts("result", blob, about)

    def display(self, packed: bytes) -> None:
        """Write what the notebook is to show."""
        self._parts("display", packed, {})

    def report(self, step: int | float | None, metrics: Mapping[str, Any]) -> None:
        """Write a report; of those that come too fast the last value of each metric wins."""
        before = self._series.add(row_of(self.generation, self._rank, self._now(), step, metrics))
        if before:
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

    def _progress(self, line: bytes) -> None:
        now = self._clock()
        if line and line != self._shown and now >= self._progress_at + _PROGRESS:
            self._progress_at = now
            self._shown = line
            self._write(line + b"\r\n")

    def _idle(self) -> None:
        self._waiting = False
        self._progress_at = -_PROGRESS
        self._progress(self._line.rstrip(b"\r"))

    def _parts(self, kind: str, blob: bytes, about: Mapping[str, Any]) -> None:
        for line in frames.encode_parts(
            kind, blob, about, self._key, rank=self._rank, generation=self.generation
        ):
            self._write(line)

    def _encoded(self, kind: str, data: Mapping[str, Any]) -> bytes:
        return frames.encode(kind, data, self._key, rank=self._rank, generation=self.generation)

    def _write(self, data: bytes) -> None:
        self._written += len(data)
        while data:
            data = data[os.write(self._fd, data) :]
        if self._written - self._repeated_at >= _REPEAT:
            self._repeat()


def _first_line(data: bytes) -> tuple[bytes, bytes, bytes]:
    r"""Split off the first line: its text, its end (``\n``, ``\r`` or nothing) and the rest."""
    newline, back = data.find(b"\n"), data.find(b"\r")
    if back >= 0 and (newline < 0 or back < newline):
        if back + 1 == newline:
            return data[:back], b"\n", data[newline + 1 :]
        return data[:back], b"\r", data[back + 1 :]
    if newline >= 0:
        return data[:newline], b"\n", data[newline + 1 :]
    return data, b"", b""
