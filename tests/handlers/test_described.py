"""The REST API keeps to its description, whatever is sent: schemathesis asks a real server.

Each operation is sent what the description allows and what it does not. No answer may be a failure
of the server's, have another status or body than is described, or take in what is not allowed.
Jobs are real; a quota keeps their pods out, so that even a thousand workers cost no process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from jupyter_kube import handlers, train
from jupyter_kube.config import KubeConfig
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.localcluster.store import JOB
from jupyter_kube.session import JupyterServer, running_server
from tests.kernels import serving

THERE = "there"
"""Stands for the name of the job that is there."""
CONFIG = schemathesis.Config.from_dict(
    {
        "dictionaries": {
            "jobs": {"values": [THERE]},
            "profiles": {"values": list(serving.PROFILES)},
            "cpus": {"values": ["2", "500m"]},
            "sizes": {"values": ["500M", "4Gi"]},
        },
        "generation": {"with-security-parameters": False},  # a token is sent, or on purpose none
        "parameters": {
            "path.name": {"dictionary": "jobs", "probability": 0.5},
            "query.profile": {"dictionary": "profiles"},
            "query.cpu": {"dictionary": "cpus"},
            "query.memory": {"dictionary": "sizes"},
        },
    }
)
API = schemathesis.openapi.from_path(
    Path(handlers.__file__).parent / "openapi.yaml", config=CONFIG
).exclude(path_regex="/(live|logs)$")  # websockets
FEW = settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def place(
    cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[JupyterServer, KubeConfig]]:
    """A server in a process of its own, and the settings by which jobs are submitted."""
    none = {
        "metadata": {"name": "none", "namespace": serving.NAMESPACE_NAME},
        "spec": {"hard": {"pods": "0"}},
    }
    cluster.call(cluster.store.create, serving.QUOTA, none)
    folder = tmp_path_factory.mktemp("described")
    kubeconfig = folder / "kubeconfig"
    cluster.write_kubeconfig(kubeconfig)
    configured = serving.settings(kubeconfig)
    with asyncio.Runner() as runner:
        running = running_server(folder, configured)
        server = runner.run(running.__aenter__())
        try:
            yield server, KubeConfig(**configured["KubeConfig"])
        finally:
            runner.run(running.__aexit__(None, None, None))


@pytest.fixture
def job(place: tuple[JupyterServer, KubeConfig], cluster: LocalCluster) -> Iterator[str]:
    """A job that waits; afterwards all are gone."""
    made = train.submit("pass", workers="1:2", settings=place[1])
    yield made.name
    for each in train.jobs(settings=place[1]):
        train.job.kill(each.name, settings=place[1])
    assert serving.live(cluster, JOB) == []


@FEW
@API.parametrize()
def test_every_answer_is_as_described(
    case: schemathesis.Case, place: tuple[JupyterServer, KubeConfig], job: str
) -> None:
    server, _ = place
    if case.path_parameters.get("name") == THERE:
        case.path_parameters["name"] = job
    case.call_and_validate(
        base_url=f"{server.url}/jupyter-kube",
        headers={"Authorization": f"token {server.token}"},
        timeout=60,
    )
