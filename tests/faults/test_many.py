"""Many kernels at once, many pods beside them, and a kernel that does nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector
from tests.cluster import Cluster
from tests.cluster.kwok import fake_node
from tests.conformance.conftest import Target
from tests.conformance.test_kernels import end, start, value

from .pods import KERNELS, PODS, many_pods
from .proxy import FaultProxy
from .serving import gone, serving

AT_ONCE = 20
_FEWER = 200  # pods on the local cluster, whose server is in Python, too
QUIET = 10.0
"""Seconds for which an idle kernel is listened to."""


@pytest.mark.alone
@pytest.mark.timeout(300)
async def test_twenty_kernels_asked_for_at_once_all_come_up(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    if not target.real:
        pytest.skip("twenty pods of the local cluster are twenty processes of this machine's user")
    async with serving(target, target.kubeconfig, tmp_path, memory="128Mi") as server:
        kernels = await asyncio.gather(*(start(server) for _ in range(AT_ONCE)))
        code = "__import__('os').environ['HOSTNAME']"
        hosts = await asyncio.gather(*(value(socket, code) for _, socket in kernels))
        assert sorted(hosts) == sorted(naming.kernel_name(kernel) for kernel, _ in kernels)
        await asyncio.gather(*(end(server, kernel, socket) for kernel, socket in kernels))
    await gone(client)


async def _all_are_seen(target: Target, client: KubeClient, node: str, folder: Path) -> None:
    """Assert that a list and a watch see many pods, and that a kernel beside them works."""
    number = PODS if target.real else _FEWER
    watching = Reflector(client, objects.PODS, labels=KERNELS)
    await watching.start()
    await watching.synced()
    async with many_pods(client, node, target.image, number) as names:
        for name in names:
            await watching.wait_for(name, lambda item: item is not None, 60)
        listing = Reflector(client, objects.PODS, labels=KERNELS)
        await listing.start()
        await listing.synced()
        assert listing.items.keys() == watching.items.keys() == set(names)
        if target.real:
            for name in names:
                await listing.wait_for(name, _runs, 120)
        async with serving(target, target.kubeconfig, folder) as server:
            kernel, socket = await start(server)
            assert await value(socket, "1") == "1"
            await end(server, kernel, socket)
        await listing.close()
    for name in list(watching.items):
        await watching.wait_for(name, lambda item: item is None, 120)
    await watching.close()


def _runs(item: dict[str, Any] | None) -> bool:
    return item is not None and item["status"].get("phase") == "Running"


@pytest.mark.alone
@pytest.mark.timeout(300)
async def test_many_pods_are_all_seen(
    target: Target, client: KubeClient, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not target.real:
        await _all_are_seen(target, client, "nobody", tmp_path)
        return
    cluster: Cluster = request.getfixturevalue("real_cluster")
    with fake_node(cluster, tmp_path) as node:
        await _all_are_seen(target, client, node, tmp_path)


@pytest.mark.parametrize("reach", ["auto", "port-forward"])
async def test_an_idle_kernel_asks_the_api_server_for_nothing(
    reach: str, target: Target, proxy: FaultProxy, client: KubeClient, tmp_path: Path
) -> None:
    async with serving(target, proxy.kubeconfig(), tmp_path, reach) as server:
        kernel, socket = await start(server)
        assert await value(socket, "1") == "1"
        while proxy.called.is_set():  # what a start leaves to do is done
            proxy.called.clear()
            await asyncio.sleep(1)
        before = len(proxy.seen)
        await asyncio.sleep(QUIET)
        assert proxy.seen[before:] == []
        await end(server, kernel, socket)
    await gone(client)
