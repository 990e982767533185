"""How a job looks: pure renderings, and the two screens that show it live."""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from html import escape
from typing import Any, Protocol

from ..checks import clip
from . import curves, grid
from .feed import Batch, Feed, Line
from .progress import Progress
from .view import JobView
from .words import detail, duration, place, shown, state, title

MOST_LINES = 5000
MOST_CHARACTERS = 1_000_000
"""Output that one cell prints; of what follows only figures and the like, and a few lines at a time
in the panel."""
TAIL = 12
_AT_ONCE = 3
"""Updates that may come without a pause between them."""

_MOVES = re.compile(r"\x1b(?!\[[0-9;]*m)(\[[0-?]*[ -/]*[@-~]?|\][^\x07]*\x07?|.)?")
"""Control sequences of a terminal that are no colours."""

_WIDTH = 78


def text(view: JobView, now: float, how_far: str = "") -> str:
    """Render a job as plain text."""
    head, right = title(view), state(view, now, how_far)
    lines = [f"{head}{right:>{max(len(right) + 2, _WIDTH - len(head))}}"]
    if view.message:
        lines.append(f"    {view.message}")
    ranks, rest = shown(view)
    places = [place(view, rank) for rank in ranks]
    width = max(map(len, places), default=0)
    lines += [
        f"{r.rank:>3}  {f'{where:<{width}}  ' if width else ''}"
        f"{r.state.phase:<9}  {detail(r, now)}".rstrip()
        for r, where in zip(ranks, places, strict=True)
    ]
    return "\n".join([*lines, *rest])


def html(
    view: JobView, now: float, tail: Iterable[Line] = (), drawing: str = "", how_far: str = ""
) -> str:
    """Render a job as HTML that needs no style sheet and follows JupyterLab's theme.

    ``drawing`` is HTML to be put below the ranks: curves.
    """
    lines = "\n".join(f"[{line.rank}] {line.text}" for line in tail)
    below = f'<pre style="margin:.5em 0 0">{escape(lines)}</pre>' if lines else ""
    return grid.framed(f"{grid.heading(view, now, how_far)}{grid.ranks(view, now)}{drawing}{below}")


def table(views: Iterable[JobView], now: float, *, owners: bool = False) -> str:
    """Render several jobs as a table of plain text, with whose they are if need be."""
    rows = [["NAME", *(["OWNER"] if owners else []), "FRAMEWORK", "WORKERS", "STATE", "AGE", ""]]
    for view in views:
        whose = [clip(view.user, 30)] if owners else []
        age = duration(now - view.started) if view.started else ""
        why = view.message or next((r.reason for r in view.ranks if r.reason), "")
        about = [view.framework, str(view.workers), view.phase, age, why[:100]]
        rows.append([view.name, *whose, *about])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = 0
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


class Screen(Protocol):
    """Shows what comes from a job's feed."""

    def show(self, batch: Batch) -> None:
        """Show what is new."""


class NotebookScreen:
    """One display that is renewed in place, and below it the lines of all ranks.

    Parameters
    ----------
    display
        ``IPython.display.display``.
    clock
        Seconds since 1970.

    """

    def __init__(self, display: Callable[..., Any], clock: Callable[[], float] = time.time) -> None:
        self._display, self._clock = display, clock
        self._handle: Any = None
        self._shown = "", ""
        self._printer = Printer(display=lambda rich: display(dict(rich), raw=True))
        self._curves, self._progress = curves.Drawing(), Progress()

    def show(self, batch: Batch) -> None:
        """Renew the panel and print the new lines."""
        self._printer.show(batch)
        now = self._clock()
        self._curves.renew(batch.reports, now, ended=batch.ended)
        self._progress.hear(batch.lines)
        self._progress.see(batch.view, now)
        how_far = self._progress.words()
        plain = "\n".join(filter(None, [text(batch.view, now, how_far), self._curves.text]))
        looks = plain, self._curves.svg  # texts have the lowest rank's curves only
        if looks == self._shown and not self._printer.full():
            return
        self._shown = looks
        rich = html(batch.view, now, self._printer.tail, self._curves.svg, how_far)
        data = {"text/plain": plain, "text/html": rich}
        if self._handle is None:
            self._handle = self._display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


class PlainScreen:
    """Prints: what changes in the job's state, and the lines of all ranks."""

    def __init__(self) -> None:
        self._printer = Printer()
        self._said: dict[str, str] = {}

    def show(self, batch: Batch) -> None:
        """Print what is new."""
        said = _milestones(batch.view)
        for what, line in said.items():
            if what not in self._said:
                print(line, flush=True)
        self._said = said
        self._printer.show(batch)
        if batch.ended and (drawn := curves.text(curves.curves(batch.reports))):
            print(drawn, flush=True)


class LinesScreen:
    """Prints lines only, of one rank or all.

    Parameters
    ----------
    rank
        The one to show; None shows all.

    """

    def __init__(self, rank: int | None = None) -> None:
        self._rank, self._printer = rank, Printer()

    def show(self, batch: Batch) -> None:
        """Print the new lines."""
        wanted = tuple(line for line in batch.lines if self._rank in (None, line.rank))
        self._printer.show(replace(batch, lines=wanted))


class Printer:
    """Prints lines with their ranks, up to a bound for one cell; later ones are kept as a tail.

    Parameters
    ----------
    lines, characters
        The bound.
    display
        Shows what is more than text, by MIME type; None: as text.

    """

    def __init__(
        self,
        *,
        lines: int = MOST_LINES,
        characters: int = MOST_CHARACTERS,
        display: Callable[[Mapping[str, Any]], object] | None = None,
    ) -> None:
        self._lines_left, self._characters_left = lines, characters
        self._display = display
        self.tail: list[Line] = []
        self._name = ""

    def full(self) -> bool:
        """Whether the bound is reached."""
        return self._lines_left <= 0 or self._characters_left <= 0

    def show(self, batch: Batch) -> None:
        """Print a batch's lines, or keep the last ones if there were too many."""
        if self.full():
            self.tail = [*self.tail, *batch.lines][-TAIL:]
            self._show_rich(batch.lines)
            return
        out = []
        if batch.dropped:
            out.append(f"… {batch.dropped} lines too fast to show; %kube logs {batch.view.name}")
        shown = batch.lines[: self._lines_left]
        self._lines_left -= len(shown)
        for line in shown:
            out.append(_with_rank(line))
            self._characters_left -= len(out[-1])
            if line.rich is not None and self._display is not None:
                out[-1] = f"[{line.rank}]"
                self._print(out)
                out = []
                self._display(line.rich)
        if self.full():
            out.append(f"… enough lines for one cell; the rest: %kube logs {batch.view.name}")
        self._print(out)
        self._show_rich(batch.lines[len(shown) :])

    def _show_rich(self, lines: Iterable[Line]) -> None:
        """Display what is more than text, which no log has later; a feed gives a bounded number."""
        for line in lines:
            if line.rich is not None and self._display is not None:
                self._print([f"[{line.rank}]"])
                self._display(line.rich)

    def _print(self, lines: list[str]) -> None:
        if lines:
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()


def _with_rank(line: Line) -> str:
    """Write whose line it is before it; a text of several lines begins on its own."""
    text = line.text
    if "\x1b" in text:  # colours stay, and end with their line; nothing moves the cursor
        text = f"{_MOVES.sub('', text)}\x1b[0m"
    return f"[{line.rank}]{chr(10) if chr(10) in text else ' '}{text}"


def _milestones(view: JobView) -> dict[str, str]:
    """Write a job's state and the reasons its ranks wait; by what makes each worth a new line."""
    reasons = dict.fromkeys(rank.reason for rank in view.ranks if rank.state.phase != "running")
    head = f"{title(view)}: {view.phase}" + (f" ({view.message})" if view.message else "")
    said = {head: head}
    for reason in filter(None, reasons):
        ranks = [str(r.rank) for r in view.ranks if r.reason == reason][:8]
        said[reason] = f"  rank {', '.join(ranks)}: {reason}"
    return said


def watch(feed: Feed, screen: Screen, *, pause: float = 0.05) -> None:
    """Show a feed on a screen until its end, with one update in ``pause`` seconds on average.

    A few come at once, so that what follows a silence shows without delay.
    """
    shown = deque([0.0] * _AT_ONCE, maxlen=_AT_ONCE)
    while True:
        feed.wait(1.0)  # a clock runs in the panel
        batch = feed.take()
        screen.show(batch)
        if batch.ended:
            return
        now = time.monotonic()
        shown.append(now)
        feed.wait_ended(max(0.0, shown[0] + _AT_ONCE * pause - now))
