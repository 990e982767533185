"""One suite, two clusters: each test runs on the local cluster and on a real Kubernetes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.config import KubeConfig
from jupyter_kube.kube import objects, rbac
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector
from tests.cluster import Cluster
from tests.cluster.fixture import real_cluster  # noqa: F401 - a fixture


@dataclass(frozen=True)
class Target:
    """One cluster to be tested, and what a profile needs there."""

    name: str
    kubeconfig: Path
    image: str
    namespace: str
    profile: dict[str, Any] = field(default_factory=dict)
    """Profile with the frameworks and a service account that may submit jobs."""

    @property
    def real(self) -> bool:
        return self.name == "real"

    def settings(self, **profiles: dict[str, Any]) -> dict[str, Any]:
        """Settings of a server or a client: the given profiles, else the one that can train."""
        return {
            "kubeconfig": str(self.kubeconfig),
            "namespace": self.namespace,
            "profiles": profiles or {"python": self.profile},
        }

    def connect(self) -> Any:
        """Open a client (awaitable)."""
        return KubeClient.connect(
            KubeConfig(kubeconfig=str(self.kubeconfig), namespace=self.namespace)
        )


@pytest.fixture(scope="session")
def local_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    from jupyter_kube.localcluster import LocalCluster

    path = tmp_path_factory.mktemp("local") / "kubeconfig"
    with LocalCluster(backoff_scale=0.05).run_in_thread() as cluster:
        cluster.write_kubeconfig(path)
        target = Target("local", path, "python:3", _namespace(), _profile("python:3"))
        _prepare(target)
        yield target
        _assert_empty(target)


@pytest.fixture(scope="session")
def real_target(real_cluster: Cluster) -> Iterator[Target]:  # noqa: F811 - the fixture
    profile = _profile(real_cluster.image)
    with real_cluster.namespace("jk-test") as namespace:
        if real_cluster.frameworks_claim:
            real_cluster.offer_frameworks(namespace)
            claim = {"claimName": real_cluster.frameworks_claim, "readOnly": True}
            mount = {"name": "frameworks", "mountPath": "/opt/frameworks", "readOnly": True}
            profile |= {
                "volumes": [{"name": "frameworks", "persistentVolumeClaim": claim}],
                "volume_mounts": [mount],
            }
        target = Target("real", real_cluster.kubeconfig, real_cluster.image, namespace, profile)
        _prepare(target)
        yield target
        _assert_empty(target)


@pytest.fixture(params=["local", pytest.param("real", marks=pytest.mark.cluster)])
def target(request: pytest.FixtureRequest) -> Target:
    """Each cluster in turn."""
    name = "local_cluster" if request.param == "local" else "real_target"
    return request.getfixturevalue(name)


@pytest.fixture
def client(target: Target, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[KubeClient]:
    """A client of the cluster."""
    opened = jp_asyncio_loop.run_until_complete(target.connect())
    yield opened
    jp_asyncio_loop.run_until_complete(opened.close())


@pytest.fixture
def pods(client: KubeClient, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Reflector]:
    """Our pods, watched; at the end there must be none."""
    reflector = Reflector(client, objects.PODS, labels=naming.SELECTOR)
    jp_asyncio_loop.run_until_complete(reflector.start())
    jp_asyncio_loop.run_until_complete(reflector.synced())
    yield reflector
    for name in list(reflector.items):
        jp_asyncio_loop.run_until_complete(
            reflector.wait_for(name, lambda pod: pod is None or None, 30)
        )
    jp_asyncio_loop.run_until_complete(reflector.close())


def _namespace() -> str:
    return f"jk-test-{secrets.token_hex(3)}"


def _profile(image: str) -> dict[str, Any]:
    return {"image": image, "cpu": "100m", "memory": "1Gi", "service_account": rbac.NAME}


def _prepare(target: Target) -> None:
    """Make the namespace, with Pod Security restricted, and the service account in it."""

    async def work() -> None:
        client = await target.connect()
        try:
            if target.name == "local":
                labels = {"pod-security.kubernetes.io/enforce": "restricted"}
                body = {"metadata": {"name": target.namespace, "labels": labels}}
                await objects.create(client, objects.NAMESPACES, body)
            for manifest in rbac.manifests(target.namespace):
                resource = objects.by_kind(manifest["apiVersion"], manifest["kind"])
                await objects.create(client, resource, manifest)
        finally:
            await client.close()

    asyncio.run(work())


def _assert_empty(target: Target) -> None:
    """Assert that no object of ours is left; objects on their way out are waited for."""

    async def work() -> None:
        client = await target.connect()
        try:
            for resource in (objects.JOBS, objects.PODS, objects.SERVICES):
                reflector = Reflector(client, resource, labels=naming.SELECTOR)
                await reflector.start()
                try:
                    await reflector.synced()
                    for name in list(reflector.items):
                        await reflector.wait_for(name, lambda item: item is None or None, 30)
                finally:
                    await reflector.close()
            secrets_ = await objects.list_(client, objects.SECRETS, labels=naming.SELECTOR)
            assert secrets_["items"] == []
        finally:
            await client.close()

    asyncio.run(work())
