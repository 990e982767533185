"""The pytest fixture of a real cluster: import `real_cluster` into a conftest to use it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterFailed, ClusterInUse
from tests.cluster.lifecycle import down, status, up
from tests.cluster.state import used


@pytest.fixture(scope="session")
def real_cluster() -> Iterator[Cluster]:
    """Yield a real cluster: the one JUPYTER_KUBE_TEST_KUBECONFIG names, else this machine's.

    The machine's is started and ended again, unless it ran already or JUPYTER_KUBE_TEST_KEEP=1.
    """
    if kubeconfig := os.environ.get("JUPYTER_KUBE_TEST_KUBECONFIG"):
        yield external(Path(kubeconfig))
        return
    keep = bool(status()["running"]) or os.environ.get("JUPYTER_KUBE_TEST_KEEP") == "1"
    with used():
        yield up()
    if not keep:
        # Tests of another run may have joined meanwhile: then it stays.
        with suppress(ClusterInUse):
            down()


def external(kubeconfig: Path) -> Cluster:
    """Return the cluster of `kubeconfig`'s current context; its image is told by a variable.

    Raises
    ------
    ClusterFailed
        If JUPYTER_KUBE_TEST_IMAGE is not set or the cluster does not answer.

    """
    image = os.environ.get("JUPYTER_KUBE_TEST_IMAGE")
    if not image:
        raise ClusterFailed(
            "JUPYTER_KUBE_TEST_IMAGE is not set: name an image that this cluster can pull, "
            "with Python, ipykernel>=7.3, numpy and jupyter-kube."
        )
    claim = os.environ.get("JUPYTER_KUBE_TEST_FRAMEWORKS", "")
    bare = Cluster(kubeconfig, "", image, claim, 0, {})
    context = bare.kubectl("config", "current-context").strip()
    nodes = json.loads(bare.kubectl("get", "nodes", "-o", "json"))["items"]
    gpus = sum(int(node["status"]["allocatable"].get("nvidia.com/gpu", 0)) for node in nodes)
    return Cluster(kubeconfig, context, image, claim, gpus, {})
