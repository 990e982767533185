"""A job's files, from a pod of its, or from its volume by a pod made for it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from .. import naming
from ..errors import AccessDenied, ClusterError, ClusterUnavailable, JobFailed, NotFound
from ..kube import objects
from ..kube.pods import pod_state
from ..kube.streams import PortForward, port_forward
from ..kube.watch import Reflector
from . import door, query
from .jobspec import files_pod
from .messages import Channel, NotOurs
from .saving import Piece
from .view import JobView, job_view

if TYPE_CHECKING:
    from ..kube.client import KubeClient
    from ..models import PodState

_START = 300.0  # seconds in which a pod for files has to run
_TRIES, _FEW = 40, 6  # at a pod's door, which opens a little after it runs


async def fetch(
    client: KubeClient, name: str, key: bytes, path: str, rank: int
) -> AsyncGenerator[Piece | str]:
    """Give the files that a job has written below ``kube.output_dir``.

    Texts come before them where a pod has to be started for that: what they wait for.

    Parameters
    ----------
    client, name, key
        Which job; the key is its own.
    path
        A file or folder there; empty: all.
    rank
        Whose, where each pod has its own.

    Raises
    ------
    NotFound
        If they went with their pods, or there is nothing at the path.
    ClusterError
        If a pod cannot be reached, or the connection breaks.

    """
    job, pods = await asyncio.gather(
        query.find_job(client, name),
        query.pods_of(client, name),
    )
    view = job_view(job, pods)
    pod = _running(view, rank)
    # It may be ending: a job's result is known a moment before.
    channel = await _reach(client, pod, key, _FEW) if pod else None
    async with AsyncExitStack() as stack:
        if channel is None and view.lasting:
            yield "Starting a pod that brings the files."
            pod = await stack.enter_async_context(_pod_for_files(client, job))
            async with aclosing(_beginning(client, pod)) as reasons:
                async for why in reasons:
                    yield f"It waits: {why}"
            channel = await _reach(client, pod, key, _TRIES)
        if channel is None:
            _refuse(view, rank)
        async with aclosing(_ask(channel, pod, path)) as pieces:
            async for piece in pieces:
                yield piece


def _refuse(view: JobView, rank: int) -> NoReturn:
    raise NotFound(
        f"the files of rank {rank} of {view.name} are not to be had",
        "they are in its pod, which does not run, and it mounts no storage that outlives it",
        "Choose a --profile with a volume, or return them by -o.",
    )


def _running(view: JobView, rank: int) -> str:
    """Choose a pod: the rank's own, or any where all share storage; empty if none runs."""
    running = {each.rank: each.state.name for each in view.ranks if each.state.phase == "running"}
    if rank in running or not view.lasting:
        return running.get(rank, "")
    return next(iter(running.values()), "")


@asynccontextmanager
async def _pod_for_files(client: KubeClient, job: Mapping[str, Any]) -> AsyncIterator[str]:
    """Make a pod that mounts what the job's did, for as long as it is needed."""
    body = files_pod(job, naming.new_id())
    name = body["metadata"]["name"]
    await objects.create(client, objects.PODS, body)
    try:
        yield name
    finally:
        with contextlib.suppress(NotFound):
            await objects.delete(client, objects.PODS, name)


async def _beginning(client: KubeClient, name: str) -> AsyncGenerator[str]:
    """Give why a pod does not run yet, each time that is another reason, until it runs."""
    pods = Reflector(client, objects.PODS, labels=naming.selector(component="files"))
    events = Reflector(client, objects.EVENTS, fields=f"involvedObject.name={name}")
    changed = asyncio.Event()
    begun, why = asyncio.get_running_loop().time(), ""
    try:
        for watch in (pods, events):
            watch.subscribe(lambda _kind, _item: changed.set())
            await watch.start()
        async with asyncio.timeout_at(begun + _START):
            await pods.synced()
        while True:
            changed.clear()
            if pod := pods.items.get(name):
                state = _hopeful(pod_state(pod, events.items.values(), now=client.now()))
                if state.phase == "running":
                    return
                before, why = why, state.message
                if state.reason and why != before:
                    yield why
            async with asyncio.timeout_at(begun + _START):
                await changed.wait()
    except TimeoutError:
        what = f"the pod {name}, which brings files, does not start"
        raise ClusterUnavailable(what, why, obj=f"pod/{name}") from None
    finally:
        await pods.close()
        await events.close()


def _hopeful(state: PodState) -> PodState:
    """Return the state of a pod that runs, or may run yet."""
    if state.terminal or state.phase in ("failed", "succeeded"):
        why = state.message or state.reason or f"it {state.phase}"
        raise JobFailed("the pod that brings files cannot start", why, obj=f"pod/{state.name}")
    return state


async def _ask(channel: Channel, pod: str, path: str) -> AsyncGenerator[Piece]:
    """Get pieces through a pod's door."""
    try:
        channel.send("fetch", path=path)
        while (said := await channel.receive()) is not None:
            if said["kind"] == "over":
                return
            if said["kind"] == "refused":
                raise NotFound(said["text"], next="See the cell for what it wrote, and where.")
            yield Piece(said["path"], base64.b64decode(said["data"]), said["first"], said["alone"])
    except (OSError, NotOurs):
        raise ClusterUnavailable(f"the connection to {pod} broke") from None
    finally:
        await channel.close()
    raise ClusterUnavailable(f"the connection to {pod} ended before all files had come")


async def _reach(client: KubeClient, pod: str, key: bytes, tries: int) -> Channel | None:
    """Connect to a pod's door; None if it is not open."""
    for attempt in range(tries):
        if attempt:
            await asyncio.sleep(random.uniform(0.1, 0.4))  # noqa: S311 - not a secret
        lines: _Lines | None = None
        try:
            lines = _Lines(await port_forward(client, pod, door.PORT))
            return await Channel.open(lines, lines, key, "M")
        except AccessDenied:
            raise
        except (ClusterError, OSError, NotOurs):
            if lines is not None:
                lines.close()
    return None


class _Lines:
    """A port-forward as reader and writer of lines."""

    def __init__(self, forward: PortForward) -> None:
        self._forward, self._rest, self._closed = forward, b"", False
        self.write, self.drain = forward.write, forward.drain

    async def readline(self) -> bytes:
        """Return a line; what was written goes out before."""
        await self._forward.drain()
        while b"\n" not in self._rest:
            data = await self._forward.read()
            if not data:
                line, self._rest = self._rest, b""
                return line
            self._rest += data
        line, end, self._rest = self._rest.partition(b"\n")
        return line + end

    def is_closing(self) -> bool:
        """Tell whether this end has closed it."""
        return self._closed

    def close(self) -> None:
        """End the connection."""
        self._closed = True
        self._forward.close()

    async def wait_closed(self) -> None:
        """Nothing is to be waited for."""
