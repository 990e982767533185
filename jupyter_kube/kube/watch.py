"""List, then watch, for ever: a cache of one kind of objects, and word of every change.

The rules are client-go's reflector's: bookmarks move the place to resume from, a 410 means list
again, failures are waited out with growing, jittered pauses, and nothing is ever given up. A watch
that has served and ends is opened anew at once; the pauses are for those that never served.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, TypeVar

from ..errors import ClusterError, ClusterUnavailable, Expired, from_status
from .client import KubeClient
from .objects import PAGE, Resource, pages
from .transport import lines

log = logging.getLogger(__name__)

T = TypeVar("T")
Object = dict[str, Any]
Callback = Callable[[str, Object], None]
"""``callback(type, object)`` with type ADDED, MODIFIED or DELETED."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.8, 15.0  # seconds, before jitter
_SERVED = 1.0
"""Seconds after which even a watch without an event has served."""
_IN_A_ROW = 20
"""Events after which others get a turn of the event loop."""


class Reflector:
    """A live copy of what a selector selects.

    Parameters
    ----------
    client, resource, namespace, labels, fields
        What to watch; ``namespace`` None is the client's.
    keep
        Reduces each object to what is used, to save memory; must leave the metadata's name, uid
        and resourceVersion. None for an object that is of no use, now and later.
    silence
        Seconds without a sign of life after which a watch is opened anew. The API sends a bookmark
        about every minute; a vanished peer is noticed earlier, by the connection's keepalive.
    first_pause
        Seconds, at least, before the first repetition of what failed. Pauses double until they
        last 15 to 30 s: then an API that comes back is seen within half a minute.

    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        keep: Callable[[Object], Object | None] | None = None,
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
        self._odd: set[str | None] = set()  # by uid, what could not be read
        self._answered = asyncio.Event()
        self._listed = False
        self._task: asyncio.Task[None] | None = None
        self._version = ""
        self._alive_at = 0.0
        self._watching, self._served = False, False
        self._in_a_row = 0

    async def start(self) -> None:
        """Begin; returns at once."""
        name = f"reflector of {self._resource.plural}"
        self._task = asyncio.create_task(self._run(), name=name)

    async def synced(self) -> None:
        """Wait for the first list, however long the API is away.

        Raises
        ------
        ClusterError
            If the API refuses the list, or it cannot be read; it is tried again all the same.

        """
        await self._answered.wait()
        if not self._listed and self.last_error is not None:
            raise self.last_error

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

        def stop() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return stop

    async def wait_for(
        self, name: str, predicate: Callable[[Object | None], T | None], timeout: float | None
    ) -> T:
        """Wait until ``predicate`` of one object (None: it is not there) gives something.

        What ``predicate`` raises is raised here.

        Raises
        ------
        TimeoutError
            After ``timeout`` seconds; None waits for ever.
        ClusterError
            If the API refuses the first list.

        """
        found: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def look(_type: str, item: Object) -> None:
            if item["metadata"]["name"] == name:
                _settle(found, predicate, self.items.get(name))

        async with asyncio.timeout(timeout):
            await self.synced()
            _settle(found, predicate, self.items.get(name))
            stop = self.subscribe(look)
            try:
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
        self._alive_at = asyncio.get_running_loop().time()
        failures = 0
        while True:
            await self._serve()
            failures = 0 if self._served else failures + 1
            if failures:
                await asyncio.sleep(self._pause(failures))

    async def _serve(self) -> None:
        """List where that is needed, then watch until that ends, whichever way."""
        self._served = False
        try:
            if not self._version:
                await self._list()
            await self._watch()
        except Expired:
            self._version = ""
        except ClusterError as error:
            self.last_error = error
            log.debug("%s: %s", self._resource.plural, error)
            if not isinstance(error, ClusterUnavailable):
                self._answered.set()
        except Exception as error:  # never give up: whatever it was, list again
            log.exception("watching %s", self._resource.plural)
            self._version = ""
            self.last_error = ClusterError(f"{self._resource.plural} cannot be read", repr(error))
            self._answered.set()
        finally:
            self._watching = False

    def _pause(self, failures: int) -> float:
        """Choose how long to wait after so many failures in a row."""
        pause = min(self._first_pause * 2.0 ** min(failures - 1, 10), _LONGEST_PAUSE)
        if self.last_error is not None and self.last_error.retry_after:
            pause = max(pause, self.last_error.retry_after)
        return pause * random.uniform(1.0, 2.0)  # noqa: S311 - jitter

    async def _list(self) -> None:
        """Read everything, and tell what changed since the copy was last right."""
        found: set[str] = set()
        uids: set[str | None] = set()
        version = ""
        # Page by page: decoding a big list in one go would be felt on the event loop.
        async for page in pages(
            self._client,
            self._resource,
            namespace=self._namespace,
            labels=self._labels,
            fields=self._fields,
            size=PAGE,
        ):
            self._alive_at = asyncio.get_running_loop().time()
            version = version or page["metadata"]["resourceVersion"]
            uids.update(item["metadata"].get("uid") for item in page["items"])
            for item in filter(None, map(self._reduced, page["items"])):
                name = item["metadata"]["name"]
                found.add(name)
                before = self.items.get(name)
                if before is not None and not _same(before, item):  # a new object, an old name
                    self._forget(before)
                self._remember(item)
        for name in self.items.keys() - found:
            self._forget(self.items[name])
        self._odd &= uids
        self._version = version
        self._alive_at = asyncio.get_running_loop().time()
        self.last_error = None
        self._listed = True
        self._answered.set()

    async def _watch(self) -> None:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(random.randint(300, 600)),  # noqa: S311 - spreads reconnects
            "labelSelector": self._labels,
            "fieldSelector": self._fields,
        }
        opened = self._client.stream(
            self._resource.path(self._namespace or self._client.namespace),
            query={key: value for key, value in query.items() if value},
            idle_timeout=self._silence,
            what=f"watch {self._resource.plural}",
        )
        loop = asyncio.get_running_loop()
        async with opened as chunks, aclosing(lines(chunks)) as received:
            self._watching, self.last_error = True, None
            self._alive_at = opened_at = loop.time()
            try:
                async for line in received:
                    self._alive_at = loop.time()
                    if line.strip():
                        self._handle(self._decoded(line))
                        await self._give_way()
            finally:
                self._served = self._served or loop.time() - opened_at > _SERVED

    async def _give_way(self) -> None:
        """Let others have the event loop now and then: of one chunk come hundreds of events."""
        self._in_a_row += 1
        if self._in_a_row >= _IN_A_ROW:
            self._in_a_row = 0
            await asyncio.sleep(0)

    def _decoded(self, line: bytes) -> Object:
        try:
            event: Object = json.loads(line)
        except ValueError as error:
            log.warning("a watch of %s sent what is not JSON: %s", self._resource.plural, error)
            raise Expired("an event is lost", "it was not JSON") from error
        return event

    def _handle(self, event: Object) -> None:
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            raise from_status(
                int(item.get("code") or 500), item, what=f"watch {self._resource.plural}"
            )
        self._served = True
        self._version = item["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return
        kept = self._reduced(item)
        if kept is not None and kind != "DELETED":
            self._remember(kept)
        elif before := self.items.get(item["metadata"]["name"]):
            self._forget(kept or before)
        if kind == "DELETED":
            self._odd.discard(item["metadata"].get("uid"))

    def _reduced(self, item: Object) -> Object | None:
        """Return what is used of an object; None for one that is of no use or cannot be read."""
        item["metadata"].pop("managedFields", None)
        try:
            return self._keep(item) if self._keep else item
        except Exception:  # one odd object must not hide the others, or fill the log
            meta = item["metadata"]
            level = logging.DEBUG if meta.get("uid") in self._odd else logging.ERROR
            what = self._resource.kind, meta["name"]
            log.log(level, "%s %s cannot be read", *what, exc_info=True)
            self._odd.add(meta.get("uid"))
            return None

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
    """Put what the predicate says of an object into the future, once."""
    if found.done():
        return
    try:
        value = predicate(item)
    except Exception as error:  # belongs to whoever waits
        found.set_exception(error)
        return
    if value is not None and value is not False:
        found.set_result(value)


def _same(before: Object, now: Object) -> bool:
    return bool(before["metadata"].get("uid") == now["metadata"].get("uid"))


def _version(item: Object) -> tuple[str, str]:
    return item["metadata"].get("uid", ""), item["metadata"].get("resourceVersion", "")
