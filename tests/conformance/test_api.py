"""What we rely on from a Kubernetes API."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

import pytest

from jupyter_kube.errors import (
    AccessDenied,
    ClusterError,
    Conflict,
    Expired,
    InvalidManifest,
    QuotaExceeded,
    from_status,
)
from jupyter_kube.kube import logs, objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.pods import pod_state
from jupyter_kube.kube.streams import port_forward
from jupyter_kube.kube.watch import Reflector

from .conftest import Target

RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def pod_spec(image: str, code: str, **extra: Any) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": image,
        "command": ["python3", "-uc", code],
        "securityContext": CONTAINER_RESTRICTED,
        **extra,
    }
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "securityContext": RESTRICTED,
        "containers": [container],
    }


def pod(image: str, code: str, **extra: Any) -> dict[str, Any]:
    name = f"t-{secrets.token_hex(3)}"
    return {
        "metadata": {"name": name, "labels": {"t": name}},
        "spec": pod_spec(image, code, **extra),
    }


def job(image: str, code: str, n: int, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": f"t-{secrets.token_hex(3)}"},
        "spec": {
            "completionMode": "Indexed",
            "completions": n,
            "parallelism": n,
            **spec,
            "template": {"spec": pod_spec(image, code)},
        },
    }


async def until(reflector: Reflector, name: str, test: Any, seconds: float = 60) -> Any:
    """Wait until an object that is there passes the test."""
    return await reflector.wait_for(name, lambda item: (item and test(item)) or None, seconds)


async def gone(reflector: Reflector, name: str, seconds: float = 60) -> None:
    """Wait until an object is not there."""
    await reflector.wait_for(name, lambda item: item is None or None, seconds)


def condition(item: dict[str, Any] | None, kind: str) -> dict[str, Any] | None:
    conditions = (item or {}).get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind and c["status"] == "True"), None)


@pytest.fixture
def watching(client: KubeClient, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Any:
    """Start reflectors that end with the test."""
    started: list[Reflector] = []

    async def start(resource: objects.Resource, **kwargs: Any) -> Reflector:
        reflector = Reflector(client, resource, **kwargs)
        started.append(reflector)
        await reflector.start()
        await reflector.synced()
        return reflector

    yield start
    for reflector in started:
        jp_asyncio_loop.run_until_complete(reflector.close())


async def test_a_second_create_of_a_name_conflicts(client: KubeClient, target: Target) -> None:
    secret = {"metadata": {"name": f"t-{secrets.token_hex(3)}"}, "stringData": {"a": "b"}}
    name = secret["metadata"]["name"]
    await objects.create(client, objects.SECRETS, secret)
    with pytest.raises(Conflict) as caught:
        await objects.create(client, objects.SECRETS, secret)
    assert caught.value.reason == "AlreadyExists"
    assert await objects.delete(client, objects.SECRETS, name) is True
    assert await objects.delete(client, objects.SECRETS, name) is False


async def test_an_invalid_pod_is_refused_with_the_field(client: KubeClient, target: Target) -> None:
    manifest = pod(target.image, "pass")
    manifest["spec"]["containers"][0]["name"] = "Not Allowed"
    with pytest.raises(InvalidManifest, match=r"spec\.containers\[0\]\.name"):
        await objects.create(client, objects.PODS, manifest)


async def test_a_watch_shows_a_pods_life_in_order(
    client: KubeClient, target: Target, watching: Any
) -> None:
    pods = await watching(objects.PODS)
    manifest = pod(target.image, "print('hello')")
    name = manifest["metadata"]["name"]
    seen: list[tuple[str, str]] = []
    pods.subscribe(
        lambda kind, item: (
            item["metadata"]["name"] == name
            and seen.append((kind, item["status"].get("phase", "")))
        )
    )
    await objects.create(client, objects.PODS, manifest)
    await until(pods, name, lambda p: p["status"].get("phase") == "Succeeded")
    await objects.delete(client, objects.PODS, name)
    await gone(pods, name)
    assert seen[0] == ("ADDED", "Pending")
    assert seen[-1][0] == "DELETED"
    phases = list(dict.fromkeys(phase for _, phase in seen))
    assert phases in (["Pending", "Running", "Succeeded"], ["Pending", "Succeeded"])


async def test_f05_a_version_of_long_ago_has_expired(client: KubeClient, target: Target) -> None:
    if target.real:
        pytest.skip("a young API server still remembers its first change")
    with pytest.raises(Expired):
        await _watch_from(client, "1")


async def _watch_from(client: KubeClient, version: str) -> None:
    """Watch pods; a refusal is an HTTP status, or the stream's first event."""
    query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "5"}
    async with client.stream(objects.PODS.path(client.namespace), query=query) as content:
        body = b"".join([chunk async for chunk in content])
    first = json.loads(body.splitlines()[0]) if body else {"type": "", "object": {}}
    if first["type"] == "ERROR":
        raise from_status(first["object"]["code"], first["object"])


async def test_dependants_go_with_their_owner(
    client: KubeClient, target: Target, watching: Any
) -> None:
    held = await watching(objects.SECRETS, fields="type=Opaque")
    owner = await objects.create(
        client, objects.PODS, pod(target.image, "import time; time.sleep(600)")
    )
    name = owner["metadata"]["name"]
    meta = {"name": name, "ownerReferences": [objects.owner_reference(owner)]}
    await objects.create(client, objects.SECRETS, {"metadata": meta, "stringData": {"a": "b"}})
    await until(held, name, lambda _: True)
    await objects.delete(client, objects.PODS, name, grace=0)
    await gone(held, name)


async def test_a_secret_reaches_the_environment_though_it_comes_after_the_pod(
    client: KubeClient, target: Target, watching: Any
) -> None:
    pods = await watching(objects.PODS)
    manifest = pod(target.image, "import os; print(os.environ['S'])")
    name = manifest["metadata"]["name"]
    ref = {"secretKeyRef": {"name": name, "key": "s"}}
    manifest["spec"]["containers"][0]["env"] = [{"name": "S", "valueFrom": ref}]
    owner = await objects.create(client, objects.PODS, manifest)
    meta = {"name": name, "ownerReferences": [objects.owner_reference(owner)]}
    await objects.create(client, objects.SECRETS, {"metadata": meta, "stringData": {"s": "x y"}})
    await until(pods, name, lambda p: p["status"].get("phase") == "Succeeded")
    assert [line.text for line in await logs.read(client, name)] == ["x y"]
    await objects.delete(client, objects.PODS, name)


async def test_logs_are_followed_from_before_the_start_to_the_end(
    client: KubeClient, target: Target
) -> None:
    code = "import time\nfor i in range(20): print('line', i); time.sleep(0.05)"
    manifest = pod(target.image, code)
    name = manifest["metadata"]["name"]
    await objects.create(client, objects.PODS, manifest)
    async with asyncio.timeout(60):
        lines = [line.text async for line in logs.follow(client, name)]
    assert lines == [f"line {i}" for i in range(20)]
    await objects.delete(client, objects.PODS, name)


async def test_a_port_is_forwarded_both_ways(
    client: KubeClient, target: Target, watching: Any
) -> None:
    pods = await watching(objects.PODS)
    code = (
        "import socket, os\n"
        "ip = os.environ['POD_IP']\n"
        "s = socket.create_server((ip if ip.startswith('127.') else '', 8123))\n"
        "print('listening')\n"
        "c, _ = s.accept()\n"
        "while data := c.recv(65536): c.sendall(data.upper())"
    )
    env = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    manifest = pod(target.image, code, env=env)
    name = manifest["metadata"]["name"]
    await objects.create(client, objects.PODS, manifest)
    await until(pods, name, lambda p: p["status"].get("phase") == "Running")
    async for line in logs.follow(client, name):
        assert line.text == "listening"
        break
    connection = await port_forward(client, name, 8123)
    sent = b"abc" * 100_000
    connection.write(sent)
    received = b""
    async with asyncio.timeout(30):
        await connection.drain()
        while len(received) < len(sent):
            received += await connection.read()
    assert received == sent.upper()
    connection.close()
    await objects.delete(client, objects.PODS, name, grace=0)


async def test_a_closed_port_is_an_error_not_a_hang(
    client: KubeClient, target: Target, watching: Any
) -> None:
    pods = await watching(objects.PODS)
    manifest = pod(target.image, "import time; time.sleep(600)")
    name = manifest["metadata"]["name"]
    await objects.create(client, objects.PODS, manifest)
    await until(pods, name, lambda p: p["status"].get("phase") == "Running")
    async with asyncio.timeout(30):
        assert await _first_bytes(client, name, 8124) == b""
    await objects.delete(client, objects.PODS, name, grace=0)


async def _first_bytes(client: KubeClient, name: str, port: int) -> bytes:
    """Read from a port; the API says at once, or right after connecting, that nobody listens."""
    try:
        connection = await port_forward(client, name, port)
        return await connection.read()
    except (ClusterError, OSError):
        return b""


async def test_gpus_that_are_not_there_are_named_by_the_scheduler(
    client: KubeClient, target: Target, watching: Any
) -> None:
    pods = await watching(objects.PODS)
    manifest = pod(target.image, "pass", resources={"limits": {"nvidia.com/gpu": "99"}})
    name = manifest["metadata"]["name"]
    await objects.create(client, objects.PODS, manifest)
    found = await until(pods, name, lambda p: p if "Insufficient" in str(p["status"]) else None)
    state = pod_state(found)
    assert (state.reason, state.terminal) == ("Unschedulable", False)
    assert "0/1 nodes are available: 1 Insufficient nvidia.com/gpu" in state.message
    await objects.delete(client, objects.PODS, name)
    await gone(pods, name)


async def test_an_index_that_fails_by_policy_fails_the_job(
    client: KubeClient, target: Target, watching: Any
) -> None:
    jobs = await watching(objects.JOBS)
    rule = {
        "action": "FailJob",
        "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]},
    }
    code = "import os, sys; sys.exit(42 if os.environ['JOB_COMPLETION_INDEX'] == '1' else 0)"
    manifest = job(
        target.image, code, 2, podFailurePolicy={"rules": [rule]}, backoffLimitPerIndex=5
    )
    name = manifest["metadata"]["name"]
    await objects.create(client, objects.JOBS, manifest)
    ended = await until(jobs, name, lambda j: j if condition(j, "Failed") else None)
    assert condition(ended, "Failed")["reason"] == "PodFailurePolicy"
    await objects.delete(client, objects.JOBS, name)


async def test_all_indexes_done_completes_the_job(
    client: KubeClient, target: Target, watching: Any
) -> None:
    jobs, pods = await watching(objects.JOBS), await watching(objects.PODS)
    code = "import os, socket; print(os.environ['JOB_COMPLETION_INDEX'], socket.gethostname())"
    manifest = job(target.image, code, 3)
    name = manifest["metadata"]["name"]
    await objects.create(client, objects.JOBS, manifest)
    ended = await until(jobs, name, lambda j: j if condition(j, "Complete") else None)
    assert ended["status"]["succeeded"] == 3
    assert ended["status"]["completedIndexes"] == "0-2"
    ours = [p for p in pods.items.values() if p["metadata"]["labels"].get("job-name") == name]
    indexes = sorted(
        p["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] for p in ours
    )
    assert indexes == ["0", "1", "2"]
    assert all(p["metadata"]["ownerReferences"][0]["name"] == name for p in ours)
    await objects.delete(client, objects.JOBS, name)
    for item in ours:
        await gone(pods, item["metadata"]["name"])


async def test_a_job_over_quota_says_so_in_its_events(
    client: KubeClient, target: Target, watching: Any
) -> None:
    events = await watching(objects.EVENTS)
    quota = {
        "metadata": {"name": f"t-{secrets.token_hex(3)}"},
        "spec": {"hard": {"requests.nvidia.com/gpu": "1"}},
    }
    await objects.create(client, objects.QUOTAS, quota)
    try:
        gpus = {"limits": {"nvidia.com/gpu": "2"}}
        why = await _refused_by_quota(client, pod(target.image, "pass", resources=gpus))
        assert "requests.nvidia.com/gpu=2" in why
        manifest = job(target.image, "pass", 1)
        manifest["spec"]["template"]["spec"]["containers"][0]["resources"] = gpus
        name = manifest["metadata"]["name"]
        await objects.create(client, objects.JOBS, manifest)
        async with asyncio.timeout(60):
            while not (found := _failed_create(events, name)):
                await asyncio.sleep(0.05)
        assert "exceeded quota" in found["message"]
        await objects.delete(client, objects.JOBS, name)
    finally:
        await objects.delete(client, objects.QUOTAS, quota["metadata"]["name"])


async def _refused_by_quota(client: KubeClient, manifest: dict[str, Any]) -> str:
    """Create until the quota refuses by amount: a fresh one has not counted yet."""
    async with asyncio.timeout(30):
        while True:
            try:
                await objects.create(client, objects.PODS, manifest)
                await objects.delete(client, objects.PODS, manifest["metadata"]["name"])
            except QuotaExceeded as error:
                return error.why
            except AccessDenied:  # "status unknown for quota"
                await asyncio.sleep(0.1)


def _failed_create(events: Reflector, name: str) -> dict[str, Any] | None:
    return next(
        (
            e
            for e in events.items.values()
            if e["reason"] == "FailedCreate" and e["involvedObject"]["name"] == name
        ),
        None,
    )
