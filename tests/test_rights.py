"""The Role has the verbs that are called, all of them and no other."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from jupyter_kube import inventory
from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import NotFound
from jupyter_kube.kube import objects, rbac
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.train import attach, rerun, submit
from tests.kernels.serving import (  # noqa: F401 - fixtures
    NAMESPACE_NAME,
    PROFILES,
    Server,
    cluster,
    jp_server_config,
    kubeconfig,
    server,
)

_PATH = re.compile(
    r"/api(?:s/(?P<group>[^/]+))?/v1/namespaces/[^/]+"
    r"/(?P<resource>[^/?]+)(?:/(?P<name>[^/?]+))?(?:/(?P<sub>[^/?]+))?"
)
_VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}

Right = tuple[str, str]


def right(method: str, path: str, query: Mapping[str, Any] | None) -> Right | None:
    """Return (resource, verb) of a request, as it is authorised; None outside namespaces."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    resource = "/".join(filter(None, (match["resource"], match["sub"])))
    if resource == "pods/portforward":
        return resource, "create"
    if method == "GET":
        watching = str((query or {}).get("watch", "")).lower() in {"1", "true"}
        return resource, "get" if match["name"] else "watch" if watching else "list"
    return resource, _VERBS[method]


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[Right]:
    """What this process asks of the API, whichever client it is."""
    seen: set[Right] = set()

    def note(method: str, path: str, query: Mapping[str, Any] | None) -> None:
        if found := right(method, path, query):
            seen.add(found)

    request, stream, websocket = KubeClient.request, KubeClient.stream, KubeClient.websocket

    async def noted_request(self: Any, method: str, path: str, **more: Any) -> Any:
        note(method, path, more.get("query"))
        return await request(self, method, path, **more)

    def noted_stream(self: Any, path: str, **more: Any) -> Any:
        note("GET", path, more.get("query"))
        return stream(self, path, **more)

    async def noted_websocket(self: Any, path: str, **more: Any) -> Any:
        note("GET", path, more.get("query"))
        return await websocket(self, path, **more)

    monkeypatch.setattr(KubeClient, "request", noted_request)
    monkeypatch.setattr(KubeClient, "stream", noted_stream)
    monkeypatch.setattr(KubeClient, "websocket", noted_websocket)
    return seen


async def test_a_kernels_life_a_job_and_the_command_line_use_exactly_the_roles_verbs(
    used: set[Right],
    server: Server,  # noqa: F811 - the fixture
    kubeconfig: Path,  # noqa: F811
) -> None:
    body = {"name": "", "path": "a.ipynb", "type": "notebook", "kernel": {"name": "kube-python"}}
    session = await server.call("POST", "api", "sessions", body=json.dumps(body))
    kernel = session["kernel"]["id"]
    await server.call(
        "PATCH", "api", "sessions", session["id"], body=json.dumps({"path": "b.ipynb"})
    )
    await server.delete(kernel)
    settings = KubeConfig(
        kubeconfig=str(kubeconfig),
        namespace=NAMESPACE_NAME,
        profiles={"python": PROFILES["python"]},
    )
    await asyncio.to_thread(train, settings)
    await server.call("GET", "jupyter-kube", "fit")
    for job in (await server.call("GET", "jupyter-kube", "jobs"))["jobs"]:
        await server.call("GET", "jupyter-kube", "jobs", job["name"], "why")
    with pytest.raises(HTTPClientError):
        await server.call("DELETE", "jupyter-kube", "kernels", "nothing-of-this-name")
    client = await KubeClient.connect(settings)
    try:
        await inventory.rows(client)
        with pytest.raises(NotFound):
            await inventory.stop(client, "nothing-of-this-name")
        while len(ended := await inventory.ended(client)) < 2:  # a job, and the same again
            await asyncio.sleep(0.05)  # Kubernetes says so a little after the job's own end
        for each in ended:
            await objects.delete(client, each.resource, each.name, uid=each.uid)
    finally:
        await client.close()
    granted = {
        (resource, verb) for _, each, verbs in rbac.RULES for resource in each for verb in verbs
    }
    assert used | {("pods/portforward", "get")} == granted  # "get" is what older servers ask for


def train(settings: KubeConfig) -> None:
    """Submit a job, scale it, follow it from elsewhere, take its result and lines; run it again."""
    job = submit("x = 6 * 7\nprint(x)", workers="1:1", outputs=("x",), settings=settings)
    job.scale(1)
    assert attach(job.name, settings=settings).result(60) == 42
    assert [line.text for line in job.logs()] == ["42"]
    assert rerun(job.name, settings=settings).result(60) == 42
