"""Logs read as blocks: what is a plain line, and what means more."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.train import frames, reading
from jupyter_kube.train.feed import Feed, Line
from jupyter_kube.train.view import JobView

from .fakecluster import KEY, FakeCluster

STAMP = b"2026-01-01T00:00:00.000000000Z "
FRAME = frames.encode("state", {"phase": "running", "text": ""}, KEY, rank=0)

text = st.one_of(
    st.sampled_from([b"", b"a", b"\x1ekube1 x", b"say \x1ekube1 x", b"50%\r", b"a\rb", b"\r"]),
    st.binary(max_size=4).map(lambda raw: raw.replace(b"\n", b"")),
)


@given(st.lists(text, max_size=12))
def test_runs_are_the_log_and_nothing_that_means_more_is_in_a_plain_one(lines):
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


def test_a_feed_decodes_what_is_taken_and_counts_the_rest():
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


def test_a_feed_keeps_few_bytes():
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
