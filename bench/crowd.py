"""What a job of a thousand workers costs the client that watches it.

    python -m bench.crowd [-n 3] [--workers 100 1000] [--json FILE] [--markdown FILE]

The pods are kwok's: Kubernetes makes, places and watches them, but nothing runs in them, and their
logs are followed without a word. Arms: ``ours``, a ``%%kubetrain`` cell in a notebook's kernel; and
``kubeflow-sdk, waiting``, Kubeflow's SDK 0.5.0 until it says that the job runs, without its logs.
It uses this machine's test cluster.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from bench import program
from bench.arms import kubeflow
from bench.arms.training import rights
from bench.arms.watching import ARMS, Arm, arm
from bench.jobs import Observer, observing
from bench.measure import Failed
from bench.place import Place, place
from bench.program import sampling, say
from bench.report import Figure, Samples, facts, in_detail, of_sizes, side_by_side
from bench.silent import SilentKubelet, silent_kubelet
from jupyter_kube.train.words import MOST_RANKS
from tests.cluster import up, used
from tests.cluster.kwok import fake_node

_FIGURES = (
    Figure("shown", "submit → the job is shown"),
    Figure("running", "submit → all run"),
    Figure("known", "all run → the client says so"),
    Figure("client CPU", "CPU of the client until then"),
    Figure("calls", "API requests of the client, logs apart", ""),
    Figure("logs", "logs that it asked for", ""),
    Figure("rest CPU", "CPU of the client for a second of rest"),
    Figure("rest updates", "updates of the display in a second of rest", ""),
    Figure("rest bytes", "size of such an update", "kB"),
    Figure("rest gap", "longest time between two of them"),
    Figure("stall", "longest time its event loop was held up"),
    Figure("busy", "CPU of the event loop in one go, at most"),
    Figure("memory", "memory of the client, at most", "MB"),
)


async def rounds(
    options: argparse.Namespace, here: Place, node: str, silent: SilentKubelet, samples: Samples
) -> None:
    """Measure a job of each arm and size, in random order, round after round."""
    async with observing(here) as observer, AsyncExitStack() as stack:
        arms = [
            await stack.enter_async_context(arm(name, here, node, silent)) for name in options.arms
        ]
        for turn in range(options.n):
            for workers in options.workers:
                for each in random.sample(arms, len(arms)):
                    await take(here, each, workers, observer, samples)
                    if options.json:
                        samples.write(Path(options.json))
            say(f"round {turn + 1} of {options.n}")


async def take(here: Place, each: Arm, workers: int, observer: Observer, samples: Samples) -> None:
    """Measure one job and remove all that is left of it."""
    before = await asyncio.to_thread(here.requests)
    try:
        taken = await each.life(f"c{secrets.token_hex(3)}", workers, observer)
    except (Failed, TimeoutError) as error:
        say(f"{each.name} failed: {error!r}")
        samples.fail(each.name)
    else:
        calls = (await asyncio.to_thread(here.requests)).get(each.account, 0)
        taken["calls"] = calls - before.get(each.account, 0)
        samples.add(each.name, {f"{key} of {workers}": value for key, value in taken.items()})
    await kubeflow.remove(here)
    await observer.none_left()


async def run(options: argparse.Namespace, samples: Samples) -> None:
    """Prepare a place for all arms, and measure there."""
    accounts = rights(options.arms)
    with tempfile.TemporaryDirectory(prefix="jk-crowd-") as name:
        its, folder = up(), Path(name)
        async with silent_kubelet() as silent:
            with (
                kubeflow.operators(accounts, its, folder),
                place(its, accounts, folder) as here,
                fake_node(its, folder, logs_port=silent.port) as node,
            ):
                await rounds(options, here, node, silent, samples)


def main() -> None:
    """Do what the command line says."""
    options = parser().parse_args()
    if min(options.workers) <= MOST_RANKS:
        raise SystemExit(f"A crowd is more than {MOST_RANKS} workers: fewer are shown one by one.")
    shown = partial(markdown, sizes=options.workers)
    with sampling(options, shown) as samples, used():
        asyncio.run(run(options, samples))


def markdown(samples: Samples, sizes: Sequence[int]) -> str:
    """Show everything, most important first."""
    known = of_sizes(_FIGURES, sizes)
    parts = (side_by_side(samples, ARMS, known), facts(samples), in_detail(samples, known))
    return "\n\n".join(parts) + "\n"


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = program.parser("crowd", __doc__)
    made.add_argument("-n", type=int, default=3, help="rounds")
    made.add_argument("--workers", type=int, nargs="+", default=[100, 1000], help="sizes of jobs")
    made.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM")
    return made


if __name__ == "__main__":
    main()
