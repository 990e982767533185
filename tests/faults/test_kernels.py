"""Kernels of a server whose API server is behind the proxy: F1, F2, F4, F8, F19, F29, F34, F35."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.session import JupyterServer, ServerError
from tests.conformance.conftest import Target
from tests.conformance.test_kernels import end, start, value

from .proxy import Fault, FaultProxy
from .serving import REACHES, gone, serving

AWAY = 6.0
"""Seconds for which the API server is away."""


@pytest.mark.parametrize("reach", REACHES)
async def test_f01_kernels_live_while_the_api_server_is_away_and_new_ones_wait_for_it(
    reach: str, target: Target, proxy: FaultProxy, client: KubeClient, tmp_path: Path
) -> None:
    async with serving(target, proxy.kubeconfig(), tmp_path, reach) as server:
        kernel, socket = await start(server)
        await socket.run("x = 41", 60)
        proxy.down()
        back = asyncio.get_running_loop().time() + AWAY
        if reach == "pod-ip":
            assert await value(socket, "x") == "41"
        else:
            waiting = socket.send_code("print(x)")
        model = await server.request("POST", "api/kernels", {"name": "kube-python"})
        assert model["execution_state"] == "starting"
        assert "Kubernetes API" in model["reason"]
        while asyncio.get_running_loop().time() < back:
            await server.request("GET", "api/status", timeout=2)
            kernels = await server.request("GET", "api/kernels", timeout=2)
            assert [k["id"] for k in kernels] == [kernel, model["id"]]
            await asyncio.sleep(0.2)
        await proxy.up()
        if reach == "port-forward":
            text = (await socket.collect(waiting, 30)).text
            assert text.endswith("41\n"), text  # after word that the pod was out of reach
        late = await server.connect(model["id"])
        assert (await value(late, "2")).endswith("2")  # after word of what it waited for
        assert await value(socket, "x + 1") == "42"
        await end(server, model["id"], late)
        await end(server, kernel, socket)
    await gone(client)


async def test_f01_a_kernel_deleted_while_the_api_server_is_away_goes_when_it_is_back(
    target: Target, proxy: FaultProxy, client: KubeClient, tmp_path: Path
) -> None:
    async with serving(target, proxy.kubeconfig(), tmp_path) as server:
        kernel, socket = await start(server)
        assert await value(socket, "1") == "1"
        proxy.down()
        await end(server, kernel, socket)
        assert await server.request("GET", "api/kernels") == []
        await proxy.up()
        await gone(client)


async def test_f01_a_server_that_starts_while_the_api_server_is_away_works(
    target: Target, proxy: FaultProxy, client: KubeClient, tmp_path: Path
) -> None:
    kubeconfig = proxy.kubeconfig()
    proxy.down()
    async with serving(target, kubeconfig, tmp_path) as server:
        local, beside = await start(server, "python3")
        assert await value(beside, "1") == "1"
        await server.request("GET", "api/kernels", timeout=2)
        await end(server, local, beside)
        await proxy.up()
        kernel, socket = await start(server)
        assert (await value(socket, "1")).endswith("1")
        await end(server, kernel, socket)
    await gone(client)


@pytest.mark.parametrize("plural", ["pods", "secrets"])
@pytest.mark.parametrize("fault", [{"cut_after": 0}, {"status": 503}, {"cut_after": 80}], ids=str)
async def test_f02_a_kernel_whose_creation_was_cut_has_one_pod(
    plural: str,
    fault: dict[str, Any],
    target: Target,
    proxy: FaultProxy,
    client: KubeClient,
    tmp_path: Path,
) -> None:
    async with serving(target, proxy.kubeconfig(), tmp_path) as server:
        cut = proxy.faults.add(Fault(f"/{plural}$", "POST", times=2, **fault))
        kernel, socket = await start(server)
        assert await value(socket, "1") == "1"
        assert cut.hits == 2
        pods = await objects.list_(client, objects.PODS, labels=naming.SELECTOR)
        assert [p["metadata"]["name"] for p in pods["items"]] == [naming.kernel_name(kernel)]
        await end(server, kernel, socket)
    await gone(client)


@pytest.mark.parametrize("reach", REACHES)
async def test_f04_a_kernel_starts_through_refusals_that_ask_for_patience(
    reach: str, target: Target, proxy: FaultProxy, client: KubeClient, tmp_path: Path
) -> None:
    async with serving(target, proxy.kubeconfig(), tmp_path, reach) as server:
        for uri in ("/pods$", "/secrets$", "/pods.*watch=", "/pods\\?limit", "/portforward"):
            proxy.faults.add(Fault(uri, status=429, retry_after=1, times=2))
        kernel, socket = await start(server)
        assert await value(socket, "1") == "1"
        for uri in ("/pods$", "/secrets$", "/portforward"):
            at = [seen.at for seen in proxy.asked(uri)][:3]
            assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(at))
        await end(server, kernel, socket)
    await gone(client)


async def test_f08_a_kernel_starts_through_errors_and_broken_answers(
    target: Target, proxy: FaultProxy, client: KubeClient, tmp_path: Path
) -> None:
    async with serving(target, proxy.kubeconfig(), tmp_path) as server:
        for uri in ("/pods$", "/secrets$", "/pods.*watch=", "/pods\\?limit", "/portforward"):
            proxy.faults.add(Fault(uri, status=500))
            proxy.faults.add(Fault(uri, cut_after=150))
            proxy.faults.add(Fault(uri, status=503, retry_after=0))
        kernel, socket = await start(server)
        assert await value(socket, "1") == "1"
        for status in (500, 503):
            proxy.faults.add(Fault("", "DELETE", status=status))
        await end(server, kernel, socket)
    await gone(client)


async def test_f19_kernels_go_on_through_a_rotation_of_the_token(
    target: Target, proxy: FaultProxy, client: KubeClient, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    proxy.accepted = {"first"}
    kubeconfig = proxy.kubeconfig({"tokenFile": str(token)})
    async with serving(target, kubeconfig, tmp_path, "port-forward") as server:
        kernel, socket = await start(server)
        await socket.run("x = 1", 60)
        proxy.accepted = {"second"}
        proxy.cut()  # until the file is written anew, everything is refused
        waiting = socket.send_code("print(x + 1)")
        while not [each for each in proxy.asked("/portforward") if each.token == "first"][1:]:
            await asyncio.sleep(0.05)
        token.write_text("second")
        text = (await socket.collect(waiting, 60)).text
        assert text.endswith("2\n"), text
        other, beside = await start(server)
        assert await value(beside, "3") == "3"
        await end(server, other, beside)
        await end(server, kernel, socket)
    await gone(client)


async def test_f29_a_kernel_deleted_while_it_starts_leaves_nothing(
    target: Target, proxy: FaultProxy, client: KubeClient, tmp_path: Path
) -> None:
    async with serving(target, proxy.kubeconfig(), tmp_path) as server:
        for held, after in itertools.product(("/pods$", "/secrets$", "/portforward"), (0, 0.3)):
            proxy.faults.add(Fault(held, delay=0.5))
            starting = asyncio.ensure_future(
                server.request("POST", "api/kernels", {"name": "kube-python"})
            )
            while not (kernels := await server.request("GET", "api/kernels")):
                await asyncio.sleep(0.01)
            await asyncio.sleep(after)
            await asyncio.gather(*(_delete(server, kernels[0]["id"]) for _ in range(2)))
            await asyncio.wait([starting])
            starting.exception()  # whatever it was answered
            assert await server.request("GET", "api/kernels") == []
            proxy.faults.clear()
        await gone(client)


async def _delete(server: JupyterServer, kernel: str) -> None:
    """Delete a kernel; that it is gone already is as good."""
    try:
        await server.request("DELETE", f"api/kernels/{kernel}")
    except ServerError as error:
        if error.code != 404:
            raise


async def test_f29_a_deletion_whose_answer_is_lost_or_that_comes_too_late_is_done(
    target: Target, proxy: FaultProxy, client: KubeClient, tmp_path: Path
) -> None:
    async with serving(target, proxy.kubeconfig(), tmp_path) as server:
        kernel, socket = await start(server)
        proxy.faults.add(Fault("/pods/", "DELETE", cut_after=0))
        await end(server, kernel, socket)
        await gone(client)
        kernel, socket = await start(server)
        name = naming.kernel_name(kernel)
        proxy.faults.add(Fault("/pods/", "DELETE", delay=1))
        deleting = asyncio.ensure_future(server.request("DELETE", f"api/kernels/{kernel}"))
        await asyncio.sleep(0.1)
        await objects.delete(client, objects.PODS, name, grace=0)
        await deleting
        socket.close()
        assert await server.request("GET", "api/kernels") == []
    await gone(client)


async def test_f34_twenty_restarts_leak_nothing(
    target: Target, proxy: FaultProxy, client: KubeClient, tmp_path: Path
) -> None:
    async with serving(target, proxy.kubeconfig(), tmp_path) as server:
        kernel, socket = await start(server)
        await value(socket, "1")
        counts = []
        for turn in range(22):
            await server.request("POST", f"api/kernels/{kernel}/restart")
            assert await value(socket, "'x' in globals()") == "False"
            await socket.run("x = 1", 30)
            if turn in {1, 21}:
                inside = "len(__import__('os').listdir('/proc/self/fd'))"
                counts.append((_descriptors(server), int(await value(socket, inside))))
        pods = await objects.list_(client, objects.PODS, labels=naming.SELECTOR)
        assert [p["metadata"]["name"] for p in pods["items"]] == [naming.kernel_name(kernel)]
        (server_before, pod_before), (server_after, pod_after) = counts
        assert server_after < server_before + 10, "a restart leaves open files"
        assert pod_after < pod_before + 10, "a restart leaves open files in the pod"
        await end(server, kernel, socket)
    await gone(client)


def _descriptors(server: JupyterServer) -> int:
    """Count the open files and sockets of a server's process."""
    assert server.process is not None
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


async def test_f34_an_interrupt_of_a_starting_kernel_is_refused_and_harms_nothing(
    target: Target, proxy: FaultProxy, client: KubeClient, tmp_path: Path
) -> None:
    async with serving(target, proxy.kubeconfig(), tmp_path) as server:
        hold = proxy.faults.add(Fault("/secrets$", delay=60))
        starting = asyncio.ensure_future(
            server.request("POST", "api/kernels", {"name": "kube-python"})
        )
        while not (kernels := await server.request("GET", "api/kernels")):
            await asyncio.sleep(0.01)
        kernel = kernels[0]["id"]
        with pytest.raises(ServerError) as caught:
            await server.request("POST", f"api/kernels/{kernel}/interrupt")
        assert caught.value.code == 409
        assert "starting" in caught.value.message
        await server.request("POST", f"api/kernels/{kernel}/restart")  # goes on with the start
        proxy.faults.lift(hold)
        await starting
        socket = await server.connect(kernel)
        assert await value(socket, "1") == "1"
        await end(server, kernel, socket)
    await gone(client)


async def test_f35_a_server_answers_while_each_write_takes_seconds(
    target: Target, proxy: FaultProxy, client: KubeClient, tmp_path: Path
) -> None:
    async with serving(target, proxy.kubeconfig(), tmp_path) as server:
        kernel, socket = await start(server)
        assert await value(socket, "1") == "1"
        for method in ("POST", "PATCH", "DELETE"):
            proxy.faults.add(Fault(method=method, delay=6))
        starting = asyncio.ensure_future(start(server))
        while not starting.done():
            async with asyncio.timeout(5):  # less than a write takes
                await server.request("GET", "api/status")
                assert await value(socket, "1") == "1"
        other, beside = await starting
        assert await value(beside, "2") == "2"
        await end(server, other, beside)
        await end(server, kernel, socket)
        await gone(client)  # a server that ends itself has no time for such writes
