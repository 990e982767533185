"""Kernels beside the server: of a stock server, and of one with our websocket (TCP_NODELAY)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.arms.arm import UNLIMITED, Arm
from jupyter_kube.session import running_server


@asynccontextmanager
async def local(name: str, folder: Path) -> AsyncIterator[Arm]:
    """Run a server whose kernels are local: `name` is ``local`` or ``local-nodelay``."""
    ours = name == "local-nodelay"
    settings = {
        "ServerApp": {"jpserver_extensions": {"jupyter_kube": ours}},
        "ZMQChannelsWebsocketConnection": UNLIMITED,
    }
    async with running_server(folder, settings) as server:
        yield Arm(name, server, {"name": "python3"}, in_cluster=False)
