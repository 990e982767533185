"""Processes of this machine: what they use, and the moment a kernel's is gone."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.measure import Kernel

_TICKS = os.sysconf("SC_CLK_TCK")
_WHO = "import os\nprint(os.getpid(), os.readlink('/proc/self/ns/pid'))"


class Process:
    """A process that is watched by a descriptor, which no other process can come to own."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)

    async def gone(self) -> None:
        """Wait until it has ended."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._fd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._fd)
            os.close(self._fd)


async def kernel_process(kernel: Kernel) -> Process | None:
    """Return the kernel's process, or None where it runs on another machine."""
    inner, namespace = (await kernel.run(_WHO)).text.split()
    pid = outer_pid(inner, namespace)
    return None if pid is None else Process(pid)


def cpu_of(pid: int) -> float:
    """Return how many seconds of CPU a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_of(pid: int) -> float:
    """Return how many MB of memory a process had at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


def outer_pid(inner: str, namespace: str) -> int | None:
    """Return this machine's id for a process of a pod; None where it runs on another machine."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # it has ended, or is not ours to look at
            if str((entry / "ns/pid").readlink()) == namespace and _inner(entry) == inner:
                return int(entry.name)
    return None


def _inner(entry: Path) -> str:
    """Return the process id as the process itself sees it."""
    status = (entry / "status").read_text()
    return status.partition("NSpid:")[2].partition("\n")[0].split()[-1]
