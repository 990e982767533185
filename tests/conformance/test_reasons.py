"""Each way in which a start is held up or a kernel ends is said in words, on both clusters.

Tests are named after the fault they are about; `REAL` marks those that only a real kubelet,
scheduler or admission controller can show.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector
from jupyter_kube.session import JupyterServer, KernelSocket, ServerError, running_server
from tests.cluster import Cluster

from .conftest import Target
from .registry import Registry
from .test_kernels import end, start, value

REAL = pytest.mark.parametrize(
    "target", [pytest.param("real", marks=pytest.mark.cluster)], indirect=True
)
DEVICE = "example.com/jk-device"
"""A device that only the test's own node status knows, so that no other test's pod has it."""
EAT = "chunks = []\nwhile True: chunks.append(bytearray(b'x' * 2**23))"


@asynccontextmanager
async def serving(
    target: Target, folder: Path, *, reach: str = "auto", **profiles: dict[str, Any]
) -> AsyncIterator[JupyterServer]:
    """Run a server with these profiles on top of a plain one."""
    plain = {"image": target.image, "cpu": "100m", "memory": "512Mi"}
    wanted = {name: {**plain, **profile} for name, profile in {"python": {}, **profiles}.items()}
    settings = {"KubeConfig": target.settings(**wanted), "KubeProvisioner": {"reach": reach}}
    async with running_server(folder, settings) as server:
        yield server


async def model(server: JupyterServer, kernel: str) -> dict[str, Any]:
    found: dict[str, Any] = await server.request("GET", f"api/kernels/{kernel}")
    return found


async def reason(server: JupyterServer, kernel: str, words: str) -> str:
    """Wait until the kernel's reason has these words."""
    while True:
        found = str((await model(server, kernel)).get("reason", ""))
        if words in found:
            return found
        await asyncio.sleep(0.1)


async def failure(server: JupyterServer, name: str) -> str:
    """Start a kernel that cannot start; return why, long before its start's time is up."""
    async with asyncio.timeout(60):
        try:
            kernel = await server.start_kernel(name)
        except ServerError as error:
            return error.message
        while (found := await model(server, kernel["id"]))["execution_state"] != "dead":
            await asyncio.sleep(0.1)
    await server.request("DELETE", f"api/kernels/{kernel['id']}")
    return str(found["reason"])


async def said(socket: KernelSocket, msg_id: str, words: str) -> str:
    """Wait until these words are written under a cell."""
    while True:
        message = await socket.receive()
        text = str(message["content"].get("text", ""))
        if message["parent_header"].get("msg_id") == msg_id and words in text:
            return text


async def status(socket: KernelSocket, wanted: str) -> None:
    """Wait until the kernel's state is told."""
    while True:
        message = await socket.receive()
        if message["content"].get("execution_state") == wanted:
            return


# --- starts that are held up or refused ----------------------------------------------------------


@REAL
async def test_f14_a_missing_image_fails_soon_with_the_registrys_answer(
    target: Target,
    pods: Reflector,
    tmp_path: Path,
) -> None:
    with Registry(404) as registry:
        missing = f"{registry.address}/team/missing:1"
        async with serving(target, tmp_path, bad={"image": missing}) as server:
            words = await failure(server, "kube-bad")
    assert f"the image {missing} cannot be had: " in words
    assert "not found" in words


@REAL
async def test_f14_a_denied_image_fails_soon_with_the_registrys_answer(
    target: Target,
    pods: Reflector,
    tmp_path: Path,
) -> None:
    with Registry(403) as registry:
        denied = f"{registry.address}/team/denied:1"
        async with serving(target, tmp_path, bad={"image": denied}) as server:
            words = await failure(server, "kube-bad")
    assert f"the image {denied} cannot be had: " in words
    assert "403" in words


@REAL
async def test_f14_a_registry_that_asks_for_patience_is_waited_for(
    target: Target,
    pods: Reflector,
    tmp_path: Path,
) -> None:
    with Registry(429) as registry:
        profile = {"image": f"{registry.address}/team/popular:1"}
        async with serving(target, tmp_path, popular=profile) as server:
            kernel = await server.start_kernel("kube-popular")
            assert kernel["execution_state"] == "starting"
            assert "429" in await reason(server, kernel["id"], "cannot be had")
            await server.request("DELETE", f"api/kernels/{kernel['id']}")


@REAL
async def test_a_pull_that_takes_long_says_how_long(
    target: Target,
    pods: Reflector,
    tmp_path: Path,
) -> None:
    with Registry(404, slow=True) as registry:
        profile = {"image": f"{registry.address}/team/slow:1"}
        async with serving(target, tmp_path, slow=profile) as server:
            kernel = await server.start_kernel("kube-slow")
            assert kernel["execution_state"] == "starting"
            socket = await server.connect(kernel["id"])
            cell = socket.send_code("1")
            assert "Pulling image" in await said(socket, cell, "s so far")
            registry.answer()
            reply = await socket.collect(cell, 60)
            assert reply.status == "aborted"
            assert "not found" in reply.text
            await end(server, kernel["id"], socket)


async def test_f15_a_full_quota_says_what_is_needed_and_what_is_left(
    target: Target,
    client: KubeClient,
    pods: Reflector,
    tmp_path: Path,
) -> None:
    quota = {"metadata": {"name": "gpus"}, "spec": {"hard": {"requests.nvidia.com/gpu": "40"}}}
    await objects.create(client, objects.QUOTAS, quota)
    try:
        async with serving(
            target, tmp_path, most={"gpus": 39}, four={"gpus": 4}, many={"gpus": 41}
        ) as server:
            most = await server.start_kernel("kube-most")  # counts, though no node has room for it
            four = await server.start_kernel("kube-four")
            assert four["execution_state"] == "starting"
            words = f'needs 4 GPU, 1 left in namespace {target.namespace} (quota "gpus")'
            assert words in four["reason"]
            many = await server.start_kernel("kube-many")
            assert "needs 41 GPU, more than the 40 that are allowed" in many["reason"]
            for kernel in (many, four, most):
                await server.request("DELETE", f"api/kernels/{kernel['id']}")
    finally:
        await objects.delete(client, objects.QUOTAS, "gpus")


async def test_f16_the_schedulers_reason_comes_soon_and_an_autoscalers_with_it(
    target: Target,
    client: KubeClient,
    pods: Reflector,
    tmp_path: Path,
) -> None:
    async with serving(target, tmp_path, impossible={"gpus": 99}) as server:
        async with asyncio.timeout(5):
            kernel = await server.start_kernel("kube-impossible")
            assert "Insufficient nvidia.com/gpu" in kernel["reason"]
        pod = await objects.get(client, objects.PODS, naming.kernel_name(kernel["id"]))
        news = "pod triggered scale-up: [{gpu-nodes 0->1 (max: 3)}]"
        await objects.create(client, objects.EVENTS, event(pod, "TriggeredScaleUp", news))
        words = await reason(server, kernel["id"], "a node is being added")
        assert news in words
        assert "Insufficient nvidia.com/gpu" in words
        await server.request("DELETE", f"api/kernels/{kernel['id']}")
        assert await server.request("GET", "api/kernels") == []


def event(pod: dict[str, Any], name: str, message: str) -> dict[str, Any]:
    """Make an event about a pod, as an autoscaler does."""
    meta = pod["metadata"]
    about = {"kind": "Pod", "apiVersion": "v1"}
    about |= {key: meta[key] for key in ("namespace", "name", "uid")}
    return {
        "metadata": {"generateName": f"{meta['name']}.", "namespace": meta["namespace"]},
        "involvedObject": about,
        "reason": name,
        "message": message,
        "type": "Normal",
        "source": {"component": "cluster-autoscaler"},
        "lastTimestamp": meta["creationTimestamp"],
    }


@REAL
async def test_f17_an_admission_policys_message_is_shown_whole_and_nothing_is_left(
    target: Target,
    real_cluster: Cluster,
    pods: Reflector,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = (
        "Kernels of this team need a cost centre. "
        + "Ask the platform team for one. " * 12
        + "Thanks."
    )
    with policy(real_cluster, target.namespace, words):
        async with serving(target, tmp_path) as server:
            while True:  # a new policy is in force some moments later
                try:
                    kernel = await server.start_kernel("kube-python")
                except ServerError as error:
                    refused = error
                    break
                await server.request("DELETE", f"api/kernels/{kernel['id']}")
            assert words in refused.message
            assert await server.request("GET", "api/kernels") == []
    assert "Traceback" not in capfd.readouterr().err  # the log has the words, too


@contextmanager
def policy(cluster: Cluster, namespace: str, words: str) -> Iterator[None]:
    """Have the cluster refuse kernels in a namespace."""
    api = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": namespace}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
    label = naming.COMPONENT
    expression = f"!has(object.metadata.labels) || !('{label}' in object.metadata.labels)"
    only = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    made = (
        {
            **api,
            "kind": "ValidatingAdmissionPolicy",
            "spec": {
                "matchConstraints": {"resourceRules": [{**rule, "resources": ["pods"]}]},
                "validations": [{"expression": expression, "message": words}],
            },
        },
        {
            **api,
            "kind": "ValidatingAdmissionPolicyBinding",
            "spec": {
                "policyName": namespace,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": only},
            },
        },
    )
    cluster.apply(*made)
    try:
        yield
    finally:
        for each in made:
            cluster.kubectl("delete", str(each["kind"]), namespace)


# --- ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import ctypes; ctypes.string_at(0)", "segmentation fault (signal 11)"),
        ("import os; os._exit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 6)", "signal 6"),
        (
            "import os\nos.write(2, b'terminate called\\nbad_alloc\\n')\nos.abort()",
            "It wrote last:\n    terminate called\n    bad_alloc\n    Fatal Python error: Abort",
        ),
    ],
)
async def test_a_process_that_ends_says_how_and_the_kernel_goes_on(
    code: str,
    words: str,
    target: Target,
    pods: Reflector,
    tmp_path: Path,
) -> None:
    async with serving(target, tmp_path) as server:
        kernel, socket = await start(server)
        reply = await socket.run(code, 60)
        assert reply.status == "aborted"
        assert words in reply.text
        assert await value(socket, "1") == "1"
        await end(server, kernel, socket)


@REAL
async def test_f12_a_kernel_that_runs_out_of_memory_says_so_and_offers_a_bigger_profile(
    target: Target,
    pods: Reflector,
    tmp_path: Path,
) -> None:
    sizes: dict[str, Any] = {"small": {"memory": "192Mi"}, "big": {"memory": "1Gi"}}
    async with serving(target, tmp_path, **sizes) as server:
        kernel, socket = await start(server, "kube-small")
        reply = await socket.run(EAT, 120)
        assert reply.status == "aborted"
        assert (
            "Kernel ran out of memory (limit 192Mi). The profile “python” has 512Mi" in reply.text
        )
        assert await value(socket, "1") == "1"
        await end(server, kernel, socket)


@REAL
async def test_f12_a_container_that_runs_out_of_memory_as_a_whole_says_the_same(
    target: Target,
    real_cluster: Cluster,
    pods: Reflector,
    tmp_path: Path,
) -> None:
    """Version 2 of cgroups ends all processes of the container, version 1 only one: help it."""
    async with serving(target, tmp_path, small={"memory": "192Mi"}) as server:
        kernel, socket = await start(server, "kube-small")
        inside = int(await value(socket, "__import__('os').getpid()"))
        cell = socket.send_code(f"print('begun', flush=True)\nimport time; time.sleep(2)\n{EAT}")
        await said(socket, cell, "begun")
        container = processes(real_cluster, await running(pods, kernel))
        supervisor, eater = numbered(container, 1), numbered(container, inside)
        os.kill(supervisor, signal.SIGSTOP)  # it cannot repair what happens now
        try:
            while lives(eater):
                await asyncio.sleep(0.05)
        finally:
            os.kill(supervisor, signal.SIGKILL)
        reply = await socket.collect(cell, 60)
        assert reply.status == "aborted"
        assert (
            "Kernel ran out of memory (limit 192Mi). The profile “python” has 512Mi" in reply.text
        )
        assert await value(socket, "1") == "1"
        await end(server, kernel, socket)


@REAL
async def test_f10_an_eviction_through_the_api_is_said(
    target: Target,
    client: KubeClient,
    pods: Reflector,
    tmp_path: Path,
) -> None:
    async with serving(target, tmp_path) as server:
        kernel, socket = await start(server)
        cell = socket.send_code("print('begun', flush=True)\nimport time; time.sleep(600)")
        await said(socket, cell, "begun")
        name = naming.kernel_name(kernel)
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": client.namespace},
        }
        path = objects.PODS.path(client.namespace, name, "eviction")
        await client.request("POST", path, body=body)
        reply = await socket.collect(cell, 60)
        assert "evicted through the API" in reply.text
        assert "evicted through the API" in await reason(server, kernel, "evicted")
        assert (await model(server, kernel))["execution_state"] == "dead"
        await end(server, kernel, socket)


@REAL
@pytest.mark.timeout(240)
async def test_f10_an_eviction_by_the_node_is_said_in_its_words(
    target: Target,
    pods: Reflector,
    tmp_path: Path,
) -> None:
    scratch = {
        "volumes": [{"name": "room", "emptyDir": {"sizeLimit": "1Mi"}}],
        "volume_mounts": [{"name": "room", "mountPath": "/scratch"}],
    }
    async with serving(target, tmp_path, scratch=scratch) as server:
        kernel, socket = await start(server, "kube-scratch")
        write = "open('/scratch/big', 'wb').write(b'x' * 2**24)\nimport time; time.sleep(600)"
        reply = await socket.run(write, 200)
        assert reply.status == "aborted"
        assert 'evicted: Usage of EmptyDir volume "room" exceeds the limit' in reply.text
        await end(server, kernel, socket)


@REAL
async def test_f11_a_preempted_kernel_says_by_whom_and_is_dead_once(
    target: Target,
    real_cluster: Cluster,
    pods: Reflector,
    tmp_path: Path,
) -> None:
    modest = {"gpus": 1, "gpu_resource": DEVICE}
    with device(real_cluster), urgent(real_cluster, target.namespace) as priority:
        async with serving(target, tmp_path, modest=modest) as server:
            kernel, socket = await start(server, "kube-modest")
            cell = socket.send_code("print('begun', flush=True)\nimport time; time.sleep(600)")
            await said(socket, cell, "begun")
            states: list[str] = []
            socket.on_message = lambda m: states.append(m["content"].get("execution_state", ""))
            real_cluster.apply(greedy(target, priority))
            reply = await socket.collect(cell, 60)
            assert "preempted by a pod with a higher priority" in reply.text
            assert await reason(server, kernel, "preempted")
            while "dead" not in states:
                await socket.receive()
            await end(server, kernel, socket)
            assert states.count("dead") == 1


@contextmanager
def device(cluster: Cluster) -> Iterator[None]:
    """Give the node one device of our own."""
    (node,) = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    name = DEVICE.replace("/", "~1")

    def change(operation: str) -> None:
        patch = [
            {"op": operation, "path": f"/status/{where}/{name}", "value": "1"}
            for where in ("capacity", "allocatable")
        ]
        where = ["node", node["metadata"]["name"], "--subresource=status", "--type=json"]
        cluster.kubectl("patch", *where, "-p", json.dumps(patch))

    change("add")
    try:
        yield
    finally:
        change("remove")


@contextmanager
def urgent(cluster: Cluster, name: str) -> Iterator[str]:
    """Make a priority class above all others."""
    made = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": 1000,
    }
    cluster.apply(made)
    try:
        yield name
    finally:
        cluster.kubectl("delete", "priorityclass", name)
        cluster.kubectl("delete", "pod", "greedy", "-n", name, "--grace-period=1")


def greedy(target: Target, priority: str) -> dict[str, Any]:
    """Make a pod of that priority that needs our device."""
    amounts = {DEVICE: "1", "cpu": "10m", "memory": "32Mi"}
    container = {
        "name": "main",
        "image": target.image,
        "imagePullPolicy": "Never",
        "command": ["sleep", "600"],
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    security = {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "greedy", "namespace": target.namespace},
        "spec": {
            "priorityClassName": priority,
            "securityContext": security,
            "containers": [container],
        },
    }


# --- nodes that do not answer --------------------------------------------------------------------


async def test_f09_a_lost_node_is_said_within_ten_seconds_and_a_found_one_goes_on(
    target: Target,
    request: pytest.FixtureRequest,
    pods: Reflector,
    tmp_path: Path,
) -> None:
    """A pod whose processes are all stopped is to its server what a lost node's pod is."""
    async with serving(target, tmp_path) as server:
        kernel, socket = await start(server)
        pid = int(await value(socket, "__import__('os').getpid()"))
        if target.real:
            cluster: Cluster = request.getfixturevalue("real_cluster")
            frozen = processes(cluster, await running(pods, kernel))
        else:
            frozen = [int(await value(socket, "__import__('os').getppid()")), pid]
        cell = socket.send_code("for i in range(3): print(i, flush=True)\nprint(input is None)")
        assert (await socket.collect(cell, 60)).status == "ok"
        cell = socket.send_code(
            "print('begun', flush=True)\nimport time; time.sleep(1)\nprint('x')"
        )
        await said(socket, cell, "begun")
        for each in frozen:
            os.kill(each, signal.SIGSTOP)
        try:
            async with asyncio.timeout(10):
                words = await said(socket, cell, "No answer from the kernel's pod since")
            node = pods.items[naming.kernel_name(kernel)]["spec"]["nodeName"]
            assert f"its node {node} may be lost" in words
            found = await model(server, kernel)
            assert "No answer from the kernel's pod since" in found["reason"]
            assert found["execution_state"] not in {"dead", "restarting"}
        finally:
            for each in reversed(frozen):
                os.kill(each, signal.SIGCONT)
        reply = await socket.collect(cell, 60)
        assert reply.status == "ok"
        assert "answers again" in reply.text
        assert reply.text.endswith("x\n")
        assert int(await value(socket, "__import__('os').getpid()")) == pid
        assert not (await model(server, kernel)).get("reason")
        await end(server, kernel, socket)


@REAL
async def test_f23_a_partition_is_said_and_loses_nothing(
    target: Target, real_cluster: Cluster, pods: Reflector, tmp_path: Path
) -> None:
    """No packet passes, as when a node's network fails; the pod itself goes on."""
    if not real_cluster.processes:
        pytest.skip("the network of a foreign cluster is not ours to cut")
    async with serving(target, tmp_path, reach="pod-ip") as server:
        kernel, socket = await start(server)
        address = await value(socket, "__import__('os').environ['POD_IP']")
        lines = 6000  # more at once, then, than Jupyter lets kernels say
        cell = socket.send_code(
            f"import time\nfor i in range({lines}): print(i, flush=True); time.sleep(0.002)"
        )
        printed: list[str] = []

        def note(message: dict[str, Any]) -> None:
            content = message["content"]
            if content.get("name") == "stdout" and message["parent_header"]["msg_id"] == cell:
                printed.append(content["text"])

        socket.on_message = note
        await said(socket, cell, "0")
        with dropping(address):
            async with asyncio.timeout(10):
                await said(socket, cell, "No answer from the kernel's pod since")
            other = socket.send_code("print('sent meanwhile')")
        reply = await socket.collect(cell, 60)
        assert reply.status == "ok"
        assert "answers again" in reply.text
        assert "".join(printed).splitlines() == [str(number) for number in range(lines)]
        assert (await socket.collect(other, 60)).text == "sent meanwhile\n"
        await end(server, kernel, socket)


@contextmanager
def dropping(address: str) -> Iterator[None]:
    """Drop all packets between this machine and a pod."""
    rules = [("OUTPUT", "-d", address), ("INPUT", "-s", address)]

    def change(operation: str) -> None:
        for chain, side, where in rules:
            argv = ["iptables", "-w", operation, chain, side, where, "-j", "DROP"]
            subprocess.run(argv, check=True)

    change("-I")
    try:
        yield
    finally:
        change("-D")


async def running(pods: Reflector, kernel: str) -> dict[str, Any]:
    """Return a kernel's pod once its node says that it runs: the kernel may have said so before."""

    def with_container(pod: dict[str, Any] | None) -> dict[str, Any] | None:
        states = (pod or {}).get("status", {}).get("containerStatuses") or [{}]
        return pod if "running" in states[0].get("state", {}) else None

    return await pods.wait_for(naming.kernel_name(kernel), with_container, 30)


def processes(cluster: Cluster, pod: dict[str, Any]) -> list[int]:
    """Return the pids of a pod's processes, its pause process aside; only on our own machine."""
    if not cluster.processes:
        pytest.skip("the processes of a foreign cluster are not ours to stop")
    (container,) = pod["status"]["containerStatuses"]
    name = container["containerID"].rpartition("/")[2]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and name in _text(entry / "cgroup"):
            found.append(int(entry.name))
    assert found
    return sorted(found)


def numbered(pids: list[int], inside: int) -> int:
    """Return the one that has this number in its container."""
    for pid in pids:
        numbers = [line.split() for line in _text(Path(f"/proc/{pid}/status")).splitlines()]
        if any(each[:1] == ["NSpid:"] and each[-1] == str(inside) for each in numbers):
            return pid
    raise AssertionError(f"no process {inside}")


def lives(pid: int) -> bool:
    """Tell whether a process is there and is no zombie."""
    text = _text(Path(f"/proc/{pid}/status"))
    return bool(text) and "State:\tZ" not in text


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended meanwhile
        return ""
