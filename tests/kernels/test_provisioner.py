"""The provisioner under Jupyter's stock managers, with a kernelspec of somebody's own."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.ioloop import AsyncIOLoopKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager, KernelManager
from traitlets.config import Config

from jupyter_kube import naming
from jupyter_kube.errors import AccessDenied, InvalidInput, StartFailed
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.localcluster.faults import Fault

from .serving import NAMESPACE_NAME, POD, PROFILES, SECRET, live, settings

SPEC = {
    "argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    "display_name": "By hand",
    "language": "python",
    "interrupt_mode": "message",
    "metadata": {"kernel_provisioner": {"provisioner_name": "kube-provisioner"}},
}


def manager(kind: type[Any], kubeconfig: Path, tmp_path: Path, **config: Any) -> Any:
    """Make a stock kernel manager for a hand-written kernelspec."""
    folder = tmp_path / "kernels" / "by-hand"
    folder.mkdir(parents=True)
    profile = {"profile": config.pop("profile", "python")}
    spec = json.loads(json.dumps(SPEC))
    spec["metadata"]["kernel_provisioner"]["config"] = profile
    (folder / "kernel.json").write_text(json.dumps(spec))
    return kind(
        kernel_name="by-hand",
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(tmp_path / "kernels")]),
        connection_file=str(tmp_path / "connection.json"),
        config=Config(settings(kubeconfig, **config)),
    )


@asynccontextmanager
async def client_of(kernel: Any) -> AsyncIterator[Any]:
    client = kernel.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        yield client
    finally:
        client.stop_channels()


async def run(client: Any, code: str) -> str:
    """Run code; returns what it printed."""
    printed: list[str] = []

    def output(message: dict[str, Any]) -> None:
        printed.append(message["content"].get("text", ""))

    reply = await client.execute_interactive(code, timeout=60, output_hook=output)
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(printed)


@pytest.mark.parametrize("reach", ["auto", "port-forward", "pod-ip"])
async def test_a_kernel_starts_restarts_and_ends(
    reach: str, cluster: LocalCluster, kubeconfig: Path, tmp_path: Path
) -> None:
    kernel = manager(AsyncKernelManager, kubeconfig, tmp_path, KubeProvisioner={"reach": reach})
    await kernel.start_kernel()
    try:
        async with client_of(kernel) as client:
            await run(client, "x = 1")
            first = await run(client, "import os; print(os.getpid())")
        await kernel.restart_kernel()
        assert await kernel.is_alive()
        async with client_of(kernel) as client:
            assert await run(client, "import os; print(os.getpid())") != first
            assert await run(client, "print('x' in globals())") == "False\n"
        (pod,) = live(cluster, POD)
        await kernel.restart_kernel(now=True)
        async with client_of(kernel) as client:
            assert await run(client, "print(1)") == "1\n"
        assert [p["metadata"]["uid"] for p in live(cluster, POD)] == [pod["metadata"]["uid"]]
    finally:
        await kernel.shutdown_kernel()
    assert not await kernel.is_alive()
    assert live(cluster, POD) == []


async def restarted(kernel: AsyncIOLoopKernelManager, told: asyncio.Event) -> None:
    """Wait until the stock restarter, which tells of a restart before it does it, has done it."""
    async with asyncio.timeout(60):
        await told.wait()
        while not await kernel.is_alive():
            await asyncio.sleep(0.01)


async def test_the_stock_restarter_finds_a_death_repaired(kubeconfig: Path, tmp_path: Path) -> None:
    quick = {"AsyncIOLoopKernelRestarter": {"time_to_dead": 0.1}}
    kernel = manager(AsyncIOLoopKernelManager, kubeconfig, tmp_path, **quick)
    await kernel.start_kernel()
    told = asyncio.Event()
    kernel.add_restart_callback(told.set)
    try:
        async with client_of(kernel) as client:
            pid = int(await run(client, "import os; print(os.getpid())"))
        os.kill(pid, 9)
        await restarted(kernel, told)
        async with client_of(kernel) as client:
            assert int(await run(client, "import os; print(os.getpid())")) != pid
    finally:
        await kernel.shutdown_kernel()


async def test_the_stock_restarter_replaces_a_pod_that_is_gone(
    cluster: LocalCluster, kubeconfig: Path, tmp_path: Path
) -> None:
    quick = {"AsyncIOLoopKernelRestarter": {"time_to_dead": 0.1}}
    kernel = manager(AsyncIOLoopKernelManager, kubeconfig, tmp_path, **quick)
    await kernel.start_kernel()
    told = asyncio.Event()
    kernel.add_restart_callback(told.set)
    try:
        (pod,) = live(cluster, POD)
        cluster.call(cluster.store.delete, POD, NAMESPACE_NAME, pod["metadata"]["name"])
        await restarted(kernel, told)
        async with client_of(kernel) as client:
            assert await run(client, "print(1)") == "1\n"
        assert pod["metadata"]["uid"] not in [p["metadata"]["uid"] for p in live(cluster, POD)]
    finally:
        await kernel.shutdown_kernel()


async def test_an_interrupt_and_a_signal_reach_the_kernel(kubeconfig: Path, tmp_path: Path) -> None:
    kernel = manager(AsyncKernelManager, kubeconfig, tmp_path)
    await kernel.start_kernel()
    try:
        async with client_of(kernel) as client:
            await run(client, "import signal; got = []")
            await run(client, "signal.signal(signal.SIGUSR1, lambda *a: got.append(a)) and None")
            await kernel.signal_kernel(10)
            assert await run(client, "while not got: pass\nprint(got[0][0])") == "10\n"
    finally:
        await kernel.shutdown_kernel(now=True)


async def test_a_start_that_fails_leaves_nothing(
    cluster: LocalCluster, kubeconfig: Path, tmp_path: Path
) -> None:
    kernel = manager(AsyncKernelManager, kubeconfig, tmp_path, profile="bad")
    with pytest.raises(StartFailed, match="missing:1"):
        await kernel.start_kernel()
    assert live(cluster, POD) == []
    assert live(cluster, SECRET) == []


async def test_f18_a_forbidden_port_forward_fails_the_start_with_its_reason(
    cluster: LocalCluster, kubeconfig: Path, tmp_path: Path
) -> None:
    way = {"reach": "port-forward"}
    kernel = manager(AsyncKernelManager, kubeconfig, tmp_path, KubeProvisioner=way)
    fault = Fault("/portforward", times=None, status=403)
    cluster.call(cluster.faults.add, fault)
    try:
        with pytest.raises(AccessDenied, match=r"refused to reach port .* of pod"):
            await kernel.start_kernel()
    finally:
        cluster.call(cluster.faults.lift, fault)
    assert live(cluster, POD) == []


async def test_a_start_that_never_reached_its_pod_says_why(
    cluster: LocalCluster, kubeconfig: Path, tmp_path: Path
) -> None:
    profiles = {"brief": {**PROFILES["python"], "start_timeout": 3.0}}
    more = {
        "KubeConfig": settings(kubeconfig)["KubeConfig"] | {"profiles": profiles},
        "KubeProvisioner": {"reach": "port-forward"},
    }
    kernel = manager(AsyncKernelManager, kubeconfig, tmp_path, profile="brief", **more)
    fault = Fault("/portforward", times=None, status=500)
    cluster.call(cluster.faults.add, fault)
    try:
        with pytest.raises(StartFailed, match=r"within 3 s: .*reach port"):
            await kernel.start_kernel()
    finally:
        cluster.call(cluster.faults.lift, fault)


async def test_a_start_can_be_cancelled_also_of_a_user_without_a_name(
    cluster: LocalCluster, kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    monkeypatch.delenv("JUPYTERHUB_USER", raising=False)
    kernel = manager(AsyncKernelManager, kubeconfig, tmp_path, profile="impossible")
    starting = asyncio.create_task(kernel.start_kernel())
    while not (pods := live(cluster, POD)):
        await asyncio.sleep(0.01)
    assert pods[0]["metadata"]["annotations"][naming.USER] == f"uid-{os.getuid()}"
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    assert live(cluster, POD) == []


def test_a_manager_without_an_event_loop_is_refused_in_words(
    kubeconfig: Path, tmp_path: Path
) -> None:
    kernel = manager(KernelManager, kubeconfig, tmp_path)
    with pytest.raises(InvalidInput, match="asyncio kernel manager"):
        kernel.start_kernel()
