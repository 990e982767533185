"""The node side of the local cluster without its API server: store, controllers and one node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jupyter_kube.localcluster.jobs import JobController
from jupyter_kube.localcluster.kubelet import Kubelet
from jupyter_kube.localcluster.quota import Quota
from jupyter_kube.localcluster.scheduler import Scheduler
from jupyter_kube.localcluster.store import (
    EVENT,
    JOB,
    NODE,
    POD,
    PV,
    PVC,
    QUOTA,
    ApiError,
    Store,
)

NAMESPACE = "default"
LONGEST = 40.0


def kubeconfig(namespace: str, account: str) -> dict[str, Any]:
    return {"users": [{"name": account, "user": {"token": f"token-of-{namespace}-{account}"}}]}


class NodeSide:
    """What tests use of it."""

    def __init__(self, root: Path, *, scale: float = 0.01, missing: tuple[str, ...] = ()) -> None:
        self.store = Store()
        self.root = root
        self.kubelet = Kubelet(
            self.store, "local", root, kubeconfig, images_missing=missing, backoff_scale=scale
        )
        self._parts = [
            Quota(self.store),
            Scheduler(self.store),
            JobController(self.store, backoff_scale=scale),
            self.kubelet,
        ]
        self._changed = asyncio.Event()

    async def start(self) -> None:
        for kind in (POD, JOB, QUOTA, PVC, PV, EVENT):
            self.store.subscribe(kind, lambda *_: self._changed.set())
        for part in self._parts:
            await part.start()

    async def stop(self) -> None:
        for part in reversed(self._parts):
            await part.stop()

    async def until(self, look: Callable[[], Any]) -> Any:
        """Wait until ``look()`` gives something true, looking after each change in the store."""
        async with asyncio.timeout(LONGEST):
            while not (seen := look()):
                self._changed.clear()
                await self._changed.wait()
        return seen

    def pod(self, name: str) -> dict[str, Any] | None:
        try:
            return self.store.get(POD, NAMESPACE, name)
        except ApiError:
            return None

    def status(self, name: str) -> dict[str, Any]:
        return (self.pod(name) or {}).get("status") or {}

    def container(self, name: str) -> dict[str, Any]:
        return next(iter(self.status(name).get("containerStatuses") or ()), {})

    def job_status(self, name: str) -> dict[str, Any]:
        return self.store.get(JOB, NAMESPACE, name).get("status") or {}

    def pods_of(self, job: str) -> list[dict[str, Any]]:
        pods = self.store.list(POD, NAMESPACE)
        return [pod for pod in pods if (pod["metadata"].get("labels") or {}).get("job-name") == job]

    def events(self, name: str) -> list[tuple[str, str]]:
        """Give the events about one object in the order they first came."""
        events = [
            event
            for event in self.store.list(EVENT, NAMESPACE)
            if event["involvedObject"]["name"] == name
        ]
        events.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [(event["reason"], event["message"]) for event in events]

    def log(self, pod: dict[str, Any], container: str = "main", restart: int = 0) -> str:
        path = self.kubelet.log_path(pod["metadata"]["uid"], container, restart)
        return "".join(line.split(" ", 3)[3] for line in path.read_text().splitlines(True))

    async def ended(self, name: str) -> str:
        """Wait for a pod's end and give its log."""
        await self.until(lambda: self.status(name).get("phase") in {"Succeeded", "Failed"})
        pod = self.pod(name)
        assert pod is not None
        return self.log(pod)

    async def running(self, name: str) -> dict[str, Any]:
        await self.until(lambda: "running" in self.container(name).get("state", {}))
        pod = self.pod(name)
        assert pod is not None
        return pod


@asynccontextmanager
async def node_side(root: Path, **options: Any) -> AsyncIterator[NodeSide]:
    side = NodeSide(root, **options)
    side.store.create(NODE, node())
    await side.start()
    try:
        yield side
    finally:
        await side.stop()


def node(name: str = "local", **spec: Any) -> dict[str, Any]:
    room = {"cpu": "8", "memory": "16Gi", "pods": "110", "nvidia.com/gpu": "4"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": spec,
        "status": {"capacity": room, "allocatable": room},
    }


def python_pod(
    name: str, code: str, *, container: dict[str, Any] | None = None, **spec: Any
) -> Any:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 30,
            "containers": [
                {
                    "name": "main",
                    "image": "python:3.11",
                    "command": ["python", "-S", "-c", code],
                    **(container or {}),
                }
            ],
            **spec,
        },
    }


def python_job(name: str, code: str, *, policy: str = "Never", pod: Any = None, **spec: Any) -> Any:
    template = python_pod("x", code, restartPolicy=policy, **(pod or {}))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {**spec, "template": {"spec": template["spec"]}},
    }


def gpus(count: int) -> dict[str, Any]:
    return {"resources": {"limits": {"nvidia.com/gpu": str(count)}}}


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((each for each in status.get("conditions") or () if each["type"] == kind), {})
