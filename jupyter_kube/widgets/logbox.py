"""The live log of a job in the panel: filtered by rank, searched, held still."""

from __future__ import annotations

import threading

import ipywidgets as w

from ..train.feed import Batch
from . import parts
from .logpane import LogPane

_SCROLLED_TO_ITS_END = {
    "display": "flex",
    "flex_flow": "column-reverse nowrap",  # its scroll position counts from the end
    "overflow": "auto",
    "max_height": "20em",
    "border": "1px solid var(--jp-border-color2, #ccc)",
    "padding": ".3em .6em",
}
_ALL = ("all", -1)


class LogBox:
    """Shows a job's lines.

    Filled by the thread that follows, and asked by clicks: both in turn.
    """

    def __init__(self) -> None:
        self._pane, self._lock = LogPane(), threading.Lock()
        self._rank = parts.choice("Rank", [_ALL], -1, style=parts.CLOSE)
        self._search = parts.text(
            "Search",
            "text in a line",
            "Show only lines with this text",
            live=True,
            style=parts.CLOSE,
        )
        self._hold = w.ToggleButton(
            description="Hold", tooltip="Keep the lines as they are", layout={"width": "auto"}
        )
        self._about = w.HTML()
        self._lines = w.HTML(layout=_SCROLLED_TO_ITS_END, tabbable=True)
        self._lines.value = self._pane.html()
        self._hold.observe(lambda _change: self._draw(), "value")
        for field in (self._rank, self._search):
            field.observe(lambda _change: self._choose(), "value")
        self.widget = w.VBox(
            [parts.row(self._rank, self._search, self._hold, self._about), self._lines]
        )

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            self._pane.clear()
        self._draw(anyway=True)

    def show(self, batch: Batch) -> None:
        """Add what is new."""
        if batch.lines or batch.dropped:
            with self._lock:
                self._pane.add(batch.lines, batch.dropped)
            self._draw()
        self._offer(len(batch.view.ranks))

    def _offer(self, ranks: int) -> None:
        """Offer each rank, once there are more of them."""
        if ranks >= len(self._rank.options):
            chosen = self._rank.value
            self._rank.options = [_ALL, *((str(n), n) for n in range(ranks))]
            self._rank.value = chosen

    def _choose(self) -> None:
        rank = self._rank.value
        with self._lock:
            self._pane.choose(None if rank < 0 else rank, self._search.value.strip())
        self._draw(anyway=True)

    def _draw(self, *, anyway: bool = False) -> None:
        if self._hold.value and not anyway:
            return
        with self._lock:
            self._lines.value = self._pane.html()
            self._about.value = parts.plain(self._pane.words())
