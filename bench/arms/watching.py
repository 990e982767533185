"""Clients that watch a job of very many workers, and what they are seen to do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from bench.arms import kubeflow
from bench.arms.driver import Driver
from bench.arms.training import OURS
from bench.jobs import Heard, Observer, Wanted
from bench.measure import Failed, Taken
from bench.notebook import Notebook, notebook
from bench.place import Place
from bench.silent import SilentKubelet
from tests.cluster.kwok import MARK, TOLERATION

ARMS = (OURS, kubeflow.WAITING)
REST = 20.0
"""Seconds for which nothing happens any more."""

_BEATS = """
from bench.stalls import Stalls
from jupyter_kube.train.background import background
beats = Stalls(0.01)
background.start(beats.run())
"""
_STALLS = "import json\nprint(json.dumps(beats.take()))"


@dataclass
class Grid:
    """What a front end was shown of one job."""

    workers: int
    first: float = 0.0
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once all ranks are shown as running."""
    known: float = 0.0
    updates: list[tuple[float, int]] = field(default_factory=list)
    """When they came, and their sizes in bytes."""

    def take(self, message: dict[str, Any]) -> None:
        """Take in a message of a cell's output."""
        html = (message["content"].get("data") or {}).get("text/html", "")
        if "ranks" not in html:
            return
        now = time.time()
        self.first = self.first or now
        self.updates.append((now, len(json.dumps(message["content"]))))
        if f"{self.workers} ranks: {self.workers} running" in html and not self.known:
            self.known = now
            self.whole.set()


class Arm(Protocol):
    """A client that is watched while it watches."""

    name: str
    account: str

    async def life(self, name: str, workers: int, observer: Observer) -> Taken:
        """Submit a job, see it run and rest; returns what that cost."""


class Ours:
    """A ``%%kubetrain`` cell in a notebook's kernel."""

    name = account = OURS

    def __init__(self, kernel: Notebook, silent: SilentKubelet) -> None:
        self._kernel, self._silent = kernel, silent

    async def life(self, name: str, workers: int, observer: Observer) -> Taken:
        """Submit a job, see it run and rest, interrupt the cell."""
        kernel, grid = self._kernel, Grid(workers)
        await kernel.run("_ = beats.take()")
        cpu, asked, begun = kernel.cpu(), self._silent.asked, time.time()
        cell = f"%%kubetrain python -w {workers} --name {name}\n..."
        shown = asyncio.create_task(kernel.run(cell, grid.take))
        try:
            running = await observer.all_running(name, workers)
            async with asyncio.timeout(120):
                await grid.whole.wait()
            taken: dict[str, float] = {
                "shown": 1000 * (grid.first - begun),
                "running": 1000 * (running - begun),
                "known": 1000 * (grid.known - running),
                "client CPU": 1000 * (kernel.cpu() - cpu),
            }
            await asyncio.sleep(REST)  # it still has its logs to open
            taken["logs"] = self._silent.asked - asked
            cpu, rested = kernel.cpu(), len(grid.updates)
            await asyncio.sleep(REST)
            taken["rest CPU"] = 1000 * (kernel.cpu() - cpu) / REST
            rest = grid.updates[rested - 1 :]
            taken["rest updates"] = (len(rest) - 1) / REST
            taken["rest bytes"] = max(size for _, size in rest) / 1000
            gaps = (b - a for (a, _), (b, _) in pairwise(rest))
            taken["rest gap"] = 1000 * max(gaps, default=REST)
        finally:
            await kernel.interrupt()
            with suppress(Failed):  # a cell that is interrupted counts as failed
                await shown
        stalls = json.loads(await kernel.run(_STALLS))
        taken["stall"], taken["busy"] = stalls["longest"][0], stalls["work"][0]
        taken["memory"] = kernel.memory()
        return dict(taken)


class Waiting:
    """Kubeflow's SDK, asked to wait until the job runs."""

    name, account = kubeflow.WAITING, kubeflow.TRAINJOBS

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def life(self, name: str, workers: int, observer: Observer) -> Taken:
        """Submit a job and wait."""
        heard, cpu = Heard(begun=time.time()), self._driver.cpu()
        async with self._driver.running(Wanted(name, workers, 0), heard) as waiting:
            running = await observer.all_running(name, workers)
            async with asyncio.timeout(600):
                await waiting
            known = time.time()
        return {
            "shown": 1000 * (heard.created - heard.begun),
            "running": 1000 * (running - heard.begun),
            "known": 1000 * (known - running),
            "client CPU": 1000 * (self._driver.cpu() - cpu),
            "memory": self._driver.memory(),
        }


@asynccontextmanager
async def arm(name: str, here: Place, node: str, silent: SilentKubelet) -> AsyncIterator[Arm]:
    """Make one arm ready for jobs whose pods are on `node`."""
    where: dict[str, Any] = {"nodeSelector": {MARK: node}, "tolerations": [TOLERATION]}
    if name != OURS:
        driver = await kubeflow.start(name, here, **where)
        try:
            yield Waiting(driver)
        finally:
            await driver.close()
        return
    profile = {
        "image": here.cluster.image,
        "cpu": "10m",
        "memory": "256Mi",
        "node_selector": where["nodeSelector"],
        "tolerations": where["tolerations"],
    }
    settings = {
        "kubeconfig": str(here.kubeconfig(OURS)),
        "namespace": here.namespace,
        "profiles": {"python": profile},
    }
    home = here.folder / "ipython"
    home.mkdir()
    (home / "jupyter_kube_config.json").write_text(json.dumps({"KubeConfig": settings}))
    async with notebook(JUPYTER_CONFIG_DIR=str(home), IPYTHONDIR=str(home)) as kernel:
        await kernel.run(_BEATS)
        yield Ours(kernel, silent)
