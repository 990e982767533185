"""Kernels side by side, in one run, interleaved and with jittered starts.

Arms: ``floor`` (a bare pod with ipykernel, reached by its address, no Jupyter Server); ours by
each way to a pod (``auto``, the default; ``pod-ip``; ``port-forward``) and out of the warm pool
(``warm``); ``gateway-provisioners`` 0.5.0 and ``enterprise-gateway`` 3.3.0, installed by this
program; ``local`` (a stock kernel of a stock server) and ``local-nodelay`` (a local kernel of a
server with our websocket).

    python -m bench.kernels [-n 12] [--json FILE] [--markdown FILE] [--page README.md]

It uses this machine's test cluster, or any that ``--kubeconfig`` and ``--image`` name. A long run
can be cut into parts: ``--minutes`` ends one, and a further one with the same ``--json`` goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from bench import measure, program, startup
from bench.arms import enterprise_gateway as eg
from bench.arms import floor as bare
from bench.arms import gateway_provisioners as gp
from bench.arms import peers
from bench.arms.arm import Arm
from bench.arms.local import local
from bench.arms.ours import RIGHTS, WAYS, ours, settings
from bench.arms.warm import Warm, warm
from bench.place import Place, Rights, place
from bench.program import sampling, say
from bench.report import (
    LIFE,
    Aim,
    Samples,
    aims,
    between_marks,
    facts,
    in_detail,
    side_by_side,
)
from jupyter_kube.session import ServerError
from tests.cluster import Cluster, up, used

LOCAL = ("local", "local-nodelay")
ARMS = (bare.Floor.name, *WAYS, Warm.name, gp.NAME, eg.NAME, *LOCAL)
COLUMNS = (*ARMS, startup.STOCK, startup.OURS)
ON_PAGE = (bare.Floor.name, "auto", Warm.name, gp.NAME, eg.NAME, "local")
"""Columns of a page's table, which has the figures of a kernel's life."""
PHASES = ("lives", "starts", "crowds", "idle", "startup")
AIMS = (
    Aim("start", "auto", "floor", 1.1),
    Aim("start", "pod-ip", "floor", 1.1),
    Aim("start", "auto", gp.NAME, 0.4),
    Aim("start", Warm.name, None, 100),
    Aim("restart", "auto", "local", 1.0),
    Aim("round trip", "auto", "local-nodelay", 1.5),
    Aim("round trip", "auto", "local", 0.2),
    Aim("crash", "auto", None, 1000),
    Aim("gone", "auto", None, 500),
    Aim("lost", "auto", None, 0),
    Aim("added", startup.OURS, None, 100),
    Aim("import", startup.OURS, None, 100),
)
_CROWDS = (5, 10)
_NO_CROWD = ("pod-ip", "port-forward", Warm.name, "local-nodelay")
"""Arms that show nothing then that the others of their kind do not."""
_IDLE = 60.0  # seconds


class Measured(Protocol):
    """What an arm offers to the rounds."""

    async def life(self) -> measure.Taken:
        """Measure one kernel's life."""

    async def start(self) -> measure.Taken:
        """Measure one kernel's start only."""

    async def at_once(self, number: int) -> float:
        """Measure some kernels that start at the same time, in ms."""


class ServerArm:
    """An arm that has a server."""

    def __init__(self, arm: Arm) -> None:
        self.arm = arm

    async def life(self) -> measure.Taken:
        """Measure one kernel's life."""
        return await measure.life(self.arm)

    async def start(self) -> measure.Taken:
        """Measure one kernel's start only."""
        kernel, taken = await measure.begin(self.arm)
        await kernel.end()
        return taken

    async def at_once(self, number: int) -> float:
        """Measure some kernels that start at the same time, in ms."""
        return await measure.at_once(self.arm, number)


class Run:
    """One run, or a part of one: takes samples until the time is up."""

    def __init__(self, options: argparse.Namespace, samples: Samples) -> None:
        self.options, self.samples = options, samples
        self._end = time.monotonic() + 60 * options.minutes

    async def all(self, here: Place) -> None:
        """Take all samples that are asked for."""
        async with AsyncExitStack() as stack:
            arms = await open_arms(stack, here, self.options.arms)
            if "lives" in self.options.phases:
                await self.lives(arms)
            if "starts" in self.options.phases:
                await self.starts(arms)
            if "crowds" in self.options.phases:
                await self.crowds(arms)
            if "idle" in self.options.phases:
                await self.idle(here, arms)
        if "startup" in self.options.phases:
            for arm, taken in await startup.starts(settings(here, "auto")):
                self.samples.add(arm, taken)
            early = startup.imported_early()
            self.samples.facts["kubernetes at server start"] = ", ".join(early) or "not imported"
            self.save()

    async def take(
        self, name: str, measuring: Awaitable[measure.Taken], *, keep: bool = True
    ) -> None:
        """Measure one thing; what fails is told and counted, and the run goes on."""
        try:
            taken = await measuring
        except (ServerError, measure.Failed, TimeoutError, ConnectionError) as error:
            say(f"{name} failed: {error!r}")
            self.samples.fail(name)
        else:
            if keep:
                self.samples.add(name, taken)

    async def lives(self, arms: Mapping[str, Measured]) -> None:
        """Measure one kernel of each arm, in random order, round after round."""
        for turn in range(self.options.n + 1):
            for name in random.sample(list(arms), len(arms)):
                await asyncio.sleep(random.uniform(0.1, 1.1))  # not in step with the kubelet
                await self.take(name, arms[name].life(), keep=turn > 0)  # the first warms up
            self.save()
            say(f"round {turn} of {self.options.n}")
            if time.monotonic() > self._end:
                return

    async def starts(self, arms: Mapping[str, Measured]) -> None:
        """Start further kernels: what the kubelet's list of once a second adds differs a lot."""
        for turn in range(self.options.starts):
            for name in random.sample(list(arms), len(arms)):
                await asyncio.sleep(random.uniform(0.1, 1.1))
                await self.take(name, arms[name].start())
            self.save()
            say(f"start {turn + 1} of {self.options.starts}")
            if time.monotonic() > self._end:
                return

    async def crowds(self, arms: Mapping[str, Measured]) -> None:
        """Start several kernels of an arm at once."""
        for turn in range(self.options.crowds):
            for number in _CROWDS:
                for name in random.sample(list(arms), len(arms)):
                    if name in _NO_CROWD:
                        continue
                    await asyncio.sleep(random.uniform(1.1, 2.1))
                    await self.take(name, _crowd(arms[name], number))
            self.save()
            say(f"crowd {turn + 1} of {self.options.crowds}")
            if time.monotonic() > self._end:
                return

    async def idle(self, here: Place, arms: Mapping[str, Measured]) -> None:
        """Leave a kernel of each arm alone, with its websocket open, and count API requests."""
        servers = [m.arm for m in arms.values() if isinstance(m, ServerArm) and m.arm.in_cluster]
        kernels = [(await measure.begin(arm))[0] for arm in servers]
        await asyncio.sleep(5)
        before = here.requests()
        await asyncio.sleep(_IDLE)
        after = here.requests()
        for kernel in kernels:
            name = kernel.arm.name
            self.samples.add(name, {"calls": after.get(name, 0) - before.get(name, 0)})
            await kernel.end()
        self.save()

    def save(self) -> None:
        """Keep what there is so far."""
        if self.options.json:
            self.samples.write(Path(self.options.json))


async def _crowd(arm: Measured, number: int) -> measure.Taken:
    return {f"start of {number}": await arm.at_once(number)}


async def open_arms(stack: AsyncExitStack, here: Place, names: list[str]) -> dict[str, Measured]:
    """Start the servers of all arms."""
    arms: dict[str, Measured] = {}
    for name in names:
        folder = here.folder / name
        folder.mkdir()
        if name == bare.Floor.name:
            arms[name] = await stack.enter_async_context(bare.floor(here))
        elif name == Warm.name:
            arms[name] = await stack.enter_async_context(warm(here, folder))
        elif name in WAYS:
            arms[name] = ServerArm(await stack.enter_async_context(ours(here, name, folder)))
        elif name in LOCAL:
            arms[name] = ServerArm(await stack.enter_async_context(local(name, folder)))
        else:
            peer = gp.gateway_provisioners if name == gp.NAME else eg.enterprise_gateway
            arms[name] = ServerArm(await stack.enter_async_context(peer(here, folder)))
    return arms


@contextmanager
def cluster(options: argparse.Namespace) -> Iterator[Cluster]:
    """Yield the cluster that the options name, or this machine's test cluster."""
    if options.kubeconfig:
        yield Cluster(Path(options.kubeconfig), options.context, options.image, "", 0, {})
        return
    with used():
        yield up()


def rights(names: list[str]) -> dict[str, Rights]:
    """Return the rights of each arm that needs any."""
    by_arm: dict[str, Rights] = {bare.Floor.name: bare.RIGHTS}
    by_arm |= dict.fromkeys((*WAYS, Warm.name), RIGHTS)
    by_arm |= dict.fromkeys((gp.NAME, eg.NAME), peers.RIGHTS)
    # The start of a server is measured as the default arm's account.
    return {name: by_arm[name] for name in by_arm if name in {*names, "auto"}}


def markdown(samples: Samples) -> str:
    """Show everything, most important first."""
    parts = (
        side_by_side(samples, COLUMNS),
        aims(samples, AIMS),
        facts(samples),
        in_detail(samples),
    )
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Do what the command line says."""
    options = parser().parse_args()
    with sampling(options, markdown) as samples:
        try:
            with (
                cluster(options) as its,
                tempfile.TemporaryDirectory(prefix="jk-bench-") as folder,
                place(its, rights(options.arms), Path(folder)) as here,
            ):
                asyncio.run(Run(options, samples).all(here))
        finally:
            if options.page:
                page, table = Path(options.page), side_by_side(samples, ON_PAGE, LIFE)
                page.write_text(between_marks(page.read_text(), table))


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = program.parser("kernels", __doc__)
    made.add_argument("-n", type=int, default=12, help="rounds, beside one to warm up")
    made.add_argument("--starts", type=int, default=24, help="rounds of starts alone")
    made.add_argument("--crowds", type=int, default=3, help="rounds of kernels started at once")
    made.add_argument("--minutes", type=float, default=60, help="end after the round that is on")
    made.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM")
    made.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    made.add_argument("--page", default="", help="a page, as README.md, whose table is replaced")
    made.add_argument("--kubeconfig", default="", help="another cluster than the test one")
    made.add_argument("--context", default="", help="its context (default: the current one)")
    made.add_argument("--image", default="", help="an image with ipykernel that it can pull")
    return made


if __name__ == "__main__":
    main()
