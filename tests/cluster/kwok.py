"""A node that runs nothing, with kwok: any number of pods that the API server calls running."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import build
from tests.cluster.cluster import Cluster
from tests.cluster.layout import SOURCES
from tests.cluster.process import start, stop

_MARK = "kwok.x-k8s.io/node"
_CIDR = "198.18.0.0/15"  # for benchmarks: nobody's
_PODS = "20000"


@contextmanager
def fake_node(cluster: Cluster, folder: Path) -> Iterator[str]:
    """Add a node for pods with its name as their ``nodeName``; take it away with all its pods.

    kwok is built first where that has not been done (some minutes). Its log goes into `folder`.
    """
    name = f"fake-{secrets.token_hex(3)}"
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {_MARK: name}},
        # The scheduler sends nobody there.
        "spec": {"taints": [{"key": _MARK, "value": "fake", "effect": "NoSchedule"}]},
        "status": {"allocatable": {"cpu": "1000", "memory": "1000Gi", "pods": _PODS}},
    }
    cluster.apply(node)
    argv = [
        build.module("kwok") / "kwok",
        f"--kubeconfig={cluster.kubeconfig}",
        f"--config={SOURCES / 'kwok.yaml'}",
        "--node-lease-duration-seconds=40",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={_MARK}={name}",
        f"--cidr={_CIDR}",
    ]
    process = start(argv, folder / "kwok.log")
    try:
        cluster.kubectl("wait", f"node/{name}", "--for=condition=Ready", "--timeout=60s")
        yield name
    finally:
        # Nobody else would say that they have ended.
        force = ["--force", "--grace-period=0", "--wait=false"]
        on_it = f"--field-selector=spec.nodeName={name}"
        cluster.kubectl("delete", "pods", "--all-namespaces", on_it, *force)
        stop([process])
        cluster.kubectl("delete", "node", name)
