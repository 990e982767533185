"""One kernel's life, as a front end sees it: what each step of it takes, in ms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from bench.arms.arm import Arm
from bench.process import Process, kernel_process
from jupyter_kube.messages import Message
from jupyter_kube.session import KernelSocket, Reply, ServerError

CELLS = 40
LINE, LINES = 10_000, 5_000
"""50 MB, as prints of 10 kB."""
_PATIENCE = 60.0
_AGAIN = 0.5  # seconds after which a cell is sent again, to a kernel that has just died

Taken = dict[str, float | Sequence[float]]


class Failed(Exception):
    """A step that gave no result at all."""


class Kernel:
    """A running kernel and a front end's websocket to it."""

    def __init__(self, arm: Arm, kernel_id: str, socket: KernelSocket) -> None:
        self.arm, self.id, self.socket = arm, kernel_id, socket

    @property
    def path(self) -> str:
        """Its place in the server's REST API."""
        return f"api/kernels/{self.id}"

    async def run(self, code: str, seconds: float = _PATIENCE) -> Reply:
        """Run one cell that should succeed."""
        reply = await self.socket.run(code, seconds)
        if reply.status != "ok":
            raise Failed(f"{self.arm.name}: a cell ended {reply.status}: {reply.content}")
        return reply

    async def reconnect(self) -> None:
        """Open a new websocket, as a page that is loaded again does."""
        self.socket.close()
        self.socket = await self.arm.server.connect(self.id)

    async def end(self) -> None:
        """End the kernel."""
        self.socket.close()
        await self.arm.server.request("DELETE", self.path)


async def begin(arm: Arm) -> tuple[Kernel, Taken]:
    """Start a kernel and wait for its first result."""
    begun = time.perf_counter()
    model = await arm.server.request("POST", "api/kernels", dict(arm.body), timeout=120)
    answered = _ms_since(begun)
    kernel = Kernel(arm, model["id"], await arm.server.connect(model["id"]))
    await kernel.run("1+1", 120)
    return kernel, {"create call": answered, "start": _ms_since(begun)}


async def life(arm: Arm) -> Taken:
    """Start a kernel, measure all of its life, and end it."""
    kernel, taken = await begin(arm)
    try:
        process = await kernel_process(kernel)
        taken["round trip"] = await round_trips(kernel.run)
        taken["interrupt"] = await _interrupt(kernel)
        taken["output"], taken["lost"] = await _output(kernel)
        taken["restart"] = await _restart(kernel)
        if arm.name != "local-nodelay":  # a stock kernel's crash is measured once
            taken["crash"] = await _crash(kernel)
        process = await kernel_process(kernel)
    except BaseException:
        await kernel.end()
        raise
    taken |= await _end(kernel, process)
    return taken


async def round_trips(run: Callable[[str], Awaitable[object]]) -> list[float]:
    """Run cells back to back; returns the time of each."""
    times = []
    for _ in range(CELLS):
        begun = time.perf_counter()
        await run("1")
        times.append(_ms_since(begun))
    return times


async def at_once(arm: Arm, number: int) -> float:
    """Start some kernels at the same time; returns when all have given a result."""
    begun = time.perf_counter()
    begins = (begin(arm) for _ in range(number))
    results = await asyncio.gather(*begins, return_exceptions=True)
    taken = _ms_since(begun)
    await asyncio.gather(*(r[0].end() for r in results if not isinstance(r, BaseException)))
    if failed := [str(r) for r in results if isinstance(r, BaseException)]:
        raise Failed(f"{len(failed)} of {number} kernels did not start: {failed[0]}")
    return taken


async def _interrupt(kernel: Kernel) -> float:
    """Interrupt a cell that sleeps; returns when its reply and its idle status are in."""
    cell = kernel.socket.send_code("import time\ntime.sleep(60)")
    async with asyncio.timeout(_PATIENCE):
        while not _is_busy(await kernel.socket.receive(), cell):
            pass
    begun = time.perf_counter()
    await kernel.arm.server.request("POST", f"{kernel.path}/interrupt")
    await kernel.socket.collect(cell, _PATIENCE)
    return _ms_since(begun)


def _is_busy(message: Message, cell: str) -> bool:
    busy = message["content"].get("execution_state") == "busy"
    return bool(busy and message["parent_header"].get("msg_id") == cell)


async def _output(kernel: Kernel) -> tuple[float, float]:
    """Print 50 MB; returns the time, and how many MB did not arrive."""
    arrived = 0

    def count(message: Message) -> None:
        nonlocal arrived
        if message["header"]["msg_type"] == "stream":
            arrived += len(message["content"]["text"])

    kernel.socket.on_message = count
    begun = time.perf_counter()
    try:
        await kernel.run(f"for _ in range({LINES}): print('x' * {LINE - 1})", _PATIENCE)
    except TimeoutError:  # what said that the cell has ended was lost, too
        await kernel.reconnect()
    taken = _ms_since(begun)
    kernel.socket.on_message = lambda _message: None
    return taken, (LINE * LINES - arrived) / 1e6


async def _restart(kernel: Kernel) -> float:
    """Restart; returns when a new process has given a result."""
    await kernel.run("here = 1")
    begun = time.perf_counter()
    await kernel.arm.server.request("POST", f"{kernel.path}/restart", timeout=120)
    if not kernel.arm.keeps_socket:
        await kernel.reconnect()
    await _next_result(kernel)
    return _ms_since(begun)


async def _crash(kernel: Kernel) -> float:
    """Kill the process with a cell; returns when the next one has given a result."""
    await kernel.run("here = 1")
    begun = time.perf_counter()
    kernel.socket.send_code("import os\nos.kill(os.getpid(), 9)")
    await _next_result(kernel)
    return _ms_since(begun)


async def _next_result(kernel: Kernel) -> None:
    """Ask until a process answers that does not know a name of the former one's.

    Again and again, since a stock server can lose a cell sent right after a restart.
    """
    async with asyncio.timeout(_PATIENCE):
        while True:
            try:
                reply = await kernel.socket.run("here", _AGAIN)
                if reply.content.get("ename") == "NameError":
                    return
            except (TimeoutError, ConnectionError):
                pass
            if not kernel.arm.keeps_socket:
                await _reconnect_soon(kernel)


async def _reconnect_soon(kernel: Kernel) -> None:
    try:
        async with asyncio.timeout(_PATIENCE):
            await kernel.reconnect()
    except (OSError, ServerError):
        await asyncio.sleep(0.05)


async def _end(kernel: Kernel, process: Process | None) -> Taken:
    """End the kernel; returns when the server has answered and when the process was gone."""
    begun = time.perf_counter()

    async def gone(process: Process) -> float:
        await process.gone()
        return _ms_since(begun)

    watching = asyncio.create_task(gone(process)) if process else None
    await kernel.end()
    taken: Taken = {"delete call": _ms_since(begun)}
    if watching:
        taken["gone"] = await asyncio.wait_for(watching, _PATIENCE)
    return taken


def _ms_since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000
