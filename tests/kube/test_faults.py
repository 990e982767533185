"""All of it together on the local cluster, whose API misbehaves on purpose."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from jupyter_kube.config import KubeConfig
from jupyter_kube.kube import logs, objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.localcluster.faults import Fault

LINES = 3000
PRINT = (
    "import time\n"
    f"for i in range({LINES}):\n"
    "    print('line', i, flush=i % 50 == 49)\n"
    "    if i % 500 == 499: time.sleep(0.2)\n"
)


@pytest.fixture
def cluster(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[LocalCluster]:
    running = LocalCluster()
    jp_asyncio_loop.run_until_complete(running.start())
    yield running
    running.faults.clear()
    jp_asyncio_loop.run_until_complete(running.stop())


@pytest.fixture
def real(
    cluster: LocalCluster, tmp_path: Path, jp_asyncio_loop: asyncio.AbstractEventLoop
) -> Iterator[KubeClient]:
    path = tmp_path / "kubeconfig"
    cluster.write_kubeconfig(path)
    connected = jp_asyncio_loop.run_until_complete(
        KubeClient.connect(KubeConfig(kubeconfig=str(path)))
    )
    yield connected
    cluster.faults.clear()
    jp_asyncio_loop.run_until_complete(connected.close())


def config(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "data": {}}


async def test_a_log_arrives_whole_through_an_api_that_cuts_it(
    cluster: LocalCluster, real: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_LONGEST_PAUSE", logs._PAUSE)
    chance = random.Random(7)
    cuts = [Fault("/log", cut_after=chance.randrange(1, 150_000)) for _ in range(25)]
    for cut in cuts:
        cluster.faults.add(cut)
        cluster.faults.add(Fault("/log", status=500))
    cluster.faults.add(Fault("/log", status=429, retry_after=0))
    container = {"name": "c", "image": "python", "command": ["python", "-c", PRINT]}
    spec = {"containers": [container], "restartPolicy": "Never"}
    await objects.create(real, objects.PODS, {"metadata": {"name": "p"}, "spec": spec})
    async with asyncio.timeout(60), aclosing(logs.follow(real, "p")) as received:
        lines = [line async for line in received]
    assert [line.text for line in lines] == [f"line {i}" for i in range(LINES)]
    assert not any(line.gap for line in lines)
    assert sum(cut.hits for cut in cuts) > 3


async def test_a_copy_stays_true_through_an_api_that_cuts_forgets_and_stalls(
    cluster: LocalCluster, real: KubeClient
) -> None:
    reflector = Reflector(real, objects.CONFIGMAPS, silence=0.3, first_pause=0.01)
    told: list[str] = []
    reflector.subscribe(lambda kind, item: told.append(f"{kind} {item['metadata']['name']}"))
    faults = (
        Fault("configmaps.*watch=", silent=True),
        Fault("configmaps.*watch=", cut_after=700),
        Fault("configmaps.*watch=", status=410),
        Fault("configmaps.*watch=", cut_after=100),
        Fault("configmaps.*watch=", status=500),
        Fault("configmaps.*watch=", status=429, retry_after=0),
    )
    for fault in faults:
        cluster.faults.add(fault)
    await reflector.start()
    await reflector.synced()
    for number in range(30):
        await objects.create(real, objects.CONFIGMAPS, config(f"m{number}"))
    for number in range(0, 30, 2):
        await objects.delete(real, objects.CONFIGMAPS, f"m{number}")
    await objects.create(real, objects.CONFIGMAPS, config("last"))
    await reflector.wait_for("last", lambda item: item is not None, 20)
    await reflector.wait_for("m28", lambda item: item is None, 20)
    assert [fault.hits for fault in faults[:3]] == [1, 1, 1]
    left = await objects.list_(real, objects.CONFIGMAPS)
    names = [item["metadata"]["name"] for item in left["items"]]
    assert sorted(reflector.items) == sorted(names)
    seen: set[str] = set()
    for line in told:  # nothing is added twice, or deleted without having been there
        kind, name = line.split()
        assert (kind == "ADDED") == (name not in seen), line
        seen ^= {name} if kind in {"ADDED", "DELETED"} else set()
    assert seen == set(names)
    await reflector.close()


async def test_a_burst_of_creations_through_lost_answers_makes_each_object_once(
    cluster: LocalCluster, real: KubeClient
) -> None:
    for _ in range(5):
        cluster.faults.add(Fault("configmaps$", method="POST", cut_after=10))
    cluster.faults.add(Fault("configmaps$", method="POST", status=429, retry_after=0))
    names = [f"m{number}" for number in range(10)]
    made = await asyncio.gather(
        *(objects.create(real, objects.CONFIGMAPS, config(name)) for name in names)
    )
    assert [item["metadata"]["name"] for item in made] == names
    left = await objects.list_(real, objects.CONFIGMAPS)
    assert {item["metadata"]["uid"] for item in left["items"]} == {
        item["metadata"]["uid"] for item in made
    }
