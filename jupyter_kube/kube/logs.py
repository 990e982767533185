"""Pods' logs: read what is there, or follow from before the start to the end without loss."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..errors import ClusterError, ClusterUnavailable, InvalidManifest, NotFound
from .client import KubeClient
from .objects import PODS, get

_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_PATIENCE = 10.0
"""Seconds for which a pod that the API does not know (yet) is waited for."""
_SILENCE = 600.0
"""Seconds of silence after which a follow is opened anew: the connection may be half open."""


@dataclass(frozen=True)
class LogLine:
    """One line of a pod's log.

    ``time`` is RFC 3339 with nanoseconds, as the node wrote it. ``gap`` says that lines before
    this one may be missing: the node had rotated them away while nobody was reading.
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
    """Return the lines that the node still has, the last ``tail`` of them if given."""
    query = {"timestamps": "true"}
    if container:
        query["container"] = container
    if tail is not None:
        query["tailLines"] = str(tail)
    if previous:
        query["previous"] = "true"
    path = PODS.path(namespace or client.namespace, pod, "log")
    async with client.stream(path, query=query, idle_timeout=60) as chunks:
        return [_line(raw) async for raw in _lines(chunks)]


async def follow(
    client: KubeClient,
    pod: str,
    *,
    container: str | None = None,
    namespace: str | None = None,
    since: str | None = None,
) -> AsyncIterator[LogLine]:
    """Give each line once, from before the container runs until it has ended.

    The API cuts ``sinceTime`` to whole seconds, so after a reconnect lines come again; they are
    told by their nanosecond timestamps and dropped.

    Parameters
    ----------
    since
        Timestamp of the last line already seen; lines up to and with it are not given.

    """
    place = _Place(since)
    path = PODS.path(namespace or client.namespace, pod, "log")
    pause, unknown_for, ended = _PAUSE, 0.0, False
    while True:
        query = {"timestamps": "true", **place.query()}
        if not ended:
            query["follow"] = "true"
        if container:
            query["container"] = container
        try:
            async with client.stream(path, query=query, idle_timeout=_SILENCE) as chunks:
                place.reconnected()
                async for raw in _lines(chunks):
                    pause, unknown_for = _PAUSE, 0.0
                    line = place.take(_line(raw))
                    if line is not None:
                        yield line
            if ended:
                return
            # a follow may have been ended from outside: read once more, now that all is written
            ended = await _has_ended(client, pod, namespace)
            if ended:
                continue
        except NotFound:
            if place.seen or unknown_for > _PATIENCE:
                return
            unknown_for += pause
        except InvalidManifest:  # 400: the container is waiting to start, or never will
            if await _has_ended(client, pod, namespace):
                return
        except ClusterUnavailable:
            pass
        await asyncio.sleep(pause * random.uniform(1.0, 1.5))  # noqa: S311 - jitter
        pause = min(pause * 1.6, _LONGEST_PAUSE)


class _Place:
    """Where a follow stands: the last timestamp, and how many lines bore it."""

    def __init__(self, since: str | None) -> None:
        self.seen = since is not None
        self._time, self._count = since or "", 0 if since is None else 10**9
        self._skip = 0
        self._check = False

    def query(self) -> dict[str, str]:
        """Ask for everything from the last timestamp's second on."""
        return {"sinceTime": self._time[:19] + "Z"} if self._time else {}

    def reconnected(self) -> None:
        """Expect the lines of the last second again."""
        self._skip = self._count
        self._check = bool(self._time)

    def take(self, line: LogLine) -> LogLine | None:
        """Return the line if it is new."""
        if line.time < self._time:
            self._check = False
            return None
        if line.time == self._time and self._skip:
            self._skip -= 1
            self._check = False
            return None
        # the log begins after what we saw last: what was between may have been rotated away
        gap, self._check = self._check and not self._overlaps(line), False
        if line.time == self._time:
            self._count += 1
        else:
            self._time, self._count = line.time, 1
        self.seen, self._skip = True, 0
        return LogLine(line.time, line.text, gap=gap) if gap else line

    def _overlaps(self, line: LogLine) -> bool:
        """Say whether nothing can be missing though our last line did not come again."""
        return self._count >= 10**9 or line.time == self._time


async def _has_ended(client: KubeClient, pod: str, namespace: str | None) -> bool:
    """Say whether the pod will write no more."""
    try:
        found = await get(client, PODS, pod, namespace=namespace)
    except NotFound:
        return True
    except ClusterError:
        return False
    return (found.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Cut a log's bytes into lines; the last one may lack its newline."""
    parts: list[bytes] = []
    async for chunk in chunks:
        if b"\n" not in chunk:
            parts.append(chunk)
            continue
        first, *lines = chunk.split(b"\n")
        parts.append(first)
        yield b"".join(parts)
        for line in lines[:-1]:
            yield line
        parts = [lines[-1]]
    if rest := b"".join(parts):
        yield rest


def _line(raw: bytes) -> LogLine:
    time, _, text = raw.decode(errors="replace").partition(" ")
    return LogLine(time, text)
