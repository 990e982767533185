"""A real Jupyter Server process, from its start to its end by SIGTERM."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import session
from jupyter_kube.config import KubeConfig
from jupyter_kube.kernels import specs
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.session import ServerError, running_server

from .serving import POD, live, settings


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The server processes that were started."""
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, argv: Any, **kwargs: Any) -> None:
            super().__init__(argv, **kwargs)
            if "jupyter_server" in argv:
                started.append(self)

    monkeypatch.setattr(session.subprocess, "Popen", Recorded)
    return started


async def test_a_server_ends_with_live_kernels_and_after_failed_starts(
    cluster: LocalCluster,
    kubeconfig: Path,
    tmp_path: Path,
    processes: list[subprocess.Popen[bytes]],
) -> None:
    async with running_server(tmp_path, settings(kubeconfig)) as server:
        for name in ("kube-python", "kube-impossible", "python3"):
            await server.start_kernel(name)
        for name in ("kube-bad", "no-such-kernel"):
            with pytest.raises(ServerError):
                await server.start_kernel(name)
        open_socket = await server.connect((await server.start_kernel("kube-python"))["id"])
        assert (await open_socket.run("1", 60)).status == "ok"
        assert len(live(cluster, POD)) == 3
    open_socket.close()
    (process,) = processes
    assert process.returncode == 0
    assert live(cluster, POD) == []
    assert list((tmp_path / "runtime").glob("jupyter-kube-*")) == []


async def test_a_stock_server_runs_installed_kernelspecs(
    cluster: LocalCluster, kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs.install(KubeConfig(profiles={"python": {}}), prefix=str(tmp_path / "prefix"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "prefix" / "share" / "jupyter"))
    stock = {"ServerApp": {"jpserver_extensions": {"jupyter_kube": False}}}
    async with running_server(tmp_path, settings(kubeconfig) | stock) as server:
        kernel = (await server.start_kernel("kube-python"))["id"]
        socket = await server.connect(kernel)
        assert (await socket.run("x = 1", 60)).status == "ok"
        await server.request("POST", f"api/kernels/{kernel}/restart")
        socket.close()  # a stock server's old websocket may lose a message after a restart
        socket = await server.connect(kernel)
        assert (await socket.run("print('x' in globals())", 60)).text == "False\n"
        assert len(live(cluster, POD)) == 1
        socket.close()
        await server.request("DELETE", f"api/kernels/{kernel}")
        assert live(cluster, POD) == []
        assert (await server.start_kernel("kube-python"))["execution_state"] == "starting"
    assert live(cluster, POD) == []


async def test_a_server_without_a_cluster_starts_and_says_why_when_a_kernel_is_asked_for(
    tmp_path: Path,
    processes: list[subprocess.Popen[bytes]],
) -> None:
    nowhere = str(tmp_path / "no-such-file")
    async with running_server(tmp_path, {"KubeConfig": {"kubeconfig": nowhere}}) as server:
        listed = (await server.request("GET", "api/kernelspecs"))["kernelspecs"]
        assert "kube-python" in listed
        with pytest.raises(ServerError) as caught:
            await server.start_kernel("kube-python")
        assert caught.value.code == 503
        assert "no-such-file" in caught.value.message
        assert await server.request("GET", "api/kernels") == []
        local = await server.start_kernel("python3")
        socket = await server.connect(local["id"])
        assert (await socket.run("print(1)", 60)).text == "1\n"
        socket.close()
    assert [process.returncode for process in processes] == [0]
