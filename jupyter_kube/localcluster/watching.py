"""A watch: the changes of one kind that its reader may see, from a version on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from .history import Change
from .kinds import ApiError, Kind
from .selectors import Test
from .store import Store

_CLOSED = None
Event = dict[str, Any]


class Watch:
    """Give the events of a watch, as objects of type ``WatchEvent``.

    Parameters
    ----------
    store
        Where the objects are.
    kind
        Which kind is watched.
    sees
        Tells whether an object is in the namespace and matches the selectors.
    version
        The resourceVersion to begin behind; 0 to begin with all objects there are.
    seconds
        After which it ends; None for never.
    bookmarks
        Seconds between bookmarks; None for none.
    initial_end
        Whether a bookmark says where the objects there were in the beginning end.

    """

    def __init__(
        self,
        store: Store,
        kind: Kind,
        sees: Test,
        *,
        version: int = 0,
        seconds: float | None = None,
        bookmarks: float | None = None,
        initial_end: bool = False,
    ) -> None:
        self._store, self._kind, self._sees = store, kind, sees
        self._version, self._seconds, self._bookmarks = version, seconds, bookmarks
        self._initial_end = initial_end
        self._queue: asyncio.Queue[Change | None] = asyncio.Queue()

    def close(self) -> None:
        """End it."""
        self._queue.put_nowait(_CLOSED)

    async def batches(self) -> AsyncGenerator[list[Event], None]:
        """Give events, as many at a time as there are."""
        unsubscribe = self._store.subscribe(self._kind, self._note)
        try:
            yield self._beginning()  # in the same turn as subscribing, so that nothing is between
            async for batch in self._following():
                yield batch
        finally:
            unsubscribe()

    def _note(self, *change: Any) -> None:
        self._queue.put_nowait(change)

    def _beginning(self) -> list[Event]:
        if self._version:
            try:
                changes = self._store.since(self._kind, self._version)
            except ApiError as error:
                self.close()
                return [{"type": "ERROR", "object": error.status()}]
            return list(filter(None, map(self._event, changes)))
        found = [
            {"type": "ADDED", "object": obj}
            for obj in self._store.list(self._kind)
            if self._sees(obj)
        ]
        return [*found, self._bookmark(initial_end=True)] if self._initial_end else found

    async def _following(self) -> AsyncGenerator[list[Event], None]:
        loop = asyncio.get_running_loop()
        end = float("inf") if self._seconds is None else loop.time() + self._seconds
        while True:
            mark = loop.time() + self._bookmarks if self._bookmarks else float("inf")
            try:
                async with asyncio.timeout_at(_moment(min(end, mark))):
                    changes = [await self._queue.get()]
            except TimeoutError:
                if self._bookmarks:
                    yield [self._bookmark()]
                if loop.time() >= end:
                    return
                continue
            while not self._queue.empty():
                changes.append(self._queue.get_nowait())
            until = changes.index(_CLOSED) if _CLOSED in changes else len(changes)
            seen = [self._event(each) for each in changes[:until] if each]
            if batch := [event for event in seen if event]:
                yield batch
            if until < len(changes):
                return

    def _event(self, change: Change) -> Event | None:
        """Tell a change as its reader sees it: what no longer matches is deleted for him."""
        what, new, old = change
        saw = old is not None and self._sees(old)
        sees = what != "DELETED" and self._sees(new)
        if sees:
            return {"type": "MODIFIED" if saw else "ADDED", "object": new}
        return {"type": "DELETED", "object": new} if saw else None

    def _bookmark(self, *, initial_end: bool = False) -> Event:
        meta: dict[str, Any] = {"resourceVersion": str(self._store.version)}
        if initial_end:
            meta["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": meta}
        return {"type": "BOOKMARK", "object": obj}


def _moment(time: float) -> float | None:
    return None if time == float("inf") else time


def seeing(namespace: str, matches: Callable[[dict[str, Any]], bool]) -> Test:
    """Make the test for objects of a namespace (empty: of all) that match."""
    return lambda obj: (
        (not namespace or obj["metadata"].get("namespace") == namespace) and matches(obj)
    )
