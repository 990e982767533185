"""The reflector, against an API that cuts, forgets, stalls and refuses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from jupyter_kube.errors import AccessDenied, ClusterError, ClusterUnavailable
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector

from .fake import Answer, FakeApi, event, lines, listed, status, stream, thing

PODS = "/api/v1/namespaces/here/pods"


class Api:
    """A scripted API whose lists and watches have queues of their own."""

    def __init__(self, api: FakeApi) -> None:
        self.api, self.lists, self.watches = api, list[Answer](), list[Answer]()
        api.on("GET", PODS, self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        queue = self.watches if "watch" in request.query else self.lists
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        return await answer(request)

    def asked(self) -> list[str]:
        """Return what was asked: "list", or the version a watch began from."""
        return [seen.query.get("resourceVersion", "list") for seen in self.api.seen]

    def hang(self, *chunks: bytes) -> Answer:
        return stream(*chunks, end="hang", wait=self.api.released)


@pytest.fixture
def pods(api: FakeApi) -> Api:
    return Api(api)


@asynccontextmanager
async def reflected(client: KubeClient, **more: Any) -> AsyncIterator[tuple[Reflector, list[str]]]:
    """Run a reflector; gives it and what it told."""
    told: list[str] = []
    reflector = Reflector(client, objects.PODS, labels="app=x", **more)
    reflector.subscribe(lambda kind, item: told.append(f"{kind} {item['metadata']['name']}"))
    await reflector.start()
    try:
        yield reflector, told
    finally:
        await reflector.close()


async def until(reflector: Reflector, test: Callable[[], bool]) -> None:
    """Wait for a change after which ``test`` holds."""
    changed = asyncio.Event()
    stop = reflector.subscribe(lambda _kind, _item: changed.set())
    async with asyncio.timeout(20):
        while not test():
            await changed.wait()
            changed.clear()
    stop()


def has(name: str) -> Callable[[Any], bool | None]:
    return lambda item: item is not None or None


async def test_it_lists_then_watches_and_tells_each_change_once(
    client: KubeClient, pods: Api
) -> None:
    pods.lists = [listed(5, thing("a", 3), thing("b", 4))]
    pods.watches = [
        pods.hang(
            lines(event("ADDED", "c", 6), event("MODIFIED", "a", 7)),
            lines(event("DELETED", "b", 8), {"type": "BOOKMARK", "object": thing("", 9)}),
            lines(event("ADDED", "d", 10)),
        )
    ]
    async with reflected(client) as (reflector, told):
        await reflector.wait_for("d", has("d"), 20)
        assert told == ["ADDED a", "ADDED b", "ADDED c", "MODIFIED a", "DELETED b", "ADDED d"]
        assert sorted(reflector.items) == ["a", "c", "d"]
        assert reflector.stale_for == 0
    query = pods.api.seen[1].query
    assert query["labelSelector"] == "app=x"
    assert query["allowWatchBookmarks"] == "true"
    assert 300 <= int(query["timeoutSeconds"]) <= 600


async def test_a_late_subscriber_is_told_what_is_there(client: KubeClient, pods: Api) -> None:
    pods.lists, pods.watches = [listed(5, thing("a", 3))], [pods.hang()]
    async with reflected(client) as (reflector, _):
        await reflector.synced()
        late: list[str] = []
        stop = reflector.subscribe(lambda kind, item: late.append(kind))
        assert late == ["ADDED"]
        stop()
        stop()


async def test_managed_fields_are_dropped_and_objects_reduced(
    client: KubeClient, pods: Api
) -> None:
    full = thing("a", 3, spec={"big": 1}, status={"phase": "Running"})
    full["metadata"]["managedFields"] = [{}]
    pods.lists, pods.watches = [listed(5, full)], [pods.hang()]

    def keep(item: dict[str, Any]) -> dict[str, Any]:
        return {key: item[key] for key in ("metadata", "status")}

    async with reflected(client, keep=keep) as (reflector, _):
        await reflector.synced()
        assert set(reflector.items["a"]) == {"metadata", "status"}
        assert "managedFields" not in reflector.items["a"]["metadata"]


async def test_what_is_of_no_use_is_neither_kept_nor_told(client: KubeClient, pods: Api) -> None:
    pods.lists = [listed(5, thing("a", 3), thing("other", 4))]
    news = [event("ADDED", "other-2", 6), event("DELETED", "other", 7), event("ADDED", "b", 8)]
    pods.watches = [pods.hang(lines(*news))]

    def keep(item: dict[str, Any]) -> dict[str, Any] | None:
        return None if item["metadata"]["name"].startswith("other") else item

    async with reflected(client, keep=keep) as (reflector, told):
        await reflector.wait_for("b", has("b"), 20)
        assert told == ["ADDED a", "ADDED b"]
        assert set(reflector.items) == {"a", "b"}


@pytest.mark.parametrize("how", ["http", "event"])
async def test_f05_too_old_means_list_again_with_nothing_lost_or_doubled(
    client: KubeClient, pods: Api, naps: list[float], how: str
) -> None:
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    too_old = {
        "http": status(410, "Expired", "too old resource version"),
        "event": stream(lines({"type": "ERROR", "object": gone})),
    }[how]
    pods.lists = [
        listed(5, thing("a", 3), thing("b", 4), thing("r", 4, "first")),
        listed(20, thing("a", 3), thing("c", 15), thing("r", 16, "second")),
    ]
    pods.watches = [too_old, pods.hang(lines(event("ADDED", "z", 21)))]
    async with reflected(client) as (reflector, told):
        await reflector.wait_for("z", has("z"), 20)
        assert told[:3] == ["ADDED a", "ADDED b", "ADDED r"]
        assert sorted(told[3:-1]) == ["ADDED c", "ADDED r", "DELETED b", "DELETED r"]
        assert told.index("DELETED r") < len(told) - 1 - told[::-1].index("ADDED r")
        assert reflector.last_error is None
    assert pods.asked() == ["list", "5", "list", "20"]


async def test_f05_a_list_that_is_always_too_old_does_not_storm(
    client: KubeClient, pods: Api, naps: list[float]
) -> None:
    pods.lists = [listed(5)] * 6 + [listed(6, thing("a", 6))]
    pods.watches = [status(410, "Expired")] * 6 + [pods.hang()]
    async with reflected(client) as (reflector, _):
        await reflector.wait_for("a", has("a"), 20)
    assert len(naps) >= 6
    assert all(nap >= 0.8 for nap in naps[:6])
    assert naps[5] > naps[0] * 4


@pytest.mark.parametrize("end", ["cut", "close"])
async def test_f06_a_watch_that_ends_goes_on_where_it_was_without_a_list_or_a_pause(
    client: KubeClient, pods: Api, naps: list[float], end: str
) -> None:
    pods.lists = [listed(5)]
    pods.watches = [stream(lines(event("ADDED", f"p{n}", n)), end=end) for n in range(6, 26)] + [
        pods.hang(lines(event("ADDED", "last", 30)))
    ]
    async with reflected(client) as (reflector, told):
        await reflector.wait_for("last", has("last"), 20)
    assert told == [f"ADDED p{n}" for n in range(6, 26)] + ["ADDED last"]
    assert pods.asked() == ["list", *(str(n) for n in range(5, 26))]
    assert [nap for nap in naps if nap >= 0.8] == []


async def test_bookmarks_move_the_place_to_go_on_from(client: KubeClient, pods: Api) -> None:
    pods.lists = [listed(5)]
    pods.watches = [
        stream(lines({"type": "BOOKMARK", "object": thing("", 77)})),
        pods.hang(lines(event("ADDED", "a", 78))),
    ]
    async with reflected(client) as (reflector, _):
        await reflector.wait_for("a", has("a"), 20)
    assert pods.asked() == ["list", "5", "77"]


async def test_f06_a_watch_that_never_serves_is_opened_ever_less_often(
    client: KubeClient, pods: Api, naps: list[float]
) -> None:
    pods.lists = [listed(5)]
    pods.watches = [stream()] * 12 + [pods.hang(lines(event("ADDED", "a", 6)))]
    async with reflected(client) as (reflector, _):
        await reflector.wait_for("a", has("a"), 20)
    pauses = [nap for nap in naps if nap >= 0.8]
    assert len(pauses) == 12
    assert 0.8 <= pauses[0] <= 1.6
    assert 15 <= pauses[-1] <= 30
    assert pods.asked().count("list") == 1


async def test_f07_a_silent_watch_is_opened_anew(client: KubeClient, pods: Api) -> None:
    pods.lists = [listed(5)]
    pods.watches = [pods.hang(), pods.hang(lines(event("ADDED", "a", 6)))]
    async with reflected(client, silence=0.05, first_pause=0.001) as (reflector, _):
        await reflector.wait_for("a", has("a"), 20)
    assert pods.asked()[:3] == ["list", "5", "5"]


async def test_f01_it_never_gives_up_and_says_what_is_wrong_meanwhile(
    client: KubeClient, pods: Api, naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    client.timeout = 0.05
    down, errors = 40, list[object]()
    pods.watches = [pods.hang(lines(event("ADDED", "a", 6)))]
    async with reflected(client) as (reflector, _):

        async def fail(request: web.Request) -> web.StreamResponse:
            errors.append(reflector.last_error)
            return await status(503, "Down")(request)

        pods.lists = [fail] * down + [listed(5)]
        await reflector.wait_for("a", has("a"), 60)
        assert reflector.last_error is None
    assert any(isinstance(error, ClusterUnavailable) for error in errors)


async def test_f04_retry_after_is_honoured(
    client: KubeClient, pods: Api, naps: list[float]
) -> None:
    pods.lists = [listed(5)]
    pods.watches = [
        status(429, "TooManyRequests", Retry_After="45"),
        pods.hang(lines(event("ADDED", "a", 6))),
    ]
    async with reflected(client) as (reflector, _):
        await reflector.wait_for("a", has("a"), 20)
    assert max(naps) >= 45


async def test_f18_a_refused_list_is_told_to_who_waits_and_tried_again(
    client: KubeClient, pods: Api, naps: list[float]
) -> None:
    pods.lists = [status(403, "Forbidden", 'pods is forbidden: User "u" cannot list')]
    pods.watches = [pods.hang()]
    async with reflected(client) as (reflector, _):
        with pytest.raises(AccessDenied, match="cannot list"):
            await reflector.synced()
        with pytest.raises(AccessDenied):
            await reflector.wait_for("a", has("a"), 20)
        pods.lists = [listed(5, thing("a", 4))]
        await until(reflector, lambda: "a" in reflector.items)
        await reflector.synced()


async def test_f08_a_line_of_two_megabytes_arrives(client: KubeClient, pods: Api) -> None:
    whole = lines(event("ADDED", "big", 6, data="x" * 2_000_000))
    chunks = [whole[at : at + 10_000] for at in range(0, len(whole), 10_000)]
    pods.lists, pods.watches = [listed(5)], [pods.hang(*chunks)]
    async with reflected(client) as (reflector, _):
        await reflector.wait_for("big", has("big"), 20)
        assert len(reflector.items["big"]["data"]) == 2_000_000


async def test_f08_a_broken_event_is_said_and_made_good_by_a_list(
    client: KubeClient, pods: Api, naps: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    pods.lists = [listed(5), listed(9, thing("a", 6), thing("b", 7))]
    pods.watches = [
        stream(lines(event("ADDED", "a", 6)), b'{"type": "ADD\n', end="close"),
        pods.hang(),
    ]
    with caplog.at_level(logging.WARNING, "jupyter_kube.kube.watch"):
        async with reflected(client) as (reflector, told):
            await reflector.wait_for("b", has("b"), 20)
    assert told == ["ADDED a", "ADDED b"]
    assert [record.getMessage() for record in caplog.records if "not JSON" in record.message]


async def test_f08_a_list_that_cannot_be_read_is_told_to_who_waits_and_tried_again(
    client: KubeClient, pods: Api, naps: list[float]
) -> None:
    pods.lists, pods.watches = [listed(5, {})], [pods.hang()]
    async with reflected(client) as (reflector, _):
        with pytest.raises(ClusterError, match="pods cannot be read: KeyError"):
            await reflector.synced()
        pods.lists = [listed(5, thing("a", 4))]
        await until(reflector, lambda: "a" in reflector.items)
        await reflector.synced()


async def test_an_odd_object_hides_no_other(
    client: KubeClient, pods: Api, caplog: pytest.LogCaptureFixture
) -> None:
    news = [event("MODIFIED", "b", 6), event("MODIFIED", "b", 6), event("DELETED", "odd", 7)]
    news.append(event("ADDED", "c", 8, fine=1))
    pods.lists = [listed(5, thing("odd", 3), thing("a", 4, fine=1), thing("b", 5, fine=1))]
    pods.watches = [pods.hang(lines(*news))]

    def keep(item: dict[str, Any]) -> dict[str, Any]:
        return {"metadata": item["metadata"], "fine": item["fine"]}

    async with reflected(client, keep=keep) as (reflector, told):
        await reflector.synced()
        await reflector.wait_for("c", has("c"), 20)
        assert told == ["ADDED a", "ADDED b", "DELETED b", "ADDED c"]
        assert set(reflector.items) == {"a", "c"}
        assert len(reflector._odd) == 1  # what is gone is not remembered
    assert caplog.text.count("Pod odd cannot be read") == 1
    assert caplog.text.count("Pod b cannot be read") == 1
    assert "KeyError: 'fine'" in caplog.text


async def test_one_listeners_fault_does_not_blind_the_others(
    client: KubeClient, pods: Api, caplog: pytest.LogCaptureFixture
) -> None:
    pods.lists, pods.watches = [listed(5, thing("a", 3))], [pods.hang()]
    reflector = Reflector(client, objects.PODS)

    def faulty(_kind: str, _item: Any) -> None:
        raise LookupError

    reflector.subscribe(faulty)
    heard: list[str] = []
    reflector.subscribe(lambda kind, item: heard.append(kind))
    await reflector.start()
    await reflector.synced()
    await reflector.close()
    assert heard == ["ADDED"]
    assert "a listener of pods failed" in caplog.text


async def test_waiting_raises_what_the_predicate_raises(client: KubeClient, pods: Api) -> None:
    pods.lists = [listed(5)]
    pods.watches = [pods.hang(lines(event("ADDED", "a", 6)))]

    def predicate(item: Any) -> None:
        if item is not None:
            raise LookupError("not this one")

    async with reflected(client) as (reflector, _):
        with pytest.raises(LookupError):
            await reflector.wait_for("a", predicate, 20)


async def test_waiting_ends_when_its_time_is_over_even_without_a_list(
    client: KubeClient, pods: Api
) -> None:
    async def hang(_request: web.Request) -> web.StreamResponse:
        await pods.api.released.wait()
        return web.Response()

    pods.lists, pods.watches = [hang], [pods.hang()]
    async with reflected(client) as (reflector, _):
        with pytest.raises(TimeoutError):
            await reflector.wait_for("a", has("a"), 0.05)
        assert reflector.stale_for > 0


async def test_waiting_for_what_is_gone(client: KubeClient, pods: Api) -> None:
    pods.lists = [listed(5, thing("a", 3))]
    pods.watches = [pods.hang(lines(event("DELETED", "a", 6)))]
    async with reflected(client) as (reflector, _):
        assert await reflector.wait_for("a", lambda item: item is None or None, 20) is True


async def test_closing_leaves_no_task(client: KubeClient, pods: Api) -> None:
    pods.lists, pods.watches = [listed(5)], [pods.hang()]
    before = asyncio.all_tasks()
    reflector = Reflector(client, objects.PODS)
    await reflector.close()
    await reflector.start()
    await reflector.synced()
    await reflector.close()
    mine = {task for task in asyncio.all_tasks() - before if "reflector" in task.get_name()}
    assert mine == set()
