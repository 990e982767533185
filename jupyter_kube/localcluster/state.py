"""The objects as they are now: versions, owners, and who is told of changes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .garbage import Key, Ownership
from .history import Change, History
from .kinds import KINDS, Kind, not_found

Object = dict[str, Any]
Callback = Callable[[str, Object, Object | None], None]
"""``callback(type, obj, old)`` with type ADDED, MODIFIED or DELETED."""


class State:
    """All objects of one cluster; what is stored is never changed in place."""

    def __init__(self) -> None:
        self.version = 1
        """The resourceVersion of the last change."""
        self.owners = Ownership()
        self._objects: dict[Kind, dict[tuple[str, str], Object]] = {kind: {} for kind in KINDS}
        self._callbacks: dict[Kind, list[Callback]] = {kind: [] for kind in KINDS}
        self._history = History()

    def find(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """Give the stored object, not a copy, or None."""
        return self._objects[kind].get((namespace or "" if kind.namespaced else "", name))

    def stored(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """Give the stored object, not a copy.

        Raises
        ------
        ApiError
            404 if there is none.

        """
        obj = self.find(kind, namespace, name)
        if obj is None:
            raise not_found(kind, name)
        return obj

    def all(self, kind: Kind) -> Sequence[Object]:
        """Give all stored objects of a kind, oldest first."""
        return list(self._objects[kind].values())

    def all_at(self, kind: Kind, version: int) -> Sequence[Object]:
        """Give all objects of a kind as they were at a version; 410 if that is not known."""
        objects = dict(self._objects[kind])
        for _, new, old in reversed(self._history.since(kind, version)):
            if old is None:
                del objects[_place(new)]
            else:
                objects[_place(old)] = old
        return list(objects.values())

    def inside(self, namespace: str) -> Iterator[Key]:
        """Name everything in a namespace."""
        for kind in KINDS:
            for space, name in list(self._objects[kind]) if kind.namespaced else ():
                if space == namespace:
                    yield kind, space, name

    def put(self, kind: Kind, new: Object, old: Object | None) -> Object:
        """Store an object in the place of ``old``, with a new version, and return a copy."""
        key = _place(new)
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        self._objects[kind][key] = new
        self.owners.note((kind, *key), old, new)
        self._tell(kind, "ADDED" if old is None else "MODIFIED", new, old)
        return copy.deepcopy(new)

    def take(self, kind: Kind, old: Object) -> Object:
        """Take an object out and return a copy of it as it was last."""
        key = _place(old)
        del self._objects[kind][key]
        self.version += 1
        gone = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.version)}}
        self.owners.note((kind, *key), old, None)
        self._tell(kind, "DELETED", gone, old)
        return copy.deepcopy(gone)

    def subscribe(self, kind: Kind, callback: Callback) -> Callable[[], None]:
        """Call back after each change of a kind; returns how to stop that."""
        self._callbacks[kind].append(callback)
        return lambda: self._callbacks[kind].remove(callback)

    def since(self, kind: Kind, version: int) -> Sequence[Change]:
        """Give a kind's changes after a version; 410 if they are no longer known."""
        return self._history.since(kind, version)

    def _tell(self, kind: Kind, event: str, new: Object, old: Object | None) -> None:
        self._history.add(self.version, kind, (event, new, old))
        for callback in list(self._callbacks[kind]):
            callback(event, new, old)


def _place(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
