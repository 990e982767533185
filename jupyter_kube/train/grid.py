"""All ranks of a job at a glance, as HTML: the same in a cell's output and in the panel (pure).

It needs no style sheet, follows JupyterLab's theme where there is one, and never says by colour
alone what it says. Whatever comes from outside is escaped.
"""

from __future__ import annotations

from dataclasses import replace
from html import escape
from itertools import groupby

from . import words
from .view import JobView, RankView

_SIGNS = {
    "queued": "○",
    "waiting": "…",
    "pulling": "↓",
    "starting": "◔",
    "running": "▸",
    "succeeded": "✓",
    "failed": "✗",
    "stopped": "■",
    "gone": "–",
}
_COLOURS = {
    "running": "--jp-info-color1",
    "succeeded": "--jp-success-color1",
    "failed": "--jp-error-color1",
    "gone": "--jp-error-color1",
    "waiting": "--jp-warn-color1",
    "queued": "--jp-warn-color1",
}
_ENDED = ("succeeded", "failed")
_TILES = "display:grid;grid-template-columns:repeat(auto-fill,minmax(3.5em,1fr));margin:.3em 0"
_ROWS = (
    "display:grid;gap:.1em 2em;grid-template-columns:repeat(auto-fill,minmax(min(26em,100%),1fr))"
)
_REASONS, _WELL = 12, 8
"""Reasons, and ranks that are well, listed below the tiles."""
_TIP = 300
"""Characters of a tile's words on hover; the whole of it is below."""
FONT = (
    "font-family:var(--jp-code-font-family,monospace);font-size:var(--jp-code-font-size,13px);"
    "color:var(--jp-ui-font-color1,inherit);line-height:1.4"
)


def framed(inner: str) -> str:
    """Put HTML into the fonts and colours that all of ours has."""
    return f'<div style="{FONT}">{inner}</div>'


def heading(view: JobView, now: float, how_far: str = "") -> str:
    """Render what the job is, how it stands, and how far it is."""
    return (
        '<div style="display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 2em;'
        'border-bottom:1px solid var(--jp-border-color2,#ccc);padding-bottom:.2em">'
        f"<b>{escape(words.title(view))}</b>"
        f"<span>{badge(view.phase)} {escape(words.state(view, now, how_far))}</span></div>"
    )


def ranks(view: JobView, now: float) -> str:
    """Render the ranks: one by one with what there is to say, or of many all as tiles.

    Below the tiles are the reasons that there are, each once, and a few of those that are well.
    """
    view = _as_left(view)
    message = f"<div>{escape(view.message)}</div>" if view.message else ""
    if len(view.ranks) <= words.MOST_RANKS:
        rows = "".join(_row(rank, words.place(view, rank), now) for rank in view.ranks)
        return f'{message}<div style="{_ROWS}" role="list">{rows}</div>'
    well = [rank for rank in view.ranks if rank.state.phase in words.CALM]
    rows = "".join(_row(rank, words.place(view, rank), now) for rank in well[:_WELL])
    listed = f'<div style="{_ROWS}" role="list">{rows}</div>' if rows else ""
    return f"{message}{_tiles(view.ranks)}{_reasons(view.ranks, now)}{listed}"


def _as_left(view: JobView) -> JobView:
    """Whoever stopped a job has stopped its ranks that had not ended."""
    if view.phase != "stopped":
        return view
    return replace(view, ranks=tuple(map(_stopped, view.ranks)))


def _stopped(rank: RankView) -> RankView:
    if rank.state.phase in _ENDED:
        return rank
    return replace(rank, state=replace(rank.state, phase="stopped", message=""), says="", due=None)


def badge(phase: str) -> str:
    """Render a phase's sign in its colour; the word is to stand beside it."""
    colour = _COLOURS.get(phase, "--jp-ui-font-color2")
    return f'<span style="color:var({colour},inherit)" aria-hidden="true">{_sign(phase)}</span>'


def _sign(phase: str) -> str:
    return _SIGNS.get(phase, "…")


def _row(rank: RankView, place: str, now: float) -> str:
    phase = rank.state.phase
    return (
        f'<div role="listitem" title="{escape(_tip(rank))}">{rank.rank:>3} '
        f"{f'{escape(place)} ' if place else ''}"
        f"{badge(phase)} {escape(phase)} "
        f'<span style="color:var(--jp-ui-font-color2,inherit)">'
        f"{escape(words.detail(rank, now))}</span></div>"
    )


def _reasons(all_ranks: tuple[RankView, ...], now: float) -> str:
    """Render why ranks are not well: each reason once, after the numbers of its ranks."""
    found: dict[tuple[str, str], list[int]] = {}
    for rank in all_ranks:
        if rank.state.phase not in words.CALM:
            found.setdefault((rank.state.phase, words.detail(rank, now)), []).append(rank.rank)
    rows = [
        f'<div role="listitem">{badge(phase)} {escape(phase)} {words.ranges(numbers)} '
        f'<span style="color:var(--jp-ui-font-color2,inherit)">{escape(reason)}</span></div>'
        for (phase, reason), numbers in list(found.items())[:_REASONS]
    ]
    if len(found) > _REASONS:
        rows.append(f'<div role="listitem">and {len(found) - _REASONS} further reasons</div>')
    return f'<div role="list">{"".join(rows)}</div>' if rows else ""


def _tiles(all_ranks: tuple[RankView, ...]) -> str:
    """Render one small tile a rank; neighbours of whom the same is said share their colour."""
    runs = groupby(all_ranks, key=lambda rank: (rank.state.phase, rank.reason))
    tiles = "".join(_run(phase, reason, list(run)) for (phase, reason), run in runs)
    counted = escape(f"{len(all_ranks)} ranks: {words.counts(all_ranks)}")
    return (
        f'<div>{counted}</div><div role="img" aria-label="{counted}" style="{_TILES}">{tiles}</div>'
    )


def _run(phase: str, reason: str, run: list[RankView]) -> str:
    colour = _COLOURS.get(phase, "--jp-ui-font-color2")
    tip = escape((f"{phase}: {reason}" if reason else phase)[:_TIP])
    inner = "".join(f"<span>{_sign(phase)}{rank.rank}</span>" for rank in run)
    return (
        f'<span style="display:contents;color:var({colour},inherit)" title="{tip}">{inner}</span>'
    )


def _tip(rank: RankView) -> str:
    """Say of a rank what its row has no room for."""
    on = f" on {rank.state.node}" if rank.state.node else ""
    pod = f"{rank.state.name}{on}"
    phase = f"{rank.state.phase}: {rank.reason}" if rank.reason else rank.state.phase
    return " · ".join(filter(None, [phase, pod]))
