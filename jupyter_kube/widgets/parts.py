"""The widgets that the panel is made of, each with a label and in one look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from typing import Any

import ipywidgets as w
from IPython.core.error import UsageError

from ..errors import KubeError, RemoteError
from ..train.grid import FONT
from ..train.words import uncoded

Style = Mapping[str, str]

LABEL = {"description_width": "6em"}
"""Of fields below each other."""

CLOSE = {"description_width": "auto"}
"""Of fields beside each other."""


def button(label: str, tip: str, on_click: Callable[[], object], *, style: str = "") -> Any:
    """Make a button that says what it does."""
    made = w.Button(description=label, tooltip=tip, button_style=style, layout={"width": "auto"})
    made.on_click(lambda _button: on_click())
    return made


def text(
    label: str, hint: str = "", tip: str = "", *, live: bool = False, style: Style = LABEL
) -> Any:
    """Make a field for one line of text, which is told when it is whole, or as it is typed."""
    return w.Text(
        description=label,
        placeholder=hint,
        tooltip=tip or hint,
        continuous_update=live,
        style=style,
        layout={"width": "auto"},
    )


def choice(label: str, options: Iterable[Any], value: Any = None, *, style: Style = LABEL) -> Any:
    """Make a field that offers some values."""
    options = list(options)
    return w.Dropdown(
        description=label,
        options=options,
        value=value,
        style=style,
        layout={"width": "auto", "max_width": "100%", "min_width": "0"},
    )


def suggestions(label: str, options: Iterable[str], hint: str) -> Any:
    """Make a field for a line of text that offers some."""
    return w.Combobox(
        description=label,
        options=tuple(options),
        placeholder=hint,
        style=LABEL,
        layout={"width": "auto"},
    )


def row(*children: Any) -> Any:
    """Put widgets beside each other, or below where there is no room."""
    return w.HBox(children, layout={"flex_flow": "row wrap", "align_items": "center"})


def said(words: str, *, urgent: bool = False) -> str:
    """Render words that a screen reader is to say when they appear."""
    if not words:
        return ""
    role, colour = ("alert", "--jp-error-color1") if urgent else ("status", "--jp-ui-font-color1")
    sign = "✗ " if urgent else ""
    style = f"color:var({colour},inherit);white-space:pre-wrap;line-height:1.4"
    return f'<div role="{role}" style="{style}">{sign}{escape(words)}</div>'


def words_of(error: Exception, labels: Mapping[str, str] | None = None) -> str:
    """Say what went wrong; ``labels`` are those of :func:`trouble`."""
    ours = isinstance(error, KubeError | UsageError)
    words = str(error) if ours else f"{type(error).__name__}: {error}"
    for option, label in (labels or {}).items():
        words = words.replace(option, label)
    return words


def trouble(error: Exception, labels: Mapping[str, str] | None = None) -> str:
    """Render what went wrong, in words, and a worker's own traceback.

    ``labels`` has names of fields by the options that they stand for.
    """
    shown = said(words_of(error, labels), urgent=True)
    if isinstance(error, RemoteError):
        lines = escape(uncoded(error.traceback.rstrip()))
        shown += f'<pre style="max-height:20em;overflow:auto;{FONT}">{lines}</pre>'
    return shown


def code(about: str, line: str) -> str:
    """Render a line of code after what it is."""
    return f'<div style="line-height:1.4">{escape(about)} <code>{escape(line)}</code></div>'


def plain(words: str) -> str:
    """Render words beside a field."""
    return f'<span style="color:var(--jp-ui-font-color2,inherit)">{escape(words)}</span>'


def show(widget: Any, yes: bool) -> None:
    """Show a widget, or take it out of the layout."""
    display = None if yes else "none"
    if widget.layout.display != display:
        widget.layout.display = display


def tree(widget: Any) -> Iterator[Any]:
    """Give a widget and all within it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from tree(child)


def close(widget: Any) -> None:
    """Take a widget and all within it off the screen and out of memory."""
    for each in list(tree(widget)):
        for part in (getattr(each, "style", None), each.layout, each):
            if isinstance(part, w.Widget):
                part.close()
