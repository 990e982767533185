"""A scripted API, a client of it, and pauses that take no time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_kube.config import KubeConfig
from jupyter_kube.kube.client import KubeClient

from .fake import FakeApi, kubeconfig


@pytest.fixture
def api(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[FakeApi]:
    served = FakeApi()
    jp_asyncio_loop.run_until_complete(served.start())
    yield served
    jp_asyncio_loop.run_until_complete(served.stop())


@pytest.fixture
def client(
    api: FakeApi, tmp_path: Path, jp_asyncio_loop: asyncio.AbstractEventLoop
) -> Iterator[KubeClient]:
    config = KubeConfig(kubeconfig=str(kubeconfig(tmp_path, api.url)))
    connected = jp_asyncio_loop.run_until_complete(KubeClient.connect(config))
    yield connected
    jp_asyncio_loop.run_until_complete(connected.close())


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Make every pause one turn of the loop, and say how long they would have been."""
    taken: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float, result: object = None) -> object:
        taken.append(seconds)
        return await real(0, result)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return taken
