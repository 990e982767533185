"""One job's life: submitted, running, heard line by line, broken and mended."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from bench.measure import Failed, Taken
from bench.place import Place
from bench.process import outer_pid
from jupyter_kube.config import KubeConfig
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector

PAUSE = 0.1
"""Seconds between two lines of a rank."""
LINES = 60
LONG = 250
"""Lines of a job whose client looks at it first after 15 s."""
RESOURCES = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
"""Of each rank's container."""
_PATIENCE = 60.0

PROGRAM = f"""
import json, os, time
task = json.loads(os.environ.get("TF_CONFIG", "{{}}")).get("task", {{}})
rank = os.environ.get("JOB_COMPLETION_INDEX") or task["index"]
space = os.readlink("/proc/self/ns/pid")
for number in range(COUNT):
    print("BENCH", rank, repr(time.time()), number, os.getpid(), space, flush=True)
    time.sleep({PAUSE})
"""
"""What each rank runs; COUNT is set before."""

_LINE = re.compile(r"BENCH (\d+) ([\d.]+) (\d+) (\d+) (\S+)")


@dataclass(frozen=True)
class Wanted:
    """A job to be run."""

    name: str
    workers: int
    lines: int

    @property
    def code(self) -> str:
        """What its ranks run."""
        return f"COUNT = {self.lines}\n{PROGRAM}"


@dataclass
class Heard:
    """What a client printed of a job, and when."""

    begun: float = 0.0
    created: float = 0.0
    lines: dict[tuple[int, int, str], tuple[float, float]] = field(default_factory=dict)
    """When it was printed in the pod and here, by rank, number and process."""
    processes: dict[int, tuple[str, str]] = field(default_factory=dict)
    """The newest process of each rank: its id in the pod, and the pod's namespace of ids."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, text: str) -> None:
        """Take in a line of a client's output."""
        if text.startswith("@@created"):
            self.created = time.time()
        for rank, printed, number, pid, space in _LINE.findall(text):
            key = int(rank), int(number), pid
            if key not in self.lines:
                self.lines[key] = float(printed), time.time()
                self.processes[int(rank)] = pid, space
                self.news.set()

    def first(self, rank: int) -> float:
        """Return when a rank's first line came."""
        return min((here for (r, _, _), (_, here) in self.lines.items() if r == rank), default=0.0)

    def printed(self, rank: int) -> float:
        """Return when a rank printed its first line."""
        return min(printed for (r, _, _), (printed, _) in self.lines.items() if r == rank)

    async def until(self, check: Callable[[], bool]) -> None:
        """Wait until what was heard passes a check."""
        async with asyncio.timeout(_PATIENCE):
            while not check():
                self.news.clear()
                await self.news.wait()


class Client(Protocol):
    """One way to run a job and read its ranks' lines."""

    name: str
    account: str
    lines: int
    follows: bool
    """Whether the next pod of a rank is followed, too."""

    @asynccontextmanager
    def running(self, wanted: Wanted, heard: Heard) -> AsyncIterator[asyncio.Task[None]]:
        """Submit a job and print its lines, until the block is left; yields the printing."""

    def cpu(self) -> float:
        """Return how many seconds of CPU it has used so far."""


class Observer:
    """Sees the namespace's pods as the API tells of them, the same for all arms."""

    def __init__(self, client: KubeClient) -> None:
        self.running: dict[str, float] = {}
        """When pods were first seen running."""
        self._pods = Reflector(client, objects.PODS)
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Begin to look."""
        await self._pods.start()
        await self._pods.synced()
        self._pods.subscribe(self._note)

    async def close(self) -> None:
        """Stop."""
        await self._pods.close()

    def _note(self, _kind: str, pod: dict[str, Any]) -> None:
        if (pod.get("status") or {}).get("phase") == "Running":
            self.running.setdefault(pod["metadata"]["name"], time.time())
        self._changed.set()

    async def all_running(self, name: str, number: int) -> float:
        """Wait until so many pods of a job run; returns when that was."""
        while True:
            seen = [at for pod, at in self.running.items() if pod.startswith(f"{name}-")]
            if len(seen) >= number:
                return sorted(seen)[number - 1]
            await self._change()

    async def none_left(self) -> None:
        """Wait until all pods are gone."""
        while self._pods.items:
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        async with asyncio.timeout(_PATIENCE):
            await self._changed.wait()


@asynccontextmanager
async def observing(here: Place) -> AsyncIterator[Observer]:
    """Observe a place's pods, until the block is left."""
    its = here.cluster
    admin = KubeConfig(
        kubeconfig=str(its.kubeconfig), context=its.context, namespace=here.namespace
    )
    client = await KubeClient.connect(admin)
    made = Observer(client)
    await made.start()
    try:
        yield made
    finally:
        await made.close()
        await client.close()


def wanted(client: Client, workers: int) -> Wanted:
    """Make a job's wish, of a name that no other has."""
    return Wanted(f"b{secrets.token_hex(3)}", workers, client.lines)


async def life(client: Client, workers: int, observer: Observer) -> Taken:
    """Run one job to its end."""
    asked, heard, cpu = wanted(client, workers), Heard(begun=time.time()), client.cpu()
    async with client.running(asked, heard) as printing:
        running = await observer.all_running(asked.name, workers)
        async with asyncio.timeout(_PATIENCE):
            await printing
    firsts = [heard.first(rank) for rank in range(workers)]
    if not heard.lines:
        raise Failed(f"{client.name} printed nothing")
    late = sorted(here - printed for printed, here in heard.lines.values())
    of = f" of {workers}"
    taken: dict[str, float] = {
        f"running{of}": 1000 * (running - heard.begun),
        f"first line{of}": 1000 * (min(filter(None, firsts)) - heard.begun),
        f"late p50{of}": 1000 * statistics.median(late),
        f"late p95{of}": 1000 * late[round(0.95 * (len(late) - 1))],
        f"not heard{of}": workers * asked.lines - len(heard.lines),
        f"client CPU{of}": 1000 * (client.cpu() - cpu),
    }
    if heard.created:
        taken[f"created{of}"] = 1000 * (heard.created - heard.begun)
    if all(firsts):
        taken[f"at work{of}"] = 1000 * (max(map(heard.printed, range(workers))) - heard.begun)
        taken[f"all first lines{of}"] = 1000 * (max(firsts) - heard.begun)
        taken[f"heard after running{of}"] = 1000 * (max(firsts) - running)
    return dict(taken)


async def recovery(client: Client, workers: int, observer: Observer) -> Taken:
    """Kill a rank's process and wait for the next one's first line."""
    asked, heard = Wanted(wanted(client, workers).name, workers, 900), Heard(begun=time.time())
    async with client.running(asked, heard) as printing:
        await observer.all_running(asked.name, workers)
        await heard.until(lambda: len(heard.processes) == workers)
        victim = heard.processes[1]
        pid = outer_pid(*victim)
        if pid is None:
            raise Failed("the pods run on another machine")
        os.kill(pid, signal.SIGKILL)
        begun = time.time()
        if client.follows:
            await heard.until(lambda: heard.processes[1] != victim)
            took = time.time() - begun
        else:
            took = await observer.all_running(asked.name, workers + 1) - begun
        printing.cancel()
    return {f"recovery of {workers}": 1000 * took}
