"""A cap on a user's kernels holds, however many servers start however many at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import AccessDenied, LimitReached
from jupyter_kube.kernels import podspec
from jupyter_kube.kernels.pod import KernelPod
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.localcluster.faults import Fault
from jupyter_kube.models import Profile

from .serving import NAMESPACE_NAME, POD, live

NOWHERE = {"no": "such-node"}  # pods that nobody runs: their states are this module's to say
PROFILE = Profile("small", image="python:3", node_selector=NOWHERE, max_per_user=3)


@asynccontextmanager
async def clients(kubeconfig: Path, number: int) -> AsyncIterator[Sequence[KubeClient]]:
    config = KubeConfig(kubeconfig=str(kubeconfig), namespace=NAMESPACE_NAME)
    opened = [await KubeClient.connect(config) for _ in range(number)]
    try:
        yield opened
    finally:
        for client in opened:
            await client.close()


def kernel(client: KubeClient, kernel_id: str, user: str = "ann", notebook: str = "") -> KernelPod:
    manifest = podspec.pod(
        PROFILE, kernel_id, namespace=NAMESPACE_NAME, user=user, notebook=notebook
    )
    log = logging.getLogger("tests")
    return KernelPod(client, manifest, most=PROFILE.max_per_user, log=log)


@contextmanager
def refusing_lists(cluster: LocalCluster) -> Iterator[None]:
    fault = Fault(r"/pods\?", "GET", times=None, status=403)
    cluster.call(cluster.faults.add, fault)
    try:
        yield
    finally:
        cluster.call(cluster.faults.lift, fault)


async def create(pod: KernelPod) -> bool:
    """Create as a start does: what is refused is deleted."""
    try:
        await pod.create()
    except LimitReached:
        await pod.delete()
        return False
    return True


@pytest.mark.parametrize("spread", [0.0, 0.003])
async def test_of_many_started_at_once_by_two_servers_as_many_stay_as_are_allowed(
    spread: float, cluster: LocalCluster, kubeconfig: Path
) -> None:
    async with clients(kubeconfig, 2) as servers:

        async def start(number: int) -> tuple[KernelPod, bool]:
            await asyncio.sleep(spread * number)
            pod = kernel(servers[number % 2], f"k-{number}")
            return pod, await create(pod)

        started = await asyncio.gather(*map(start, range(10)))
        assert [stays for _, stays in started].count(True) == PROFILE.max_per_user
        names = {pod.name for pod, stays in started if stays}
        assert {pod["metadata"]["name"] for pod in live(cluster, POD)} == names
        for pod, _ in started:
            await pod.delete()


async def test_the_refusal_names_the_profile_the_cap_and_the_users_kernels(
    cluster: LocalCluster, kubeconfig: Path
) -> None:
    async with clients(kubeconfig, 1) as (client,):
        pods = [kernel(client, f"k-{n}", notebook=f"{n}.ipynb") for n in range(3)]
        others = [kernel(client, "k-4", user="bob"), kernel(client, "k-5", user="cyd")]
        for pod in (*pods, *others):
            await pod.create()
        refused = kernel(client, "k-6")
        with pytest.raises(LimitReached) as caught:
            await refused.create()
        text = str(caught.value)
        assert text.startswith(
            'The profile "small" allows 3 kernels at once for each user: yours: '
        )
        for number, pod in enumerate(pods):
            assert f"{number}.ipynb ({pod.name})" in text
        assert others[0].name not in text
        await refused.delete()
        await pods[0].delete()
        again = kernel(client, "k-7")
        assert await create(again), "one that ends makes room"
        for pod in (*pods, *others, again):
            await pod.delete()


async def test_kernels_that_have_ended_do_not_count(
    cluster: LocalCluster, kubeconfig: Path
) -> None:
    async with clients(kubeconfig, 1) as (client,):
        pods = [kernel(client, f"k-{n}") for n in range(4)]
        for pod, phase in zip(pods, ("Succeeded", "Failed", "Pending", "Pending"), strict=True):
            assert await create(pod)
            cluster.call(
                lambda name=pod.name, phase=phase: cluster.store.mutate(
                    POD,
                    NAMESPACE_NAME,
                    name,
                    lambda found: found["status"].update(phase=phase),
                    subresource="status",
                )
            )
        for pod in pods:
            await pod.delete()


async def test_warm_pods_count_once_they_are_claimed(
    cluster: LocalCluster, kubeconfig: Path
) -> None:
    async with clients(kubeconfig, 2) as servers:

        def warm(number: int) -> KernelPod:
            manifest = podspec.pod(
                PROFILE, f"w-{number}", namespace=NAMESPACE_NAME, user="ann", server="s", warm=True
            )
            log = logging.getLogger("tests")
            return KernelPod(servers[number % 2], manifest, most=3, log=log)

        async def claim(pod: KernelPod) -> bool:
            try:
                await pod.claim({})
            except LimitReached:
                await pod.delete()
                return False
            return True

        pool = [warm(number) for number in range(5)]
        assert all([await create(pod) for pod in pool]), "nobody has them yet"
        cold = [kernel(servers[number % 2], f"k-{number}") for number in range(4)]
        got = await asyncio.gather(*map(claim, pool), *map(create, cold))
        assert got.count(True) == 3
        assert len(live(cluster, POD)) == 3
        for pod in (*pool, *cold):
            await pod.delete()


async def test_a_profile_without_a_cap_asks_nothing(
    cluster: LocalCluster, kubeconfig: Path
) -> None:
    async with clients(kubeconfig, 1) as (client,):
        with refusing_lists(cluster):
            manifest = podspec.pod(Profile("free", image="python:3"), "k", namespace=NAMESPACE_NAME)
            pod = KernelPod(client, manifest, log=logging.getLogger("tests"))
            await pod.create()
        await pod.delete()


async def test_a_list_that_fails_fails_the_start(cluster: LocalCluster, kubeconfig: Path) -> None:
    async with clients(kubeconfig, 1) as (client,):
        pod = kernel(client, "k")
        with refusing_lists(cluster), pytest.raises(AccessDenied):
            await pod.create()
        await pod.delete()
