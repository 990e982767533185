"""What front ends show, as the rows that they have been told of and those that have changed (pure).

Each row is serialised once, when it changes, for all front ends. What a front end has not been told
yet is only noted, however often it changes, so one that is slow costs nothing but its own time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

KINDS = ("kernels", "jobs")


class Row(NamedTuple):
    """One row."""

    text: str
    """As JSON."""
    order: float
    """Rows of the first message come by it, the greatest first."""


class Board:
    """The rows there are, by kind and key, and single facts."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Row]] = {kind: {} for kind in KINDS}
        self._facts: dict[str, str] = {}
        self._views: set[View] = set()

    def put(self, kind: str, key: str, content: dict[str, Any], order: float = 0.0) -> None:
        """Add a row, or change it."""
        row = Row(json.dumps(content), order)
        if self._rows[kind].get(key) != row:
            self._rows[kind][key] = row
            self._note(kind, key)

    def drop(self, kind: str, key: str) -> None:
        """Remove a row, if it is there."""
        if self._rows[kind].pop(key, None) is not None:
            self._note(kind, key)

    def keys(self, kind: str) -> Iterable[str]:
        """Return the keys of the rows there are."""
        return list(self._rows[kind])

    def state(self, name: str, content: Any) -> None:
        """Set a fact, or change it."""
        text = json.dumps(content)
        if self._facts.get(name) != text:
            self._facts[name] = text
            for view in self._views:
                view.facts.add(name)

    def view(self) -> View:
        """Begin to note changes for one more front end."""
        view = View(self)
        self._views.add(view)
        return view

    def close(self, view: View) -> None:
        """Note nothing more for a front end."""
        self._views.discard(view)

    def whole(self) -> str:
        """Write a message that has everything."""
        parts = dict(self._facts)
        for kind, rows in self._rows.items():
            newest = sorted(rows.values(), key=lambda row: row.order, reverse=True)
            parts[kind] = _array(row.text for row in newest)
        return _object(parts)

    def changes(self, facts: Iterable[str], keys: dict[str, set[str]]) -> str:
        """Write a message that has these facts and rows, as they are now."""
        parts = {name: self._facts[name] for name in facts}
        gone = {}
        for kind, changed in keys.items():
            rows = self._rows[kind]
            if there := [rows[key].text for key in changed if key in rows]:
                parts[kind] = _array(there)
            if lost := sorted(changed - rows.keys()):
                gone[kind] = lost
        if gone:
            parts["gone"] = json.dumps(gone)
        return _object(parts)

    def _note(self, kind: str, key: str) -> None:
        for view in self._views:
            view.keys[kind].add(key)


class View:
    """What one front end has not been told yet."""

    def __init__(self, board: Board) -> None:
        self.facts: set[str] = set()
        self.keys: dict[str, set[str]] = {kind: set() for kind in KINDS}
        self._board, self._begun = board, False

    @property
    def behind(self) -> bool:
        """Whether there is anything to be told."""
        return not self._begun or bool(self.facts) or any(self.keys.values())

    def take(self) -> str:
        """Write the next message: first everything, then what has changed since."""
        facts, keys = self.facts, self.keys
        self.facts, self.keys = set(), {kind: set() for kind in KINDS}
        if self._begun:
            return self._board.changes(facts, keys)
        self._begun = True
        return self._board.whole()


def _array(texts: Iterable[str]) -> str:
    return f"[{', '.join(texts)}]"


def _object(parts: dict[str, str]) -> str:
    """Put values that are JSON already into an object."""
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in parts.items()) + "}"
