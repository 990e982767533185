"""What a server finds of its own in the cluster when it starts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import ClusterUnavailable
from jupyter_kube.kernels import found as founds
from jupyter_kube.kernels import podspec
from jupyter_kube.kernels.found import Found, find
from jupyter_kube.kernels.payload import launch_payload
from jupyter_kube.kernels.pod import KernelPod
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.models import Profile

from .serving import NAMESPACE_NAME

LOG = logging.getLogger("tests")
PROFILE = Profile("python", image="python:3", node_selector={"no": "such-node"})
KEYS: dict[str, Any] = {"key": "a key", "kernel_id": "k-found", "kernel_name": "kube-python"}


@pytest.mark.parametrize(("seconds", "left"), [(0, True), (120, False)])
async def test_a_pod_without_its_keys_is_left_alone_while_its_kernel_may_be_starting(
    seconds: float,
    left: bool,
    cluster: LocalCluster,
    kubeconfig: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = KubeConfig(kubeconfig=str(kubeconfig), namespace=NAMESPACE_NAME)
    client = await KubeClient.connect(config)
    manifest = podspec.pod(PROFILE, "k-young", namespace=NAMESPACE_NAME, server="mine")
    try:
        await objects.create(client, objects.PODS, manifest)
        later = client.now() + timedelta(seconds=seconds)
        monkeypatch.setattr(client, "now", lambda: later)
        assert await find(client, "mine", LOG) == []
        listed = await objects.list_(client, objects.PODS, labels="jupyter-kube/server=mine")
        assert bool(listed["items"]) is left
        await objects.delete(client, objects.PODS, manifest["metadata"]["name"])
    finally:
        await client.close()


@pytest.mark.parametrize("comes", [False, True])
async def test_a_young_pod_without_its_keys_goes_unless_they_come(
    comes: bool, cluster: LocalCluster, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(founds, "_YOUNG", 5.0)
    asleep, awake = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        assert 0 < seconds <= 5
        asleep.set()
        await awake.wait()

    config = KubeConfig(kubeconfig=str(kubeconfig), namespace=NAMESPACE_NAME)
    client = await KubeClient.connect(config)
    born = client.now()
    monkeypatch.setattr(client, "now", lambda: born)
    manifest = podspec.pod(PROFILE, "k-found", namespace=NAMESPACE_NAME, server="mine")
    pod = KernelPod(client, manifest, log=LOG)
    made = await pod.create()
    try:
        monkeypatch.setattr(founds, "_pause", sleep)
        assert await find(client, "mine", LOG) == []
        await asleep.wait()
        if comes:
            await pod.create_secret(made, launch_payload(**KEYS), "ann")
        looking = list(client._errands)
        awake.set()
        await asyncio.gather(*looking)
        assert bool(await listed(client)) is comes
    finally:
        await pod.delete()
        await client.close()


@asynccontextmanager
async def a_pod(kubeconfig: Path, **more: Any) -> AsyncIterator[tuple[KubeClient, KernelPod]]:
    """Make a pod with its Secret, which is deleted at the end."""
    config = KubeConfig(kubeconfig=str(kubeconfig), namespace=NAMESPACE_NAME)
    client = await KubeClient.connect(config)
    manifest = podspec.pod(PROFILE, "k-found", namespace=NAMESPACE_NAME, server="mine", **more)
    pod = KernelPod(client, manifest, log=LOG)
    try:
        await pod.create_secret(await pod.create(), launch_payload(**KEYS), "ann")
        yield client, pod
    finally:
        await pod.delete()
        await client.close()


async def listed(client: KubeClient) -> list[dict[str, Any]]:
    found = await objects.list_(client, objects.PODS, labels="jupyter-kube/server=mine")
    return [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]


async def test_a_warm_pod_that_is_claimed_at_this_moment_stays(
    cluster: LocalCluster, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_pod(kubeconfig, warm=True) as (client, pod):
        list_ = objects.list_

        async def slow_list(*args: Any, **kwargs: Any) -> Any:
            answer = await list_(*args, **kwargs)
            await pod.claim({})  # by the server that has it, between our look and our act
            return answer

        with monkeypatch.context() as patched:
            patched.setattr(objects, "list_", slow_list)
            assert await find(client, "mine", LOG) == []
        assert len(await listed(client)) == 1


async def test_a_warm_pod_that_nobody_has_used_is_removed(
    cluster: LocalCluster, kubeconfig: Path
) -> None:
    async with a_pod(kubeconfig, warm=True) as (client, _):
        assert await find(client, "mine", LOG) == []
        assert await listed(client) == []


async def test_a_warm_pod_of_this_server_stays(cluster: LocalCluster, kubeconfig: Path) -> None:
    async with a_pod(kubeconfig, warm=True) as (client, _):
        (pod,) = await listed(client)
        assert await find(client, "mine", LOG, lambda name: name == pod["metadata"]["name"]) == []
        assert len(await listed(client)) == 1


async def test_no_kernel_is_passed_over_since_its_keys_could_not_be_read_once(
    cluster: LocalCluster, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*args: Any, **kwargs: Any) -> Any:
        raise ClusterUnavailable("read Secret", "connection reset")

    async with a_pod(kubeconfig) as (client, _):
        with monkeypatch.context() as patched:
            patched.setattr(objects, "get", away)
            with pytest.raises(ClusterUnavailable):
                await find(client, "mine", LOG)
        (kernel,) = await find(client, "mine", LOG)
        assert kernel.kernel_id == "k-found"


@pytest.mark.parametrize(
    ("annotation", "kept"),
    [
        ('[{"id": "a", "path": "x.ipynb", "name": null, "type": "notebook"}]', 1),
        ('[{"id": "a", "path": 7, "name": "", "type": "notebook"}]', 0),
        ('[{"id": "a"}, 3]', 0),
        ("{", 0),
        ("3", 0),
    ],
)
def test_sessions_that_somebody_edited_are_left_out(annotation: str, kept: int) -> None:
    pod = {"metadata": {"annotations": {naming.SESSIONS: annotation}}}
    assert len(Found(pod, "", {}).sessions) == kept
