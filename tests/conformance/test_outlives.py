"""Kernels go on when their server ends, however it ends, and the next one attaches to them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.session import JupyterServer, KernelSocket, running_server
from jupyter_kube.train.query import delete_job, list_jobs

from .conftest import Target

TICKS = 60
LONG = (
    "import time\n"
    f"for i in range({TICKS}):\n"
    "    print('tick', i, flush=True)\n"
    "    time.sleep(0.1)\n"
    "done = i"
)


def config(target: Target, reach: str = "auto") -> dict[str, Any]:
    profile = {"image": target.image, "cpu": "100m", "memory": "512Mi"}
    return {
        "KubeConfig": target.settings(python=profile),
        "KubeProvisioner": {"reach": reach},
        "KubeMappingKernelManager": {"keep_kernels": True},
    }


@pytest.fixture(autouse=True)
def leaving_none(client: KubeClient, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Whatever becomes of a test, its kernels go: no server's end would take them along."""
    yield

    async def remove() -> None:
        for name in await names(client):
            await objects.delete(client, objects.PODS, name, grace=0)

    jp_asyncio_loop.run_until_complete(remove())


async def notebook(server: JupyterServer, path: str) -> dict[str, Any]:
    """Open a notebook with a kernel of ours."""
    body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "kube-python"}}
    model: dict[str, Any] = await server.request("POST", "api/sessions", body)
    return model


async def names(client: KubeClient) -> set[str]:
    labels = "jupyter-kube/kernel-id"
    return {
        pod["metadata"]["name"]
        for pod in (await objects.list_(client, objects.PODS, labels=labels))["items"]
        if "deletionTimestamp" not in pod["metadata"]
    }


async def value(socket: KernelSocket, code: str) -> str:
    reply = await socket.run(f"print({code})", 60)
    assert reply.status == "ok", reply.text
    return reply.text.strip()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_f20_kernels_outlive_their_server(
    target: Target, client: KubeClient, tmp_path: Path, how: signal.Signals
) -> None:
    front_end = uuid.uuid4().hex
    async with running_server(tmp_path, config(target)) as server:
        assert server.process is not None
        sessions = [await notebook(server, f"work-{n}.ipynb") for n in range(5)]
        for number, session in enumerate(sessions):
            socket = await server.connect(session["kernel"]["id"])
            assert await value(socket, f"(mine := {number})") == str(number)
            socket.close()
        await server.request("PATCH", f"api/sessions/{sessions[0]['id']}", {"path": "new.ipynb"})
        socket = await server.connect(sessions[0]["kernel"]["id"], front_end)
        cell = socket.send_code(LONG)
        early = ""
        while early.count("\n") < 5:
            early += text(await socket.receive())
        server.process.send_signal(how)
        with contextlib.suppress(ConnectionError):
            while True:
                early += text(await socket.receive())
        socket.close()
    pods = await names(client)
    assert len(pods) == 5

    async with running_server(tmp_path, config(target)) as server:
        found = await server.request("GET", "api/sessions")
        assert {s["id"]: s["kernel"]["id"] for s in found} == {
            s["id"]: s["kernel"]["id"] for s in sessions
        }
        assert {s["path"] for s in found} == {"new.ipynb"} | {
            f"work-{n}.ipynb" for n in range(1, 5)
        }
        socket = await server.connect(sessions[0]["kernel"]["id"], front_end)
        reply = await socket.collect(cell, 60)
        assert reply.status == "ok"
        assert (early + reply.text).splitlines() == [f"tick {i}" for i in range(TICKS)]
        assert await value(socket, "done") == str(TICKS - 1)
        socket.close()
        for number, session in enumerate(sessions):
            socket = await server.connect(session["kernel"]["id"])
            assert await value(socket, "mine") == str(number)
            socket.close()
        assert await names(client) == pods
        for session in sessions:
            await server.request("DELETE", f"api/sessions/{session['id']}")
    assert await names(client) == set()


TRAINS = """%%kubetrain python -w 2 --name outlives -o total
import time
for step in range(10):
    print("step", step, flush=True)
    time.sleep(1)
total = kube.world_size
"""


@pytest.mark.timeout(180)
async def test_f20_a_job_goes_on_and_so_does_the_cell_that_follows_it(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    """The kernel is a pod without credentials: it follows its job by its server."""
    front_end = uuid.uuid4().hex
    settings = config(target)
    settings["KubeConfig"]["profiles"]["python"]["service_account"] = ""
    async with running_server(tmp_path, settings) as server:
        assert server.process is not None
        session = await notebook(server, "train.ipynb")
        socket = await server.connect(session["kernel"]["id"], front_end)
        assert (await socket.run("%load_ext jupyter_kube", 60)).status == "ok"
        cell = socket.send_code(TRAINS)
        async with asyncio.timeout(60):
            while not [view for view in await list_jobs(client) if view.phase == "running"]:
                await asyncio.sleep(0.2)
        server.process.send_signal(signal.SIGKILL)
        with contextlib.suppress(ConnectionError):
            while True:
                await socket.receive()
        socket.close()
    async with running_server(tmp_path, settings) as server:
        socket = await server.connect(session["kernel"]["id"], front_end)
        assert (await socket.collect(cell, 90)).status == "ok"
        assert await value(socket, "total") == "2"
        async with asyncio.timeout(30):  # Kubernetes says so a moment after the cell
            while [view.phase for view in await list_jobs(client)] != ["succeeded"]:
                await asyncio.sleep(0.1)
        socket.close()
        await server.request("DELETE", f"api/sessions/{session['id']}")
        (view,) = await list_jobs(client)
        await delete_job(client, view.name)
    assert await names(client) == set()


@pytest.mark.timeout(180)
async def test_two_servers_of_one_name_never_share_a_kernel(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    async with running_server(tmp_path, config(target)) as first:
        session = await notebook(first, "work.ipynb")
        socket = await first.connect(session["kernel"]["id"])
        assert await value(socket, "(mine := 1)") == "1"
        async with running_server(tmp_path, config(target)) as second:
            async with asyncio.timeout(120):
                while not await second.request("GET", "api/kernels"):
                    await asyncio.sleep(0.1)  # it has found the kernel's pod, and tries to attach
                while await second.request("GET", "api/kernels"):
                    assert await value(socket, "mine") == "1"
        assert await value(socket, "mine") == "1"
        socket.close()
        await first.request("DELETE", f"api/sessions/{session['id']}")
    assert await names(client) == set()


def text(message: dict[str, Any]) -> str:
    stream = message["header"]["msg_type"] == "stream"
    return str(message["content"]["text"]) if stream else ""
