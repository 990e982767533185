"""The process that runs the cell, as its supervisor sees it: started, heard, ended.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from .host import memory_file
from .strategy import without_greetings
from .tail import Tail

_CGROUP = Path("/sys/fs/cgroup")
_DRAIN = 1.0  # seconds to read what a dead process has left in its pipes
_PIPE = 64 * 1024  # bytes that a pipe holds
_LEAVE = 10.0  # seconds a process that is done gets to leave by itself
_STOPPED = 10  # seconds a stopped process may stand still before it counts as dead


@dataclass(frozen=True)
class Outcome:
    """How a cell ended in one process."""

    kind: str
    """done, exception or died."""
    text: str = ""
    """Of an exception: its type and message. Of a death: what happened, in words."""
    killed: bool = False
    """Whether SIGKILL ended it: somebody from outside, or for want of memory."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Of an exception: type, message, traceback. Of a death: what it wrote ``last``. Of a result:
    missing and sizes."""
    blob: bytes = b""
    """The outputs' values."""


class CellProcess:
    """One process for one generation.

    It is made ready while its place among the ranks is not known yet: an interpreter takes a while
    to come up.

    Parameters
    ----------
    boot
        Python source to start it with.
    cell
        What it reads first: everything about the cell.
    env
        Its environment. It runs in the container's folder, or at home where that is read-only.
    on_output
        Called with each piece of its output.
    on_report
        Called with ``step`` and ``metrics`` of each report.
    on_display
        Called with each packed bundle to be shown.

    """

    def __init__(
        self,
        boot: str,
        cell: bytes,
        env: Mapping[str, str],
        *,
        on_output: Callable[[bytes], None],
        on_report: Callable[[Any, Mapping[str, Any]], None],
        on_display: Callable[[bytes], None],
    ) -> None:
        self._boot, self._cell, self._env = boot, cell, env
        self._on_output, self._on_report = on_output, on_report
        self._tail = Tail()
        self._on_display = on_display
        self._process: asyncio.subprocess.Process
        self._pump: _Pump
        self._pipe: asyncio.ReadTransport
        self._held: BinaryIO
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._oom_kills = 0
        self.asks = False
        """Whether its cell wants to know when those who train are done."""

    async def make_ready(self) -> None:
        """Start it; it waits for its place."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        out, into = os.pipe()
        told = _memory_file(self._cell)
        self._held = os.fdopen(memory_file("held"), "rb")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-uc",
            self._boot,
            str(told),
            str(theirs.fileno()),
            str(self._held.fileno()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=into,
            stderr=into,
            pass_fds=(told, theirs.fileno(), self._held.fileno()),
            env=dict(self._env),
            cwd=None if os.access(".", os.W_OK) else self._env.get("HOME"),
            start_new_session=True,
        )
        os.close(told)
        theirs.close()
        os.close(into)
        self._pump = _Pump(self._take)
        self._pipe, _ = await loop.connect_read_pipe(lambda: self._pump, os.fdopen(out, "rb"))
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=2**20)

    def _take(self, data: bytes) -> None:
        self._tail.feed(data)
        self._on_output(data)

    def go(self, about: Mapping[str, Any]) -> None:
        """Tell it its place: it runs the cell."""
        self._oom_kills = oom_kills()
        self._writer.write(json.dumps(about).encode() + b"\n")

    async def outcome(self) -> Outcome:
        """Wait until the cell is done, has raised, or its process is dead."""
        hearing = asyncio.ensure_future(self._hear())
        ending = asyncio.ensure_future(self._process.wait())
        standing = asyncio.ensure_future(self._stand_still())
        try:
            await asyncio.wait({hearing, ending, standing}, return_when=asyncio.FIRST_COMPLETED)
            if standing.done() and not (hearing.done() or ending.done()):
                return self._died(f"stood still for {_STOPPED} s (SIGSTOP)", killed=True)
            if not hearing.done():  # dead: what it said before is still in the socket
                await asyncio.wait({hearing}, timeout=_DRAIN)
            if hearing.done() and (heard := hearing.result()) is not None:
                return heard
            code = await ending
            return self._died(self._how(code), killed=code == -signal.SIGKILL)
        finally:
            for task in (hearing, ending, standing):
                task.cancel()
            await asyncio.gather(hearing, ending, standing, return_exceptions=True)

    async def _stand_still(self) -> None:
        """Wait until the process has been stopped for too long: the other ranks wait for it."""
        seconds = 0
        while seconds < _STOPPED:
            await asyncio.sleep(1)
            seconds = seconds + 1 if is_stopped(self._process.pid) else 0

    def tell_over(self) -> None:
        """Say that those who train are done."""
        self._writer.write(b"o")

    async def leave(self) -> None:
        """Let a process that is done leave by itself."""
        self._writer.write(b"\n")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE):
                await self._process.wait()
        await self.stop(0)

    async def stop(self, grace: float) -> None:
        """End it and all it has started: SIGTERM, SIGKILL after ``grace`` seconds."""
        if self._process.returncode is None and grace:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._process.wait()
        self._signal(signal.SIGKILL)
        await self._process.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN):
                await self._pump.ended.wait()
        self._held.close()
        self._pipe.close()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # the group is its own, and may be empty
            os.killpg(self._process.pid, number)

    async def _hear(self) -> Outcome | None:
        """Read what the process says, up to its outcome; None if it says no more."""
        try:
            while True:
                said = json.loads(await self._reader.readuntil())
                if said["kind"] == "asks":
                    self.asks = True
                    continue
                if said["kind"] == "report":
                    self._on_report(said["step"], said["metrics"])
                    continue
                blob = await self._reader.readexactly(said.pop("bytes", 0))
                if said["kind"] == "display":
                    self._on_display(blob)
                else:
                    kind, text = said.pop("kind"), said.pop("text", "")
                    return Outcome(kind, text, details=said, blob=blob)
        except (ConnectionError, asyncio.IncompleteReadError):
            return None
        except asyncio.LimitOverrunError:  # only what a cell raises can be that long
            about = {"type": "Exception", "message": "(too long to be shown)", "traceback": ""}
            return Outcome("exception", f"{about['type']}: {about['message']}", details=about)

    def _died(self, how: str, *, killed: bool) -> Outcome:
        self._pump.drain()
        held = self._held.fileno()  # of a crash while it was not to be heard
        if said := without_greetings(os.pread(held, os.fstat(held).st_size, 0)):
            self._take(said)
        return Outcome("died", how, killed, {"last": self._tail.words})

    def _how(self, code: int) -> str:
        if code >= 0:
            return f"ended with exit code {code} before the cell's end"
        if code == -signal.SIGKILL and oom_kills() > self._oom_kills:
            return f"ran out of memory{_limit()}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"was killed ({name})"


class _Pump(asyncio.Protocol):
    """Hand on what comes out of a pipe."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self.ended = asyncio.Event()
        self._take = take
        self._fd = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._fd = transport.get_extra_info("pipe").fileno()

    def drain(self) -> None:
        """Hand on at once what is in the pipe; others may hold it open and write on."""
        if not self.ended.is_set():
            with contextlib.suppress(BlockingIOError):  # nothing more
                self._take(os.read(self._fd, _PIPE))

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self.ended.set()


def is_stopped(pid: int) -> bool:
    """Say whether a process was stopped by a signal; one under a debugger counts as running."""
    try:
        about = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has ended
        return False
    return about.rpartition(") ")[2].startswith("T")


def _memory_file(content: bytes) -> int:
    """Put bytes into a file without a name; return its descriptor, at the beginning."""
    fd = memory_file("cell")
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def oom_kills(root: Path = _CGROUP) -> int:
    """Count the processes of this container killed for want of memory; 0 where nobody counts."""
    for name in ("memory.events", "memory/memory.oom_control"):
        try:
            lines = (root / name).read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition(" ")
            if key == "oom_kill":
                return int(value)
    return 0


def _limit(root: Path = _CGROUP) -> str:
    """Tell the container's memory limit, as in ``(limit 2Gi)``."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (root / name).read_text(encoding="utf-8").strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < 2**60:
            mebibytes = int(text) // 2**20
            return (
                f" (limit {mebibytes // 1024}Gi)"
                if mebibytes % 1024 == 0
                else (f" (limit {mebibytes}Mi)")
            )
    return ""
