"""A Jupyter Server with our extension, on a local cluster that lives as long as a test module."""

from __future__ import annotations

import asyncio
import gc
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.localcluster.store import NAMESPACE, POD, QUOTA, SECRET
from jupyter_kube.session import KernelSocket, hang_up

NAMESPACE_NAME = "tests"
_BASE = {"image": "python:3", "cpu": "100m", "memory": "512Mi"}
PROFILES: dict[str, dict[str, Any]] = {
    "python": _BASE,
    "gpu": {**_BASE, "gpus": 1},
    "idle": {**_BASE, "idle_timeout": "2h"},
    "four-gpus": {**_BASE, "gpus": 4},
    "impossible": {**_BASE, "gpus": 99},
    "bad": {**_BASE, "image": "localhost/missing:1"},
    "forbidden": {**_BASE, "service_account": "nobody"},
    "hasty": {**_BASE, "gpus": 99, "start_timeout": 1.0},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A local cluster with a namespace that enforces Pod Security restricted."""
    with LocalCluster(backoff_scale=0.05).run_in_thread() as running:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        body = {"metadata": {"name": NAMESPACE_NAME, "labels": labels}}
        running.call(running.store.create, NAMESPACE, body)
        yield running


@pytest.fixture
def kubeconfig(cluster: LocalCluster, tmp_path: Path) -> Iterator[Path]:
    """Credentials of the cluster; afterwards nothing of ours may be left in it."""
    path = tmp_path / "kubeconfig"
    cluster.write_kubeconfig(path)
    yield path
    left = [obj for kind in (POD, SECRET) for obj in live(cluster, kind)]
    assert left == []


def ours(cluster: LocalCluster, kind: Any) -> list[dict[str, Any]]:
    """List our objects of a kind."""
    objects: list[dict[str, Any]] = cluster.call(
        lambda: cluster.store.list(kind, NAMESPACE_NAME, label_selector=naming.SELECTOR)
    )
    return objects


def live(cluster: LocalCluster, kind: Any) -> list[dict[str, Any]]:
    """List our objects of a kind that are not being deleted."""
    return [obj for obj in ours(cluster, kind) if not ending(obj)]


def ending(obj: dict[str, Any]) -> bool:
    """Return whether an object is being deleted."""
    return "deletionTimestamp" in obj["metadata"]


def settings(kubeconfig: Path, **more: Any) -> dict[str, Any]:
    """Build a server's configuration."""
    return {
        "ServerApp": {"jpserver_extensions": {"jupyter_kube": True}},
        "KubeConfig": {
            "kubeconfig": str(kubeconfig),
            "namespace": NAMESPACE_NAME,
            "profiles": PROFILES,
        },
        "KubeMappingKernelManager": {"keep_kernels": False},
        **more,
    }


@pytest.fixture
def jp_server_config(kubeconfig: Path) -> dict[str, Any]:
    """Have pytest-jupyter's server use our extension."""
    return settings(kubeconfig)


class Server:
    """What tests do with a server."""

    def __init__(self, fetch: Any, ws_fetch: Any, app: Any) -> None:
        self._fetch, self._ws_fetch, self.app = fetch, ws_fetch, app
        self._sockets: list[Any] = []

    async def call(self, method: str, *path: str, body: str | None = None) -> Any:
        """Ask the REST API; returns the decoded answer."""
        if method == "POST":
            body = body or "{}"
        answer = await self._fetch(*path, method=method, body=body)
        return json.loads(answer.body) if answer.body else None

    async def start(self, name: str = "kube-python") -> dict[str, Any]:
        """Start a kernel; returns its model."""
        model: dict[str, Any] = await self.call(
            "POST", "api", "kernels", body=json.dumps({"name": name})
        )
        return model

    async def connect(self, kernel_id: str, session: str = "") -> KernelSocket:
        """Open a kernel's websocket, as a front end's session where one is named."""
        session = session or uuid.uuid4().hex
        websocket = await self._ws_fetch(
            "api", "kernels", kernel_id, "channels", params={"session_id": session}
        )
        websocket.stream.set_nodelay(True)
        socket = KernelSocket(websocket, session)
        self.adopt(websocket)
        return socket

    def adopt(self, websocket: Any) -> None:
        """Close a websocket at the end."""
        self._sockets.append(websocket)

    async def delete(self, kernel_id: str) -> None:
        """End a kernel."""
        await self.call("DELETE", "api", "kernels", kernel_id)

    def manager(self, kernel_id: str) -> Any:
        """Return the kernel's manager object."""
        return self.app.kernel_manager.get_kernel(kernel_id)

    def close(self) -> None:
        """Close the websockets."""
        for socket in self._sockets:
            hang_up(socket)


@pytest.fixture
def server(
    jp_serverapp: Any, jp_fetch: Any, jp_ws_fetch: Any, jp_asyncio_loop: asyncio.AbstractEventLoop
) -> Iterator[Server]:
    """A server on the local cluster; its kernels are ended with it."""
    running = Server(jp_fetch, jp_ws_fetch, jp_serverapp)
    yield running
    running.close()
    jp_asyncio_loop.run_until_complete(jp_serverapp.kernel_manager.shutdown_all())
    gc.collect()  # what was left open is found now, not in some later test


__all__ = ["POD", "QUOTA", "SECRET", "Server", "cluster", "kubeconfig", "server"]
