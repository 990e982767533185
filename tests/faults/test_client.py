"""The plain client and its reflector, with a cluster behind a proxy that does harm: F1 to F8, F19.

What needs no cluster is in tests/kube: scripted answers there, under the same numbers.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import AccessDenied, ClusterUnavailable
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector
from tests.conformance.conftest import Target

from .leaping import LeapingLoop
from .proxy import Fault, FaultProxy, proxied

WATCH, LIST = "configmaps.*watch=", r"configmaps(\?(?!.*watch=).*)?$"
MINE = "faults-test=x"
BACK_WITHIN = 30.0
"""Seconds in which all works again once the API server is back."""


def thing() -> dict[str, Any]:
    """Make the manifest of an object that does nothing."""
    name = f"fault-{secrets.token_hex(4)}"
    return {"metadata": {"name": name, "labels": {"faults-test": "x"}}, "data": {"a": "1"}}


@asynccontextmanager
async def reflected(client: KubeClient, **more: Any) -> AsyncIterator[tuple[Reflector, list[str]]]:
    """Run a reflector of the test's objects; gives it and what it told."""
    reflector = Reflector(client, objects.CONFIGMAPS, labels=MINE, **more)
    told: list[str] = []
    reflector.subscribe(lambda kind, item: told.append(f"{kind} {item['metadata']['name']}"))
    await reflector.start()
    try:
        yield reflector, told
    finally:
        await reflector.close()
        await objects.delete_all(client, objects.CONFIGMAPS, MINE)


async def seen(reflector: Reflector, name: str) -> None:
    await reflector.wait_for(name, lambda item: item is not None, 60)


def leap(work: Callable[[LeapingLoop], Any]) -> None:
    """Run a coroutine on a loop that can leap over waits."""
    loop = LeapingLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(work(loop))


async def calls(proxy: FaultProxy) -> None:
    """Wait for the next request."""
    proxy.called.clear()
    await proxy.called.wait()


@pytest.mark.parametrize("away", [pytest.param(120, id="f01"), pytest.param(3600, id="f03")])
@pytest.mark.parametrize("synced", [True, False], ids=["watching", "listing"])
def test_f01_f03_an_api_server_that_is_away_is_asked_for_until_it_is_back(
    target: Target,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    away: float,
    synced: bool,
) -> None:
    caplog.set_level(logging.INFO)

    async def work(loop: LeapingLoop) -> None:
        async with proxied(target.kubeconfig, tmp_path) as proxy:
            config = KubeConfig(kubeconfig=str(proxy.kubeconfig()), namespace=target.namespace)
            client = await KubeClient.connect(config)
            direct = await target.connect()
            if not synced:
                proxy.down()
            async with reflected(client) as (reflector, _):
                if synced:
                    await reflector.synced()
                    proxy.down()
                loop.leaping = True
                await asyncio.sleep(60)
                gc.collect()
                tasks, things = len(asyncio.all_tasks()), len(gc.get_objects())
                begun = loop.time()
                await asyncio.sleep(away - 60)
                gc.collect()
                assert loop.time() - begun >= away - 60
                assert len(asyncio.all_tasks()) <= tasks + 1
                assert len(gc.get_objects()) < things * 1.02
                assert isinstance(reflector.last_error, ClusterUnavailable) or not synced
                assert reflector.stale_for > away - 70
                loop.leaping = False
                made = await objects.create(direct, objects.CONFIGMAPS, thing())
                loop.leaping = True
                back = loop.time()
                await proxy.up()
                await calls(proxy)
                loop.leaping = False
                assert loop.time() - back <= BACK_WITHIN
                await seen(reflector, made["metadata"]["name"])
                assert reflector.last_error is None
            await client.close()
            await direct.close()

    leap(work)
    assert len(caplog.records) < 5, "an outage must not fill the log"


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_f02_an_object_whose_creation_was_cut_exists_once(
    proxy: FaultProxy, through: KubeClient, lost: str
) -> None:
    before = Fault("configmaps", "POST", cut_after=0) if lost == "answer" else Fault(delay=9)
    proxy.faults.add(before)
    body = thing()
    making = asyncio.ensure_future(objects.create(through, objects.CONFIGMAPS, body))
    if lost == "request":
        await calls(proxy)
        proxy.cut("configmaps")
    made = await making
    found = await objects.list_(through, objects.CONFIGMAPS, labels=MINE)
    assert [each["metadata"]["uid"] for each in found["items"]] == [made["metadata"]["uid"]]
    await objects.delete_all(through, objects.CONFIGMAPS, MINE)


async def test_f04_too_many_requests_are_asked_again_when_the_api_says_and_not_before(
    proxy: FaultProxy, through: KubeClient
) -> None:
    proxy.faults.add(Fault("configmaps", status=429, retry_after=1, times=2))
    made = await objects.create(through, objects.CONFIGMAPS, thing())
    at = [each.at for each in proxy.asked("configmaps", "POST")]
    assert len(at) == 3
    for first, second in itertools.pairwise(at):
        assert second - first >= 1
    proxy.faults.add(Fault(WATCH, status=429, retry_after=1, times=2))
    async with reflected(through) as (reflector, _):
        await seen(reflector, made["metadata"]["name"])
        assert reflector.last_error is None
        while len(at := [each.at for each in proxy.asked(WATCH)]) < 3:
            await calls(proxy)
    for first, second in itertools.pairwise(at[:3]):
        assert second - first >= 1


GONE = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}


@pytest.mark.parametrize("how", ["http", "event"])
async def test_f05_a_watch_that_is_too_old_lists_again_and_loses_and_doubles_nothing(
    proxy: FaultProxy, through: KubeClient, client: KubeClient, how: str
) -> None:
    fault = {
        "http": Fault(WATCH, status=410, times=2),
        "event": Fault(WATCH, events=({"type": "ERROR", "object": GONE},), times=2),
    }[how]
    kept, dropped = thing(), thing()
    for body in (kept, dropped):
        await objects.create(client, objects.CONFIGMAPS, body)
    async with reflected(through, first_pause=0.01) as (reflector, told):
        await seen(reflector, kept["metadata"]["name"])
        proxy.faults.add(fault)
        proxy.cut(WATCH)
        late = thing()
        await objects.delete(client, objects.CONFIGMAPS, dropped["metadata"]["name"])
        await objects.create(client, objects.CONFIGMAPS, late)
        await seen(reflector, late["metadata"]["name"])
        await reflector.wait_for(dropped["metadata"]["name"], lambda item: item is None, 60)
        last = thing()
        await objects.create(client, objects.CONFIGMAPS, last)
        await seen(reflector, last["metadata"]["name"])
        assert sorted(told) == sorted(
            [
                *(f"ADDED {b['metadata']['name']}" for b in (kept, dropped, late, last)),
                f"DELETED {dropped['metadata']['name']}",
            ]
        )
    assert fault.hits >= 1
    assert len(proxy.asked(LIST, "GET")) <= 2 + fault.hits


async def test_f06_a_watch_that_is_cut_again_and_again_goes_on_without_a_storm_of_lists(
    proxy: FaultProxy, through: KubeClient, client: KubeClient
) -> None:
    async with reflected(through) as (reflector, told):
        await reflector.synced()
        names = []
        for _ in range(20):
            while not proxy.cut(WATCH):
                await calls(proxy)
            body = thing()
            names.append(body["metadata"]["name"])
            await objects.create(client, objects.CONFIGMAPS, body)
            await seen(reflector, names[-1])
        assert told == [f"ADDED {name}" for name in names]
        assert len(proxy.asked(LIST, "GET")) == 1
        assert len(proxy.asked(WATCH)) <= 3 * 20


async def test_f07_a_watch_that_hangs_half_open_is_opened_anew(
    proxy: FaultProxy, through: KubeClient, client: KubeClient
) -> None:
    async with reflected(through, silence=0.5, first_pause=0.01) as (reflector, _):
        await reflector.synced()
        while not proxy.freeze(WATCH):
            await calls(proxy)
        made = await objects.create(client, objects.CONFIGMAPS, thing())
        await seen(reflector, made["metadata"]["name"])


async def test_f08_errors_and_broken_answers_are_asked_again(
    proxy: FaultProxy, through: KubeClient, client: KubeClient
) -> None:
    body = thing()
    body["data"]["a"] = secrets.token_hex(450_000)  # answers are compressed
    await objects.create(client, objects.CONFIGMAPS, body)
    for fault in (
        Fault(LIST, status=500),
        Fault(LIST, status=503, retry_after=0),
        Fault(LIST, cut_after=300_000),
        Fault(WATCH, status=500),
        Fault(WATCH, cut_after=400_000),
    ):
        proxy.faults.add(fault)
    async with reflected(through, first_pause=0.01) as (reflector, told):
        await seen(reflector, body["metadata"]["name"])
        body["data"]["a"] = secrets.token_hex(450_000)
        name = body["metadata"]["name"]
        await objects.patch(client, objects.CONFIGMAPS, name, {"data": body["data"]})
        await reflector.wait_for(
            name, lambda item: item is not None and item["data"] == body["data"], 60
        )
        assert told == [f"ADDED {name}", f"MODIFIED {name}"]
        assert len(proxy.asked(LIST, "GET")) == 4


async def test_f19_a_rotated_token_is_read_again_and_a_wrong_one_is_not_hammered(
    target: Target, proxy: FaultProxy, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    proxy.accepted = {"first"}
    path = proxy.kubeconfig({"tokenFile": str(token)})
    client = await KubeClient.connect(KubeConfig(kubeconfig=str(path), namespace=target.namespace))
    try:
        async with reflected(client, first_pause=0.01) as (reflector, _):
            await reflector.synced()
            token.write_text("second")
            proxy.accepted = {"second"}
            proxy.cut()
            proxy.seen.clear()
            made = await objects.create(client, objects.CONFIGMAPS, thing())
            await seen(reflector, made["metadata"]["name"])
            assert [each.token for each in proxy.asked("", "POST")] in (
                ["first", "second"],
                ["second"],
            )
            assert len([each for each in proxy.seen if each.token == "first"]) <= 2
            proxy.accepted = {"third"}
            proxy.seen.clear()
            with pytest.raises(AccessDenied, match="does not accept these credentials"):
                await objects.create(client, objects.CONFIGMAPS, thing())
            assert len(proxy.asked("", "POST")) == 2
            proxy.accepted = {"second"}
    finally:
        await client.close()
