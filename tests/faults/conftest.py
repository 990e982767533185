"""The same two clusters as the conformance tests, behind a proxy that does harm."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_kube.config import KubeConfig
from jupyter_kube.kube.client import KubeClient
from tests.conformance.conftest import (  # noqa: F401 - fixtures
    Target,
    client,
    local_cluster,
    pods,
    real_cluster,
    real_target,
    target,
)

from .proxy import FaultProxy


@pytest.fixture
def proxy(
    target: Target,  # noqa: F811 - the fixture
    tmp_path: Path,
    jp_asyncio_loop: asyncio.AbstractEventLoop,
) -> Iterator[FaultProxy]:
    """A proxy before the cluster's API server."""
    folder = tmp_path / "proxy"
    folder.mkdir()
    made = FaultProxy(target.kubeconfig, folder)
    jp_asyncio_loop.run_until_complete(made.up())
    yield made
    jp_asyncio_loop.run_until_complete(made.stop())


@pytest.fixture
def through(
    target: Target,  # noqa: F811 - the fixture
    proxy: FaultProxy,
    jp_asyncio_loop: asyncio.AbstractEventLoop,
) -> Iterator[KubeClient]:
    """A client that goes through the proxy."""
    config = KubeConfig(kubeconfig=str(proxy.kubeconfig()), namespace=target.namespace)
    opened = jp_asyncio_loop.run_until_complete(KubeClient.connect(config))
    yield opened
    jp_asyncio_loop.run_until_complete(opened.close())
