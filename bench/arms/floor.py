"""The floor: a bare pod with ipykernel on fixed ports, reached by its address, with no server.

What Kubernetes and ipykernel take by themselves; nothing that runs kernels in pods of their own
and learns their address from the API can be faster.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient

from bench.measure import Taken, round_trips
from bench.place import Place
from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import NotFound
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient

RIGHTS = (
    ("", ("pods",), ("create", "delete", "list", "watch")),
    ("", ("secrets",), ("create",)),
)
_CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
_BOOT = (
    "import os; open('/tmp/c.json','w').write(os.environ['CONNECTION']);"
    "from ipykernel.kernelapp import launch_new_instance as run;"
    "run(argv=['-f','/tmp/c.json'])"
)


class Floor:
    """Starts bare pods."""

    name = "floor"

    def __init__(self, client: KubeClient, image: str) -> None:
        self._client, self._image = client, image

    async def life(self) -> Taken:
        """Measure the first reply of a new pod, and cells."""
        begun = time.perf_counter()
        async with self._kernel() as kernel:
            taken: Taken = {"start": (time.perf_counter() - begun) * 1000}
            taken["round trip"] = await round_trips(
                lambda code: kernel.execute(code, reply=True, timeout=60)
            )
        return taken

    async def start(self) -> Taken:
        """Measure the first reply of a new pod."""
        begun = time.perf_counter()
        async with self._kernel():
            return {"start": (time.perf_counter() - begun) * 1000}

    async def at_once(self, number: int) -> float:
        """Start some pods at the same time; returns when all have given a reply, in ms."""
        ready, done = asyncio.Barrier(number + 1), asyncio.Event()

        async def one() -> None:
            async with self._kernel():
                await ready.wait()
                await done.wait()

        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(number):
                group.create_task(one())
            await ready.wait()
            taken = (time.perf_counter() - begun) * 1000
            done.set()
        return taken

    @asynccontextmanager
    async def _kernel(self) -> AsyncIterator[AsyncKernelClient]:
        """Run a pod; yield its kernel's client once it has replied."""
        name = f"floor-{secrets.token_hex(4)}"
        connection = _connection()
        pod = await objects.create(self._client, objects.PODS, _pod(name, self._image))
        await objects.create(self._client, objects.SECRETS, _secret(pod, connection))
        try:
            address = await _address(self._client, name)
            kernel = AsyncKernelClient()
            kernel.load_connection_info(
                {**connection, "ip": address, "key": connection["key"].encode()}
            )
            kernel.start_channels(shell=True, iopub=False, stdin=False, hb=False, control=False)
            try:
                await kernel.execute("1+1", reply=True, timeout=60)
                yield kernel
            finally:
                kernel.stop_channels()
        finally:
            await objects.delete(self._client, objects.PODS, name, grace=0)


@asynccontextmanager
async def floor(place: Place) -> AsyncIterator[Floor]:
    """Connect to the cluster."""
    config = KubeConfig(kubeconfig=str(place.kubeconfig(Floor.name)), namespace=place.namespace)
    client = await KubeClient.connect(config)
    try:
        yield Floor(client, place.cluster.image)
    finally:
        await client.close()


async def _address(client: KubeClient, name: str) -> str:
    """Wait for a pod's address by a watch of its own."""
    query = {"fieldSelector": f"metadata.name={name}", "watch": "true"}
    path = objects.PODS.path(client.namespace)
    buffer = b""
    async with client.stream(path, query=query) as content:
        async for chunk in content:
            buffer += chunk
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                if address := json.loads(line)["object"].get("status", {}).get("podIP"):
                    return str(address)
    raise NotFound(f"pod {name} went away")


def _connection() -> dict[str, Any]:
    return {
        **{f"{channel}_port": 50000 + i for i, channel in enumerate(_CHANNELS)},
        "ip": "0.0.0.0",
        "key": secrets.token_hex(16),
        "transport": "tcp",
        "signature_scheme": "hmac-sha256",
        "kernel_name": "",
    }


def _pod(name: str, image: str) -> dict[str, Any]:
    secret = {"valueFrom": {"secretKeyRef": {"name": name, "key": "connection"}}}
    return {
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "kernel",
                    "image": image,
                    "command": ["python3", "-c", _BOOT],
                    "env": [{"name": "CONNECTION", **secret}, {"name": "HOME", "value": "/tmp"}],
                }
            ],
        },
    }


def _secret(pod: dict[str, Any], connection: dict[str, Any]) -> dict[str, Any]:
    name = pod["metadata"]["name"]
    return {
        "metadata": {"name": name, "ownerReferences": [objects.owner_reference(pod)]},
        "stringData": {"connection": json.dumps(connection)},
    }
