"""Many pods that look like kernels' and run nothing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from jupyter_kube import naming
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient

PODS = 1000
KERNELS = naming.selector(component="kernel")
"""Selects the pods of kernels."""
_MINE = {"jupyter-kube-test": "many"}
_BESIDE = 20


def pod(node: str, image: str) -> dict[str, Any]:
    """Make the manifest of a kernel's pod that is no kernel, on a node that runs nothing."""
    name = f"{naming.KERNEL_PREFIX}{secrets.token_hex(8)}"
    labels = dict(pair.split("=") for pair in KERNELS.split(",")) | _MINE
    container = {
        "name": "kernel",
        "image": image,
        "env": [{"name": f"VARIABLE_{n}", "value": "x" * 100} for n in range(20)],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {
        "nodeName": node,
        "containers": [container],
        "securityContext": security,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
    }
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


@asynccontextmanager
async def many_pods(
    client: KubeClient, node: str, image: str, number: int = PODS
) -> AsyncIterator[list[str]]:
    """Make pods; gives their names."""
    turn = asyncio.Semaphore(_BESIDE)

    async def make() -> str:
        async with turn:
            made = await objects.create(client, objects.PODS, pod(node, image))
            return str(made["metadata"]["name"])

    async def remove(name: str) -> None:
        async with turn:
            await objects.delete(client, objects.PODS, name, grace=0)

    names: list[str] = []
    try:
        names += await asyncio.gather(*(make() for _ in range(number)))
        yield names
    finally:
        (mine,) = (f"{key}={value}" for key, value in _MINE.items())
        left = await objects.list_(client, objects.PODS, labels=mine)
        await asyncio.gather(*(remove(item["metadata"]["name"]) for item in left["items"]))
