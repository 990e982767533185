"""Kubeflow's training operator, built from its Go module and run as its manifests say."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.arms import peers
from tests.cluster import Cluster, build, images
from tests.cluster.archive import layer_of

NAME = "kubeflow-training"
SOURCES = Path(__file__).resolve().parent.parent
_SPACE = "kubeflow"
_PROGRAM = "ghcr.io/kubeflow/training-v1/training-operator"
_MODULE = "github.com/kubeflow/training-operator"


@contextmanager
def operator(cluster: Cluster, folder: Path) -> Iterator[None]:
    """Install it into `cluster`, wait until it works, and take it away again."""
    manifests = folder / "manifests"
    shutil.copytree(_sources() / "manifests", manifests)
    for path in [manifests, *manifests.rglob("*")]:  # a module's files are read-only
        path.chmod(0o755 if path.is_dir() else 0o644)
    overlay = manifests / "overlays" / "standalone"
    reference, _, tag = _image().rpartition(":")
    image = {"name": _PROGRAM, "newName": reference, "newTag": tag}
    kustomization = overlay / "kustomization.yaml"
    text = kustomization.read_text()
    before, _, after = text.partition("images:\n")
    rest = after[after.index("secretGenerator") :]
    kustomization.write_text(f"{before}images:\n  - {json.dumps(image)}\n{rest}")
    rendered = cluster.kubectl("kustomize", str(overlay))
    try:
        apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"]
        cluster.kubectl(*apply, stdin=rendered)
        ready = ["--for=condition=Available", "--timeout=120s"]
        cluster.kubectl("wait", "-n", _SPACE, "deployment/training-operator", *ready)
        yield
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=rendered)


def python() -> Path:
    """Return the Python of an environment with its SDK; a minute the first time."""
    return peers.software(NAME, ("kubeflow-training==1.9.4", "setuptools<81")) / "bin/python"


def _image() -> str:
    program = build.module("training-operator", SOURCES) / "training-operator.v1"
    layer = layer_of({"manager": program.read_bytes()}, mode=0o755)
    return images.bring("training-operator", [layer], {}, User="65532:65532")


def _sources() -> Path:
    """Return where the module's sources, and so its manifests, are."""
    said = subprocess.run(
        ["go", "list", "-m", "-f", "{{.Dir}}", _MODULE],
        cwd=SOURCES / "go" / "training-operator",
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return Path(said.strip())
