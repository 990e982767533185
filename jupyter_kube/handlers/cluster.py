"""The cluster: where it is, whether it answers, and what GPUs it has."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import KubeError, NotConfigured
from ..quantity import amount
from .base import KubeHandler, route

if TYPE_CHECKING:
    from ..kube.client import KubeClient

_PATIENCE = 5.0  # seconds for the API to answer, before it counts as out of reach


class ClusterHandler(KubeHandler):
    """``cluster``."""

    @route
    async def get(self) -> None:
        """Say how the cluster is; that it is out of reach is an answer, too."""
        try:
            async with self.client() as client:
                self.reply(await _seen(client, self.kube.gpu_resources()))
        except NotConfigured as error:
            self.reply({"state": "none", "message": str(error)})


async def _seen(client: KubeClient, resources: list[str]) -> dict[str, Any]:
    from ..kube import objects

    where = {
        "context": client.context,
        "namespace": client.namespace,
        "address": client.address,
    }
    try:
        async with asyncio.timeout(_PATIENCE):
            version, pods = await asyncio.gather(
                client.request("GET", "/version"), objects.every(client, objects.PODS)
            )
            nodes = await _nodes(client)
    except TimeoutError:
        words = f"{client.address} has not answered for {_PATIENCE:.0f} s"
        return {"state": "unreachable", "message": words, **where}
    except KubeError as error:
        return {"state": "unreachable", "message": str(error), **where}
    gpus = [gpu(resource, pods, nodes) for resource in resources]
    return {"state": "up", "version": version["gitVersion"], "gpus": gpus, **where}


async def _nodes(client: KubeClient) -> list[dict[str, Any]] | None:
    """List the nodes, if that is allowed."""
    from ..errors import AccessDenied
    from ..kube import objects

    try:
        return await objects.every(client, objects.NODES)
    except AccessDenied:
        return None


def gpu(
    resource: str, pods: Iterable[Mapping[str, Any]], nodes: Iterable[Mapping[str, Any]] | None
) -> dict[str, Any]:
    """Count devices of one kind, and who of the namespace has how many (pure).

    ``total`` is None where nodes may not be listed.
    """
    total = None
    if nodes is not None:
        total = sum(_number(n["status"].get("allocatable"), resource) for n in nodes)
    held: Counter[str] = Counter()
    for pod in pods:
        if pod["spec"].get("nodeName") and pod["status"].get("phase") in ("Pending", "Running"):
            held[pod["metadata"]["name"]] += count(pod, resource)
    holders = {name: number for name, number in sorted(held.items()) if number}
    return {"resource": resource, "total": total, "held": holders}


def count(pod: Mapping[str, Any], resource: str) -> int:
    """Count devices of one kind that a pod asks for (pure)."""
    limits = (each.get("resources", {}).get("limits") for each in pod["spec"]["containers"])
    return sum(_number(each, resource) for each in limits)


def _number(amounts: Mapping[str, Any] | None, resource: str) -> int:
    """Read how many devices there are: Kubernetes writes 1000 as ``1k``."""
    return int(amount(str((amounts or {}).get(resource, 0))))
