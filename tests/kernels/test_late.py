"""A server that starts before its user logs in, or while the API is away, finds its kernels."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from jupyter_kube.config import KubeConfig
from jupyter_kube.kernels import found
from jupyter_kube.kernels import manager as managers
from jupyter_kube.kernels.found import find_when_reached
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.session import ServerError, running_server
from tests.kube.fake import FakeApi, listed, ok, status
from tests.kube.fake import kubeconfig as write_kubeconfig

from .serving import POD, live, settings

PODS = "/api/v1/namespaces/here/pods"
PLUGIN = """
import json, pathlib, sys
login = pathlib.Path("LOGIN")
token = login.read_text() if login.exists() else ""
with open("RUNS", "a") as runs:
    runs.write("x")
if not token:
    sys.exit("nobody is logged in")
print(json.dumps({"status": {"token": token}}))
"""


async def test_f19_a_server_finds_its_kernels_once_its_user_has_logged_in(
    cluster: LocalCluster, kubeconfig: Path, tmp_path: Path
) -> None:
    keep = {"KubeMappingKernelManager": {"keep_kernels": True}}
    async with running_server(tmp_path, settings(kubeconfig, **keep)) as server:
        left = (await server.start_kernel("kube-python"))["id"]
        socket = await server.connect(left)
        assert (await socket.run("x = 1", 60)).status == "ok"
        socket.close()

    runs, login = tmp_path / "runs", tmp_path / "login"
    script = PLUGIN.replace("RUNS", str(runs)).replace("LOGIN", str(login))
    spec = {"apiVersion": "v1", "command": sys.executable, "args": ["-c", script]}
    content = yaml.safe_load(kubeconfig.read_text())
    (user,) = content["users"]
    token = user["user"].pop("token")
    user["user"]["exec"] = spec
    kubeconfig.write_text(yaml.safe_dump(content))

    async with running_server(tmp_path, settings(kubeconfig)) as server:
        while not runs.exists():
            assert await server.request("GET", "api/kernels") == []
        login.write_text(token)
        new = ""
        while not new:
            with contextlib.suppress(ServerError):  # of the try that has not ended yet
                new = (await server.start_kernel("kube-python"))["id"]
        while {k["id"] for k in await server.request("GET", "api/kernels")} != {left, new}:
            pass
        for kernel, known in ((left, "True\n"), (new, "False\n")):
            socket = await server.connect(kernel)
            assert (await socket.run("print('x' in globals())", 60)).text.endswith(known)
            socket.close()
        assert runs.read_text() == "xx"  # a plugin may open a browser each time
    assert live(cluster, POD) == []


async def test_where_nothing_is_configured_neither_lists_nor_the_servers_end_wait(
    jp_configurable_serverapp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managers, "_PATIENCE", 3600.0)
    app = jp_configurable_serverapp(config=settings(tmp_path / "none"))
    (extension,) = app.extension_manager.extension_apps["jupyter_kube"]
    await extension._start_jupyter_server_extension(app)
    manager = app.kernel_manager
    assert await manager.list_kernels() == []
    assert not manager.attaching.done()
    await manager.shutdown_all()
    assert manager.attaching.cancelled()
    await app.cleanup_extensions()


async def test_f01_kernels_are_looked_for_as_soon_as_the_api_answers_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "_PAUSES", (3600.0,))
    api = FakeApi()
    await api.start()
    path = write_kubeconfig(tmp_path, api.url)
    client = await KubeClient.connect(KubeConfig(kubeconfig=str(path), request_timeout=0.1))
    api.on("GET", PODS, status(503), listed(1))
    api.on("GET", "/x", status(503), ok())
    troubled = asyncio.Event()
    looking = asyncio.create_task(
        find_when_reached(
            client,
            "mine",
            logging.getLogger("tests"),
            known=lambda pod: False,
            on_trouble=troubled.set,
        )
    )
    await troubled.wait()
    assert not looking.done()
    client.timeout = 30.0
    await client.request("GET", "/x")
    assert await looking == []
    await client.close()
    await api.stop()
