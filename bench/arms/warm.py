"""Kernels of jupyter-kube out of the warm pool: how long one takes that is there already."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from bench import measure
from bench.arms.arm import Arm
from bench.arms.ours import settings
from bench.place import Place
from jupyter_kube.session import JupyterServer, running_server

_PATIENCE = 60.0
_REST = 1.0  # seconds a kernel has waited at least: nobody asks for one just as it gets ready


class Warm:
    """Starts kernels, each when the pool is full again.

    The server's own events tell when that is, as they tell any front end.
    """

    name = "warm"

    def __init__(self, arm: Arm, events: WebSocketClientConnection) -> None:
        self._arm, self._events = arm, events

    async def life(self) -> measure.Taken:
        """Measure a start: what comes after it is as for any kernel of ours."""
        return await self.start()

    async def start(self) -> measure.Taken:
        """Measure one start with a warm kernel waiting."""
        waiting = await self._refilled()
        await asyncio.sleep(_REST)
        kernel, taken = await measure.begin(self._arm)
        await kernel.end()
        if kernel.id != waiting:
            raise measure.Failed(f"kernel {waiting} was warm, and {kernel.id} was given")
        return taken

    async def at_once(self, number: int) -> float:
        """Measure some kernels that start at the same time, one of them warm."""
        return await measure.at_once(self._arm, number)

    async def _refilled(self) -> str:
        """Wait until the pool is full again; returns the id of the kernel in it."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                raw = await self._events.read_message()
                if raw is None:
                    raise measure.Failed("the server's events have ended")
                event = json.loads(raw)
                if event.get("phase") == "ready":
                    return str(event["kernel_id"])


@asynccontextmanager
async def warm(place: Place, folder: Path) -> AsyncIterator[Warm]:
    """Run a server that keeps one kernel warm, and listen to its events."""
    async with running_server(folder, _settings(place)) as server:
        events = await _events(server)
        try:
            yield Warm(Arm(Warm.name, server, {"name": "kube-python"}), events)
        finally:
            events.close()


def _settings(place: Place) -> dict[str, Any]:
    made = settings(place, Warm.name)
    made["KubeConfig"]["profiles"]["python"]["warm"] = 1
    del made["KubeProvisioner"]  # reached as kernels are by default
    return made


async def _events(server: JupyterServer) -> WebSocketClientConnection:
    address = f"ws{server.url.removeprefix('http')}/api/events/subscribe"
    return await websocket_connect(
        HTTPRequest(address, headers={"Authorization": f"token {server.token}"})
    )
