"""Elastic jobs: they grow, shrink, lose pods, share GPUs that are too few, and end well."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.config import KubeConfig
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.train import submit
from jupyter_kube.train.handle import Job
from jupyter_kube.train.view import ranks_of
from tests.kubectl import Kubectl
from tests.train.trainings import BEGIN, TRAININGS

from .conftest import Target
from .test_files import claim_on
from .test_jobs import _nothing_stays  # noqa: F401 - a fixture

STEPS = """
import pathlib, time
kept, end = (pathlib.Path(kube.checkpoint_dir, name) for name in ("step", "end"))
first = step = int(kept.read_text()) if kept.exists() else 0
source = "a checkpoint" if step else "nothing"
print(f"rank {kube.rank} of {kube.world_size} from {source}", flush=True)
while not end.exists():
    step += 1
    if kube.rank == 0:
        kept.with_name("new").write_text(str(step))
        kept.with_name("new").replace(kept)
        if step == first + 1: print("kept", flush=True)
    time.sleep(0.05)
size = kube.world_size
"""


class Followed:
    """A job whose lines are read in order, each once."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._lines: list[str] = []
        job.follow()

    async def line(self, pattern: str, seconds: float = 90) -> None:
        """Wait for a line; those before it are passed over."""
        await asyncio.to_thread(self._wait, pattern, seconds)

    def _wait(self, pattern: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        passed = []
        while True:
            while self._lines:
                passed.append(self._lines.pop(0))
                if re.search(pattern, passed[-1]):
                    return
            self._hear(deadline, (pattern, passed))

    async def says(self, words: str, seconds: float = 60) -> None:
        """Wait until each rank waits, and says why in such words."""
        await asyncio.to_thread(self._wait_for, words, seconds)

    def _wait_for(self, words: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not all(words in rank.reason for rank in self.job.feed.view.ranks):
            self._hear(deadline, words)

    def _hear(self, deadline: float, wanted: Any) -> None:
        """Take what is new."""
        left = deadline - time.monotonic()
        assert left > 0, (wanted, self.job.feed.view)
        self.job.feed.wait(left)
        batch = self.job.feed.take()
        self._lines += [line.text for line in batch.lines]
        assert self._lines or not batch.ended, (wanted, batch.view)


def settings(target: Target, **profile: Any) -> KubeConfig:
    return KubeConfig(**target.settings(python={**target.profile, **profile}))


async def drop(client: KubeClient, job: Job, index: int) -> None:
    """Delete the pod of an index."""
    found = await objects.list_(client, objects.PODS, labels=naming.selector(job=job.name))
    (pod,) = (p for p in found["items"] if index in ranks_of(p) and _there(p))
    await objects.delete(client, objects.PODS, pod["metadata"]["name"])


def _there(pod: dict[str, Any]) -> bool:
    going = pod["metadata"].get("deletionTimestamp")
    return not going and pod["status"].get("phase") in ("Pending", "Running")


@pytest.mark.timeout(240)
async def test_a_job_grows_loses_pods_rank_0s_too_shrinks_and_ends_well(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    folder.chmod(0o777)
    async with claim_on(folder, client, "kept"):
        job = await asyncio.to_thread(
            submit,
            STEPS,
            workers="1:2",
            name="elastic",
            framework="python",
            outputs=("first", "size"),
            settings=settings(target, pvcs={"kept": "/data"}),
        )
        assert not job.warning
        followed = Followed(job)
        await followed.line("^kept$")
        await asyncio.to_thread(job.scale, 4)
        await followed.line("of 4 from a checkpoint")
        await drop(client, job, 2)
        await followed.line("of 3 from a checkpoint")
        await followed.line("of 4 from a checkpoint")
        await drop(client, job, 0)
        await followed.line("rank 0 of [34] from a checkpoint")
        assert (await asyncio.to_thread(lambda: job.status)).phase == "running"
        await asyncio.to_thread(job.scale, 1)
        await followed.line("rank 0 of 1 from a checkpoint")
        (folder / ".jupyter-kube" / job.name / "checkpoints" / "end").touch()
        values = await asyncio.to_thread(job.result, 90)
        assert values["first"] > 0
        assert values["size"] == 1


EPOCHS = """
import time
while epoch < (int(end.read_text() or 0) if end.exists() else epoch + 1):
    loss = train()
    epoch += 1
    if kube.rank == 0:
        new = kept.with_name("new.h5")
        save(new)
        new.replace(kept)
        epochs.with_name("new").write_text(str(epoch))
        epochs.with_name("new").replace(epochs)
        if epoch == first + 1: print("kept", flush=True)
    time.sleep(0.02)
size = kube.world_size
"""


@pytest.mark.timeout(400)
@pytest.mark.parametrize("framework", TRAININGS)
async def test_training_grows_loses_a_pod_shrinks_and_ends_well(
    framework: str, target: Target, client: KubeClient, tmp_path: Path
) -> None:
    if not target.real:
        pytest.skip("what frameworks add shows in pods; the local cluster's are tested bare")
    folder = tmp_path / "kept"
    folder.mkdir()
    folder.chmod(0o777)
    async with claim_on(folder, client, "kept"):
        job = await asyncio.to_thread(
            submit,
            BEGIN + TRAININGS[framework] + EPOCHS,
            workers="1:2",
            name="elastic",
            outputs=("first", "size", "loss"),
            settings=settings(target, pvcs={"kept": "/data"}),
        )
        followed = Followed(job)
        await followed.line("rank . of 2")  # from nothing, unless one has begun alone
        await followed.line("^kept$")
        await asyncio.to_thread(job.scale, 4)
        await followed.line("of 4 from a checkpoint")
        await followed.line("^kept$")
        await drop(client, job, 0)  # whose end is not the job's
        await followed.line("rank 0 of [34] from a checkpoint")
        await asyncio.to_thread(job.scale, 1)
        await followed.line("rank 0 of 1 from a checkpoint")
        kept = folder / ".jupyter-kube" / job.name / "checkpoints"
        # Workers are never more than one epoch apart: all of them see the end in time.
        (kept / "later").write_text(str(int((kept / "epochs").read_text()) + 10))
        (kept / "later").replace(kept / "end")
        values = await asyncio.to_thread(job.result, 90)
        assert values["first"] > 0
        assert values["size"] == 1
        assert values["loss"] < 8


@pytest.mark.alone
@pytest.mark.timeout(240)
async def test_a_drained_node_holds_a_job_up_and_it_goes_on_from_its_checkpoint(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    if not target.real:
        pytest.skip("the local cluster's node cannot be drained")
    kubectl = Kubectl(target.kubeconfig, home=tmp_path)
    folder = tmp_path / "kept"
    folder.mkdir()
    folder.chmod(0o777)
    async with claim_on(folder, client, "kept"):
        job = await asyncio.to_thread(
            submit,
            STEPS,
            workers="1:2",
            name="drained",
            framework="python",
            outputs=("first", "size"),
            settings=settings(target, pvcs={"kept": "/data"}),
        )
        followed = Followed(job)
        await followed.line("of 2 from nothing")
        await followed.line("^kept$")
        found = await objects.list_(client, objects.PODS, labels=naming.selector(job=job.name))
        (node,) = {pod["spec"]["nodeName"] for pod in found["items"]}
        selector = f"--pod-selector={naming.selector(job=job.name)}"
        try:
            options = ("--delete-emptydir-data", "--timeout=60s")
            await asyncio.to_thread(kubectl, "drain", node, selector, *options)
            await followed.says("unschedulable")
        finally:
            kubectl("uncordon", node)
        await followed.line("of 2 from a checkpoint")
        (folder / ".jupyter-kube" / job.name / "checkpoints" / "end").touch()
        values = await asyncio.to_thread(job.result, 90)
        assert values["first"] > 0
        assert values["size"] == 2


@pytest.mark.alone
@pytest.mark.timeout(240)
async def test_two_jobs_that_want_more_gpus_than_there_are_both_end(
    target: Target, client: KubeClient
) -> None:
    if not target.real:
        pytest.skip("the local cluster has no GPUs")
    source = "import time\nfor step in range(20): time.sleep(0.2)\nsize = kube.world_size"

    def begin() -> Job:
        return submit(
            source,
            workers="1:4",
            name="greedy",
            gpus=1,
            outputs=("size",),
            settings=settings(target),
        )

    jobs = await asyncio.gather(*(asyncio.to_thread(begin) for _ in range(2)))
    sizes = await asyncio.gather(*(asyncio.to_thread(job.result, 200) for job in jobs))
    assert all(1 <= size <= 4 for size in sizes)
