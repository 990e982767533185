"""Pods' logs: read what is there, or follow from before the start to the end without loss."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ..errors import ClusterError, ClusterUnavailable, InvalidManifest, NotFound
from .answers import NOT_DONE
from .client import KubeClient
from .logblocks import Block, LogLine, Place, cut, in_utc
from .objects import PODS, get

_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_TOLD_PAUSE = 0.4
"""The first pause where the pod's changes are told: they say when there is a log."""
_LOOK = 1.0
"""Pauses from which on it is looked whether the pod has ended without a log."""
_PATIENCE = 10.0
"""Seconds for which a pod that the API does not know (yet) is waited for."""
_NODE_PATIENCE = 60.0
"""Seconds for which the node of a pod that has ended is waited for: it may have died with it, or
its kubelet is just replaced."""
_SILENCE = 600.0
"""Seconds of silence after which a follow is opened anew: the connection may be half open."""
_NO_SUCH_CONTAINER = ("is not valid for pod", "container name must be specified")
"""The API's words, of the many it has for 400, that waiting does not help."""


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
    opened = read_blocks(
        client, pod, container=container, namespace=namespace, tail=tail, previous=previous
    )
    async with aclosing(opened) as received:
        return [line async for block in received for line in block.lines()]


async def read_blocks(
    client: KubeClient,
    pod: str,
    *,
    container: str | None = None,
    namespace: str | None = None,
    tail: int | None = None,
    previous: bool = False,
) -> AsyncGenerator[Block]:
    """Give what :func:`read` returns, as it comes; the same is raised."""
    query = _query(container, tail=tail, previous=previous)
    path = PODS.path(namespace or client.namespace, pod, "log")
    opened = client.stream(path, query=query, idle_timeout=60, what=f"read the log of pod {pod}")
    async with opened as chunks, aclosing(cut(chunks)) as received:
        async for data in received:
            yield Block(in_utc(data))


async def follow(
    client: KubeClient,
    pod: str,
    *,
    container: str | None = None,
    namespace: str | None = None,
    since: str | None = None,
) -> AsyncGenerator[LogLine]:
    """Give each line once, from before the container runs until it has ended or its pod is gone.

    Parameters and errors are those of :func:`follow_blocks`.
    """
    opened = follow_blocks(client, pod, container=container, namespace=namespace, since=since)
    async with aclosing(opened) as received:
        async for block in received:
            for line in block.lines():
                yield line


async def follow_blocks(
    client: KubeClient,
    pod: str,
    *,
    container: str | None = None,
    namespace: str | None = None,
    since: str | None = None,
    changed: asyncio.Event | None = None,
) -> AsyncGenerator[Block]:
    """Give each line once, many at a time, from before the container runs to its or its pod's end.

    An API that is away is waited for, without end, and so is the node of a pod that runs. Close the
    generator (``contextlib.aclosing``) where its end is not awaited.

    Parameters
    ----------
    since
        Time of the last line already seen; lines up to and with it are not given.
    changed
        Set by whoever sees that the pod has changed: then a wait for its start is over at once.

    Raises
    ------
    ClusterError
        If the API refuses; :class:`ClusterUnavailable` if the node of a pod that has ended does
        not give its log.

    """
    place = Place(since)
    path = PODS.path(namespace or client.namespace, pod, "log")
    pause, unknown_for, ended = _PAUSE if changed is None else _TOLD_PAUSE, 0.0, False
    refused_at: float | None = None
    watched, changed = changed is not None, changed or asyncio.Event()
    while True:
        changed.clear()
        query = _query(container, follow=not ended) | place.query()
        opened = client.stream(
            path, query=query, idle_timeout=_SILENCE, what=f"read the log of pod {pod}"
        )
        try:
            async with opened as chunks, aclosing(cut(chunks)) as received:
                place.reconnected()
                refused_at = None
                async for data in received:
                    block = place.take(data)
                    if block is not None:
                        pause, unknown_for = _PAUSE, 0.0
                        yield block
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
            # whoever watches the pod has seen it: only its node may not know it yet
            if watched and await _pod(client, pod, namespace) is None:
                return
            unknown_for += pause
        except InvalidManifest as error:  # 400: the container waits to start, or never will
            if any(words in error.why for words in _NO_SUCH_CONTAINER):
                raise
            if ended or (pause >= _LOOK and _has_ended(await _pod(client, pod, namespace))):
                return
        except ClusterUnavailable as error:
            now, away = asyncio.get_running_loop().time(), error.reason in NOT_DONE
            if away or pause < _LOOK or not _has_ended(await _pod(client, pod, namespace)):
                refused_at = None
            elif now - (refused_at := refused_at or now) >= _NODE_PATIENCE:
                raise
        pause = await _wait(changed, pause)


async def _wait(changed: asyncio.Event, pause: float) -> float:
    """Wait before the next attempt, or until the pod has changed; returns the next pause."""
    resting = asyncio.ensure_future(asyncio.sleep(pause * random.uniform(1.0, 1.5)))  # noqa: S311 - jitter
    hearing = asyncio.ensure_future(changed.wait())
    try:
        await asyncio.wait({resting, hearing}, return_when=asyncio.FIRST_COMPLETED)
        return pause if changed.is_set() else min(pause * 1.6, _LONGEST_PAUSE)
    finally:
        resting.cancel()
        hearing.cancel()
        await asyncio.gather(resting, hearing, return_exceptions=True)


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
