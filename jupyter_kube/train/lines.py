"""What a cell's process writes, put together to whole lines.

Container runtimes hand on whole lines only. So progress bars, which go back to the start of their
line, become lines that end with a carriage return, a few a second; a reader shows the last one.

This module travels into pods: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable

LONGEST_LINE = 64 * 1024
"""Bytes after which a line is cut."""

_PROGRESS = 0.2  # seconds between two states of a progress bar
_IDLE = 0.5  # seconds after which an unfinished line is shown

Later = Callable[[float, Callable[[], None]], object]
"""``later(seconds, function)``: an event loop's ``call_later``."""


class Lines:
    """Cut one process's output into lines.

    Parameters
    ----------
    write
        Takes whole lines.
    prefix
        Begins each line: whose it is, where several processes share a log.
    later
        Calls a function after some seconds.
    clock
        Tells seconds.

    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        prefix: bytes,
        *,
        later: Later,
        clock: Callable[[], float],
    ) -> None:
        self._pass_on, self._prefix, self._later, self._clock = write, prefix, later, clock
        self._line = b""  # what came after the last line's end
        self._shown = b""  # how much of it is in the log already
        self._progress_at = -_PROGRESS
        self._waiting = False

    def feed(self, data: bytes) -> None:
        """Take some of the output."""
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
        """End the unfinished line."""
        line = self._line.rstrip(b"\r")
        self._line = self._shown = b""
        if line:
            self._write(line + b"\n")

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
        if self._prefix:
            data = self._prefix + data[:-1].replace(b"\n", b"\n" + self._prefix) + b"\n"
        self._pass_on(data)


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
