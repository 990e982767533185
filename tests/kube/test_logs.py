"""Following logs: each line once, whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.errors import AccessDenied, ClusterUnavailable, InvalidManifest
from jupyter_kube.kube import logblocks, logs
from jupyter_kube.kube.client import KubeClient

from .fake import Answer, FakeApi, ok, raw, status, stream, vanish

POD = "/api/v1/namespaces/here/pods/p"
LOG = f"{POD}/log"
WAITING = status(400, "BadRequest", 'container "c" in pod "p" is waiting to start: …')


def stamp(number: int) -> str:
    """Make the n-th time: three lines a second."""
    return f"2026-11-24T09:00:{number // 3:02}.{number % 3}00000000Z"


def written(*numbers: int) -> bytes:
    return b"".join(f"{stamp(n)} line {n}\n".encode() for n in numbers)


def phase(name: str, **status: Any) -> Answer:
    return ok({"metadata": {"name": "p"}, "status": {"phase": name, **status}})


async def all_lines(client: KubeClient, **more: Any) -> list[logblocks.LogLine]:
    async with asyncio.timeout(20), aclosing(logs.follow(client, "p", **more)) as received:
        return [line async for line in received]


def texts(lines: list[logblocks.LogLine]) -> list[str]:
    return [line.text for line in lines]


def numbered(*numbers: int) -> list[str]:
    return [f"line {n}" for n in numbers]


async def test_it_begins_before_the_container_runs_and_ends_after_it(
    api: FakeApi, client: KubeClient, naps: list[float]
) -> None:
    api.on(
        "GET", LOG, status(404, "NotFound"), WAITING, stream(written(0, 1)), raw(written(0, 1, 2))
    )
    api.on("GET", POD, phase("Pending"), phase("Succeeded"))
    assert texts(await all_lines(client)) == numbered(0, 1, 2)
    last = api.asked("GET", LOG)[-1].query
    assert last == {"timestamps": "true", "sinceTime": "2026-11-24T09:00:00Z"}, "no follow any more"


async def test_cuts_neither_lose_nor_repeat(
    api: FakeApi, client: KubeClient, naps: list[float]
) -> None:
    api.on(
        "GET",
        LOG,
        stream(written(0, 1), written(2, 3), end="cut"),
        vanish,
        status(500),
        stream(written(3, 4), stamp(5).encode() + b" half a li", end="cut"),
        stream(written(3, 4, 5, 6)),
        raw(written(6, 7)),
    )
    api.on("GET", POD, phase("Failed"))
    lines = await all_lines(client)
    assert texts(lines) == numbered(*range(8))
    assert not any(line.gap for line in lines)


async def test_f09_a_node_that_died_is_waited_for_as_long_as_its_pod_may_go_on(
    api: FakeApi, client: KubeClient, naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_NODE_PATIENCE", 0.0)
    dead = status(500, "InternalError", "dial tcp 10.0.0.7:10250: i/o timeout")
    api.on("GET", LOG, stream(written(0), end="cut"), *[dead] * 20, stream(written(0, 1)), dead)
    api.on("GET", POD, *[phase("Running")] * 30, phase("Failed"))
    seen = []

    async def read() -> None:
        async with asyncio.timeout(20), aclosing(logs.follow(client, "p")) as received:
            async for line in received:
                seen.append(line.text)

    with pytest.raises(ClusterUnavailable, match="i/o timeout"):
        await read()
    assert seen == numbered(0, 1)
    assert len(api.asked("GET", POD)) == 31, "it was given up as soon as the pod had ended"


async def test_f27_a_rotation_while_nobody_read_is_said(
    api: FakeApi, client: KubeClient, naps: list[float]
) -> None:
    api.on(
        "GET", LOG, stream(written(0, 1), end="cut"), stream(written(30, 31)), raw(written(30, 31))
    )
    api.on("GET", POD, phase("Succeeded"))
    lines = await all_lines(client)
    assert texts(lines) == numbered(0, 1, 30, 31)
    assert [line.gap for line in lines] == [False, False, True, False]


async def test_a_restarted_containers_log_is_no_gap(
    api: FakeApi, client: KubeClient, naps: list[float]
) -> None:
    running = {"running": {"startedAt": "2026-11-24T09:00:05Z"}}
    again = [{"name": "c", "state": running, "restartCount": 1}]
    api.on("GET", LOG, stream(written(0, 1)), stream(written(16)), raw(b""))
    api.on("GET", POD, phase("Running", containerStatuses=again), phase("Succeeded"))
    lines = await all_lines(client)
    assert texts(lines) == numbered(0, 1, 16)
    assert not any(line.gap for line in lines)


async def test_since_goes_on_after_a_known_line(
    api: FakeApi, client: KubeClient, naps: list[float]
) -> None:
    api.on("GET", LOG, stream(written(3, 4, 5)), raw(written(3, 4, 5)))
    api.on("GET", POD, phase("Succeeded"))
    assert texts(await all_lines(client, since=stamp(4))) == numbered(5)
    assert api.seen[0].query["sinceTime"] == "2026-11-24T09:00:01Z"


async def test_a_pod_that_is_gone_ends_it(
    api: FakeApi, client: KubeClient, naps: list[float]
) -> None:
    api.on("GET", LOG, stream(written(0)), status(404, "NotFound"))
    assert texts(await all_lines(client)) == numbered(0)
    api.on("GET", LOG, status(404, "NotFound"))
    assert await all_lines(client) == []
    assert sum(naps) > 5, "it may be created yet"


async def test_a_pod_that_was_seen_and_is_gone_is_not_waited_for(
    api: FakeApi, client: KubeClient, naps: list[float]
) -> None:
    api.on("GET", LOG, status(404, "NotFound"))
    api.on("GET", POD, phase("Pending"), phase("Pending"), status(404, "NotFound"))
    opened = logs.follow_blocks(client, "p", changed=asyncio.Event())
    async with asyncio.timeout(20), aclosing(opened) as received:
        assert [block async for block in received] == []
    assert len(api.asked("GET", LOG)) == 3, "its node did not know it yet, and then it was gone"


async def test_a_pod_that_ended_without_a_container_ends_it(
    api: FakeApi, client: KubeClient, naps: list[float]
) -> None:
    api.on("GET", LOG, WAITING)
    api.on("GET", POD, phase("Pending"), phase("Failed", reason="Evicted"))
    assert await all_lines(client) == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(403, "Forbidden", "no"), AccessDenied),
        (status(400, "BadRequest", "container x is not valid for pod p"), InvalidManifest),
        (
            status(400, "BadRequest", "a container name must be specified for pod p"),
            InvalidManifest,
        ),
    ],
)
async def test_what_waiting_does_not_help_is_raised(
    api: FakeApi, client: KubeClient, answer: Answer, kind: type[Exception]
) -> None:
    api.on("GET", LOG, answer)
    with pytest.raises(kind):
        await all_lines(client, container="x")


async def test_repeated_lines_do_not_shorten_the_pauses(
    api: FakeApi, client: KubeClient, naps: list[float]
) -> None:
    api.on("GET", LOG, *[stream(written(0))] * 12, raw(b""))
    api.on("GET", POD, *[phase("Running")] * 11, phase("Succeeded"))
    assert texts(await all_lines(client)) == numbered(0)
    pauses = [nap for nap in naps if nap >= logs._PAUSE]
    assert len(pauses) == 11
    assert pauses[-1] >= 2


async def test_f27_f28_long_lines_and_bytes_that_are_no_text(
    api: FakeApi, client: KubeClient
) -> None:
    long = b"x" * 10_000_000
    api.on(
        "GET",
        LOG,
        raw(
            stamp(0).encode() + b" \xff\x00 caf\xc3\xa9\r\x1b[1m\n"
            + stamp(1).encode() + b" " + long + b"\n"
            + stamp(2).encode() + b" \n" + stamp(3).encode() + b" no end"
        ),
    )  # fmt: skip
    read = texts(await logs.read(client, "p", container="c", tail=9, previous=True))
    assert read == ["\ufffd\0 café\r\x1b[1m", long.decode(), "", "no end"]
    assert api.seen[0].query == {
        "timestamps": "true",
        "container": "c",
        "tailLines": "9",
        "previous": "true",
    }


async def test_the_nodes_own_words_are_no_lines(
    api: FakeApi, client: KubeClient, naps: list[float]
) -> None:
    words = b"unable to retrieve container logs for containerd://ab12"
    api.on("GET", LOG, raw(words), raw(written(0)), raw(written(0)))
    api.on("GET", POD, phase("Running"), phase("Succeeded"))
    assert texts(await all_lines(client)) == numbered(0)
    api.on("GET", LOG, raw(words))
    assert await logs.read(client, "p") == [logblocks.LogLine("", words.decode())]


async def test_whoever_stops_reading_leaves_nothing_open(api: FakeApi, client: KubeClient) -> None:
    api.on("GET", LOG, stream(written(0), end="hang", wait=api.released))
    async with aclosing(logs.follow(client, "p")) as received:
        async for line in received:
            assert line.text == "line 0"
            break
    assert client._session.connector is not None
    assert not client._session.connector._acquired


@pytest.mark.parametrize(
    ("time", "utc"),
    [
        ("2026-11-24T09:00:00.123456789Z", "2026-11-24T09:00:00.123456789Z"),
        ("2026-11-24T09:00:00.123456789+02:00", "2026-11-24T07:00:00.123456789Z"),
        ("2026-11-24T09:00:00.12Z", "2026-11-24T09:00:00.120000000Z"),
        ("2026-11-24T09:00:00Z", "2026-11-24T09:00:00.000000000Z"),
        ("2026-11-24T20:00:00.000000001-05:30", "2026-11-25T01:30:00.000000001Z"),
        ("unable", ""),
        ("", ""),
    ],
)
def test_times_sort_as_text(time: str, utc: str) -> None:
    assert logblocks.utc(time) == utc


def test_times_of_a_block_are_written_in_utc() -> None:
    usual = written(0, 1)
    assert logblocks.in_utc(usual) is usual
    words = b"unable to retrieve\n"
    data = b"2026-11-24T11:00:00.5+02:00 a  b\n" + words + usual + words
    assert logblocks.in_utc(data) == (
        b"2026-11-24T09:00:00.500000000Z a  b\n" + words + usual + words
    )


def written_at(*times: str) -> bytes:
    return b"".join(f"{time} {number}\n".encode() for number, time in enumerate(times))


def any_cuts(log: list[str], cuts: list[int]) -> list[logblocks.LogLine]:
    """Read a log whose lines have these times, in connections of so many blocks each."""
    place, got = logblocks.Place(None), list[logblocks.LogLine]()
    for cut in [*cuts, len(log)]:
        since = place.query().get("sinceTime", "")[:19]
        served = [
            f"{time} {number}\n".encode() for number, time in enumerate(log) if time[:19] >= since
        ]
        place.reconnected()
        for at in range(0, cut, 3):
            if data := b"".join(served[:cut][at : at + 3]):
                block = place.take(data)
                got += block.lines() if block else []
    return got


@given(
    # (second, nanosecond) of each line as written: seconds rise, nanoseconds need not
    steps=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), max_size=40),
    cuts=st.lists(st.integers(0, 12), max_size=12),
)
def test_any_cuts_of_any_log_give_each_line_once(
    steps: list[tuple[int, int]], cuts: list[int]
) -> None:
    second, log = 0, []
    for more, nano in steps:
        second += more
        log.append(f"2026-11-24T09:00:{second:02}.{nano:09}Z")
    got = any_cuts(log, cuts)
    assert [(line.time, line.text) for line in got] == [
        (time, str(number)) for number, time in enumerate(log)
    ]
    assert not any(line.gap for line in got)


@given(
    steps=st.lists(st.integers(0, 2), min_size=20, max_size=60),
    cuts=st.lists(st.integers(0, 40), max_size=8),
)
def test_a_second_with_more_lines_than_are_kept_gives_each_line_once(
    steps: list[int], cuts: list[int]
) -> None:
    nano, log = 0, []
    for more in steps:
        nano += more
        log.append(f"2026-11-24T09:00:00.{nano:09}Z")
    kept = logblocks._RECENT
    try:
        logblocks._RECENT = 5
        got = any_cuts(log, cuts)
    finally:
        logblocks._RECENT = kept
    assert [line.text for line in got] == [str(number) for number in range(len(log))]


async def chunked(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_f27_chunks_are_cut_at_the_ends_of_lines_and_endless_lines_are_bounded() -> None:
    async def cut(*chunks: bytes) -> list[bytes]:
        return [data async for data in logblocks.cut(chunked(*chunks), 10)]

    assert await cut(b"a\nb", b"c\nd\ne", b"f") == [b"a\n", b"bc\nd\n", b"ef\n"]
    assert await cut(b"123456", b"789012", b"345\nnext\n") == [
        b"123456789012" + logblocks._CUT + b"\nnext\n"
    ]
    assert await cut(b"123456789012", b"34") == [b"123456789012" + logblocks._CUT + b"\n"]
    assert await cut() == []


def test_only_the_last_lines_are_decoded() -> None:
    data = written_at(stamp(0), stamp(1), stamp(2)) + b"unable to retrieve\n"
    assert logblocks.texts(data, 9) == ["0", "1", "2"]
    assert logblocks.texts(data, 2) == ["2"], "the node's own words are left out"
    assert logblocks.texts(data, 0) == []
    offset = b"2026-11-24T09:00:00.5+02:00 far\n"
    assert logblocks.texts(offset, 1) == ["far"]


async def test_a_wait_for_the_start_ends_when_the_pod_has_changed(
    api: FakeApi, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_TOLD_PAUSE", 3600.0)
    changed = asyncio.Event()

    async def waiting(request: Any) -> Any:
        changed.set()
        return await WAITING(request)

    api.on("GET", LOG, waiting, waiting, waiting, stream(written(0)), raw(b""))
    api.on("GET", POD, *[phase("Pending")] * 3, phase("Succeeded"))
    opened = logs.follow_blocks(client, "p", changed=changed)
    async with asyncio.timeout(20), aclosing(opened) as received:
        assert [line.text async for block in received for line in block.lines()] == numbered(0)
