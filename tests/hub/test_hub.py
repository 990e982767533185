"""Kernels of users of a JupyterHub, whose servers are pods that the hub ends as it likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.kube import rbac
from jupyter_kube.session import JupyterServer, ServerError
from tests.cluster.errors import ClusterFailed
from tests.cluster.layout import HOST

from . import chart, hub, software
from .conftest import Pods, Site, attached, kernels, start, value

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

HOME = "/home/jovyan"
ALICE, BOB = "alice", "bob"


@pytest.fixture(scope="session")
def parts(site: Site) -> None:
    """JupyterHub and its proxy; the hub's pods must reach this machine."""
    if not site.cluster.processes:
        pytest.skip("the pods of a cluster elsewhere cannot reach a hub on this machine")
    software.hub_python()
    software.proxy_command()


def spawner(site: Site, **more: Any) -> dict[str, Any]:
    """Return the shipped settings of KubeSpawner, with this cluster's image and no storage."""
    shipped = chart.spawner(chart.values())
    home = {"name": "home", "emptyDir": {}}
    return {
        **shipped,
        "image": site.server_image,
        "cmd": ["python3", "-m", "jupyterhub.singleuser"],
        "environment": {**shipped["environment"], "HOME": HOME},
        "volumes": [*shipped["volumes"], home],
        "volume_mounts": [*shipped["volume_mounts"], {"name": "home", "mountPath": HOME}],
        "working_dir": HOME,
        "delete_grace_period": 5,
        **more,
    }


def profiles(site: Site) -> dict[str, Any]:
    """Return the profiles that the servers offer."""
    gpu = {**site.base, "gpus": 1}
    return {"gpu": gpu, "brief": {**gpu, "lost_timeout": 5}, "four": {**site.base, "gpus": 4}}


@asynccontextmanager
async def one_namespace(site: Site, namespace: str, folder: Path) -> AsyncIterator[hub.Hub]:
    """Run a hub whose users' servers are all in `namespace`."""
    site.prepare(namespace, **profiles(site))
    settings = spawner(site, namespace=namespace)
    async with hub.running_hub(folder, site.cluster.kubeconfig, HOST, settings) as running:
        yield running


async def cull(running: hub.Hub, name: str, servers: Pods) -> None:
    """End a user's server as the hub's culler does, and see its pod go."""
    await running.cull(name)
    await servers.gone(f"jupyter-{name}")


async def test_a_gpu_kernel_outlives_the_culled_server_and_is_found_again(
    site: Site, parts: None, namespace: str, tmp_path: Path
) -> None:
    async with (
        one_namespace(site, namespace, tmp_path) as running,
        running.visit(ALICE) as alice,
        site.watch(namespace) as pods,
        site.watch(namespace, component="singleuser-server") as servers,
    ):
        server = await alice.start_server()
        kernel, socket = await start(server, "gpu")
        name = naming.kernel_name(kernel)
        gpu = await value(socket, "__import__('os').environ['NVIDIA_VISIBLE_DEVICES']")
        assert gpu
        await socket.run("x = 41", 60)
        uid = pods[name]["metadata"]["uid"]
        assert site.warnings(namespace, name) == ""
        assert site.warnings(namespace, f"jupyter-{ALICE}") == ""
        socket.close()
        await cull(running, ALICE, servers)
        assert pods[name]["metadata"]["uid"] == uid
        assert pods[name]["status"]["phase"] == "Running"
        server = await alice.start_server()
        await attached(server, kernel)
        again = await server.connect(kernel)
        assert await value(again, "x + 1") == "42"
        assert pods[name]["metadata"]["uid"] == uid
        again.close()
        await server.request("DELETE", f"api/kernels/{kernel}")
        await pods.gone(name)


@pytest.mark.alone
async def test_a_kernel_whose_server_does_not_come_back_ends_by_itself_and_frees_its_gpu(
    site: Site, parts: None, namespace: str, tmp_path: Path
) -> None:
    async with (
        one_namespace(site, namespace, tmp_path) as running,
        running.visit(ALICE) as alice,
        site.watch(namespace) as pods,
        site.watch(namespace, component="singleuser-server") as servers,
    ):
        server = await alice.start_server()
        kernel, socket = await start(server, "brief")
        name = naming.kernel_name(kernel)
        assert await value(socket, "6 * 7") == "42"
        socket.close()
        await cull(running, ALICE, servers)
        await pods.phase(name, "Succeeded")
        server = await alice.start_server()
        other, socket = await start(server, "four")
        gpus = await value(socket, "__import__('os').environ['NVIDIA_VISIBLE_DEVICES']")
        assert len(gpus.split(",")) == site.cluster.gpus == 4
        assert await kernels(server) == [other]
        await pods.gone(name)
        socket.close()
        await server.request("DELETE", f"api/kernels/{other}")
        await pods.gone(naming.kernel_name(other))


async def test_users_in_one_namespace_neither_see_nor_end_each_others_kernels(
    site: Site, parts: None, namespace: str, tmp_path: Path
) -> None:
    async with (
        one_namespace(site, namespace, tmp_path) as running,
        running.visit(ALICE) as alice,
        running.visit(BOB) as bob,
        site.watch(namespace) as pods,
        site.watch(namespace, component="singleuser-server") as servers,
    ):
        hers, his = await asyncio.gather(alice.start_server(), bob.start_server())
        kernel, socket = await start(hers, "gpu")
        name = naming.kernel_name(kernel)
        await socket.run("x = 41", 60)
        await assert_apart(alice, bob, kernel, his)
        command = ["python3", "-m", "jupyter_kube.cli", "kill", name]
        with pytest.raises(ClusterFailed, match=f"{name} is {ALICE}'s"):
            site.cluster.kubectl("exec", "-n", namespace, f"jupyter-{BOB}", "--", *command)
        # Neither what his server does when it ends nor when it starts touches hers.
        other, bobs = await start(his, "gpu")
        bobs.close()
        await cull(running, BOB, servers)
        his = await bob.start_server()
        await attached(his, other)
        assert await kernels(his) == [other]
        assert await kernels(hers) == [kernel]
        assert await value(socket, "x + 1") == "42"
        labels = pods[name]["metadata"]["labels"]
        assert labels[naming.USER_HASH] == naming.user_hash(ALICE)
        socket.close()
        for server, each in ((hers, kernel), (his, other)):
            await server.request("DELETE", f"api/kernels/{each}")
            await pods.gone(naming.kernel_name(each))


async def test_users_in_namespaces_of_their_own_cannot_even_ask_for_the_others_pods(
    site: Site, parts: None, namespace: str, tmp_path: Path
) -> None:
    owned = {name: f"{namespace}-{name}" for name in (ALICE, BOB)}
    settings = spawner(
        site,
        namespace=namespace,
        enable_user_namespaces=True,
        user_namespace_template=f"{namespace}-{{username}}",
    )
    with (
        site.cluster.namespace(name=owned[ALICE]),
        site.cluster.namespace(name=owned[BOB]),
    ):
        for each in owned.values():
            site.prepare(each, **profiles(site))
        async with (
            hub.running_hub(tmp_path, site.cluster.kubeconfig, HOST, settings) as running,
            running.visit(ALICE) as alice,
            running.visit(BOB) as bob,
            site.watch(owned[ALICE]) as pods,
        ):
            hers, his = await asyncio.gather(alice.start_server(), bob.start_server())
            kernel, socket = await start(hers, "gpu")
            name = naming.kernel_name(kernel)
            assert name in pods
            await assert_apart(alice, bob, kernel, his)
            assert allowed(site, owned[BOB], owned[BOB])
            assert not allowed(site, owned[BOB], owned[ALICE])
            assert await value(socket, "6 * 7") == "42"
            socket.close()
            await hers.request("DELETE", f"api/kernels/{kernel}")
            await pods.gone(name)


async def assert_apart(
    alice: hub.Visitor, bob: hub.Visitor, kernel: str, his: JupyterServer
) -> None:
    """Assert that bob finds no way to alice's kernel: not by his server, not by hers."""
    assert kernel not in await kernels(his)
    for method in ("GET", "DELETE"):
        with pytest.raises(ServerError) as caught:
            await his.request(method, f"api/kernels/{kernel}")
        assert caught.value.code == 404
    with pytest.raises(ServerError) as caught:
        await bob.server_of(alice.name).request("DELETE", f"api/kernels/{kernel}")
    assert caught.value.code in {403, 404}
    with pytest.raises(ServerError) as caught:
        await bob.server_of(alice.name).connect(kernel)
    assert caught.value.code in {403, 404}


def allowed(site: Site, whose: str, where: str) -> bool:
    """Return whether the servers of one namespace may list pods in another."""
    account = f"system:serviceaccount:{whose}:{rbac.NAME}"
    try:
        said = site.cluster.kubectl("auth", "can-i", "list", "pods", "-n", where, "--as", account)
    except ClusterFailed:  # "no" is an exit code
        return False
    return said.strip() == "yes"
