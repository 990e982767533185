"""The live view: all there is, then each change, for any number of front ends by one watch each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import train
from jupyter_kube.config import KubeConfig
from jupyter_kube.handlers import health, lookout, watches
from jupyter_kube.handlers.live import LOOKOUT
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.localcluster.faults import Fault
from jupyter_kube.localcluster.store import NODE
from jupyter_kube.train.origin import USER_ENV
from tests.kernels.serving import NAMESPACE_NAME, POD, PROFILES, QUOTA, Server, live

from .test_routes import check

_KEYS = {"kernels": "id", "jobs": "name"}


class FrontEnd:
    """Keeps what it is told, as a browser does."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.rows: dict[str, dict[str, dict[str, Any]]] = {"kernels": {}, "jobs": {}}
        self.facts: dict[str, Any] = {}
        self.messages: list[dict[str, Any]] = []

    async def hear(self) -> dict[str, Any] | None:
        """Take one message; None at the end."""
        text = await self._socket.read_message()
        if text is None:
            return None
        message: dict[str, Any] = json.loads(text)
        check("Live", message)
        self.messages.append(message)
        for kind, key in _KEYS.items():
            self.rows[kind] |= {row[key]: row for row in message.get(kind, ())}
            for gone in message.get("gone", {}).get(kind, ()):
                self.rows[kind].pop(gone, None)
        self.facts |= {key: message[key] for key in ("cluster", "stale_since") if key in message}
        return message

    async def until(self, done: Callable[[FrontEnd], Any]) -> Any:
        """Listen until something is so; returns what ``done`` gave."""
        async with asyncio.timeout(60):
            while not (found := done(self)):
                assert await self.hear() is not None
        return found

    def kernel(self, kernel_id: str) -> dict[str, Any]:
        return self.rows["kernels"].get(kernel_id, {})

    def job(self, name: str) -> dict[str, Any]:
        return self.rows["jobs"].get(name, {})


@pytest.fixture
def settings(kubeconfig: Path) -> KubeConfig:
    return KubeConfig(kubeconfig=str(kubeconfig), namespace=NAMESPACE_NAME, profiles=PROFILES)


Open = Callable[[], Any]


@pytest.fixture
def front_end(server: Server, jp_ws_fetch: Any) -> Iterator[Open]:
    async def open_one() -> FrontEnd:
        socket = await jp_ws_fetch("jupyter-kube", "live")
        server.adopt(socket)
        one = FrontEnd(socket)
        async with asyncio.timeout(60):
            await one.hear()
        return one

    return open_one


async def test_a_kernels_life_is_told_as_it_goes(
    server: Server, front_end: Open, cluster: LocalCluster
) -> None:
    seen = await front_end()
    (first,) = seen.messages
    assert (first["kernels"], first["jobs"], first["stale_since"]) == ([], [], None)
    assert first["cluster"]["state"] == "up"
    assert first["cluster"]["namespace"] == NAMESPACE_NAME
    assert first["cluster"]["gpus"] == [{"resource": "nvidia.com/gpu", "total": 4, "held": {}}]
    model = await server.start("kube-gpu")
    row = await seen.until(
        lambda s: s.kernel(model["id"]).get("execution_state") == "idle" and s.kernel(model["id"])
    )
    assert (row["phase"], row["profile"], row["gpus"]) == ("running", "gpu", 1)
    await seen.until(lambda s: s.facts["cluster"]["gpus"][0]["held"] == {row["pod"]: 1})
    await seen.until(lambda s: s.facts["cluster"].get("version"))
    socket = await server.connect(model["id"])
    socket.send_code("import time; time.sleep(1000)")
    await seen.until(lambda s: s.kernel(model["id"])["execution_state"] == "busy")
    late = await front_end()
    assert late.rows == seen.rows
    await server.delete(model["id"])
    for each in (seen, late):
        await each.until(lambda s: not s.rows["kernels"])
        await each.until(lambda s: s.facts["cluster"]["gpus"][0]["held"] == {})


async def test_a_kernel_whose_pod_is_not_let_in_is_told_of_too(
    server: Server, front_end: Open, cluster: LocalCluster
) -> None:
    body = {
        "metadata": {"name": "none", "namespace": NAMESPACE_NAME},
        "spec": {"hard": {"requests.nvidia.com/gpu": "0"}},
    }
    cluster.call(cluster.store.create, QUOTA, body)
    seen = await front_end()
    try:
        starting = asyncio.create_task(server.start("kube-gpu"))
        (row,) = await seen.until(
            lambda s: [r for r in s.rows["kernels"].values() if "quota" in r["message"]]
        )
        assert (row["phase"], row["execution_state"]) == ("waiting", "starting")
        assert (row["profile"], row["gpus"], row["ends"]) == ("gpu", 0, None)
        model = await starting
        listed = await server.call("GET", "jupyter-kube", "kernels")
        check("Kernels", listed)
        assert [(r["id"], r["phase"]) for r in listed["kernels"]] == [(model["id"], "waiting")]
    finally:
        cluster.call(cluster.store.delete, QUOTA, NAMESPACE_NAME, "none")
    await seen.until(lambda s: s.kernel(model["id"])["phase"] == "running")
    await server.delete(model["id"])
    await seen.until(lambda s: not s.rows["kernels"])


async def test_a_dead_kernel_says_why(
    server: Server, front_end: Open, cluster: LocalCluster
) -> None:
    seen = await front_end()
    model = await server.start("kube-gpu")
    (pod,) = live(cluster, POD)
    cluster.call(cluster.store.delete, POD, NAMESPACE_NAME, pod["metadata"]["name"])
    row = await seen.until(
        lambda s: s.kernel(model["id"]).get("phase") == "failed" and s.kernel(model["id"])
    )
    assert row["execution_state"] == "dead"
    assert "deleted" in row["message"]
    await server.delete(model["id"])
    await seen.until(lambda s: not s.rows["kernels"])


async def test_a_jobs_life_is_told_and_only_its_owner(
    server: Server,
    settings: KubeConfig,
    front_end: Open,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = await front_end()
    with monkeypatch.context() as patched:
        patched.setenv(USER_ENV, "somebody else")
        other = await asyncio.to_thread(train.submit, "pass", settings=settings)
    job = await asyncio.to_thread(
        train.submit, "import time\ntime.sleep(600)", workers="1:2", settings=settings
    )
    row = await seen.until(
        lambda s: s.job(job.name).get("counts") == {"running": 2} and s.job(job.name)
    )
    assert row["phase"] == "running"
    await server.call("DELETE", "jupyter-kube", "jobs", job.name)
    await seen.until(lambda s: not s.rows["jobs"])
    failed = await asyncio.to_thread(train.submit, "1 / 0", settings=settings)
    row = await seen.until(lambda s: s.job(failed.name).get("finished") and s.job(failed.name))
    assert row["phase"] == "failed"
    assert row["message"] == "rank 0 raised ZeroDivisionError: division by zero"
    late = await front_end()
    assert list(late.rows["jobs"]) == [failed.name]
    assert other.name not in str([message.get("jobs") for message in seen.messages])
    for each in (failed, other):
        await asyncio.to_thread(each.cancel)
    await seen.until(lambda s: not s.rows["jobs"])


async def test_a_job_that_a_quota_keeps_out_says_so(
    server: Server, settings: KubeConfig, front_end: Open, cluster: LocalCluster
) -> None:
    body = {
        "metadata": {"name": "none", "namespace": NAMESPACE_NAME},
        "spec": {"hard": {"requests.nvidia.com/gpu": "0"}},
    }
    cluster.call(cluster.store.create, QUOTA, body)
    seen = await front_end()
    try:
        job = await asyncio.to_thread(train.submit, "pass", profile="gpu", settings=settings)
        row = await seen.until(lambda s: s.job(job.name).get("message") and s.job(job.name))
        assert "exceeded quota: none" in row["message"]
        assert (row["phase"], row["counts"]) == ("waiting", {"queued": 1})
        await asyncio.to_thread(job.cancel)
    finally:
        cluster.call(cluster.store.delete, QUOTA, NAMESPACE_NAME, "none")


async def test_all_look_through_the_same_watches_which_end_after_the_last(
    server: Server, front_end: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "_LINGER", 0.0)
    one, two = [await front_end() for _ in range(2)]
    looking = server.app.web_app.settings[LOOKOUT]
    shared = await looking._opening
    third = shared.board.view()
    third.take()
    one._socket.close()
    await two.until(lambda s: s.facts["cluster"].get("version"))
    assert (await looking._opening, shared.closed) == (shared, False)
    two._socket.close()
    async with asyncio.timeout(60):
        while await shared.wait(third):
            third.take()
    assert shared.closed
    again = await front_end()
    assert again.messages[0]["cluster"]["state"] == "up"


async def test_watches_that_do_not_end_as_they_should_let_go_of_the_cluster_all_the_same(
    server: Server, front_end: Open, caplog: pytest.LogCaptureFixture
) -> None:
    await front_end()
    looking = server.app.web_app.settings[LOOKOUT]
    shared = await looking._opening
    holders = shared._cluster._holders
    shared._stops.append(lambda: 1 / 0)
    await looking.close()
    assert shared.closed
    assert shared._cluster._holders == holders - 1
    assert "ZeroDivisionError" in caplog.text


async def test_a_version_that_was_not_told_is_asked_for_again(
    server: Server, front_end: Open, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_PAUSE", 0.05)
    fault = cluster.call(cluster.faults.add, Fault("/version", "GET", 2, status=403))
    seen = await front_end()
    await seen.until(lambda s: s.facts["cluster"].get("version"))
    assert fault.hits == 2


async def test_a_server_that_stops_has_not_told_all_there_will_be(
    server: Server, front_end: Open
) -> None:
    seen = await front_end()
    await server.app.web_app.settings[LOOKOUT].close()
    while await seen.hear() is not None:
        pass
    assert seen._socket.close_code == 1001


async def test_an_api_that_is_away_is_told_and_so_is_its_return(
    server: Server, front_end: Open, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_STALE", 0.05)
    monkeypatch.setattr(watches, "_LOOK", 0.05)
    monkeypatch.setattr(watches, "_PATIENCE", 0.2)
    faults = [
        cluster.call(
            cluster.faults.add, Fault("/(pods|jobs|events|nodes)", "GET", None, status=503)
        )
    ]
    try:
        seen = await front_end()
        assert seen.facts["stale_since"]
        assert seen.facts["cluster"]["state"] == "unreachable"
    finally:
        for fault in faults:
            cluster.call(cluster.faults.lift, fault)
    await seen.until(lambda s: s.facts["stale_since"] is None)
    assert seen.facts["cluster"]["state"] == "up"


async def test_one_odd_node_does_not_end_the_news(
    server: Server, front_end: Open, cluster: LocalCluster
) -> None:
    seen = await front_end()
    odd = {
        "metadata": {"name": "odd"},
        "status": {"allocatable": {"nvidia.com/gpu": "many"}},
    }
    cluster.call(cluster.store.create, NODE, odd)
    try:
        model = await server.start("kube-python")
        await seen.until(lambda s: s.kernel(model["id"]).get("execution_state") == "idle")
    finally:
        cluster.call(cluster.store.delete, NODE, "", "odd")
    await server.delete(model["id"])


async def test_without_rights_to_nodes_and_events_the_rest_is_told(
    server: Server, front_end: Open, cluster: LocalCluster
) -> None:
    fault = cluster.call(cluster.faults.add, Fault("/(nodes|events)", "GET", None, status=403))
    try:
        seen = await front_end()
        assert seen.facts["stale_since"] is None
        assert seen.facts["cluster"]["gpus"] == [
            {"resource": "nvidia.com/gpu", "total": None, "held": {}}
        ]
    finally:
        cluster.call(cluster.faults.lift, fault)


async def test_without_a_cluster_that_is_all_it_says(
    server: Server, jp_ws_fetch: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nowhere = KubeConfig(kubeconfig=str(tmp_path / "missing"))
    monkeypatch.setitem(server.app.web_app.settings, "jupyter_kube_settings", lambda: nowhere)
    socket = await jp_ws_fetch("jupyter-kube", "live")
    server.adopt(socket)
    seen = FrontEnd(socket)
    message = await seen.hear()
    assert message is not None
    assert list(message) == ["error"]
    assert await seen.hear() is None
