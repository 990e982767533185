import asyncio
import re

from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.localcluster.logfile import LONGEST_LINE, CriWriter, Pulse, copy_to_log, tail_text

LINE = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) stdout ([FP]) (.*)", re.DOTALL)
NOON = 1_764_000_000 * 10**9 + 5


def entries(written):
    return [LINE.fullmatch(line).groups() for line in written.split(b"\n")[:-1]]


def text_of(parsed):
    return b"".join(line + (b"\n" if tag == b"F" else b"") for _, tag, line in parsed)


def test_a_line_is_stamped_to_the_nanosecond():
    assert CriWriter().feed(b"hi\n", NOON) == b"2025-11-24T16:00:00.000000005Z stdout F hi\n"


@given(st.lists(st.binary(max_size=3 * LONGEST_LINE), max_size=5))
def test_nothing_is_lost_however_the_output_is_cut(chunks):
    writer = CriWriter()
    written = b"".join(writer.feed(chunk, NOON) for chunk in chunks) + writer.finish(NOON)
    whole = b"".join(chunks)
    if whole and not whole.endswith(b"\n"):
        whole += b"\n"
    assert text_of(entries(written)) == whole


def test_stamps_never_repeat_and_never_go_back():
    writer = CriWriter()
    written = writer.feed(b"a\n" * 50, NOON) + writer.feed(b"b\n" * 50, NOON - 10**9)
    stamps = [stamp for stamp, _, _ in entries(written)]
    assert stamps == sorted(set(stamps))


def test_a_long_line_is_cut_into_parts_at_once():
    writer = CriWriter()
    (entry,) = entries(writer.feed(b"x" * LONGEST_LINE + b"y", NOON))
    assert entry[1] == b"P"
    assert entry[2] == b"x" * LONGEST_LINE
    assert entries(writer.feed(b"\n", NOON))[0][1:] == (b"F", b"y")


async def test_followers_are_woken_by_each_change(tmp_path):
    path, changed = tmp_path / "log", Pulse()
    source = asyncio.StreamReader()
    copying = asyncio.create_task(copy_to_log(source, path, changed))
    seen = changed.next()
    source.feed_data(b"one\n")
    await seen.wait()
    assert path.read_bytes().endswith(b" stdout F one\n")
    end = changed.next()
    source.feed_data(b"two")
    source.feed_eof()
    await end.wait()
    await copying
    assert path.read_bytes().endswith(b" stdout F two\n")
    assert tail_text(path, 1, 2048) == "two"
    assert tail_text(path, 9, 5) == "e\ntwo"
