"""Pods' logs: read what is there, or follow from before the start to the end without loss."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ..errors import ClusterError, ClusterUnavailable, InvalidManifest, NotFound
from .client import KubeClient
from .objects import PODS, get
from .transport import lines

_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_PATIENCE = 10.0
"""Seconds for which a pod that the API does not know (yet) is waited for."""
_SILENCE = 600.0
"""Seconds of silence after which a follow is opened anew: the connection may be half open."""
_NO_SUCH_CONTAINER = ("is not valid for pod", "container name must be specified")
"""The API's words, of the many it has for 400, that waiting does not help."""


@dataclass(frozen=True)
class LogLine:
    """One line of a pod's log.

    ``time`` is the node's, in RFC 3339 with nanoseconds and in UTC, so that times sort as text;
    "" for what the node itself says instead of a log.
    ``text`` has no newline; what is not UTF-8 is U+FFFD. ``gap`` says that lines before this one
    may be missing: the node had rotated them away while nobody was reading.
    """

    time: str
    text: str
    gap: bool = False


async def read(
    client: KubeClient,
    pod: str,
    *,
    container: str | None = None,
    namespace: str | None = None,
    tail: int | None = None,
    previous: bool = False,
) -> list[LogLine]:
    """Return the lines that the node still has, the last ``tail`` of them if given.

    Raises
    ------
    ClusterError
        If the API refuses; :class:`InvalidManifest` while the container has not run.

    """
    query = _query(container, tail=tail, previous=previous)
    path = PODS.path(namespace or client.namespace, pod, "log")
    opened = client.stream(path, query=query, idle_timeout=60, what=f"read the log of pod {pod}")
    async with opened as chunks:
        return [_line(raw) async for raw in lines(chunks)]


async def follow(
    client: KubeClient,
    pod: str,
    *,
    container: str | None = None,
    namespace: str | None = None,
    since: str | None = None,
) -> AsyncGenerator[LogLine]:
    """Give each line once, from before the container runs until it has ended or its pod is gone.

    An API that is away is waited for, without end. Close the generator (``contextlib.aclosing``)
    where its end is not awaited.

    Parameters
    ----------
    since
        Time of the last line already seen; lines up to and with it are not given.

    Raises
    ------
    ClusterError
        If the API refuses.

    """
    place = _Place(since)
    path = PODS.path(namespace or client.namespace, pod, "log")
    pause, unknown_for, ended = _PAUSE, 0.0, False
    while True:
        query = _query(container, follow=not ended) | place.query()
        opened = client.stream(
            path, query=query, idle_timeout=_SILENCE, what=f"read the log of pod {pod}"
        )
        try:
            async with opened as chunks, aclosing(lines(chunks)) as received:
                place.reconnected()
                async for raw in received:
                    line = place.take(_line(raw))
                    if line is not None:
                        pause, unknown_for = _PAUSE, 0.0
                        yield line
            if ended:
                return
            found = await _pod(client, pod, namespace)
            # a follow may have been ended from outside: read once more, now that all is written
            ended = _has_ended(found)
            if ended:
                continue
            place.expect_restart(_started_at(found, container))
        except NotFound:
            if ended or place.begun or unknown_for > _PATIENCE:
                return
            unknown_for += pause
        except InvalidManifest as error:  # 400: the container waits to start, or never will
            if any(words in error.why for words in _NO_SUCH_CONTAINER):
                raise
            if ended or _has_ended(await _pod(client, pod, namespace)):
                return
        except ClusterUnavailable:
            pass
        await asyncio.sleep(pause * random.uniform(1.0, 1.5))  # noqa: S311 - jitter
        pause = min(pause * 1.6, _LONGEST_PAUSE)


class _Place:
    """Where a follow stands, so that a reconnect neither loses nor repeats a line.

    The API cuts ``sinceTime`` to whole seconds: after a reconnect the lines of the newest second
    come again, and are told by their nanoseconds. Lines of one container can have been stamped in
    another order than they were written in (two streams, one file), so order alone tells nothing.
    """

    def __init__(self, since: str | None) -> None:
        self.begun = since is not None
        self._since = since or ""
        self._second = self._since[:19]
        self._seen: Counter[str] = Counter()  # times of the newest second's lines
        self._again: Counter[str] = Counter()  # those of them that must come again
        self._first = False  # whether the next line is the first of a reconnect

    def query(self) -> dict[str, str]:
        """Ask for everything from the newest second on."""
        return {"sinceTime": f"{self._second}Z"} if self._second else {}

    def reconnected(self) -> None:
        """Expect the lines of the newest second again."""
        self._again, self._first = self._seen.copy(), True

    def expect_restart(self, started_at: str) -> None:
        """Do not expect them of a container that was started after they were written."""
        if started_at[:19] > self._second:
            self._seen.clear()

    def take(self, line: LogLine) -> LogLine | None:
        """Return the line if it is new."""
        first, self._first = self._first, False
        if line.time <= self._since:  # also the node's own words, which bear no time
            return None
        if self._again[line.time] > 0:
            self._again[line.time] -= 1
            return None
        # a log that begins after what we saw last: what was between is rotated away
        gap = first and bool(self._again)
        second = line.time[:19]
        if second > self._second:
            self._second = second
            self._seen.clear()
        if second == self._second:
            self._seen[line.time] += 1
        self.begun = True
        return replace(line, gap=True) if gap else line


def _query(
    container: str | None,
    *,
    tail: int | None = None,
    previous: bool = False,
    follow: bool = False,
) -> dict[str, str]:
    query = {"timestamps": "true"}
    if container:
        query["container"] = container
    if tail is not None:
        query["tailLines"] = str(tail)
    if previous:
        query["previous"] = "true"
    if follow:
        query["follow"] = "true"
    return query


async def _pod(client: KubeClient, pod: str, namespace: str | None) -> dict[str, Any] | None:
    """Return the pod's status: None if it is gone, {} if that cannot be told now."""
    try:
        found = await get(client, PODS, pod, namespace=namespace)
    except NotFound:
        return None
    except ClusterError:
        return {}
    return found.get("status") or {}


def _has_ended(status: dict[str, Any] | None) -> bool:
    """Say whether the pod will write no more."""
    return status is None or status.get("phase") in {"Succeeded", "Failed"}


def _started_at(status: dict[str, Any] | None, container: str | None) -> str:
    """Return when the container that runs now was started, or ""."""
    for each in (status or {}).get("containerStatuses") or ():
        if container in {None, each["name"]}:
            running = (each.get("state") or {}).get("running") or {}
            return str(running.get("startedAt") or "")
    return ""


def _line(raw: bytes) -> LogLine:
    whole = raw.decode(errors="replace")
    stamp, _, text = whole.partition(" ")
    time = _utc(stamp)
    return LogLine(time, text if time else whole)


def _utc(time: str) -> str:
    """Write a time with nine digits and in UTC, as most nodes do already; "" if it is none."""
    if len(time) == 30 and time[-1] == "Z" and time[10] == "T":
        return time
    whole, _, rest = time.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :] or "Z"
    try:
        then = datetime.fromisoformat(whole.rstrip("Z") + zone.replace("Z", "+00:00"))
    except ValueError:
        return ""
    return f"{then.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{digits:0<9}Z"
