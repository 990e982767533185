"""Objects that somebody's finalizer holds: they are as good as gone, and hold nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jupyter_kube import naming
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.train import submit
from tests.conformance.conftest import Target
from tests.conformance.test_elastic import settings
from tests.conformance.test_kernels import end, start, value

from .serving import gone, serving

FINALIZER = "example.com/accounting"


@asynccontextmanager
async def held(client: KubeClient, resource: objects.Resource, name: str) -> AsyncIterator[None]:
    """Hold an object as an operator does that has to see it before it goes."""
    own = (await objects.get(client, resource, name))["metadata"].get("finalizers", [])
    await objects.patch(client, resource, name, {"metadata": {"finalizers": [*own, FINALIZER]}})
    try:
        yield
        left = (await objects.get(client, resource, name))["metadata"]
        assert left["deletionTimestamp"], "it was not deleted"
        assert FINALIZER in left["finalizers"], "it is not ours to take"
    finally:
        await objects.patch(client, resource, name, {"metadata": {"finalizers": None}})


@pytest.mark.timeout(180)
async def test_f30_a_kernel_whose_pod_is_held_is_gone_for_its_user(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    (tmp_path / "next").mkdir()
    async with serving(target, target.kubeconfig, tmp_path) as server:
        kernel, socket = await start(server)
        assert await value(socket, "1") == "1"
        async with held(client, objects.PODS, naming.kernel_name(kernel)):
            async with asyncio.timeout(60):
                await end(server, kernel, socket)
                assert await server.request("GET", "api/kernels") == []
                other, beside = await start(server)
                assert await value(beside, "2") == "2"
                await end(server, other, beside)
            async with serving(target, target.kubeconfig, tmp_path / "next") as following:
                assert await following.request("GET", "api/kernels") == []
    await gone(client)


@pytest.mark.timeout(180)
async def test_f30_a_job_that_is_held_is_stopped_for_its_user(
    target: Target, client: KubeClient
) -> None:
    source = "import time\nprint('begun', flush=True)\ntime.sleep(600)"
    job = await asyncio.to_thread(submit, source, workers=1, name="held", settings=settings(target))
    async with held(client, objects.JOBS, job.name):
        async with asyncio.timeout(60):
            await asyncio.to_thread(job.cancel)
            assert (await asyncio.to_thread(lambda: job.status)).phase == "stopped"
            again = await asyncio.to_thread(
                submit, "x = 1", workers=1, outputs=("x",), settings=settings(target)
            )
            assert await asyncio.to_thread(again.result, 60) == 1
            await asyncio.to_thread(again.cancel)
