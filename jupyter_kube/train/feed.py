"""What a follower hands to whoever shows it: the newest view and a bounded run of lines."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..kube.logblocks import texts
from .reports import Reports
from .view import JobView

BEGINNING_LOST = "(lines before these are gone: a node keeps only the newest part of a long log)"

MOST_DISPLAYS = 50
"""Displays with images and the like that one follower hands on."""


@dataclass(frozen=True)
class Line:
    """One line of one rank's output."""

    rank: int
    text: str
    rich: Mapping[str, Any] | None = None
    """What the text stands for, by MIME type: something the cell displayed."""


@dataclass(frozen=True)
class Batch:
    """What is new since the last time: lines, how many were dropped before them, the view now."""

    view: JobView
    lines: tuple[Line, ...]
    dropped: int
    ended: bool
    reports: Reports


_WHOSE = re.compile(r"\[(\d{1,6})\] ")


def line_of(rank: int, procs: int, text: str) -> Line:
    """Make a line from one in a pod's log; of several ranks each says whose it is.

    Parameters
    ----------
    rank, procs
        The pod's first rank, and how many it has.
    text
        What the log has.

    """
    found = _WHOSE.match(text) if procs > 1 else None
    if found and rank <= int(found[1]) < rank + procs:
        return Line(int(found[1]), text[found.end() :])
    return Line(rank, text)


class _Run(NamedTuple):
    """Lines of one pod that nobody has looked at yet."""

    rank: int
    number: int
    lines: bytes | Line
    """As they are in the log, each behind its time; or one that is ready."""
    procs: int = 1

    @property
    def size(self) -> int:
        """About how much memory they take."""
        return len(self.lines if isinstance(self.lines, bytes) else self.lines.text)


class Feed:
    """A mailbox between the follower's thread and the notebook's, of bounded memory.

    Lines may come much faster than anybody reads: they stay as the log has them, and only those
    that are taken are decoded.

    Parameters
    ----------
    capacity
        Most lines kept for a reader who is slow; older ones are dropped and counted.
    longest
        Characters, or bytes, kept of one line.
    room
        Bytes of lines kept at most, beside the newest ones.
    reports
        What is known already.

    """

    def __init__(
        self,
        view: JobView,
        *,
        capacity: int = 4000,
        longest: int = 4000,
        room: int = 8 * 2**20,
        reports: Reports | None = None,
    ) -> None:
        self.view = view
        self.reports = Reports() if reports is None else reports
        self._capacity, self._longest, self._room = capacity, longest, room
        self._runs: deque[_Run] = deque()
        self._number = self._size = 0
        self._dropped = 0
        self._displays = 0
        self._ended = False
        self._news = threading.Condition()
        self._fresh = True

    def line(self, rank: int, text: str) -> None:
        """Add one line."""
        self._put(_Run(rank, 1, Line(rank, self._shortened(text))))

    def lines(self, rank: int, data: bytes, procs: int = 1) -> None:
        """Add whole lines as they are in a log, each behind its time; as for :func:`line_of`."""
        run = _Run(rank, data.count(b"\n"), data, procs)
        if run.size <= self._room:
            self._put(run)
            return
        kept = self._opened(run, self._capacity)  # of a line that seems to have no end, little
        with self._news:
            self._dropped += run.number - len(kept)
        for line in kept:
            self._put(_Run(rank, 1, line))

    def display(self, rank: int, rich: Mapping[str, Any]) -> None:
        """Add something to be shown in its place among the lines; of too many only the texts."""
        self._displays += 1
        kept = rich if self._displays <= MOST_DISPLAYS else None
        text = self._shortened(str(rich.get("text/plain", "")))
        self._put(_Run(rank, 1, Line(rank, text, kept)))

    def _shortened(self, text: str) -> str:
        if len(text) > self._longest:
            return f"{text[: self._longest]}… ({len(text)} characters)"
        return text

    def _put(self, run: _Run) -> None:
        with self._news:
            self._runs.append(run)
            self._number += run.number
            self._size += run.size
            while len(self._runs) > 1 and (
                self._size > self._room or self._number - self._runs[0].number >= self._capacity
            ):
                oldest = self._runs.popleft()
                self._number -= oldest.number
                self._size -= oldest.size
                self._dropped += oldest.number
            self._wake()

    def _wake(self) -> None:
        """Wake who waits; called with the lock held."""
        self._fresh = True
        self._news.notify_all()

    def show(self, view: JobView) -> None:
        """Replace the view."""
        with self._news:
            if view != self.view:
                self.view = view
                self._wake()

    def pass_on(self, view: JobView, lines: Iterable[Line], dropped: int) -> None:
        """Take over what another feed gave."""
        with self._news:
            self._dropped += dropped
        self.show(view)
        for line in lines:
            if line.rich is None:
                self.line(line.rank, line.text)
            else:
                self.display(line.rank, line.rich)

    def end(self) -> None:
        """Say that nothing will follow."""
        with self._news:
            self._ended = True
            self._wake()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is news; returns whether there is."""
        with self._news:
            return self._news.wait_for(lambda: self._fresh, timeout)

    def wait_ended(self, timeout: float) -> bool:
        """Wait for the end, or as long as given; returns whether it has ended."""
        with self._news:
            return self._news.wait_for(lambda: self._ended, timeout)

    def take(self) -> Batch:
        """Take what is new."""
        with self._news:
            runs, dropped = self._runs, self._dropped
            view, ended = self.view, self._ended
            self._runs = deque()
            self._number = self._size = self._dropped = 0
            self._fresh = False
        lines: list[Line] = []
        for run in reversed(runs):
            room = self._capacity - len(lines)
            dropped += max(0, run.number - room)
            lines += reversed(self._opened(run, room))
        return Batch(view, tuple(reversed(lines)), dropped, ended, self.reports)

    def _opened(self, run: _Run, most: int) -> list[Line]:
        """Decode the last lines of a run."""
        if isinstance(run.lines, Line):
            return [run.lines][:most]
        found = texts(run.lines, most, self._longest)
        return [line_of(run.rank, run.procs, text) for text in found]
