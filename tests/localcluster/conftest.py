"""A local cluster for each test that asks for one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from jupyter_kube.localcluster import LocalCluster
from tests.kubectl import Kubectl

from .apiclient import ApiClient


@pytest.fixture
def cluster(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[LocalCluster]:
    """A running cluster, on the test's own loop."""
    cluster = LocalCluster(backoff_scale=0.01)
    jp_asyncio_loop.run_until_complete(cluster.start())
    yield cluster
    jp_asyncio_loop.run_until_complete(cluster.stop())


@pytest.fixture
def api(cluster: LocalCluster, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[ApiClient]:
    """The cluster's owner."""
    client = ApiClient(cluster)
    yield client
    client.close()


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """Kubectl, and a cluster in a thread for all tests that use it."""
    home = tmp_path_factory.mktemp("kubectl")
    with LocalCluster(backoff_scale=0.01).run_in_thread() as cluster:
        cluster.write_kubeconfig(home / "kubeconfig")
        yield Kubectl(home / "kubeconfig", home)
