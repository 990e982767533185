"""A node that runs nothing, with kwok: any number of pods that the API server calls running."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster import build
from tests.cluster.cluster import Cluster
from tests.cluster.layout import HOST, SOURCES
from tests.cluster.process import start, stop

MARK = "kwok.x-k8s.io/node"
"""Label of such a node, with its name; and the taint that keeps others' pods away."""
_CIDR = "198.18.0.0/15"  # for benchmarks: nobody's
_PODS = "20000"
TOLERATION = {"key": MARK, "operator": "Exists", "effect": "NoSchedule"}
"""Of pods that the scheduler may send there."""


@contextmanager
def fake_node(cluster: Cluster, folder: Path, *, logs_port: int = 0) -> Iterator[str]:
    """Add a node for pods with its name as their ``nodeName``; take it away with all its pods.

    kwok is built first where that has not been done (some minutes). Its log goes into `folder`.
    There is a port of this machine where the API server asks for the pods' logs, or no log at all.
    """
    name = f"fake-{secrets.token_hex(3)}"
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {MARK: name}, "labels": {MARK: name}},
        # The scheduler sends nobody there who does not say so.
        "spec": {"taints": [{"key": MARK, "value": "fake", "effect": "NoSchedule"}]},
        "status": {
            "allocatable": {"cpu": "1000", "memory": "1000Gi", "pods": _PODS},
            **(_logs_at(logs_port) if logs_port else {}),
        },
    }
    cluster.apply(node)
    argv = [
        build.module("kwok") / "kwok",
        f"--kubeconfig={cluster.kubeconfig}",
        f"--config={SOURCES / 'kwok.yaml'}",
        "--node-lease-duration-seconds=40",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={MARK}={name}",
        f"--cidr={_CIDR}",
    ]
    process = start(argv, folder / "kwok.log")
    try:
        cluster.kubectl("wait", f"node/{name}", "--for=condition=Ready", "--timeout=60s")
        yield name
    finally:
        try:
            # Nobody else would say that they have ended.
            force = ["--force", "--grace-period=0", "--wait=false"]
            on_it = f"--field-selector=spec.nodeName={name}"
            cluster.kubectl("delete", "pods", "--all-namespaces", on_it, *force)
        finally:
            stop([process])
            cluster.kubectl("delete", "node", name)


def _logs_at(port: int) -> dict[str, Any]:
    return {
        "addresses": [{"type": "InternalIP", "address": HOST}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
