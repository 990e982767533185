"""What we promise of kernels, through a plain Jupyter Server's REST and websocket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector
from jupyter_kube.session import JupyterServer, KernelSocket, ServerError, running_server

from .conftest import Target

REACH = ("port-forward", "pod-ip")


@pytest.fixture(params=REACH)
def reach(request: pytest.FixtureRequest) -> str:
    """Each way to a pod in turn."""
    return str(request.param)


@pytest.fixture
def server(
    target: Target, tmp_path: Path, jp_asyncio_loop: asyncio.AbstractEventLoop, request: Any
) -> Iterator[JupyterServer]:
    """A Jupyter Server of its own, with profiles for good, bad, GPU and impossible pods."""
    base = {"image": target.image, "cpu": "100m", "memory": "512Mi"}
    missing = "localhost/missing/image:1"
    settings = target.settings(
        python=base,
        gpu={**base, "gpus": 1},
        four={**base, "gpus": 4},
        impossible={**base, "gpus": 99},
        bad={**base, "image": missing, "image_pull_policy": "Never"},
        forbidden={**base, "service_account": "nobody"},
    )
    reach = request.getfixturevalue("reach") if "reach" in request.fixturenames else "auto"
    config = {"KubeConfig": settings, "KubeProvisioner": {"reach": reach}}
    running = running_server(tmp_path, config)
    yield jp_asyncio_loop.run_until_complete(running.__aenter__())
    jp_asyncio_loop.run_until_complete(running.__aexit__(None, None, None))


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> str:
    """A variable of the server's environment."""
    monkeypatch.setenv("JK_TEST_CANARY", "not for pods")
    return "JK_TEST_CANARY"


async def start(server: JupyterServer, name: str = "kube-python") -> tuple[str, KernelSocket]:
    model = await server.start_kernel(name)
    return model["id"], await server.connect(model["id"])


async def value(socket: KernelSocket, code: str) -> str:
    reply = await socket.run(f"print({code})", 60)
    assert reply.status == "ok", reply.content
    return reply.text.strip()


async def end(server: JupyterServer, kernel: str, socket: KernelSocket) -> None:
    socket.close()
    await server.request("DELETE", f"api/kernels/{kernel}")


async def test_a_kernel_runs_in_a_pod_and_leaves_nothing(
    reach: str, server: JupyterServer, client: KubeClient, pods: Reflector
) -> None:
    kernel, socket = await start(server)
    assert await value(socket, "6 * 7") == "42"
    name = naming.kernel_name(kernel)
    host = await value(socket, "__import__('os').environ['HOSTNAME']")
    assert host == name
    secret = await objects.get(client, objects.SECRETS, name)
    assert secret["metadata"]["ownerReferences"][0]["name"] == name
    assert pods.items[name]["metadata"]["labels"][naming.KERNEL_ID] == kernel
    await end(server, kernel, socket)
    await pods.wait_for(name, lambda pod: pod is None or None, 30)


async def test_a_restart_keeps_the_pod_and_the_websocket(
    reach: str, server: JupyterServer, pods: Reflector
) -> None:
    kernel, socket = await start(server)
    await socket.run("x = 1", 60)
    uid = pods.items[naming.kernel_name(kernel)]["metadata"]["uid"]
    await server.request("POST", f"api/kernels/{kernel}/restart")
    assert await value(socket, "'x' in globals()") == "False"
    assert pods.items[naming.kernel_name(kernel)]["metadata"]["uid"] == uid
    await end(server, kernel, socket)


async def test_the_same_websocket_answers_after_each_of_ten_kills(
    server: JupyterServer, pods: Reflector
) -> None:
    kernel, socket = await start(server)
    pids = set()
    for _ in range(10):
        pid = await value(socket, "__import__('os').getpid()")
        pids.add(pid)
        killed = await socket.run("import os; os.kill(os.getpid(), 9)", 60)
        assert killed.status in {"aborted", "error"}
    assert await value(socket, "6 * 7") == "42"
    assert len(pids) == 10
    await end(server, kernel, socket)


async def test_an_interrupt_reaches_the_cell(server: JupyterServer, pods: Reflector) -> None:
    kernel, socket = await start(server)
    assert await value(socket, "1") == "1"
    msg_id = socket.send_code("print('begun', flush=True)\nimport time\ntime.sleep(600)")
    while (await socket.receive())["header"]["msg_type"] != "stream":
        pass
    await server.request("POST", f"api/kernels/{kernel}/interrupt")
    reply = await socket.collect(msg_id, 30)
    assert reply.content["ename"] == "KeyboardInterrupt"
    await end(server, kernel, socket)


@pytest.mark.parametrize("profile", ["bad", "forbidden"])
async def test_a_pod_that_can_never_run_fails_with_kubernetes_words(
    profile: str, server: JupyterServer, pods: Reflector
) -> None:
    with pytest.raises(ServerError) as caught:
        await server.start_kernel(f"kube-{profile}")
    wanted = {"bad": "missing/image:1", "forbidden": 'serviceaccount "nobody" not found'}[profile]
    assert wanted in caught.value.message
    assert [k for k in await server.request("GET", "api/kernels") if k] == []


async def test_a_kernel_that_waits_for_a_gpu_says_so_and_can_be_cancelled(
    server: JupyterServer, pods: Reflector
) -> None:
    model = await server.start_kernel("kube-impossible")
    assert model["execution_state"] == "starting"
    assert "Insufficient nvidia.com/gpu" in str(model)
    await server.request("DELETE", f"api/kernels/{model['id']}")
    assert await server.request("GET", "api/kernels") == []
    await pods.wait_for(naming.kernel_name(model["id"]), lambda pod: pod is None or None, 30)


@pytest.mark.alone
async def test_a_fifth_gpu_waits_for_the_other_four_and_its_wait_can_be_ended(
    server: JupyterServer, pods: Reflector
) -> None:
    holder, socket = await start(server, "kube-four")
    assert await value(socket, "1") == "1"
    model = await server.start_kernel("kube-gpu")
    assert model["execution_state"] == "starting"
    assert "Insufficient nvidia.com/gpu" in str(model)
    await server.request("DELETE", f"api/kernels/{model['id']}")
    await end(server, holder, socket)


async def test_a_kernel_with_a_gpu_sees_its_device(
    target: Target, server: JupyterServer, pods: Reflector
) -> None:
    if not target.real:
        pytest.skip("the local cluster counts GPUs but has no device plugin")
    kernel, socket = await start(server, "kube-gpu")
    devices = await value(socket, "__import__('os').environ['NVIDIA_VISIBLE_DEVICES']")
    assert devices
    await end(server, kernel, socket)


async def test_no_variable_of_the_server_gets_into_the_pod(
    canary: str, server: JupyterServer, pods: Reflector
) -> None:
    kernel, socket = await start(server)
    environment = await value(socket, "dict(__import__('os').environ)")
    for name in (canary, "JUPYTER_TOKEN", "JUPYTER_KUBE_LAUNCH"):
        assert name not in environment
    await end(server, kernel, socket)


async def test_a_local_kernel_beside_ours_is_untouched(
    server: JupyterServer, pods: Reflector
) -> None:
    ours, socket = await start(server)
    local, beside = await start(server, "python3")
    assert await value(beside, "__import__('os').getppid()") != await value(
        socket, "__import__('os').getppid()"
    )
    await server.request("POST", f"api/kernels/{local}/restart")
    beside.close()  # a stock kernel's old websocket may lose a message after a restart
    beside = await server.connect(local)
    assert await value(beside, "1") == "1"
    await end(server, local, beside)
    await end(server, ours, socket)
