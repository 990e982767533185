"""A server attaches to a kernel that an earlier one left, and its user changes their mind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.config import KubeConfig
from jupyter_kube.kernels.cluster import shared
from jupyter_kube.kernels.relay import Relay, _BusyError
from jupyter_kube.localcluster import LocalCluster

from .serving import NAMESPACE_NAME, POD, SECRET, Server, live


@asynccontextmanager
async def attaching(
    server: Server, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> AsyncIterator[str]:
    """Leave a kernel and attach to it again, which fails each time; yields its id."""
    manager = server.app.kernel_manager
    kernel_id = (await server.start())["id"]
    await manager._leave(kernel_id)

    async def dial(relay: Relay) -> Any:
        raise error

    connection = shared(KubeConfig(config=server.app.config))
    connection.hold()
    with monkeypatch.context() as patched:
        patched.setattr(Relay, "_dial_once", dial)
        await manager.attach(connection, server.app.session_manager)
        kernel = manager.get_kernel(kernel_id)
        while kernel.provisioner is None or not kernel.provisioner._life:
            await server.call("GET", "api", "kernels", kernel_id)
        while not kernel.provisioner._life.relay.trouble:
            await server.call("GET", "api", "kernels", kernel_id)
        yield kernel_id
    await connection.release()


async def test_a_kernel_that_is_deleted_while_it_is_attached_to_is_gone(
    server: Server, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with attaching(server, monkeypatch, ConnectionRefusedError("no way")) as kernel_id:
        await server.delete(kernel_id)
    assert [obj for kind in (POD, SECRET) for obj in live(cluster, kind)] == []


@pytest.mark.parametrize("how", ["another server has it", "this server ends"])
async def test_else_its_pod_stays(
    how: str, server: Server, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = _BusyError("held") if how == "another server has it" else ConnectionRefusedError("no")
    async with attaching(server, monkeypatch, error) as kernel_id:
        if how == "another server has it":
            await server.delete(kernel_id)
        else:
            await server.app.kernel_manager.shutdown_all()
    name = naming.kernel_name(kernel_id)
    for kind in (POD, SECRET):
        assert [obj["metadata"]["name"] for obj in live(cluster, kind)] == [name]
        cluster.call(cluster.store.delete, kind, NAMESPACE_NAME, name)


@pytest.mark.parametrize("then", ["the next server", "a restart", "deleted"])
async def test_a_failure_of_the_servers_own_leaves_the_pod_alone(
    then: str, server: Server, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = server.app.kernel_manager
    kernel_id = (await server.start())["id"]
    kernel = manager.get_kernel(kernel_id)
    socket = await server.connect(kernel_id)
    assert (await socket.run("x = 1; import os; print(os.getpid())", 60)).status == "ok"
    (pod,) = live(cluster, POD)
    dead = asyncio.Event()
    kernel.add_restart_callback(dead.set, "dead")

    async def dial(relay: Relay) -> Any:
        raise ZeroDivisionError("of all things")

    with monkeypatch.context() as patched:
        patched.setattr(Relay, "_dial_once", dial)
        kernel.provisioner._life.relay._splice.cut("on purpose")
        await dead.wait()
    assert (await server.call("GET", "api", "kernels", kernel_id))["execution_state"] == "dead"
    assert "of all things" in kernel.reason
    assert "restart the Jupyter Server" in kernel.reason
    assert [p["metadata"]["uid"] for p in live(cluster, POD)] == [pod["metadata"]["uid"]]
    if then == "the next server":
        await manager._leave(kernel_id)
        connection = shared(KubeConfig(config=server.app.config))
        connection.hold()
        await manager.attach(connection, server.app.session_manager)
        await manager.get_kernel(kernel_id).first_word(60)
        await connection.release()
    elif then == "a restart":
        await server.call("POST", "api", "kernels", kernel_id, "restart")
    if then != "deleted":
        again = await server.connect(kernel_id)
        known = await again.run("print('x' in globals())", 60)
        assert known.text.splitlines()[-1] == str(then == "the next server")  # perhaps after a wait
        (now,) = live(cluster, POD)
        same = now["metadata"]["uid"] == pod["metadata"]["uid"]
        assert same is (then == "the next server")
    await server.delete(kernel_id)
    assert [obj for kind in (POD, SECRET) for obj in live(cluster, kind)] == []
