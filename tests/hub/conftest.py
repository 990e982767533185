"""What the tests in a cluster share: a prepared namespace, an image of a server, its settings."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.config import KubeConfig
from jupyter_kube.kube import objects, rbac
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector
from jupyter_kube.session import JupyterServer, KernelSocket
from tests.cluster import Cluster, images
from tests.cluster.errors import ClusterFailed
from tests.cluster.fixture import real_cluster  # noqa: F401 - a fixture
from tests.hub.chart import DEPLOY
from tests.kubectl import Done, Kubectl

SETTINGS = "jupyter-kube"
"""The ConfigMap with the servers' settings."""


@dataclass(frozen=True)
class Site:
    """A cluster as the platform engineer set it up, and the image of the users' servers."""

    cluster: Cluster
    server_image: str

    def prepare(self, namespace: str, **profiles: Mapping[str, Any]) -> None:
        """Apply what is shipped, as it is, then put other profiles into the settings."""
        self.cluster.kubectl("apply", "-n", namespace, "-k", str(DEPLOY))
        settings = json.dumps({"KubeConfig": {"profiles": profiles}})
        patch = json.dumps({"data": {"jupyter_kube_config.json": settings}})
        where = ["-n", namespace, "configmap", SETTINGS]
        self.cluster.kubectl("patch", *where, "--type=merge", "-p", patch)

    @property
    def base(self) -> dict[str, Any]:
        """The profile of a small kernel that may submit jobs."""
        size = {"cpu": "100m", "memory": "512Mi"}
        return {"image": self.cluster.image, "service_account": rbac.NAME, **size}

    @asynccontextmanager
    async def watch(self, namespace: str, **labels: str) -> AsyncIterator[Pods]:
        """Watch pods with the administrator's eyes; ours unless `labels` say which."""
        config = KubeConfig(kubeconfig=str(self.cluster.kubeconfig), namespace=namespace)
        client = await KubeClient.connect(config)
        chosen = ",".join(f"{key}={value}" for key, value in labels.items())
        reflector = Reflector(client, objects.PODS, labels=chosen or naming.SELECTOR)
        await reflector.start()
        await reflector.synced()
        try:
            yield Pods(reflector)
        finally:
            await reflector.close()
            await client.close()

    def warnings(self, namespace: str, pod: str) -> str:
        """Return what the API server warns of when a pod like this one is created."""
        found = json.loads(self.cluster.kubectl("get", "pod", "-n", namespace, pod, "-o", "json"))
        metadata = {key: found["metadata"].get(key, {}) for key in ("labels", "annotations")}
        again = {**found, "metadata": {**metadata, "name": f"{pod}-again"}, "status": {}}
        again["spec"].pop("nodeName")
        return self.dry_run(namespace, again)

    def dry_run(self, namespace: str, body: Mapping[str, Any]) -> str:
        """Have the API server create an object without keeping it; return its warnings."""
        create = ["create", "-n", namespace, "--dry-run=server", "-f", "-"]
        return self.kubectl(*create, stdin=json.dumps(body)).err

    def kubectl(self, *arguments: str, stdin: str = "") -> Done:
        """Run a command that must succeed; its errors hold what the API server warns of.

        Raises
        ------
        ClusterFailed
            With kubectl's words.

        """
        done = Kubectl(self.cluster.kubeconfig, Path("/nonexistent")).run(*arguments, stdin=stdin)
        if done.code:
            raise ClusterFailed(f"kubectl {' '.join(arguments)}: {done.err}")
        return done


@dataclass(frozen=True)
class Pods:
    """Pods as a watch sees them."""

    reflector: Reflector

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.reflector.items[name]

    def __contains__(self, name: str) -> bool:
        return name in self.reflector.items

    async def phase(self, name: str, wanted: str, seconds: float = 60) -> None:
        """Wait until a pod is in this phase."""

        def reached(pod: dict[str, Any] | None) -> bool | None:
            return (pod is not None and pod["status"].get("phase") == wanted) or None

        await self.reflector.wait_for(name, reached, seconds)

    async def gone(self, name: str, seconds: float = 60) -> None:
        """Wait until there is no such pod."""
        await self.reflector.wait_for(name, lambda pod: pod is None or None, seconds)


@pytest.fixture(scope="session")
def site(real_cluster: Cluster) -> Site:  # noqa: F811 - the fixture
    """The cluster, with an image of a server; made here where the cluster is this machine's."""
    given = os.environ.get("JUPYTER_KUBE_TEST_SERVER_IMAGE")
    if not given and not real_cluster.processes:
        pytest.skip("JUPYTER_KUBE_TEST_SERVER_IMAGE names no image with jupyterhub and ourselves")
    return Site(real_cluster, given or images.load_server())


@pytest.fixture
def namespace(site: Site) -> Iterator[str]:
    """A namespace, empty but for its service account."""
    with site.cluster.namespace("jk-hub") as name:
        yield name


async def start(server: JupyterServer, profile: str) -> tuple[str, KernelSocket]:
    """Start a kernel and open its websocket."""
    model = await server.start_kernel(f"kube-{profile}")
    return model["id"], await server.connect(model["id"])


async def value(socket: KernelSocket, code: str) -> str:
    """Return what an expression prints."""
    reply = await socket.run(f"print({code})", 60)
    assert reply.status == "ok", reply.content
    return reply.text.strip()


async def kernels(server: JupyterServer) -> list[str]:
    """List the ids of a server's kernels."""
    return sorted(model["id"] for model in await server.request("GET", "api/kernels"))


async def attached(server: JupyterServer, kernel: str, seconds: float = 30) -> None:
    """Wait until a new server has found a kernel."""
    async with asyncio.timeout(seconds):
        while kernel not in await kernels(server):
            await asyncio.sleep(0.1)
