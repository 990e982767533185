"""What a server finds of its own in the cluster when it starts."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest

from jupyter_kube.config import KubeConfig
from jupyter_kube.kernels import podspec
from jupyter_kube.kernels.found import find
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.models import Profile

from .serving import NAMESPACE_NAME

LOG = logging.getLogger("tests")


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
    profile = Profile("python", image="python:3", node_selector={"no": "such-node"})
    manifest = podspec.pod(profile, "k-young", namespace=NAMESPACE_NAME, server="mine")
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
