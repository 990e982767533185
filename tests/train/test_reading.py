"""Logs read as blocks: what is a plain line, and what means more."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.train import frames, reading
from jupyter_kube.train.feed import BEGINNING_LOST, Feed, Line
from jupyter_kube.train.view import JobView

from .fakecluster import KEY, FakeCluster

STAMP = b"2026-01-01T00:00:00.000000000Z "
FRAME = frames.encode("state", {"phase": "running", "text": ""}, KEY, rank=0)

text = st.one_of(
    st.sampled_from([b"", b"a", b"\x1ekube1 x", b"say \x1ekube1 x", b"50%\r", b"a\rb", b"\r"]),
    st.binary(max_size=4).map(lambda raw: raw.replace(b"\n", b"")),
)


@given(st.lists(text, max_size=12))
def test_f28_runs_are_the_log_and_nothing_that_means_more_is_in_a_plain_one(lines):
    data = b"".join(STAMP + line + b"\n" for line in lines)
    found = list(reading.runs(data))
    assert b"".join(part for part, _ in found) == data
    special = [line for line in lines if line.startswith(b"\x1ekube1 ") or line.endswith(b"\r")]
    assert [text for _, text in found if text is not None] == [
        line.decode(errors="replace") for line in special
    ]


def test_what_is_read_of_a_log_is_its_plain_lines_and_displays():
    async def work():
        cluster = FakeCluster()
        await cluster.say("p", "a", "50%\r", "100%", "b")
        await cluster.frame("p", "state", {"phase": "done", "text": ""})
        await cluster.say("p", "c")
        await cluster.end_log("p")
        pieces = reading.plain_lines(cluster, "p", range(3, 4), KEY)
        return await reading.gathered(pieces)

    assert asyncio.run(work()) == [Line(3, each) for each in ("a", "100%", "b", "c")]


def last(said, tail, rank=None, ranks=range(2)):
    """Return the last lines that are read of a log, and how often it was read."""

    async def work():
        cluster = FakeCluster()
        await cluster.say("p", *said)
        await cluster.end_log("p")
        pieces = reading.plain_lines(cluster, "p", ranks, KEY, tail=tail, rank=rank)
        return await reading.gathered(pieces, tail), cluster.read["p"]

    return asyncio.run(work())


def test_the_last_lines_are_found_behind_what_fills_the_logs_end():
    bar = [f"{number}%\r" for number in range(3000)]
    assert last(["[0] a", "[0] b", *bar], 1, ranks=range(1)) == ([Line(0, "[0] b")], 2)
    said = ["[1] quiet", "[1] still", *(f"[0] {number}" for number in range(3000))]
    lines = [Line(0, "2998"), Line(0, "2999"), Line(1, "quiet"), Line(1, "still")]
    assert last(said, 2) == (lines, 2)
    assert last(said, 2, rank=1) == (lines[2:], 2)
    assert last(said, 2, rank=0)[1] == 1, "what is there already is not read again"
    assert last(["[1] few"], 2) == ([Line(1, "few")], 1), "nor what was read from its beginning"
    assert last(["x" * 10_000] * 5, 0) == ([], 1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reading, "_MOST_HELD", 3)
        assert last(said, 2) == ([*lines[2:], *lines[:2]], 1), (
            "of too many to be held all that there is"
        )


def test_frames_are_known_whatever_the_zone_of_the_nodes_times():
    class Node:
        namespace = "default"

        @asynccontextmanager
        async def stream(self, path, **_options):
            async def chunks():
                report = frames.encode("report", {"rows": [[1]]}, KEY, rank=0)
                for text in (b"a\n", report, b"50%\r\n", b"b\n"):
                    yield b"2026-01-01T02:00:00.000000000+02:00 " + text

            yield chunks()

    async def work():
        lines = await reading.gathered(reading.plain_lines(Node(), "p", range(1), KEY))
        return lines, [rows async for rows in reading.reported(Node(), "p", KEY)]

    assert asyncio.run(work()) == ([Line(0, BEGINNING_LOST), Line(0, "a"), Line(0, "b")], [[[1]]])


def test_f27_a_feed_decodes_what_is_taken_and_counts_the_rest():
    feed = Feed(JobView("x"), capacity=3)
    feed.lines(0, b"".join(STAMP + b"%d\n" % number for number in range(10)))
    feed.line(1, "said")
    feed.lines(0, STAMP + b"caf\xe9\n")
    batch = feed.take()
    assert [(line.rank, line.text) for line in batch.lines] == [
        (0, "9"),
        (1, "said"),
        (0, "caf\ufffd"),
    ]
    assert batch.dropped == 9
    assert feed.take().lines == ()


def test_f27_a_feed_keeps_few_bytes():
    feed = Feed(JobView("x"), room=1000, longest=100)
    for number in range(100):
        feed.lines(0, STAMP + b"%d" % number * 30 + b"\n")
    batch = feed.take()
    assert len(batch.lines) + batch.dropped == 100
    assert sum(len(line.text) for line in batch.lines) <= 1000
    feed.lines(0, STAMP + b"before\n")
    feed.lines(0, STAMP + b"y" * 5000 + b"\n")
    before, endless = feed.take().lines
    assert before.text == "before"
    assert endless.text.endswith("(5,000 bytes)")
