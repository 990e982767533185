"""The one writer of a worker's log: the cell's output line by line, and frames between lines.

Container runtimes hand on whole lines only. So progress bars, which go back to the start of their
line, become lines that end with a carriage return, a few a second; a reader shows the last one.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from . import frames

LONGEST_LINE = 64 * 1024
"""Bytes after which a line is cut."""

_PROGRESS = 0.2  # seconds between two states of a progress bar
_IDLE = 0.5  # seconds after which an unfinished line is shown
_REPORTS = 0.1  # seconds between two reports
_LONGEST_REPORT = 6000  # bytes of a step and joined metrics: one frame holds them

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
    clock
        Tells seconds.

    """

    def __init__(
        self,
        fd: int,
        key: bytes,
        rank: int,
        *,
        later: Later,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fd, self._key, self._rank = fd, key, rank
        self._later, self._clock = later, clock
        self._line = b""  # what came after the last line's end
        self._shown = b""  # how much of it is in the log already
        self._progress_at = -_PROGRESS
        self._waiting = False
        self._report: dict[str, Any] = {}
        self._reported_at = -_REPORTS
        self._report_waits = False
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
        """End the unfinished line, and write the report that waits."""
        line = self._line.rstrip(b"\r")
        self._line = self._shown = b""
        if line:
            self._write(line + b"\n")
        self._flush_report()

    def frame(self, kind: str, **data: Any) -> None:
        """Write a frame."""
        self._flush_report()
        self._write(
            frames.encode(kind, data, self._key, rank=self._rank, generation=self.generation)
        )

    def result(self, blob: bytes, **about: Any) -> None:
        """Write a result."""
        for line in frames.encode_result(
            blob, about, self._key, rank=self._rank, generation=self.generation
        ):
            self._write(line)

    def report(self, step: int | float | None, metrics: Mapping[str, Any]) -> None:
        """Write a report; when they come too fast the last value of each metric wins."""
        joined = {**self._report.get("metrics", {}), **metrics}
        if len(json.dumps([step, joined])) > _LONGEST_REPORT:
            self._flush_report()
            joined = dict(metrics)
        self._report = {"step": step, "metrics": joined}
        wait = self._reported_at + _REPORTS - self._clock()
        if wait <= 0:
            self._flush_report()
        elif not self._report_waits:
            self._report_waits = True
            self._later(wait, self._flush_report)

    def _flush_report(self) -> None:
        self._report_waits = False
        if self._report:
            report, self._report = self._report, {}
            self._reported_at = self._clock()
            self.frame("report", **report)

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

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]


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
