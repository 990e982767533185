"""What a Jupyter Server does about jobs for the kernels in pods that it started.

A kernel has no credentials: it sends one JSON object, ``op`` and what that takes, and gets lines
of JSON. The server checks all of it, takes profiles and namespace from its own settings, and lets
a user's kernel reach that user's jobs only. It opens no values: those are for workers and kernel.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import zipfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol

from .._version import __version__
from ..errors import InvalidInput, KubeError
from ..kube import objects
from . import options, plan, wire
from .cell import Bundle
from .origin import origin_of
from .outlet import LINES, Reported, pass_on
from .owndesk import OwnDesk
from .serversdesk import ERRAND

if TYPE_CHECKING:
    from ..config import KubeConfig
    from ..kube.client import KubeClient
    from .desk import Ticket
    from .feed import Batch

_PIECE = 250_000  # characters said at a time
MOST_FOLLOWED = 24
"""Jobs that one kernel follows at a time; others of its errands need room, too."""
_PARTS = ("", "kube", "train", "train/backends", "widgets")
"""Folders of this package that a kernel needs."""


class Errand(Protocol):
    """What a kernel asked for."""

    @property
    def data(self) -> bytes:
        """What it sent along."""

    async def say(self, text: str) -> bool:
        """Answer something; returns whether anybody still waits."""


class _NobodyWaits(Exception):
    """The kernel does not want it any more."""


def handlers(
    client: KubeClient, settings: KubeConfig, pod: str
) -> Mapping[str, Callable[[Errand], Awaitable[str]]]:
    """Return what does the errands of the kernel in a pod, by name.

    Parameters
    ----------
    client, settings
        The server's own.
    pod
        The name of the kernel's pod, on which workers are modelled.

    """
    return {ERRAND: Counter(client, settings, pod).serve, "package": send_package}


async def send_package(errand: Errand) -> str:
    """Give a kernel the modules that ``%%kubetrain`` needs, as a zip file."""
    packed = base64.b64encode(await asyncio.to_thread(package)).decode()
    with contextlib.suppress(_NobodyWaits):
        await _tell(errand, {"zip": packed})
    return ""


@cache
def package() -> bytes:
    """Pack this package's part for kernels, and cloudpickle, into a zip file."""
    file = io.BytesIO()
    ours = resources.files(__package__.partition(".")[0])
    theirs = resources.files("cloudpickle")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, folder in (
            *((f"jupyter_kube/{part}", ours.joinpath(part)) for part in _PARTS),
            ("cloudpickle", theirs),
        ):
            for each in folder.iterdir():
                if each.name.endswith(".py"):
                    archive.writestr(f"{name}/{each.name}".replace("//", "/"), each.read_bytes())
    return file.getvalue()


class Counter:
    """Serves one kernel.

    Parameters
    ----------
    client, settings, pod
        As for :func:`handlers`.

    """

    def __init__(self, client: KubeClient, settings: KubeConfig, pod: str) -> None:
        self._client, self._settings, self._pod = client, settings, pod
        self._followed = 0
        self._ops = {
            "submit": self._submit,
            "preview": self._preview,
            "export": self._export,
            "fit": self._fit,
            "rerun": self._rerun,
            "find": self._find,
            "snapshot": self._snapshot,
            "jobs": self._jobs,
            "logs": self._logs,
            "reports": self._reports,
            "fetch": self._fetch,
            "scale": self._scale,
            "delete": self._delete,
            "follow": self._follow,
        }

    async def serve(self, errand: Errand) -> str:
        """Do one errand."""
        try:
            try:
                await self._do(errand)
            except KubeError as error:
                await _tell(errand, {"error": wire.encode(error)})
        except _NobodyWaits:
            pass
        return ""

    async def _do(self, errand: Errand) -> None:
        asked = _read(errand.data)
        op = self._ops.get(str(asked.get("op")))
        if op is None:
            raise InvalidInput(f"there is no {str(asked.get('op'))[:40]!r}")
        pod = await objects.get(self._client, objects.PODS, self._pod)
        desk = OwnDesk(self._client, self._settings, origin_of(pod))
        await op(errand, desk, asked)

    async def _submit(self, errand: Errand, desk: OwnDesk, asked: dict[str, Any]) -> None:
        await self._created(errand, desk, await desk.submit(*_job(asked)))

    async def _rerun(self, errand: Errand, desk: OwnDesk, asked: dict[str, Any]) -> None:
        name = await self._own(desk, asked)
        if profile := (await desk.snapshot(name)).profile:
            self._settings.profile(profile)  # one that is offered no more is refused
        await self._created(errand, desk, await desk.rerun(name))

    async def _created(self, errand: Errand, desk: OwnDesk, ticket: Ticket) -> None:
        try:
            await _tell(errand, {"view": wire.encode(ticket.view), "key": ticket.key.hex()})
        except (_NobodyWaits, KubeError, asyncio.CancelledError):  # nobody knows of it
            await desk.delete(ticket.view.name)
            raise

    async def _preview(self, errand: Errand, desk: OwnDesk, asked: dict[str, Any]) -> None:
        await _tell(errand, {"text": await desk.preview(*_job(asked))})

    async def _export(self, errand: Errand, desk: OwnDesk, asked: dict[str, Any]) -> None:
        await _tell(errand, {"text": await desk.export(*_job(asked))})

    async def _fit(self, errand: Errand, desk: OwnDesk, asked: dict[str, Any]) -> None:
        fit = await desk.fit(wire.decode(plan.Wish, asked.get("wish")))
        await _tell(errand, {"fit": wire.encode(fit)})

    async def _find(self, errand: Errand, desk: OwnDesk, asked: dict[str, Any]) -> None:
        ticket = await desk.find(await self._own(desk, asked))
        await _tell(errand, {"view": wire.encode(ticket.view), "key": ticket.key.hex()})

    async def _snapshot(self, errand: Errand, desk: OwnDesk, asked: dict[str, Any]) -> None:
        view = await desk.snapshot(await self._own(desk, asked))
        await _tell(errand, {"view": wire.encode(view)})

    async def _jobs(self, errand: Errand, desk: OwnDesk, _asked: dict[str, Any]) -> None:
        await _tell(errand, {"views": wire.encode(await desk.jobs())})

    async def _logs(self, errand: Errand, desk: OwnDesk, asked: dict[str, Any]) -> None:
        rank, tail = (
            None if asked.get(what) is None else options.count(asked[what], what)
            for what in ("rank", "tail")
        )
        name = await self._own(desk, asked)
        key = (await desk.find(name)).key
        async with aclosing(desk.logs(name, key, rank, tail)) as pieces:
            async for lines in pieces:
                for at in range(0, len(lines), LINES):
                    await _tell(errand, {"lines": wire.encode(lines[at : at + LINES])})
        await _tell(errand, {"over": True})

    async def _reports(self, errand: Errand, desk: OwnDesk, asked: dict[str, Any]) -> None:
        name = await self._own(desk, asked)
        key = (await desk.find(name)).key
        async with aclosing(desk.read_reports(name, key)) as pieces:
            async for found in pieces:
                await _tell(errand, {"reports": [found]})
        await _tell(errand, {"over": True})

    async def _fetch(self, errand: Errand, desk: OwnDesk, asked: dict[str, Any]) -> None:
        rank = options.count(asked.get("rank", ""), "rank")
        name = await self._own(desk, asked)
        key = (await desk.find(name)).key
        async with aclosing(desk.fetch(name, key, str(asked.get("path", "")), rank)) as pieces:
            async for piece in pieces:
                what = "waits" if isinstance(piece, str) else "piece"
                await _tell(errand, {what: wire.encode(piece)})
        await _tell(errand, {"over": True})

    async def _scale(self, errand: Errand, desk: OwnDesk, asked: dict[str, Any]) -> None:
        workers = options.count(asked.get("workers", ""), "workers", options.MOST_WORKERS)
        view = await desk.scale(await self._own(desk, asked), workers)
        await _tell(errand, {"view": wire.encode(view)})

    async def _delete(self, errand: Errand, desk: OwnDesk, asked: dict[str, Any]) -> None:
        deleted = await desk.delete(await self._own(desk, asked))
        await _tell(errand, {"deleted": deleted})

    async def _follow(self, errand: Errand, desk: OwnDesk, asked: dict[str, Any]) -> None:
        if self._followed >= MOST_FOLLOWED:
            raise InvalidInput(
                f"this kernel follows {MOST_FOLLOWED} jobs already",
                next="Interrupt a cell that follows one, or detach() one: it goes on all the same.",
            )
        self._followed += 1
        try:
            ticket = await desk.find(await self._own(desk, asked))
            await self._pass_on(errand, desk, ticket)
        finally:
            self._followed -= 1

    async def _pass_on(self, errand: Errand, desk: OwnDesk, ticket: Ticket) -> None:
        """Follow a job for a kernel, to the end."""

        async def tell(batch: Batch | None, reports: Reported) -> None:
            if batch is None:
                await _say(errand, "\n")
                return
            about = {"view": batch.view, "lines": batch.lines, "dropped": batch.dropped}
            await _tell(errand, {**wire.encode(about), "reports": reports})

        outcome = await pass_on(desk, ticket, tell)
        await _tell(errand, {"outcome": wire.encode(outcome)})

    async def _own(self, desk: OwnDesk, asked: dict[str, Any]) -> str:
        """Return the name of a job, if it is this kernel's user's."""
        name = asked.get("name")
        if not isinstance(name, str):
            raise InvalidInput("a job's name is a text")
        return await desk.own(name)


def _read(data: bytes) -> dict[str, Any]:
    """Read a request."""
    try:
        asked = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("this is no request", str(error)) from None
    if not isinstance(asked, dict):
        raise InvalidInput("this is no request")
    version = str(asked.get("version"))[:40]
    if version != __version__:
        raise InvalidInput(
            f"this kernel has jupyter-kube {version}, its Jupyter Server {__version__}",
            next="Restart the kernel, or have the same version in its image, or none: the server"
            " then brings its own.",
        )
    return asked


def _job(asked: dict[str, Any]) -> tuple[plan.Wish, Bundle]:
    """Read and check what is to be run."""
    wish = plan.check(wire.decode(plan.Wish, asked.get("wish")))
    bundle = wire.decode(Bundle, asked.get("bundle"))
    options.framework(bundle.framework)
    return wish, bundle


async def _tell(errand: Errand, message: dict[str, Any]) -> None:
    text = json.dumps(message) + "\n"
    for at in range(0, len(text), _PIECE):
        await _say(errand, text[at : at + _PIECE])


async def _say(errand: Errand, text: str) -> None:
    if not await errand.say(text):
        raise _NobodyWaits
