"""What thousands of jobs cost a server whose front ends look at them: time, and its event loop.

    python -m bench.live                     # 5,000 finished jobs of one worker each
    python -m bench.live --jobs 1000 --workers 4

The jobs are copies of a real one, in the local cluster, which runs in this process; the server is a
process of its own. Rows: until a front end has everything, the first one and one more; until a
change of one job, made in the cluster, is told, median and longest; until changes of all jobs at
once are told. Beside each is how much was sent, for how long the server's event loop was held up at
most meanwhile, and for how long by its own work (see bench/stalls.py).
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from jupyter_kube import naming, train
from jupyter_kube.config import KubeConfig
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.localcluster.store import JOB, POD, Store
from jupyter_kube.session import JupyterServer, running_server

SPACE = "default"
CHANGES = 40
REST = 3.0  # seconds of a phase in which nothing happens
_AT_ONCE = 200  # copies made before others may use the cluster
_LARGEST = 256 * 2**20

Object = dict[str, Any]


class FrontEnd:
    """Hears what a browser would, and when."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self._socket = socket
        self.bytes = 0

    @classmethod
    async def open(cls, server: JupyterServer) -> FrontEnd:
        url = server.url.replace("http", "ws", 1) + "/jupyter-kube/live"
        request = HTTPRequest(url, headers={"Authorization": f"token {server.token}"})
        return cls(await websocket_connect(request, max_message_size=_LARGEST))

    async def hear(self) -> Mapping[str, Any]:
        """Take one message."""
        text = await self._socket.read_message()
        if text is None:
            raise RuntimeError("the server has closed the websocket")
        self.bytes += len(text)
        told: dict[str, Any] = json.loads(text)
        return told

    async def hear_of(self, names: set[str]) -> None:
        """Wait until all of these jobs were told of."""
        while names:
            names = names - {row["name"] for row in (await self.hear()).get("jobs", ())}

    def close(self) -> None:
        self._socket.close()


class Crowd:
    """Many jobs that are copies of one, in a local cluster."""

    def __init__(self, cluster: LocalCluster, job: str, number: int) -> None:
        self._cluster, self._pattern = cluster, job
        self.names = [f"copy-{n:05}" for n in range(number)]

    def fill(self) -> None:
        """Make the copies."""
        job, pods = self._cluster.call(_look, self._cluster.store, self._pattern)
        for begin in range(0, len(self.names), _AT_ONCE):
            names = self.names[begin : begin + _AT_ONCE]
            self._cluster.call(_copy_all, self._cluster.store, job, pods, names)

    def change(self, names: list[str]) -> None:
        """Let these jobs have another end than they had."""
        self._cluster.call(_change_all, self._cluster.store, names)


def _look(store: Store, name: str) -> tuple[Object, list[Object]]:
    pods = store.list(POD, SPACE, label_selector=naming.selector(job=name))
    return store.get(JOB, SPACE, name), pods


def _copy_all(store: Store, job: Object, pods: list[Object], names: list[str]) -> None:
    for name in names:
        made = _put(store, JOB, job, name, {})
        owner = {"ownerReferences": [_owner(made)]}
        for number, pod in enumerate(pods):
            _put(store, POD, pod, f"{name}-{number}-abcde", owner, name)


def _put(
    store: Store, kind: Any, pattern: Object, name: str, more: Object, job: str = ""
) -> Object:
    new = copy.deepcopy(pattern)
    new["metadata"] |= {"name": name, **more}
    for key in ("uid", "resourceVersion"):
        new["metadata"].pop(key)
    labels = new["metadata"]["labels"]
    labels[naming.JOB] = job or name
    labels.pop(naming.SUBMISSION, None)
    if kind is POD:
        new["spec"]["nodeName"] = "nobody"
    store.create(kind, new, namespace=SPACE)

    def end(made: Object) -> None:
        made["status"] = copy.deepcopy(pattern["status"])

    return store.mutate(kind, SPACE, name, end, subresource="status") or {}


def _owner(job: Object) -> Object:
    about = {key: job["metadata"][key] for key in ("name", "uid")}
    return {"apiVersion": "batch/v1", "kind": "Job", "controller": True, **about}


def _change_all(store: Store, names: list[str]) -> None:
    def change(job: Object) -> None:
        conditions = {each["type"]: each for each in job["status"]["conditions"]}
        complete = "Failed" if "Complete" in conditions else "Complete"
        old = conditions.get("Complete") or conditions["Failed"]
        job["status"]["conditions"] = [{**old, "type": complete, "message": "changed"}]

    for name in names:
        store.mutate(JOB, SPACE, name, change, subresource="status")


async def measure(cluster: LocalCluster, folder: Path, jobs: int, workers: int) -> None:
    """Go through the phases and print what each took."""
    cluster.write_kubeconfig(folder / "kubeconfig")
    ours = {
        "kubeconfig": str(folder / "kubeconfig"),
        "namespace": SPACE,
        "profiles": {"python": {"image": "python:3", "cpu": "100m", "memory": "256Mi"}},
    }
    settings = KubeConfig(**ours)
    job = await asyncio.to_thread(train.submit, "pass", workers=workers, settings=settings)
    await asyncio.to_thread(job.result, 120)
    await asyncio.to_thread(_until_ended, cluster, job.name)
    crowd = Crowd(cluster, job.name, jobs)
    begun = time.perf_counter()
    await asyncio.to_thread(crowd.fill)
    print(f"{jobs} jobs of {workers} made in {time.perf_counter() - begun:.0f} s\n", flush=True)
    extensions = {"bench.stalls": True, "jupyter_kube": True}
    configuration = {"KubeConfig": ours, "ServerApp": {"jpserver_extensions": extensions}}
    print("| phase | took | sent | longest stalls, ms | longest work, ms |\n" + "| --- " * 5 + "|")
    async with running_server(folder, configuration) as server:
        await _take(server)
        await asyncio.sleep(REST)
        _show("nothing to do", "", 0, await _take(server))
        one = await _first(server, "a first front end has everything", set(crowd.names))
        two = await _first(server, "another one has everything", set(crowd.names))
        await asyncio.sleep(REST)
        _show("both look at what does not change", "", 0, await _take(server))
        for path in ("", f"/{crowd.names[0]}", f"/{crowd.names[0]}/why"):
            await _ask(server, f"jobs{path}")
        await _singly(server, crowd, one)
        two.close()
        one.bytes, begun = 0, time.perf_counter()
        changing = asyncio.create_task(asyncio.to_thread(crowd.change, crowd.names))
        await one.hear_of(set(crowd.names))
        await changing
        took = f"{time.perf_counter() - begun:.2f} s"
        _show("all change at once", took, one.bytes, await _take(server))
        one.close()


def _until_ended(cluster: LocalCluster, name: str) -> None:
    while True:
        job, pods = cluster.call(_look, cluster.store, name)
        phases = {pod["status"].get("phase") for pod in pods}
        if job["status"].get("completionTime") and phases == {"Succeeded"}:
            return
        time.sleep(0.1)


async def _first(server: JupyterServer, phase: str, names: set[str]) -> FrontEnd:
    begun = time.perf_counter()
    front_end = await FrontEnd.open(server)
    await front_end.hear_of(names)
    took = time.perf_counter() - begun
    _show(phase, f"{took:.2f} s", front_end.bytes, await _take(server))
    return front_end


async def _ask(server: JupyterServer, path: str) -> None:
    begun = time.perf_counter()
    said = await server.request("GET", f"jupyter-kube/{path}")
    took, size = f"{time.perf_counter() - begun:.2f} s", len(json.dumps(said))
    _show(f"GET {path}", took, size, await _take(server))


async def _singly(server: JupyterServer, crowd: Crowd, front_end: FrontEnd) -> None:
    front_end.bytes, times = 0, []
    for name in crowd.names[:CHANGES]:
        begun = time.perf_counter()
        changing = asyncio.create_task(asyncio.to_thread(crowd.change, [name]))
        await front_end.hear_of({name})
        times.append((time.perf_counter() - begun) * 1000)
        await changing
        await asyncio.sleep(0.15)  # a change that follows another is told a moment later
    took = f"{statistics.median(times):.0f} ms, {max(times):.0f} at most"
    _show("one job changes", took, front_end.bytes, await _take(server))


async def _take(server: JupyterServer) -> dict[str, Any]:
    taken: dict[str, Any] = await server.request("GET", "bench/stalls")
    return taken


def _show(phase: str, took: str, sent: int, taken: dict[str, Any]) -> None:
    stalls, work = (", ".join(f"{ms:.1f}" for ms in taken[key][:3]) for key in ("longest", "work"))
    size = f"{sent / 1024:,.0f} KiB" if sent else ""
    print(f"| {phase} | {took} | {size} | {stalls} | {work} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.live", description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="jk-live-") as name,
        LocalCluster().run_in_thread() as local,
    ):
        asyncio.run(measure(local, Path(name), given.jobs, given.workers))
