"""Faults on purpose do what they say."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from tornado.httpclient import HTTPClientError

from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.localcluster.faults import Fault

from .apiclient import PODS, SECRETS, ApiClient


async def test_a_fault_meets_as_many_requests_as_it_says(
    api: ApiClient, cluster: LocalCluster
) -> None:
    fault = cluster.faults.add(Fault("/secrets", status=429, retry_after=7, times=2))
    for _ in range(2):
        refused = await api.get(SECRETS)
        assert (refused.code, refused.json["reason"]) == (429, "TooManyRequests")
        assert refused.headers["Retry-After"] == "7"
        assert refused.json["details"]["retryAfterSeconds"] == 7
    assert (await api.get(SECRETS)).code == 200
    assert fault.hits == 2


async def test_a_fault_meets_what_it_matches(api: ApiClient, cluster: LocalCluster) -> None:
    fault = cluster.faults.add(Fault("/secrets.*watch=", method="GET", status=410, times=None))
    assert (await api.get(SECRETS)).code == 200
    assert (await api.get(SECRETS, watch="true")).json["reason"] == "Expired"
    cluster.faults.lift(fault)
    answer = await api.get(SECRETS, watch="true", timeoutSeconds="1")
    assert answer.code == 200


async def test_an_answer_is_cut_in_the_middle(api: ApiClient, cluster: LocalCluster) -> None:
    cluster.faults.add(Fault("/pods", cut_after=10))
    with pytest.raises((HTTPClientError, OSError)):
        await api.get(PODS)
    assert (await api.get(PODS)).code == 200


async def test_a_silent_answer_goes_on_when_the_fault_is_lifted(
    api: ApiClient, cluster: LocalCluster
) -> None:
    async with aclosing(api.watch(SECRETS)) as events:
        await api.post(SECRETS, {"metadata": {"name": "a"}})
        assert (await anext(events))["object"]["metadata"]["name"] == "a"
        fault = cluster.faults.add(Fault("watch=", silent=True))
        await api.post(SECRETS, {"metadata": {"name": "b"}})
        following = asyncio.ensure_future(anext(events))
        await api.get(SECRETS)
        assert not following.done()
        cluster.faults.lift(fault)
        assert (await following)["object"]["metadata"]["name"] == "b"


async def test_a_delayed_request_is_answered_after_all(
    api: ApiClient, cluster: LocalCluster
) -> None:
    cluster.faults.add(Fault("/pods", delay=0.05))
    assert (await api.get(PODS)).code == 200


async def test_connections_can_be_cut_at_any_time(api: ApiClient, cluster: LocalCluster) -> None:
    async with aclosing(api.watch(SECRETS)) as events:
        await api.post(SECRETS, {"metadata": {"name": "a"}})
        await anext(events)
        assert cluster.api.cut("/secrets") == 1
        assert [each async for each in events] == []


async def test_the_cluster_stops_with_silent_requests(cluster: LocalCluster) -> None:
    client = ApiClient(cluster)
    cluster.faults.add(Fault("/pods", silent=True))
    waiting = asyncio.ensure_future(client.get(PODS))
    while not cluster.api.live:
        await asyncio.sleep(0)
    await cluster.stop()
    await asyncio.gather(waiting, return_exceptions=True)
    client.close()
