"""How many lines of logs one process takes in, and what it keeps of them.

``decode``: one rank's log, from the bytes of the API's answers to what a cell shows, without a
network: pure CPU. ``pods``: as many ranks as asked for at once, over HTTP from a process of its
own on loopback, whose answers are as fast as they are taken; both processes share the machine.

    python -m bench.logs [--gigabytes 1] [--pods 200] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import multiprocessing
import os
import resource
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp.web
import yaml

from jupyter_kube import naming
from jupyter_kube.config import KubeConfig
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.train import display, frames
from jupyter_kube.train.feed import Batch, Feed
from jupyter_kube.train.runner import Follower
from jupyter_kube.train.view import INDEX, JobView

NAME = "bench-logs"
KEY = bytes(32)
CHUNK = 2**18
"""Bytes of one answer's piece, about as aiohttp hands them on."""
_LINE = "epoch 3 step {0:>6} loss 0.31 accuracy 0.87"
_STAMP = "2026-01-01T00:{0:02}:{1:02}.{2:09}Z "


def log_of(rank: int, size: int) -> Iterator[bytes]:
    """Make a log of about so many bytes: lines, a report each 1,000, and an end."""
    yield _stamped(0, frames.encode("begin", {}, KEY, rank=rank))
    pieces = [_piece(rank, number) for number in range(4)]
    for number in range(max(1, size // CHUNK)):
        second = _STAMP.format(number // 60 % 60, number % 60, 0)[:19].encode()
        yield pieces[number % 4].replace(b"2026-01-01T00:00:00", second)
    yield _stamped(3599, frames.encode("end", {"ok": True}, KEY, rank=rank))


def _piece(rank: int, number: int) -> bytes:
    lines, size = [], 0
    while size < CHUNK:
        at = len(lines)
        if at % 1000 == 999:
            row = [number * 10 + at // 1000 + 1, 1, rank, 0.0, at, {"loss": 0.31}]
            line = _stamped(0, frames.encode("report", {"rows": [row]}, KEY, rank=rank), at)
        else:
            line = _stamped(0, f"{_LINE.format(at)}\n".encode(), at)
        lines.append(line)
        size += len(line)
    return b"".join(lines)


def _stamped(second: int, line: bytes, nano: int = 0) -> bytes:
    return _STAMP.format(second // 60, second % 60, nano).encode() + line


class Screen:
    """Counts what is shown, and shows it as a notebook does, into memory."""

    def __init__(self) -> None:
        self.updates = self.shown = self.dropped = 0
        self._screen = display.NotebookScreen(lambda *_args, **_more: self)

    def update(self, *_args: Any, **_more: Any) -> None:
        """Stand in for a display's handle."""

    def show(self, batch: Batch) -> None:
        """Show what is new."""
        self.updates += 1
        self.shown += len(batch.lines)
        self.dropped += batch.dropped
        with contextlib.redirect_stdout(io.StringIO()):
            self._screen.show(batch)


def objects(pods: int) -> dict[str, dict[str, Any]]:
    """Make the lists that a follower reads, by plural."""
    labels = naming.labels("job", job=NAME)
    meta = {"name": NAME, "uid": "u", "resourceVersion": "1", "labels": labels}
    job = {"metadata": meta, "spec": {"completions": pods, "parallelism": pods}, "status": {}}
    state = [{"name": "worker", "state": {"running": {}}}]
    ranks = [
        {
            "metadata": {
                **meta,
                "name": f"{NAME}-{rank}",
                "annotations": {INDEX: str(rank)},
            },
            "spec": {"nodeName": "n", "containers": [{"name": "worker"}]},
            "status": {"phase": "Running", "containerStatuses": state},
        }
        for rank in range(pods)
    ]
    return {"jobs": listed(job), "pods": listed(*ranks), "events": listed()}


def listed(*items: dict[str, Any]) -> dict[str, Any]:
    """Make a list."""
    return {"metadata": {"resourceVersion": "1"}, "items": list(items)}


class Fed:
    """Stands in for a client: gives its log from memory."""

    namespace = "bench"

    def __init__(self, log: list[bytes]) -> None:
        self._log, self._objects = log, objects(1)

    def now(self) -> Any:
        """Return the time."""
        return None

    async def request(self, _method: str, path: str, **_more: Any) -> dict[str, Any]:
        """Answer a list, or the job."""
        found = self._objects[path.split("/")[-1 if NAME not in path else -2]]
        return found["items"][0] if NAME in path else found

    @asynccontextmanager
    async def stream(self, path: str, **_more: Any) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open the log, or a watch that sees nothing."""
        yield self._chunks() if path.endswith("log") else self._silence()

    async def _chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._log:
            yield chunk
            await asyncio.sleep(0)

    async def _silence(self) -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""


def watched(following: Any) -> tuple[Screen, float, float]:
    """Follow while a thread shows; returns what was shown, the seconds and those of the CPU."""
    feed, screen = Feed(JobView(NAME)), Screen()
    shower = threading.Thread(target=display.watch, args=(feed, screen))
    shower.start()
    begun, cpu = time.perf_counter(), time.process_time()
    asyncio.run(following(feed))
    took = time.perf_counter() - begun
    shower.join()
    return screen, took, time.process_time() - cpu


def decode(size: int) -> dict[str, float]:
    """Follow one log from memory."""
    log = list(log_of(0, size))
    lines = sum(chunk.count(b"\n") for chunk in log)

    async def follow(feed: Feed) -> None:
        client: Any = Fed(log)
        await Follower(client, feed.view, KEY, feed).run()

    before = peak()
    screen, took, cpu = watched(follow)
    size = sum(map(len, log))
    return figures(lines, size, took, cpu, screen) | {"memory grown, MiB": peak() - before}


def pods(number: int, size: int) -> dict[str, float]:
    """Follow as many logs at once, from another process."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs, number, size // number)
    )
    server.start()
    try:
        url, lines, total = ours.recv()

        async def follow(feed: Feed) -> None:
            with tempfile.TemporaryDirectory() as folder:
                config = KubeConfig(kubeconfig=str(kubeconfig(Path(folder), url)))
                client = await KubeClient.connect(config)
            try:
                await Follower(client, feed.view, KEY, feed).run()
            finally:
                await client.close()

        before = peak()
        screen, took, cpu = watched(follow)
        return figures(lines, total, took, cpu, screen) | {"memory grown, MiB": peak() - before}
    finally:
        server.terminate()
        server.join()


def figures(lines: int, size: int, took: float, cpu: float, screen: Screen) -> dict[str, float]:
    """Put a measurement together."""
    return {
        "lines": lines,
        "MB": size / 1e6,
        "s": took,
        "CPU s": cpu,
        "lines/s": lines / took,
        "lines per CPU s": lines / cpu,
        "updates/s": screen.updates / took,
        "lines shown": screen.shown,
        "lines said to be too many": screen.dropped,
    }


def peak() -> float:
    """Return this process's largest memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def serve(told: Connection, number: int, size: int) -> None:
    """Serve an API with a job of so many pods, each with a log of so many bytes."""
    logs = [list(log_of(rank, size)) for rank in range(1)]
    begin = {rank: next(log_of(rank, 0)) for rank in range(number)}
    lists = objects(number)

    async def answer(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        parts = request.path.split("/")
        if parts[-1] != "log" and "watch" not in request.query:
            found = lists[parts[-1] if NAME not in request.path else parts[-2]]
            body = found["items"][0] if NAME in request.path else found
            return aiohttp.web.json_response(body)
        response = aiohttp.web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        if parts[-1] != "log":
            await asyncio.Event().wait()
        rank = int(parts[-2].rpartition("-")[2])
        await response.write(begin[rank])
        for chunk in logs[0][1:-1]:
            await response.write(chunk)
        await response.write(_stamped(3599, frames.encode("end", {"ok": True}, KEY, rank=rank)))
        return response

    async def run() -> None:
        app = aiohttp.web.Application()
        app.router.add_route("GET", "/{rest:.*}", answer)
        runner = aiohttp.web.AppRunner(app)
        await runner.setup()
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        lines = number * sum(chunk.count(b"\n") for chunk in logs[0])
        told.send((runner.addresses[0][1], lines, number * sum(map(len, logs[0]))))
        await asyncio.Event().wait()

    asyncio.run(run())


def kubeconfig(folder: Path, port: int) -> Path:
    """Write a kubeconfig for that API."""
    content = {
        "current-context": "bench",
        "contexts": [{"name": "bench", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "none"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return path


def main() -> None:
    """Do what the command line says."""
    described = (__doc__ or "").partition("    python")[0]
    parser = argparse.ArgumentParser(prog="python -m bench.logs", description=described)
    parser.add_argument("--gigabytes", type=float, default=1.0, help="of log, for each arm")
    parser.add_argument("--pods", type=int, default=200)
    parser.add_argument("--json", default="", help="file for the figures")
    options = parser.parse_args()
    size = int(options.gigabytes * 1e9)
    taken = {"decode": decode(size), f"{options.pods} pods": pods(options.pods, size)}
    print(f"| {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} | {' | '.join(taken)} |")
    print("| --- |" + " --- |" * len(taken))
    for name in taken["decode"]:
        cells = (
            f"{arm[name]:,.1f}" if arm[name] < 100 else f"{arm[name]:,.0f}"
            for arm in taken.values()
        )
        print(f"| {name} | {' | '.join(cells)} |")
    if options.json:
        Path(options.json).write_text(json.dumps(taken, indent=1))


if __name__ == "__main__":
    main()
