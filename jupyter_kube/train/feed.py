"""What a follower hands to whoever shows it: the newest view and a bounded run of lines."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

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


class Feed:
    """A mailbox between the follower's thread and the notebook's, of bounded memory.

    Parameters
    ----------
    capacity
        Most lines kept for a reader who is slow; older ones are dropped and counted.
    longest
        Characters kept of one line.
    reports
        What is known already.

    """

    def __init__(
        self,
        view: JobView,
        *,
        capacity: int = 4000,
        longest: int = 4000,
        reports: Reports | None = None,
    ) -> None:
        self.view = view
        self.reports = Reports() if reports is None else reports
        self._longest = longest
        self._lines: deque[Line] = deque(maxlen=capacity)
        self._dropped = 0
        self._displays = 0
        self._ended = False
        self._news = threading.Condition()
        self._fresh = True

    def line(self, rank: int, text: str) -> None:
        """Add one line."""
        self._add(rank, text, None)

    def display(self, rank: int, rich: Mapping[str, Any]) -> None:
        """Add something to be shown in its place among the lines; of too many only the texts."""
        self._displays += 1
        kept = rich if self._displays <= MOST_DISPLAYS else None
        self._add(rank, str(rich.get("text/plain", "")), kept)

    def _add(self, rank: int, text: str, rich: Mapping[str, Any] | None) -> None:
        if len(text) > self._longest:
            text = f"{text[: self._longest]}… ({len(text)} characters)"
        with self._news:
            self._dropped += len(self._lines) == self._lines.maxlen
            self._lines.append(Line(rank, text, rich))
            self._fresh = True
            self._news.notify_all()

    def show(self, view: JobView) -> None:
        """Replace the view."""
        with self._news:
            if view != self.view:
                self.view = view
                self._fresh = True
                self._news.notify_all()

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
            self._ended = self._fresh = True
            self._news.notify_all()

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
            batch = Batch(self.view, tuple(self._lines), self._dropped, self._ended, self.reports)
            self._lines.clear()
            self._dropped = 0
            self._fresh = False
            return batch
