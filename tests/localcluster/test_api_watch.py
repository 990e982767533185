"""Watches: what their readers see, from when on, and how they end."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.localcluster.store import SECRET

from .apiclient import SECRETS, ApiClient


def secret(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


def brief(event: dict[str, Any]) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"].get("name", "")


async def take(events: Any, count: int) -> list[dict[str, Any]]:
    return [await anext(events) for _ in range(count)]


async def test_a_watch_begins_with_what_there_is(api: ApiClient) -> None:
    await api.post(SECRETS, secret("a"))
    async with aclosing(api.watch(SECRETS)) as events:
        first = await anext(events)
        assert brief(first) == ("ADDED", "a")
        assert first["object"]["kind"] == "Secret"
        await api.post(SECRETS, secret("b"))
        await api.request("DELETE", f"{SECRETS}/a")
        assert [brief(each) for each in await take(events, 2)] == [("ADDED", "b"), ("DELETED", "a")]


async def test_a_watch_goes_on_where_a_list_ended(api: ApiClient) -> None:
    await api.post(SECRETS, secret("a"))
    version = (await api.get(SECRETS)).json["metadata"]["resourceVersion"]
    await api.post(SECRETS, secret("b"))
    async with aclosing(api.watch(SECRETS, resourceVersion=version)) as events:
        await api.post(SECRETS, secret("c"))
        assert [brief(each) for each in await take(events, 2)] == [("ADDED", "b"), ("ADDED", "c")]


async def test_what_matches_no_more_is_deleted_for_the_reader(api: ApiClient) -> None:
    await api.post(SECRETS, secret("a", x="1"))
    merge = "application/merge-patch+json"
    async with aclosing(api.watch(SECRETS, labelSelector="x=1")) as events:
        assert brief(await anext(events)) == ("ADDED", "a")
        for value in ("2", "3", "1"):
            patch = {"metadata": {"labels": {"x": value}}}
            await api.request("PATCH", f"{SECRETS}/a", patch, merge)
        assert [each["type"] for each in await take(events, 2)] == ["DELETED", "ADDED"]


async def test_a_watch_sees_one_namespace(api: ApiClient) -> None:
    await api.post("/api/v1/namespaces", {"metadata": {"name": "other"}})
    async with aclosing(api.watch(SECRETS)) as events:
        await api.post("/api/v1/namespaces/other/secrets", secret("not-seen"))
        await api.post(SECRETS, secret("seen"))
        assert brief(await anext(events)) == ("ADDED", "seen")


async def test_a_watch_ends_in_time_with_a_bookmark(api: ApiClient) -> None:
    query = {"timeoutSeconds": "1", "allowWatchBookmarks": "true"}
    events = [each async for each in api.watch(SECRETS, **query)]
    assert [each["type"] for each in events] == ["BOOKMARK"]
    version = events[0]["object"]["metadata"]["resourceVersion"]
    assert int(version) == api.cluster.store.version
    assert [each async for each in api.watch(SECRETS, timeoutSeconds="1")] == []


async def test_bookmarks_come_now_and_then(api: ApiClient, cluster: LocalCluster) -> None:
    cluster.api.bookmark_seconds = 0.05
    async with aclosing(api.watch(SECRETS, allowWatchBookmarks="true")) as events:
        assert [each["type"] for each in await take(events, 2)] == ["BOOKMARK", "BOOKMARK"]


async def test_the_end_of_the_beginning_is_marked_for_those_who_ask(api: ApiClient) -> None:
    await api.post(SECRETS, secret("a"))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    async with aclosing(api.watch(SECRETS, **query, allowWatchBookmarks="true")) as events:
        added, mark = await take(events, 2)
    assert brief(added) == ("ADDED", "a")
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_forgotten_version_is_an_error_event(api: ApiClient) -> None:
    events = [each async for each in api.watch(SECRETS, resourceVersion="1")]
    assert [each["type"] for each in events] == ["ERROR"]
    status = events[0]["object"]
    assert (status["code"], status["reason"]) == (410, "Expired")


async def test_a_reader_that_goes_is_forgotten(api: ApiClient, cluster: LocalCluster) -> None:
    before = len(cluster.store._state._callbacks[SECRET])
    async with aclosing(api.watch(SECRETS)) as events:
        await api.post(SECRETS, secret("a"))
        await anext(events)
        assert len(cluster.store._state._callbacks[SECRET]) == before + 1
        (watch,) = cluster.api.live
    await watch.closed.wait()
    await api.get(SECRETS)
    assert len(cluster.store._state._callbacks[SECRET]) == before


async def test_rows_of_a_table_can_be_watched(api: ApiClient, cluster: LocalCluster) -> None:
    await api.post(SECRETS, secret("a"))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    answer = await api._http.fetch(cluster.url + SECRETS, headers={**api.headers, "Accept": accept})
    assert b'"cells":["a","Opaque","0"' in answer.body
