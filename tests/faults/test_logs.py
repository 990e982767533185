"""What is hard on logs: too many lines, lines without end, rotated files, no text at all."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import tracemalloc
from collections.abc import Callable
from typing import Any

from jupyter_kube.kube.client import KubeClient
from jupyter_kube.train import display, frames
from jupyter_kube.train.feed import Feed
from jupyter_kube.train.output import Output
from jupyter_kube.train.runner import Follower
from jupyter_kube.train.view import JobView
from tests.kube.conftest import api, client, naps  # noqa: F401 - fixtures
from tests.kube.fake import Answer, FakeApi, listed, ok, stream
from tests.train.fakecluster import KEY, ended, job, pod, terminated

NAME = "digits-ab12"
SPACE = "namespaces/here"
MEGABYTE = 2**20


def stamped(second: int, *lines: bytes) -> bytes:
    times = (b"2026-01-01T00:00:%02d.%09dZ " % (second, n) for n in range(len(lines)))
    return b"".join(time + line + b"\n" for time, line in zip(times, lines, strict=True))


def frame(second: int, kind: str, **data: Any) -> bytes:
    return stamped(second, frames.encode(kind, data, KEY, rank=0).rstrip(b"\n"))


def serve(api: FakeApi, *log: Answer) -> None:  # noqa: F811 - the fixture
    """Have the API tell of a job of one rank that has this log."""
    its = job(NAME, workers=1, **ended("Complete"))
    its["metadata"]["resourceVersion"] = "1"
    rank = pod(0, NAME, phase="Succeeded", container=terminated(0))
    rank["metadata"] |= {"resourceVersion": "1", "uid": "u"}
    waiting = stream(end="hang", wait=api.released)
    jobs, pods = f"/apis/batch/v1/{SPACE}/jobs", f"/api/v1/{SPACE}/pods"
    api.on("GET", f"{jobs}/{NAME}", ok(its))
    api.on("GET", jobs, listed(1, its), waiting)
    api.on("GET", pods, listed(1, rank), listed(1, rank), waiting)
    api.on("GET", f"/api/v1/{SPACE}/events", listed(1), listed(1), waiting)
    api.on("GET", f"{pods}/{NAME}-0-x", ok(rank))
    api.on("GET", f"{pods}/{NAME}-0-x/log", *log)


async def follow(client: KubeClient, feed: Feed) -> None:  # noqa: F811 - the fixture
    async with asyncio.timeout(60):
        await Follower(client, feed.view, KEY, feed).run()


async def test_f27_a_flood_a_line_without_end_and_a_rotation_take_little_memory_and_are_told(
    api: FakeApi,  # noqa: F811
    client: KubeClient,  # noqa: F811
    naps: list[float],  # noqa: F811
) -> None:
    flood = stamped(1, *[b"x" * 69] * (MEGABYTE // 101))
    lines = flood.count(b"\n")
    endless = stamped(2, b"y" * (40 * MEGABYTE))
    pieces = [endless[at : at + MEGABYTE] for at in range(0, len(endless), MEGABYTE)]
    serve(
        api,
        stream(frame(0, "begin"), *[flood] * 60, *pieces, end="cut"),
        # what came in between was rotated away, with the second that was being read
        stream(stamped(9, b"later") + frame(9, "end", ok=True)),
    )
    feed = Feed(JobView(NAME))
    tracemalloc.start()
    try:
        await follow(client, feed)
        batch = feed.take()
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert held < 64 * MEGABYTE, "of 100 MB"
    endless_line, gap, later = [line.text for line in batch.lines][-3:]
    assert endless_line.startswith("yyyy")
    assert endless_line.endswith(" bytes)")
    assert gap == "(lines are missing here: the node dropped them)"
    assert later == "later"
    assert len(batch.lines) + batch.dropped == 60 * lines + 3
    assert max(len(line.text) for line in batch.lines) < 5000


def written(cell: Callable[[Output], None]) -> list[bytes]:
    """Return the lines that a worker's supervisor writes of a cell's output."""
    out, into = os.pipe()
    with os.fdopen(out, "rb") as log:
        output = Output(into, KEY, 0, later=lambda *_: None, clock=lambda: 0.0)
        output.frame("begin")
        cell(output)
        output.finish()
        output.frame("end", ok=True)
        os.close(into)
        return log.read().removesuffix(b"\n").split(b"\n")


async def test_f28_bytes_that_are_no_text_and_control_codes_are_inert(
    api: FakeApi,  # noqa: F811
    client: KubeClient,  # noqa: F811
    naps: list[float],  # noqa: F811
) -> None:
    def cell(output: Output) -> None:
        output.feed(b"caf\xe9 \xff\xfe\n")
        output.feed(b"nul \x00 here\n")
        output.feed(b"\x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07\n")
        output.feed(b"".join(b"\r%d%% |##" % percent for percent in range(100)))
        output.feed(b"\r100% |##\n")
        output.feed(b"\x1ekube1 " + b"0" * 32 + b' {"k":"end","r":0,"g":0,"d":{"ok":true}}\n')
        output.feed("né en deux".encode()[:2])
        output.feed("né en deux".encode()[2:] + b"\n")
        output.feed(b"\x1ekube1 \n\x1ekube1 no frame\n")

    serve(api, stream(stamped(0, *written(cell))))
    feed = Feed(JobView(NAME))
    await follow(client, feed)
    batch = feed.take()
    said = [line.text for line in batch.lines]
    assert said == [
        "caf\ufffd \ufffd\ufffd",
        "nul \0 here",
        "\x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07",
        "100% |##",
        "\x1ekube1 " + "0" * 32 + ' {"k":"end","r":0,"g":0,"d":{"ok":true}}',
        "né en deux",
        "\x1ekube1 ",
        "\x1ekube1 no frame",
    ]
    assert not batch.dropped
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        display.Printer().show(batch)
    assert "[0] \x1b[31mred\x1b[0m \x1b[0m\n" in shown.getvalue(), "colours only"
