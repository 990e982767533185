"""A client that runs jobs in a process of its own, told of them and heard line by line."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from bench.jobs import LINES, Heard, Wanted
from bench.measure import Failed
from bench.place import Place
from bench.process import cpu_of, peak_of


class Driver:
    """A client that goes on from job to job in a process of its own.

    Parameters
    ----------
    name, account
        As in the tables; whose credentials it has.
    lines
        How many its jobs' ranks print.

    """

    def __init__(self, name: str, account: str, place: Place, lines: int = LINES) -> None:
        self.name, self.account, self.lines = name, account, lines
        self.place, self.follows = place, True
        self._heard = Heard()
        self._over = asyncio.Event()
        self._process: asyncio.subprocess.Process

    async def start(self, argv: Sequence[str | Path], **env: str) -> None:
        """Start the process; it must say that it is ready."""
        self._process = await asyncio.create_subprocess_exec(
            *map(str, argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **env},
            limit=2**22,
        )
        self._reading = asyncio.create_task(self._read())
        async with asyncio.timeout(60):
            await self._over.wait()
        if self._process.returncode is not None:
            raise Failed(f"{self.name} did not start")

    async def close(self) -> None:
        """End it."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            text = raw.decode(errors="replace")
            if text.startswith(("@@ready", "@@done")):
                self._over.set()
            elif text.startswith("@@failed"):
                print(self.name, text, file=sys.stderr)
            self._heard.take(text)
        await self._process.wait()
        self._over.set()

    def asked(self, wanted: Wanted) -> dict[str, Any]:
        """Return what the process is told."""
        raise NotImplementedError

    @asynccontextmanager
    async def running(self, wanted: Wanted, heard: Heard) -> AsyncIterator[asyncio.Task[None]]:
        """Submit a job and print its lines, until the block is left; yields the printing."""
        assert self._process.stdin is not None
        self._over.clear()
        self._heard = heard
        self._process.stdin.write(json.dumps(self.asked(wanted)).encode() + b"\n")
        printing = asyncio.create_task(self._until_over())
        try:
            yield printing
        finally:
            printing.cancel()
            await asyncio.gather(printing, return_exceptions=True)

    async def _until_over(self) -> None:
        await self._over.wait()

    async def rest(self) -> None:
        """Wait until it has noticed the end of its job."""
        async with asyncio.timeout(60):
            await self._over.wait()

    def cpu(self) -> float:
        """Return how many seconds of CPU it has used so far."""
        return cpu_of(self._process.pid)

    def memory(self) -> float:
        """Return how many MB it had at most."""
        return peak_of(self._process.pid)
