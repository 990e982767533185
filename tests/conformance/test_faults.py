"""Bad networks and a stopped API server: running kernels go on, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from jupyter_kube.kube.client import KubeClient
from jupyter_kube.session import JupyterServer, running_server
from tests.cutting import CuttingProxy

from .conftest import Target
from .test_kernels import end, start, value

LINES = 10_000
PRINT = (
    "import sys, time\n"
    f"for i in range({LINES}):\n"
    "    print('line', i)\n"
    "    if i % 100 == 99: sys.stdout.flush(); time.sleep(0.03)"
)


@pytest.fixture
def proxy(
    target: Target, jp_asyncio_loop: asyncio.AbstractEventLoop, client: KubeClient
) -> Iterator[CuttingProxy]:
    """A proxy before the API server."""
    where = urlsplit(client.server)
    proxy = CuttingProxy(where.hostname or "", where.port or 443)
    proxy.port = jp_asyncio_loop.run_until_complete(proxy.start())
    yield proxy
    jp_asyncio_loop.run_until_complete(proxy.stop())


def through(kubeconfig: Path, port: int, folder: Path) -> Path:
    """Copy a kubeconfig, with the proxy in the server's place."""
    content = yaml.safe_load(kubeconfig.read_text())
    for entry in content["clusters"]:
        where = urlsplit(entry["cluster"]["server"])
        entry["cluster"]["server"] = where._replace(netloc=f"127.0.0.1:{port}").geturl()
    path = folder / "kubeconfig-through-proxy"
    path.write_text(yaml.safe_dump(content))
    path.chmod(0o600)
    return path


def config(target: Target, reach: str, kubeconfig: Path | None = None) -> dict[str, Any]:
    profile = {"image": target.image, "cpu": "100m", "memory": "512Mi"}
    settings = target.settings(python=profile)
    if kubeconfig:
        settings["kubeconfig"] = str(kubeconfig)
    return {
        "KubeConfig": settings,
        "KubeProvisioner": {"reach": reach},
        "ZMQChannelsWebsocketConnection": {"limit_rate": False},
    }


@pytest.mark.timeout(180)
async def test_fifty_cuts_during_ten_thousand_lines_lose_nothing(
    target: Target, proxy: CuttingProxy, tmp_path: Path
) -> None:
    kubeconfig = through(target.kubeconfig, proxy.port, tmp_path)
    async with running_server(tmp_path, config(target, "port-forward", kubeconfig)) as server:
        kernel, socket = await start(server)
        assert await value(socket, "1") == "1"
        replies: list[str] = []
        socket.on_message = lambda m: replies.append(m["header"]["msg_type"])
        msg_id = socket.send_code(PRINT)
        collecting = asyncio.ensure_future(socket.collect(msg_id, 150))
        while proxy.cuts < 50:
            await asyncio.sleep(random.uniform(0.01, 0.1))
            proxy.cut()
        reply = await collecting
        assert reply.status == "ok"
        assert reply.text.splitlines() == [f"line {i}" for i in range(LINES)]
        assert replies.count("execute_reply") == 1
        assert await value(socket, "2") == "2"
        await end(server, kernel, socket)


@pytest.mark.cluster
@pytest.mark.alone
@pytest.mark.timeout(180)
@pytest.mark.parametrize("reach", ["pod-ip", "port-forward"])
async def test_f01_a_stopped_api_server_does_not_stop_kernels(
    reach: str, real_target: Target, real_cluster: Any, tmp_path: Path
) -> None:
    if "apiserver" not in real_cluster.processes:
        pytest.skip("the API server of a foreign cluster is not ours to stop")
    async with running_server(tmp_path, config(real_target, reach)) as server:
        kernel, socket = await start(server)
        assert await value(socket, "1") == "1"
        api = real_cluster.processes["apiserver"]
        msg_id = socket.send_code(PRINT)
        await socket.receive()
        os.kill(api, signal.SIGSTOP)
        try:
            async with asyncio.timeout(60):
                if reach == "pod-ip":
                    reply = await socket.collect(msg_id)
                    assert await value(socket, "'alive'") == "alive"
                await _other_routes_answer(server)
        finally:
            os.kill(api, signal.SIGCONT)
        if reach == "port-forward":
            reply = await socket.collect(msg_id, 120)
            assert "answers again" in reply.text  # it was said that the pod was out of reach
        assert reply.stdout.splitlines() == [f"line {i}" for i in range(LINES)]
        await end(server, kernel, socket)


async def _other_routes_answer(server: JupyterServer) -> None:
    """Ask other routes for the ten seconds in which the API server is stopped."""
    for _ in range(100):
        await server.request("GET", "api/status", timeout=2)
        await server.request("GET", "api/kernels", timeout=2)
        await asyncio.sleep(0.1)
