"""Operators of the peers, built from their Go modules and run as their manifests say."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import Cluster, build, images
from tests.cluster.archive import layer_of

SOURCES = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Operator:
    """One operator: its program, and the manifests that its module has beside it."""

    name: str
    """Of its folder in ``go``, and of the image that is made."""
    module: str
    program: str
    """What the build leaves."""
    overlay: str
    """Folder of the module that is for kustomize."""
    published: str
    """The image that its manifests name, without a tag."""
    namespace: str
    deployment: str
    without: str = ""
    """Line of the overlay that would have something else installed."""

    @contextmanager
    def installed(self, cluster: Cluster, folder: Path) -> Iterator[None]:
        """Install it into `cluster`, wait until it works, and take it away again."""
        rendered = cluster.kubectl("kustomize", str(self._ours(folder / self.name)))
        try:
            apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"]
            cluster.kubectl(*apply, stdin=rendered)
            # It waits for its certificate, which the kubelet mounts when it looks again.
            ready = ["--for=condition=Available", "--timeout=300s"]
            cluster.kubectl("wait", "-n", self.namespace, f"deployment/{self.deployment}", *ready)
            yield
        finally:
            cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=rendered)

    def _ours(self, folder: Path) -> Path:
        """Make a kustomization of the module's manifests with the image built here."""
        top = Path(self.overlay).parts[0]
        shutil.copytree(self._sources() / top, folder / top)
        for path in [folder / top, *(folder / top).rglob("*")]:  # a module's files are read-only
            path.chmod(0o755 if path.is_dir() else 0o644)
        if self.without:
            theirs = folder / self.overlay / "kustomization.yaml"
            lines = theirs.read_text().splitlines(keepends=True)
            theirs.write_text("".join(line for line in lines if self.without not in line))
        reference, _, tag = self._image().rpartition(":")
        image = {"name": self.published, "newName": reference, "newTag": tag}
        ours = {"resources": [self.overlay], "images": [image]}
        (folder / "kustomization.yaml").write_text(json.dumps(ours))
        return folder

    def _image(self) -> str:
        program = build.module(self.name, SOURCES) / self.program
        layer = layer_of({"manager": program.read_bytes()}, mode=0o755)
        return images.bring(self.name, [layer], {}, Entrypoint=["/manager"], User="65532:65532")

    def _sources(self) -> Path:
        """Return where the module's sources, and so its manifests, are."""
        said = subprocess.run(
            ["go", "list", "-m", "-f", "{{.Dir}}", self.module],
            cwd=SOURCES / "go" / self.name,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return Path(said.strip())


TRAINING = Operator(
    name="training-operator",
    module="github.com/kubeflow/training-operator",
    program="training-operator.v1",
    overlay="manifests/overlays/standalone",
    published="ghcr.io/kubeflow/training-v1/training-operator",
    namespace="kubeflow",
    deployment="training-operator",
)
JOBSET = Operator(
    name="jobset",
    module="sigs.k8s.io/jobset",
    program="jobset",
    overlay="config/default",
    published="us-central1-docker.pkg.dev/k8s-staging-images/jobset/jobset",
    namespace="jobset-system",
    deployment="jobset-controller-manager",
)
TRAINER = Operator(
    name="trainer",
    module="github.com/kubeflow/trainer/v2",
    program="trainer-controller-manager",
    overlay="manifests/overlays/manager",
    published="ghcr.io/kubeflow/trainer/trainer-controller-manager",
    namespace="kubeflow-system",
    deployment="kubeflow-trainer-controller-manager",
    without="third-party/jobset",
)
