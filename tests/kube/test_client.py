"""Requests: answers, refusals, repetitions."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web

from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import (
    AccessDenied,
    ClusterError,
    ClusterUnavailable,
    Conflict,
    InvalidManifest,
    KubeError,
    NotFound,
    QuotaExceeded,
)
from jupyter_kube.kube import answers, objects
from jupyter_kube.kube.client import KubeClient

from .fake import Answer, FakeApi, kubeconfig, ok, raw, status, thing, vanish

PODS = "/api/v1/namespaces/here/pods"


async def test_an_answer_is_plain_json(api: FakeApi, client: KubeClient) -> None:
    api.on("GET", "/version", ok({"minor": "35"}))
    assert await client.request("GET", "/version", query={"a": "b c"}) == {"minor": "35"}
    (seen,) = api.seen
    assert seen.query == {"a": "b c"}
    assert seen.headers["Authorization"] == "Bearer secret"
    assert (client.namespace, client.context, client.server) == ("here", "test", api.url)


async def test_a_big_answer_is_decoded_beside_the_loop(
    api: FakeApi, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on("GET", "/big", ok({"text": "x" * answers._BIG}))
    api.on("GET", "/small", ok({"text": "x"}))
    moved: list[object] = []
    real = asyncio.to_thread

    async def to_thread(function: object, *args: object) -> object:
        moved.append(function)
        return await real(function, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    await client.request("GET", "/small")
    assert moved == []
    assert len((await client.request("GET", "/big"))["text"]) == answers._BIG
    assert moved == [answers._decode]


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (400, "bad", InvalidManifest),
        (403, 'pods "x" is forbidden: User "u" cannot list resource "pods"', AccessDenied),
        (403, 'pods "x" is forbidden: exceeded quota: q, requested: cpu=9', QuotaExceeded),
        (404, 'pods "x" not found', NotFound),
        (409, 'pods "x" already exists', Conflict),
        (422, "spec.containers: Required value", InvalidManifest),
        (501, "not here", ClusterUnavailable),
    ],
)
async def test_a_refusal_is_one_of_our_errors(
    api: FakeApi, client: KubeClient, code: int, message: str, kind: type[ClusterError]
) -> None:
    api.on("GET", "/x", status(code, "Reason", message))
    with pytest.raises(kind) as caught:
        await client.request("GET", "/x", timeout=0.05, what="look at x")
    assert type(caught.value) is kind
    assert (caught.value.why, caught.value.reason) == (message, "Reason")
    assert "look at x" in caught.value.what


async def test_a_redirect_is_not_followed(api: FakeApi, client: KubeClient) -> None:
    api.on("GET", "/x", ok(code=307, Location="/elsewhere"))
    with pytest.raises(ClusterError):
        await client.request("GET", "/x")
    assert [seen.path for seen in api.seen] == ["/x"]


async def test_f04_too_many_requests_are_repeated_when_the_api_says(
    api: FakeApi, client: KubeClient, naps: list[float]
) -> None:
    api.on("POST", "/x", status(429, Retry_After="3"), status(429, Retry_After="4"), ok({"a": 1}))
    assert await client.request("POST", "/x", body={}) == {"a": 1}
    assert 3 <= naps[0] <= 3 * 1.3
    assert 4 <= naps[1] <= 4 * 1.3


async def test_f08_a_server_error_is_repeated_where_that_is_harmless(
    api: FakeApi, client: KubeClient, naps: list[float]
) -> None:
    api.on("GET", "/x", status(500), vanish, status(503), ok({"a": 1}))
    assert await client.request("GET", "/x") == {"a": 1}
    assert naps == sorted(naps), "pauses grow"
    api.on("POST", "/x", status(500), ok())
    with pytest.raises(ClusterUnavailable):
        await client.request("POST", "/x", body={})
    assert len(api.asked("POST", "/x")) == 1


async def test_f01_a_refused_connection_is_repeated_even_for_a_post(
    client: KubeClient, naps: list[float]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client.server = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(ClusterUnavailable) as caught:
        await client.request("POST", "/x", body={}, timeout=3)
    assert caught.value.reason in answers.NOT_DONE
    assert max(naps) > 1, "it went on while there was time"


async def test_a_request_has_a_time_limit(api: FakeApi, client: KubeClient) -> None:
    async def hang(_request: web.Request) -> web.StreamResponse:
        await api.released.wait()
        return web.Response()

    api.on("GET", "/x", hang)
    with pytest.raises(ClusterUnavailable, match="did not answer in time"):
        await client.request("GET", "/x", timeout=0.05)


async def test_what_is_not_kubernetes_is_told(api: FakeApi, client: KubeClient) -> None:
    api.on("GET", "/x", raw(b"<html>a proxy's login page</html>"))
    with pytest.raises(ClusterUnavailable, match="did not answer as Kubernetes does"):
        await client.request("GET", "/x", timeout=0.05)


async def test_a_netrc_does_not_get_in_the_way(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    api.on("GET", "/x", ok())
    config = KubeConfig(kubeconfig=str(kubeconfig(tmp_path, api.url)))
    client = await KubeClient.connect(config)
    await client.request("GET", "/x")
    await client.close()
    assert api.seen[0].headers["Authorization"] == "Bearer secret"


async def test_f25_the_clusters_clock_is_known(api: FakeApi, client: KubeClient) -> None:
    then = datetime.now(UTC) + timedelta(hours=5)
    api.on("GET", "/x", ok(Date=format_datetime(then, usegmt=True)))
    await client.request("GET", "/x")
    assert abs(client.now() - then) < timedelta(minutes=1)


def made(seconds_ago: float = 0) -> dict[str, object]:
    """Make an object of that age."""
    pod = thing("p", 7)
    then = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    pod["metadata"]["creationTimestamp"] = then.strftime("%Y-%m-%dT%H:%M:%SZ")
    return pod


@pytest.mark.parametrize("lost", [vanish, status(500), status(503)])
async def test_f02_a_created_object_is_created_once_though_its_answer_is_lost(
    api: FakeApi, client: KubeClient, lost: Answer, naps: list[float]
) -> None:
    api.on("POST", PODS, lost, lost, status(409, "AlreadyExists"))
    api.on("GET", f"{PODS}/p", ok(made()))
    troubles: list[ClusterUnavailable] = []
    pod = await objects.create(
        client, objects.PODS, {"metadata": {"name": "p"}}, on_trouble=troubles.append
    )
    assert pod["metadata"]["uid"] == "uid-p"
    assert len(api.asked("POST", PODS)) == 3
    assert len(troubles) == 2


async def test_f02_an_older_object_of_the_name_is_not_taken_for_the_one_whose_answer_was_lost(
    api: FakeApi, client: KubeClient, naps: list[float]
) -> None:
    api.on("POST", PODS, vanish, status(409, "AlreadyExists", 'pods "p" already exists'))
    api.on("GET", f"{PODS}/p", ok(made(seconds_ago=60)))
    with pytest.raises(Conflict):
        await objects.create(client, objects.PODS, {"metadata": {"name": "p"}})


async def test_a_name_that_is_taken_is_a_conflict(api: FakeApi, client: KubeClient) -> None:
    api.on("POST", PODS, status(409, "AlreadyExists", 'pods "p" already exists'))
    with pytest.raises(Conflict):
        await objects.create(client, objects.PODS, {"metadata": {"name": "p"}})
    api.on("POST", PODS, vanish)
    with pytest.raises(ClusterUnavailable):  # without a name, a second one could come of it
        await objects.create(client, objects.PODS, {"metadata": {"generateName": "p-"}})
    assert len(api.asked("POST", PODS)) == 2


async def test_deleting_says_whether_there_was_something(api: FakeApi, client: KubeClient) -> None:
    api.on("DELETE", f"{PODS}/p", ok(), status(404, "NotFound"), status(409, "Conflict"))
    assert await objects.delete(client, objects.PODS, "p", grace=3, uid="u") is True
    assert api.seen[0].body == {
        "propagationPolicy": "Background",
        "gracePeriodSeconds": 3,
        "preconditions": {"uid": "u"},
    }
    assert await objects.delete(client, objects.PODS, "p") is False
    assert await objects.delete(client, objects.PODS, "p", uid="u") is False
    with pytest.raises(Conflict):
        await objects.delete(client, objects.PODS, "p")


async def test_create_and_apply_say_so(api: FakeApi, client: KubeClient) -> None:
    api.on("POST", PODS, ok(thing("p", 1)))
    api.on("PATCH", f"{PODS}/p", ok(thing("p", 2)))
    await objects.create(client, objects.PODS, {"metadata": {"name": "p"}})
    await objects.apply(client, objects.PODS, {"metadata": {"name": "p"}}, force=True)
    created, applied = api.seen
    assert created.body == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    assert applied.query == {"fieldManager": "jupyter-kube", "force": "true"}
    assert applied.headers["Content-Type"] == "application/apply-patch+yaml"


async def test_rights_are_asked_for_in_the_apis_words(api: FakeApi, client: KubeClient) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    api.on("POST", path, ok({"status": {"allowed": True}}), ok({"status": {}}))
    assert await objects.allowed(client, "create", objects.JOBS, subresource="status")
    assert api.seen[0].body["spec"]["resourceAttributes"] == {
        "verb": "create",
        "group": "batch",
        "resource": "jobs",
        "subresource": "status",
        "namespace": "here",
    }
    assert not await objects.allowed(client, "create", objects.NODES)


async def test_custom_kinds_are_discovered(api: FakeApi, client: KubeClient) -> None:
    served = [
        {"name": "tfjobs/status", "kind": "TFJob", "namespaced": True},
        {"name": "tfjobs", "kind": "TFJob", "namespaced": True},
    ]
    api.on("GET", "/apis/kubeflow.org/v1", ok({"resources": served}))
    found = await objects.discover(client, "kubeflow.org/v1", "TFJob")
    assert found.path("ns", "a") == "/apis/kubeflow.org/v1/namespaces/ns/tfjobs/a"
    assert await objects.discover(client, "v1", "Pod") is objects.PODS
    with pytest.raises(NotFound):
        await objects.discover(client, "kubeflow.org/v1", "NoJob")


def test_paths_are_encoded() -> None:
    path = objects.PODS.path("a/b", "../x?y#z", "log")
    assert path == "/api/v1/namespaces/a%2Fb/pods/..%2Fx%3Fy%23z/log"
    assert objects.NODES.path("ignored", "n") == "/api/v1/nodes/n"
    assert objects.by_kind("batch/v1", "Job") is objects.JOBS


async def test_a_name_cannot_leave_its_path(api: FakeApi, client: KubeClient) -> None:
    with pytest.raises(NotFound):
        await objects.get(client, objects.PODS, "../secrets/x?y#z")
    assert api.seen[0].path == f"{PODS}/..%2Fsecrets%2Fx%3Fy%23z"


async def test_an_empty_namespace_is_refused(client: KubeClient) -> None:
    with pytest.raises(KubeError, match="a namespace is needed"):
        await objects.list_(client, objects.PODS, namespace="")


def test_importing_costs_nothing_heavy() -> None:
    code = (
        "import sys, jupyter_kube.kube.client, jupyter_kube.kube.logs, jupyter_kube.kube.streams\n"
        "print([m for m in ('kubernetes', 'aiohttp', 'yaml', 'pydantic') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("answer", [raw(b"<html>"), vanish])
async def test_an_error_shows_nothing_of_a_server_but_its_address(
    answer: object, api: FakeApi, tmp_path: Path
) -> None:
    api.on("GET", "/as/hidden/version", answer)  # type: ignore[arg-type]
    written = kubeconfig(tmp_path, f"{api.url}/as/hidden")
    client = await KubeClient.connect(KubeConfig(kubeconfig=str(written), request_timeout=0.1))
    try:
        assert client.address == api.url
        with pytest.raises(ClusterUnavailable) as caught:
            await client.request("GET", "/version")
    finally:
        await client.close()
    assert api.url in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_not_http_shows_nothing_of_a_server_but_its_address(
    stream: bool, tmp_path: Path
) -> None:
    async def nonsense(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-server\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    written = kubeconfig(tmp_path, f"{url}/as/hidden")
    client = await KubeClient.connect(KubeConfig(kubeconfig=str(written), request_timeout=0.1))
    if stream:
        asking: Awaitable[object] = client.websocket(
            "/exec", query={}, protocols=("v4.channel.k8s.io",)
        )
    else:
        asking = client.request("GET", "/version")
    try:
        with pytest.raises(KubeError) as caught:
            await asking
    finally:
        await client.close()
        server.close()
        await server.wait_closed()
    assert url in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such bound")
def test_room_is_made_for_more_connections_than_files_may_be_open() -> None:
    code = """
import resource, socket
from jupyter_kube.kube.transport import make_room
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 2000))
make_room(1000)
opened = [socket.socket() for _ in range(1000)]
make_room(10)
assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 1000, "never less than there was"
make_room(5000)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout == "2000\n", "as far as it may"


@pytest.mark.skipif(sys.platform == "win32", reason="there select() has no such bound")
def test_however_many_connections_there_are_a_notebook_can_run_commands() -> None:
    code = """
import resource, socket
from IPython.utils.process import system
from jupyter_kube.kube.transport import keepalive_socket, make_room
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
address = (socket.AF_INET, socket.SOCK_STREAM, 0)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, most))
opened = []
for n in range(1500):
    make_room(n)
    opened.append(keepalive_socket(address))
assert all(each.gettimeout() == 0 and not each.get_inheritable() for each in opened)
assert all(each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for each in opened)
system("echo hello")
"""
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "hello"
