"""Each row of the table in docs/operators/ends.md that ends a pod by itself."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.kube import logs, objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.session import JupyterServer, KernelSocket, ServerError, running_server

from .conftest import Target


def config(target: Target, **limits: Any) -> dict[str, Any]:
    profile = {"image": target.image, "cpu": "100m", "memory": "512Mi", **limits}
    if target.real:
        profile["gpus"] = 1
    keep = {"keep_kernels": True}
    return {"KubeConfig": target.settings(python=profile), "KubeMappingKernelManager": keep}


async def pods_of(client: KubeClient) -> list[dict[str, Any]]:
    found = await objects.list_(client, objects.PODS, labels="jupyter-kube/kernel-id")
    return [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]


async def over(target: Target, client: KubeClient) -> str:
    """Wait until the only pod has ended by itself; return its last words."""
    # A kubelet tells of a pod that runs a second later, if it is quick.
    while (pod := (await pods_of(client))[0])["status"]["phase"] in {"Pending", "Running"}:
        await asyncio.sleep(0.2)
    assert pod["status"]["phase"] == "Succeeded"
    (container,) = pod["status"]["containerStatuses"]
    assert container["state"]["terminated"]["exitCode"] == 0
    if target.real:
        words: str = container["state"]["terminated"]["message"]
        return words
    # The local cluster's processes have no file for it: then they are in the log.
    return "\n".join(line.text for line in await logs.read(client, pod["metadata"]["name"]))


async def run(socket: KernelSocket, code: str) -> str:
    reply = await socket.run(code, 60)
    assert reply.status == "ok", reply.text
    return reply.text.strip()


async def abandon(server: JupyterServer, socket: KernelSocket, how: signal.Signals) -> None:
    """End the server; returns when its websocket is gone."""
    assert server.process is not None
    server.process.send_signal(how)
    with contextlib.suppress(ConnectionError):
        while True:
            await socket.receive()
    socket.close()


@pytest.mark.timeout(180)
async def test_an_idle_kernel_ends_while_its_server_is_there(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    async with running_server(tmp_path, config(target, idle_timeout=3)) as server:
        kernel = await server.start_kernel("kube-python")
        socket = await server.connect(kernel["id"])
        text = await run(socket, "import time; time.sleep(6); print('worked on')")
        assert text == "worked on"
        async with asyncio.timeout(60):
            while True:
                model = await server.request("GET", f"api/kernels/{kernel['id']}")
                if model["execution_state"] == "dead":
                    break
                await asyncio.sleep(0.2)
        assert "nothing ran for" in model["reason"]
        assert "idle_timeout" in model["reason"]
        async with asyncio.timeout(30):
            while await pods_of(client):
                await asyncio.sleep(0.2)
        socket.close()
        await server.request("DELETE", f"api/kernels/{kernel['id']}")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_kernel_nobody_comes_back_for_ends(
    target: Target, client: KubeClient, tmp_path: Path, how: signal.Signals
) -> None:
    limits = {"lost_timeout": 4, "lost_busy_timeout": 600}
    async with running_server(tmp_path, config(target, **limits)) as server:
        kernel = await server.start_kernel("kube-python")
        socket = await server.connect(kernel["id"])
        assert await run(socket, "print(1)") == "1"
        await abandon(server, socket, how)
    async with asyncio.timeout(90):
        words = await over(target, client)
    assert "no Jupyter Server was connected" in words
    assert "(lost_timeout of the profile)" in words

    async with running_server(tmp_path, config(target)) as server:  # removes what has ended
        with pytest.raises(ServerError, match="404"):
            await server.request("GET", f"api/kernels/{kernel['id']}")
        async with asyncio.timeout(30):
            while await pods_of(client):
                await asyncio.sleep(0.2)


@pytest.mark.timeout(180)
async def test_a_kernel_at_work_goes_on_without_a_server_but_not_for_ever(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    limits = {"idle_timeout": 1, "lost_timeout": 1, "lost_busy_timeout": 8}
    async with running_server(tmp_path, config(target, **limits)) as server:
        kernel = await server.start_kernel("kube-python")
        socket = await server.connect(kernel["id"])
        cell = socket.send_code("print('begun', flush=True)\nimport time; time.sleep(600)")
        while (message := await socket.receive())["content"].get("text") != "begun\n":
            assert message["msg_type"] != "execute_reply"
        assert cell
        await abandon(server, socket, signal.SIGKILL)
    async with asyncio.timeout(90):
        words = await over(target, client)
    assert "(lost_busy_timeout of the profile)" in words
    name = naming.kernel_name(kernel["id"])
    await objects.delete(client, objects.PODS, name)


@pytest.mark.timeout(180)
async def test_a_kernels_lifetime_ends_it_whatever_it_does(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    async with running_server(tmp_path, config(target, lifetime=12)) as server:
        kernel = await server.start_kernel("kube-python")
        socket = await server.connect(kernel["id"])
        cell = socket.send_code("import time; time.sleep(600)")
        reply = await socket.collect(cell, 90)
        assert reply.status == "aborted"
        assert "its lifetime is over" in reply.text
        model = await server.request("GET", f"api/kernels/{kernel['id']}")
        assert model["execution_state"] == "dead"
        async with asyncio.timeout(60):
            while await pods_of(client):
                await asyncio.sleep(0.2)
        socket.close()
        await server.request("DELETE", f"api/kernels/{kernel['id']}")
