"""Kernels of jupyter-kube, by each way to a pod."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.arms.arm import UNLIMITED, Arm
from bench.place import Place
from jupyter_kube.kube.rbac import RULES
from jupyter_kube.session import running_server

WAYS = ("auto", "pod-ip", "port-forward")
"""The values of ``KubeProvisioner.reach``, which are the arms' names."""
RIGHTS = RULES
"""Nothing but what the shipped Role allows."""


@asynccontextmanager
async def ours(place: Place, way: str, folder: Path) -> AsyncIterator[Arm]:
    """Run a server with our extension that reaches pods by `way`."""
    async with running_server(folder, settings(place, way)) as server:
        yield Arm(way, server, {"name": "kube-python"})


def settings(place: Place, way: str) -> dict[str, Any]:
    """Build the configuration of a server that acts as the account `way`."""
    return {
        "ServerApp": {"jpserver_extensions": {"jupyter_kube": True}},
        "KubeConfig": {
            "kubeconfig": str(place.kubeconfig(way)),
            "namespace": place.namespace,
            "profiles": {"python": {"image": place.cluster.image, "cpu": "100m"}},
        },
        "KubeProvisioner": {"reach": way},
        "ZMQChannelsWebsocketConnection": UNLIMITED,
    }
