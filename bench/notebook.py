"""A notebook's kernel on this machine, and the cells that a front end has it run."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from bench.measure import Failed
from bench.process import cpu_of, peak_of
from tests.cluster.layout import REPOSITORY

Hear = Callable[[dict[str, Any]], None]
"""Takes a message that a cell's output came in."""


class Notebook:
    """A kernel with one notebook open."""

    def __init__(self, manager: AsyncKernelManager, client: AsyncKernelClient, pid: int) -> None:
        self._manager, self._client, self._pid = manager, client, pid

    async def run(self, code: str, hear: Hear | None = None, seconds: float = 600) -> str:
        """Run a cell to its end, which is to be a good one; returns what it printed."""
        printed: list[str] = []

        def take(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])
            if hear is not None:
                hear(message)

        reply = await self._client.execute_interactive(
            code, allow_stdin=False, timeout=seconds, output_hook=take
        )
        if reply["content"]["status"] != "ok":
            raise Failed(f"a cell ended badly: {reply['content']}")
        return "".join(printed)

    async def interrupt(self) -> None:
        """Interrupt the cell that runs."""
        await self._manager.interrupt_kernel()

    def cpu(self) -> float:
        """Return how many seconds of CPU the kernel has used so far."""
        return cpu_of(self._pid)

    def memory(self) -> float:
        """Return how many MB the kernel had at most."""
        return peak_of(self._pid)


@asynccontextmanager
async def notebook(**env: str) -> AsyncIterator[Notebook]:
    """Start a kernel with the project loaded; end it when the block is left."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    manager = AsyncKernelManager()
    await manager.start_kernel(env={**os.environ, "PYTHONPATH": path, **env}, cwd=Path.cwd())
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        made = Notebook(manager, client, manager.provisioner.pid)
        await made.run("%load_ext jupyter_kube")
        yield made
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
