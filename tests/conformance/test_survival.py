"""What survives of a job: the table of docs/users/training.md, row by row."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from jupyter_kube import naming, train
from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import JobFailed, NotFound, RemoteError
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector
from jupyter_kube.train.feed import BEGINNING_LOST
from jupyter_kube.train.view import job_view, ranks_of
from tests.cluster.cluster import Cluster

from .conftest import Target

GOOD = """
for step in range(3):
    kube.report(step=step, loss=3 - step)
print("I am", kube.rank)
x = 40 + kube.world_size
"""
BAD = """
import time
if kube.rank == 1: raise ValueError("no such digit")
time.sleep(600)
"""
SERIES = [(rank, step, 3 - step) for rank in (0, 1) for step in (0, 1, 2)]
LINES = [(0, "I am 0"), (1, "I am 1")]


@pytest.fixture
def settings(target: Target) -> KubeConfig:
    return KubeConfig(**target.settings())


@pytest.fixture(autouse=True)
def _nothing_stays(target: Target) -> Iterator[None]:
    yield
    on_cluster(target, lambda c: objects.delete_all(c, objects.JOBS, naming.SELECTOR))


def on_cluster(target: Target, work: Any) -> Any:
    """Do something with a client of its own."""

    async def run() -> Any:
        client: KubeClient = await target.connect()
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(run())


def remove_pod(target: Target, job: str, rank: int) -> None:
    async def work(client: KubeClient) -> None:
        pods = Reflector(client, objects.PODS, labels=naming.selector(job=job))
        await pods.start()
        await pods.synced()
        for name, pod in list(pods.items.items()):
            if rank in ranks_of(pod):
                await objects.delete(client, objects.PODS, name)
                await pods.wait_for(name, lambda item: item is None or None, 30)
        await pods.close()

    on_cluster(target, work)


def lines(job: train.Job) -> list[tuple[int, str]]:
    return [(line.rank, line.text) for line in job.logs()]


def series(job: train.Job) -> list[tuple[int, int, float]]:
    table = job.reports()
    rows = table if isinstance(table, list) else table.to_dict("records")
    return [(row["rank"], row["step"], row["loss"]) for row in rows]


def ended(target: Target, settings: KubeConfig, source: str, **options: Any) -> train.Job:
    """Run a job to its end, and come back as somebody who has not followed it."""
    job = train.submit(source, workers=2, framework="python", settings=settings, **options)
    job.follow().result(100)

    async def told(client: KubeClient) -> None:
        """Kubernetes is told of the end after those who follow."""
        jobs = Reflector(client, objects.JOBS, labels=naming.selector(job=job.name))
        await jobs.start()
        await jobs.synced()
        await jobs.wait_for(
            job.name, lambda item: item is None or job_view(item).finished or None, 30
        )
        await jobs.close()

    on_cluster(target, told)
    return train.attach(job.name, settings=settings)


SUBMIT = """
import os, sys
from jupyter_kube import train
from jupyter_kube.config import KubeConfig
kubeconfig, namespace, profile, source = sys.argv[1:]
settings = KubeConfig(kubeconfig=kubeconfig, namespace=namespace, profiles=eval(profile))
print(train.submit(source, workers=2, outputs=["x"], settings=settings).name, flush=True)
os.kill(os.getpid(), 9)
"""


def test_kernel_gone(target: Target, settings: KubeConfig) -> None:
    options = target.settings()
    gone = subprocess.run(
        [
            *(sys.executable, "-c", SUBMIT, options["kubeconfig"], options["namespace"]),
            *(repr(options["profiles"]), GOOD),
        ],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert gone.returncode == -9
    job = train.attach(gone.stdout.strip(), settings=settings)
    assert job.result(100) == 42
    assert lines(job) == LINES
    assert series(job) == SERIES


def test_pods_ended_and_then_removed(target: Target, settings: KubeConfig) -> None:
    job = ended(target, settings, GOOD, outputs=["x"])
    assert lines(job) == LINES
    assert series(job) == SERIES
    assert job.result(60) == 42

    remove_pod(target, job.name, 1)
    again = train.attach(job.name, settings=settings)
    assert lines(again) == [LINES[0], (1, "(its lines are gone with its pod)")]
    assert series(again) == SERIES[:3]
    assert again.result(60) == 42

    remove_pod(target, job.name, 0)
    again = train.attach(job.name, settings=settings)
    with pytest.raises(NotFound, match="has no pods, so no lines"):
        again.logs()
    assert series(again) == []
    with pytest.raises(JobFailed, match="the pod of rank 0 was removed"):
        again.result(60)
    assert job.result() == 42  # who has it keeps it
    assert series(job) == SERIES


def test_exception_after_the_pods_end_and_without_them(
    target: Target, settings: KubeConfig
) -> None:
    job = ended(target, settings, BAD)
    with pytest.raises(RemoteError, match="no such digit") as caught:
        job.result(60)
    assert caught.value.rank == 1
    assert 'raise ValueError("no such digit")' in caught.value.traceback

    for rank in (0, 1):
        remove_pod(target, job.name, rank)  # Kubernetes has removed what still ran by itself
    with pytest.raises(JobFailed, match=f"{job.name} failed: the pods that could say why"):
        train.attach(job.name, settings=settings).result(60)


@pytest.mark.parametrize("guilty", ["kube.rank == 0", "True"])
def test_exception_though_the_pod_that_raised_it_was_removed(
    target: Target, settings: KubeConfig, guilty: str
) -> None:
    """Rank 0's pod ends last, and Kubernetes removes what runs when it sees another one's end."""
    source = f"import time\nif {guilty}: raise ValueError('no such digit')\ntime.sleep(600)"
    with pytest.raises(RemoteError, match="no such digit") as caught:
        ended(target, settings, source).result(60)
    assert "raise ValueError('no such digit')" in caught.value.traceback


def test_job_gone(target: Target, settings: KubeConfig) -> None:
    job = train.submit(GOOD, workers=2, outputs=["x"], keep=1, settings=settings)
    assert job.result(100) == 42

    async def gone(client: KubeClient) -> None:
        jobs = Reflector(client, objects.JOBS, labels=naming.selector(job=job.name))
        await jobs.start()
        await jobs.synced()
        await jobs.wait_for(job.name, lambda item: item is None or None, 30)
        await jobs.close()

    on_cluster(target, gone)
    with pytest.raises(NotFound, match="there is no job"):
        train.attach(job.name, settings=settings)
    with pytest.raises(NotFound):
        job.logs()


LONG = """
import os, time
for step in range(400):
    time.sleep(0.005)
    kube.report(step=step, loss=400 - step)
for number in range(12 * 1024):
    print(f"{number:1023}")
print("written", flush=True)
while not os.path.exists("/tmp/rotated"):
    time.sleep(0.2)
x = 42
print("the last line")
"""


REAL_ONLY = pytest.param("real", marks=pytest.mark.cluster)


@pytest.mark.parametrize("target", [REAL_ONLY], indirect=True)
def test_f27_log_rotated(real_cluster: Cluster, target: Target, settings: KubeConfig) -> None:
    """A kubelet rotates a log of more than 10 MiB within ten seconds."""
    job = train.submit(LONG, workers=1, framework="python", outputs=["x"], settings=settings)
    following = job.follow()
    deadline = time.monotonic() + 90
    while not any(line.text == "written" for line in job.feed.take().lines):
        assert time.monotonic() < deadline
        job.feed.wait(1)
    pod, here = job.feed.view.ranks[0].state.name, ("-n", target.namespace)
    while real_cluster.kubectl("logs", pod, "--limit-bytes=50", *here):
        assert time.monotonic() < deadline
        job.feed.wait(0.5)
    go = ("--", "python3", "-c", "open('/tmp/rotated', 'w')")
    real_cluster.kubectl("exec", pod, *here, *go)
    assert following.result(60).error is None
    assert [r.step for r in job.feed.reports] == list(range(400))  # it was followed all along

    late = train.attach(job.name, settings=settings)
    assert late.result(60) == 42
    assert lines(late) == [(0, BEGINNING_LOST), (0, "the last line")]
    with pytest.warns(UserWarning, match="of 400 reports are missing"):
        kept = series(late)
    assert len(kept) >= 100
    assert kept[-1] == (0, 399, 1)
