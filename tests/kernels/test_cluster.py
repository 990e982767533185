"""What all kernels of a process share: whose events are kept, whose clock counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jupyter_kube.config import KubeConfig
from jupyter_kube.kernels import cluster as clusters
from jupyter_kube.kernels.cluster import Cluster

MADE = datetime(2026, 1, 1, tzinfo=UTC)


class Client:
    """A client of a cluster whose clock is far from ours."""

    ahead = timedelta(seconds=1)

    def now(self) -> datetime:
        return MADE + self.ahead

    async def close(self) -> None:
        pass


class Watch:
    """A reflector that nothing happens to."""

    made: list[Watch] = []

    def __init__(self, _client: Any, _resource: Any, **selection: Any) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.callback: Callable[[str, dict[str, Any]], None] = lambda _change, _pod: None
        self.keep: Callable[[dict[str, Any]], dict[str, Any] | None] = selection.get("keep", dict)
        self.made.append(self)

    async def start(self) -> None:
        pass

    def subscribe(self, callback: Callable[[str, dict[str, Any]], None]) -> Callable[[], None]:
        self.callback = callback
        return lambda: None

    async def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(_config: KubeConfig) -> Client:
        return Client()

    monkeypatch.setattr(clusters.KubeClient, "connect", connect)
    monkeypatch.setattr(clusters, "Reflector", Watch)
    monkeypatch.setattr(Watch, "made", [])


async def watched() -> tuple[Cluster, Watch, Watch]:
    cluster = Cluster(KubeConfig(), lambda: None)
    cluster.hold()
    await cluster.watch()
    pods, events = Watch.made
    return cluster, pods, events


@pytest.mark.parametrize(("seconds", "hopeless"), [(1, False), (60, True)])
async def test_f25_a_secret_is_waited_for_by_the_clusters_clock(
    seconds: int, hopeless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "ahead", timedelta(seconds=seconds))
    cluster, pods, _ = await watched()
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "theirs" not found'}
    pods.items["kernel-a"] = {
        "metadata": {"name": "kernel-a", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"nodeName": "n"},
        "status": {"containerStatuses": [{"name": "kernel", "state": {"waiting": waiting}}]},
    }
    state = cluster.state("kernel-a", "u")
    assert state is not None
    assert state.terminal is hopeless
    await cluster.release()


async def test_events_about_other_pods_are_not_kept() -> None:
    cluster, _, events = await watched()

    def event(name: str) -> dict[str, Any]:
        about = {"kind": "Pod", "name": name}
        return {"metadata": {"name": "e"}, "involvedObject": about, "reason": "Pulling", "x": 1}

    assert events.keep(event("digits-ab12-0-xyz")) is None
    assert events.keep({**event(""), "involvedObject": {}}) is None
    kept = events.keep(event("kernel-a"))
    assert kept == {k: v for k, v in event("kernel-a").items() if k != "x"}
    await cluster.release()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"phase": "Running"}, "Deleted"),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, "Evicted"),
        (
            {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "New"}]},
            "New",
        ),
    ],
)
async def test_a_pod_that_is_gone_is_remembered_with_its_reason(
    status: dict[str, Any], reason: str
) -> None:
    cluster, pods, _ = await watched()
    told: list[str] = []
    cluster.subscribe("kernel-a", lambda: told.append("kernel-a"))
    pod = {"metadata": {"name": "kernel-a", "uid": "u"}, "spec": {}, "status": status}
    pods.callback("DELETED", pod)
    state = cluster.state("kernel-a", "u")
    assert state is not None
    assert (state.reason, state.terminal, told) == (reason, True, ["kernel-a"])
    assert cluster.state("kernel-a", "another") is None
    await cluster.release()
