"""List, then watch, for ever: a cache of one kind of objects, and word of every change.

The rules are client-go's reflector's: bookmarks move the place to resume from, a 410 means list
again, failures are waited out with growing, jittered pauses, and nothing is ever given up.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from ..errors import ClusterError, ClusterUnavailable, Expired, from_status
from .client import KubeClient
from .objects import Resource, list_

log = logging.getLogger(__name__)

T = TypeVar("T")
Object = dict[str, Any]
Callback = Callable[[str, Object], None]
"""``callback(type, object)`` with type ADDED, MODIFIED or DELETED."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.8, 30.0
_CALM = 120.0
"""Seconds of good service after which pauses are short again."""


class Reflector:
    """A live copy of what a selector selects.

    Parameters
    ----------
    client, resource, namespace, labels, fields
        What to watch; ``namespace`` None is the client's.
    keep
        Reduces each object to what is used, to save memory.
    silence
        Seconds without a sign of life after which a watch is opened anew. The API sends a bookmark
        about every minute.

    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        keep: Callable[[Object], Object] | None = None,
        silence: float = 100.0,
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        self.items: dict[str, Object] = {}
        """The objects by name, as last seen."""
        self.last_error: ClusterError | None = None
        self._client, self._resource, self._namespace = client, resource, namespace
        self._labels, self._fields, self._keep = labels, fields, keep
        self._silence, self._first_pause = silence, first_pause
        self._callbacks: list[Callback] = []
        self._synced = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._version = ""
        self._alive_at = 0.0
        self._watching = False

    async def start(self) -> None:
        """Begin; returns at once."""
        name = f"reflector of {self._resource.plural}"
        self._task = asyncio.create_task(self._run(), name=name)

    async def synced(self) -> None:
        """Wait for the first list."""
        await self._synced.wait()

    @property
    def stale_for(self) -> float:
        """Seconds for which the copy may have been behind; 0 while a watch is open."""
        if self._watching:
            return 0.0
        return asyncio.get_running_loop().time() - self._alive_at

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call back for what is there now and for each change; returns how to stop that."""
        self._callbacks.append(callback)
        for item in list(self.items.values()):
            callback("ADDED", item)
        return lambda: self._callbacks.remove(callback)

    async def wait_for(
        self, name: str, predicate: Callable[[Object | None], T | None], timeout: float | None
    ) -> T:
        """Wait until ``predicate`` of one object (None: it is not there) gives something.

        Raises
        ------
        TimeoutError
            After ``timeout`` seconds.

        """
        await self.synced()
        found: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def look(_type: str, item: Object) -> None:
            if item["metadata"]["name"] == name and not found.done():
                _settle(found, predicate, self.items.get(name))

        _settle(found, predicate, self.items.get(name))
        stop = self.subscribe(look)
        try:
            async with asyncio.timeout(timeout):
                return await found
        finally:
            stop()

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # inside

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._alive_at = loop.time()
        pause, calm_since = self._first_pause, loop.time()
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                self.last_error = None
            except Expired:
                self._version = ""
                continue
            except ClusterError as error:
                self.last_error = error
                log.debug("%s: %s", self._resource.plural, error)
            except Exception:  # never give up: whatever it was, list again
                log.exception("watching %s", self._resource.plural)
                self._version = ""
            finally:
                self._watching = False
            if loop.time() - calm_since > _CALM:
                pause = self._first_pause
            calm_since = loop.time()
            wait = pause if self.last_error else 0.0
            if self.last_error is not None and self.last_error.retry_after:
                wait = max(wait, self.last_error.retry_after)
            if wait:
                await asyncio.sleep(wait * random.uniform(1.0, 2.0))  # noqa: S311 - jitter
                pause = min(pause * 2, _LONGEST_PAUSE)

    async def _list(self) -> None:
        """Read everything, and tell what changed since the copy was last right."""
        found = await list_(
            self._client,
            self._resource,
            namespace=self._namespace,
            labels=self._labels,
            fields=self._fields,
        )
        fresh = {item["metadata"]["name"]: self._reduced(item) for item in found["items"]}
        gone = [item for name, item in self.items.items() if not _same(item, fresh.get(name))]
        for item in gone:
            if item["metadata"]["name"] in fresh:  # a new object under an old name
                self._forget(item)
        for name in list(self.items):
            if name not in fresh:
                self._forget(self.items[name])
        for item in fresh.values():
            self._remember(item)
        self._version = found["metadata"]["resourceVersion"]
        self._alive_at = asyncio.get_running_loop().time()
        self.last_error = None
        self._synced.set()

    async def _watch(self) -> None:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(random.randint(300, 600)),  # noqa: S311 - spreads reconnects
            "labelSelector": self._labels,
            "fieldSelector": self._fields,
        }
        path = self._resource.path(self._namespace or self._client.namespace)
        query = {key: value for key, value in query.items() if value}
        opened = self._client.stream(path, query=query, idle_timeout=self._silence)
        async with opened as chunks:
            self._watching = True
            async for event in _events(chunks):
                self._alive_at = asyncio.get_running_loop().time()
                self._handle(event)

    def _handle(self, event: Object) -> None:
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            raise from_status(int(item.get("code") or 500), item, what="watch")
        self._version = item["metadata"]["resourceVersion"]
        if kind == "DELETED":
            self._forget(self._reduced(item))
        elif kind != "BOOKMARK":
            self._remember(self._reduced(item))

    def _reduced(self, item: Object) -> Object:
        item["metadata"].pop("managedFields", None)
        return self._keep(item) if self._keep else item

    def _remember(self, item: Object) -> None:
        name = item["metadata"]["name"]
        before = self.items.get(name)
        if before is not None and _version(before) == _version(item):
            return
        self.items[name] = item
        self._tell("ADDED" if before is None else "MODIFIED", item)

    def _forget(self, item: Object) -> None:
        if self.items.pop(item["metadata"]["name"], None) is not None:
            self._tell("DELETED", item)

    def _tell(self, kind: str, item: Object) -> None:
        for callback in list(self._callbacks):
            try:
                callback(kind, item)
            except Exception:  # one listener's fault must not blind the others
                log.exception("a listener of %s failed", self._resource.plural)


def _settle(
    found: asyncio.Future[T], predicate: Callable[[Object | None], T | None], item: Object | None
) -> None:
    value = predicate(item)
    if value is not None and value is not False and not found.done():
        found.set_result(value)


def _same(before: Object, now: Object | None) -> bool:
    return now is not None and before["metadata"].get("uid") == now["metadata"].get("uid")


def _version(item: Object) -> tuple[str, str]:
    return item["metadata"].get("uid", ""), item["metadata"].get("resourceVersion", "")


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[Object]:
    """Cut a watch's bytes into its JSON lines."""
    rest = b""
    async for chunk in chunks:
        rest += chunk
        if b"\n" not in chunk:
            continue
        *lines, rest = rest.split(b"\n")
        for line in lines:
            if line.strip():
                yield _decoded(line)


def _decoded(line: bytes) -> Object:
    try:
        event: Object = json.loads(line)
    except ValueError as error:
        raise ClusterUnavailable("the watch sent something that is not JSON", str(error)) from error
    return event
