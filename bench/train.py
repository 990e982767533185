"""Training jobs side by side, in one run, interleaved.

Arms: ``ours`` (a ``%%kubetrain`` cell in IPython); ``kubectl`` (apply an Indexed Job, then follow
its logs); ``kubeflow-training`` 1.9.4 waiting as its guide says, and ``kubeflow-training,
retried``, following at once and again; ``kubeflow-sdk`` 0.5.0 following one rank after the other,
and ``kubeflow-sdk, threads``, all at once. Their operators are installed by this program.

    python -m bench.train [-n 5] [--workers 2 8] [--json FILE] [--markdown FILE]

It uses this machine's test cluster. A long run can be cut into parts: ``--minutes`` ends one, and
a further one with the same ``--json`` goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from bench import jobs, program
from bench.arms import kubeflow
from bench.arms.driver import Driver
from bench.arms.training import ARMS, KUBECTL, OURS, Kubectl, arm, rights
from bench.measure import Failed, Taken
from bench.place import Place, place
from bench.program import sampling, say
from bench.report import Aim, Figure, Samples, aims, facts, in_detail, of_sizes, side_by_side
from tests.cluster import up, used

_FIGURES = (
    Figure("created", "submit → the job is created"),
    Figure("running", "submit → all run"),
    Figure("at work", "submit → every rank prints its first line"),
    Figure("first line", "submit → a first line in the cell"),
    Figure("all first lines", "submit → a first line of every rank in the cell"),
    Figure("heard after running", "all run → a first line of every rank in the cell"),
    Figure("late p50", "a line's lateness, p50 of a job"),
    Figure("late p95", "a line's lateness, p95 of a job"),
    Figure("not heard", "lines that never came", ""),
    Figure("client CPU", "CPU of the client for a job"),
    Figure("calls", "API requests for a job", ""),
    Figure("recovery", "kill -9 of a rank → its next line in the cell"),
)

_GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it spread evenly over a second, however many there are."""
MENDED = (OURS, KUBECTL)
"""Arms whose killed ranks come back; of kubectl's not the lines, so the new pod has to do."""


class Run:
    """One run, or a part of one."""

    def __init__(self, options: argparse.Namespace, samples: Samples) -> None:
        self.options, self.samples = options, samples
        self._phase = random.random()
        self._end = time.monotonic() + 60 * options.minutes

    async def all(self, here: Place) -> None:
        """Take all samples that are asked for."""
        async with jobs.observing(here) as observer, AsyncExitStack() as stack:
            arms = {
                name: await stack.enter_async_context(arm(name, here)) for name in self.options.arms
            }
            await self.rounds(here, arms, observer)

    async def rounds(
        self, here: Place, arms: Mapping[str, Driver | Kubectl], observer: jobs.Observer
    ) -> None:
        """Measure a job of each arm and size, in random order, round after round."""
        for turn in range(self.options.n + 1):
            # The kubelet looks once a second at what runs. All arms begin at the same time of it,
            # and the rounds spread evenly over it, so that it is the same chance for all.
            self._phase = (self._phase + _GOLDEN) % 1
            for workers in self.options.workers:
                for name in random.sample(list(arms), len(arms)):
                    await self.take(here, arms[name], workers, observer, keep=turn > 0)
            if turn and turn <= self.options.recoveries:
                for name in (each for each in arms if each in MENDED):
                    await self.take(here, arms[name], 2, observer, breaks=True)
            say(f"round {turn} of {self.options.n}")
            if time.monotonic() > self._end:
                return

    async def take(
        self,
        here: Place,
        client: Driver | Kubectl,
        workers: int,
        observer: jobs.Observer,
        *,
        keep: bool = True,
        breaks: bool = False,
    ) -> None:
        """Measure one job and remove all that is left of it."""
        before = await asyncio.to_thread(here.requests)
        await asyncio.sleep((self._phase - time.time()) % 1)
        try:
            measuring = jobs.recovery if breaks else jobs.life
            taken: Taken = await measuring(client, workers, observer)
        except (Failed, TimeoutError) as error:
            say(f"{client.name} failed: {error!r}")
            self.samples.fail(client.name)
        else:
            calls = (await asyncio.to_thread(here.requests)).get(client.account, 0)
            if not breaks:
                taken[f"calls of {workers}"] = calls - before.get(client.account, 0)
            if keep:
                self.samples.add(client.name, taken)
        await kubeflow.remove(here)
        force = ("--all", "-n", here.namespace, "--wait=false", "--grace-period=0", "--force")
        await asyncio.to_thread(here.cluster.kubectl, "delete", "pods", *force)
        await client.rest()
        await observer.none_left()
        if self.options.json:
            self.samples.write(Path(self.options.json))


def wanted(workers: list[int]) -> list[Aim]:
    """Return what is to be reached."""
    return [
        aim
        for number in workers
        for aim in (
            Aim(f"running of {number}", OURS, KUBECTL, 1.0, more=100),
            Aim(f"heard after running of {number}", OURS, None, 300),
            *(Aim(f"all first lines of {number}", OURS, peer, 1 / 3) for peer in kubeflow.GUIDED),
            Aim(f"late p50 of {number}", OURS, None, 250),
            Aim(f"late p95 of {number}", OURS, None, 1200),
        )
    ]


def markdown(samples: Samples, sizes: Sequence[int]) -> str:
    """Show everything, most important first."""
    known = of_sizes(_FIGURES, sizes)
    parts = (
        side_by_side(samples, ARMS, known),
        aims(samples, wanted(sorted(set(sizes)))),
        facts(samples),
        in_detail(samples, known),
    )
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Do what the command line says."""
    options = parser().parse_args()
    accounts, shown = rights(options.arms), partial(markdown, sizes=options.workers)
    with (
        sampling(options, shown) as samples,
        used(),
        tempfile.TemporaryDirectory(prefix="jk-bench-") as name,
    ):
        its, folder = up(), Path(name)
        with (
            kubeflow.operators(accounts, its, folder),
            place(its, accounts, folder) as here,
        ):
            asyncio.run(Run(options, samples).all(here))


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = program.parser("train", __doc__)
    made.add_argument("-n", type=int, default=5, help="rounds, beside one to warm up")
    made.add_argument("--workers", type=int, nargs="+", default=[2, 8], help="sizes of jobs")
    made.add_argument("--recoveries", type=int, default=3, help="rounds in which a rank is killed")
    made.add_argument("--minutes", type=float, default=60, help="end after the round that is on")
    made.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM")
    return made


if __name__ == "__main__":
    main()
