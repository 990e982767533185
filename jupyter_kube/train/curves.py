"""Curves of reported metrics: as SVG for the panel, and as text (pure).

Not as a Vega-Lite bundle: that would be a display of its own somewhere among the lines, and nothing
at all in a front end without Vega.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from .reports import Report, Reports
from .words import TOTALS

MOST_RANKS = 8
"""Ranks drawn, those with the lowest numbers."""
MOST_METRICS = 6
MOST_POINTS = 200
"""Points of one line."""

_NO_CURVES = {*TOTALS, *TOTALS.values()}
"""Metrics that tell how far a rank is."""

_LARGEST = 1e100
_NARROWEST = 1e-100  # a narrower range is drawn as none
_PLOT_WIDTH, _PLOT_HEIGHT = 240, 80
_COLOURS = ("1f77b4", "d95f02", "1b9e77", "e7298a", "7570b3", "66a61e", "a6761d", "888888")
_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 40

REDRAW = 1.0
"""Seconds between two drawings."""

Curves = dict[str, dict[int, dict[float, float]]]
"""By metric and rank, from step to value."""


class Drawing:
    """Curves drawn anew if there are new reports, once in a while."""

    def __init__(self) -> None:
        self.svg = self.text = ""
        self._at, self._version = 0.0, 0

    def renew(self, reports: Reports, now: float, *, ended: bool) -> None:
        """Draw if it is time to; ``now`` in seconds."""
        if reports.version == self._version or (now < self._at + REDRAW and not ended):
            return
        self._at, self._version = now, reports.version
        drawn = curves(reports)
        self.svg, self.text = svg(drawn), text(drawn)


def curves(reports: Iterable[Report]) -> Curves:
    """Find the lines to draw: numbers, over steps, else over epochs, else over seconds.

    A step told twice, as after a new start from a checkpoint, has its newest value. A metric with
    fewer than two points is none.
    """
    found: Curves = {}
    drawable = [report for report in reports if report.rank < MOST_RANKS]
    begun = min((report.time for report in drawable), default=0.0)
    for report in drawable:
        told = report.metrics.get("epoch") if report.step is None else report.step
        at = report.time - begun if told is None else told
        for name, value in report.metrics.items():
            if name not in _NO_CURVES and _is_drawable(value) and _is_drawable(at):
                found.setdefault(name, {}).setdefault(report.rank, {})[at] = value
    drawn = {
        name: {rank: _thinned(line) for rank, line in lines.items()}
        for name, lines in found.items()
        if any(len(line) > 1 for line in lines.values())
    }
    return dict(list(drawn.items())[:MOST_METRICS])


def svg(drawn: Curves) -> str:
    """Draw one small plot a metric, with one line a rank; empty if there is nothing to draw."""
    if not drawn:
        return ""
    plots = "".join(_plot(name, lines) for name, lines in drawn.items())
    return f'<div style="display:flex;flex-wrap:wrap;gap:1em;margin-top:.5em">{plots}</div>'


def text(drawn: Curves) -> str:
    """Draw the lowest rank's lines with characters, one line a metric."""
    longest = max(map(len, drawn), default=0)
    return "\n".join(f"{name:<{longest}}  {_first(lines)}" for name, lines in drawn.items())


def _plot(name: str, lines: Mapping[int, Mapping[float, float]]) -> str:
    steps = [step for line in lines.values() for step in line]
    values = [value for line in lines.values() for value in line.values()]
    left, right, low, high = min(steps), max(steps), min(values), max(values)
    across = _PLOT_WIDTH / _width(left, right)
    up = _PLOT_HEIGHT / _width(low, high)
    drawn, named = [], []
    for rank, line in sorted(lines.items()):
        colour = _COLOURS[rank % len(_COLOURS)]
        points = " ".join(
            f"{(step - left) * across:.1f},{_PLOT_HEIGHT - (value - low) * up:.1f}"
            for step, value in line.items()
        )
        words = f"rank {rank}: {_ends(line)}"
        drawn.append(
            f'<polyline fill="none" stroke="#{colour}" stroke-width="1.5" points="{points}">'
            f"<title>{words}</title></polyline>"
        )
        named.append(f'<span style="color:#{colour}" title="{words}">{rank}</span>')
    about = f"{escape(name)} {_ends(lines[min(lines)])}"
    ranks = f" · ranks {' '.join(named)}" if len(lines) > 1 else ""
    return (
        f'<figure style="margin:0"><figcaption>{about}{ranks}</figcaption>'
        f'<svg role="img" aria-label="{about}" width="{_PLOT_WIDTH + 70}" '
        f'height="{_PLOT_HEIGHT + 20}" viewBox="-4 -6 {_PLOT_WIDTH + 70} {_PLOT_HEIGHT + 24}" '
        f'fill="currentColor" font-size="10">{"".join(drawn)}'
        f'<text x="{_PLOT_WIDTH + 6}" y="6">{high:.4g}</text>'
        f'<text x="{_PLOT_WIDTH + 6}" y="{_PLOT_HEIGHT}">{low:.4g}</text>'
        f'<text x="0" y="{_PLOT_HEIGHT + 14}">{left:.4g}</text>'
        f'<text x="{_PLOT_WIDTH}" y="{_PLOT_HEIGHT + 14}" text-anchor="end">{right:.4g}</text>'
        "</svg></figure>"
    )


def _ends(line: Mapping[float, float]) -> str:
    values = list(line.values())
    return f"{values[0]:.4g} → {values[-1]:.4g}"


def _is_drawable(value: object) -> bool:
    """Whether a value is a number that can be drawn: not infinite, nor beyond a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _first(lines: Mapping[int, Mapping[float, float]]) -> str:
    values = list(lines[min(lines)].values())
    every = -(-len(values) // _WIDTH)
    shown = values[::every]
    low, high = min(values), max(values)
    scale = (len(_BARS) - 1) / (high - low) if high - low > _NARROWEST else 0.0
    bars = "".join(_BARS[round((value - low) * scale)] for value in shown)
    return f"{bars}  {values[0]:.4g} → {values[-1]:.4g}"


def _thinned(line: Mapping[float, float]) -> dict[float, float]:
    """Keep at most so many points, in order, the last one among them."""
    points = sorted(line.items())
    every = -(-len(points) // MOST_POINTS)
    kept = points[::every]
    return dict(kept if kept[-1] == points[-1] else [*kept[: MOST_POINTS - 1], points[-1]])


def _width(low: float, high: float) -> float:
    return high - low if high - low > _NARROWEST else 1.0
