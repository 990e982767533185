"""Frames: what is written is read, and nothing else passes for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.train.frames import (
    LARGEST_RESULT,
    LONGEST,
    MARK,
    Frame,
    Parser,
    encode,
    encode_parts,
)

KEY = b"k" * 32

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def text(line: bytes) -> str:
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return line[:-1].decode()


@given(st.text(min_size=1, max_size=10), st.dictionaries(st.text(max_size=5), plain, max_size=4))
def test_what_is_encoded_is_read_back(kind: str, data: dict[str, object]) -> None:
    if kind in {"part", "about"}:
        return
    line = text(encode(kind, data, KEY, rank=3, generation=2))
    assert Parser(KEY).feed(line) == Frame(kind, 3, 2, data)


@given(st.text())
def test_other_lines_stay_as_they_are(line: str) -> None:
    assert Parser(KEY).feed(line) == line


@given(st.text())
def test_a_line_that_only_looks_like_a_frame_stays_a_line(rest: str) -> None:
    assert Parser(KEY).feed(MARK + rest) == MARK + rest


@given(st.data())
def test_a_frame_changed_in_any_place_is_a_plain_line(data: st.DataObject) -> None:
    line = text(encode("state", {"phase": "running"}, KEY, rank=0))
    at = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.characters(exclude_categories=["Cs"]).filter(lambda c: c != line[at]))
    changed = line[:at] + other + line[at + 1 :]
    assert Parser(KEY).feed(changed) == changed


def test_another_jobs_frame_is_a_plain_line() -> None:
    line = text(encode("end", {"ok": True}, b"other", rank=0))
    assert Parser(KEY).feed(line) == line


def test_too_long_or_not_json_is_refused() -> None:
    with pytest.raises(ValueError, match=str(LONGEST)):
        encode("state", {"text": "x" * LONGEST}, KEY, rank=0)
    with pytest.raises(ValueError, match="JSON"):
        encode("report", {"loss": float("nan")}, KEY, rank=0)


@given(st.binary(max_size=20_000), st.lists(st.text(max_size=10), max_size=9))
def test_a_result_arrives_whole_among_other_lines(blob: bytes, noise: list[str]) -> None:
    parser = Parser(KEY)
    seen: list[Frame] = []
    for number, line in enumerate(encode_parts("result", blob, {"sizes": {"x": 1}}, KEY, rank=0)):
        assert len(line) < LONGEST + 100
        for other in noise[number : number + 1]:
            assert parser.feed(other) == other
        fed = parser.feed(text(line))
        assert isinstance(fed, Frame)
        seen.append(fed)
    assert {frame.kind for frame in seen[:-1]} <= {"part"}
    assert seen[-1].kind == "result"
    assert seen[-1].blob == blob
    assert seen[-1].data == {"sizes": {"x": 1}}


@given(st.data())
def test_a_result_with_a_part_missing_is_none(data: st.DataObject) -> None:
    lines = [text(line) for line in encode_parts("result", bytes(20_000), {}, KEY, rank=0)]
    del lines[data.draw(st.integers(0, len(lines) - 1))]
    parser = Parser(KEY)
    kinds = {frame.kind for line in lines if isinstance(frame := parser.feed(line), Frame)}
    assert "result" not in kinds


def test_a_result_sent_again_from_its_beginning_is_read() -> None:
    lines = [text(line) for line in encode_parts("result", bytes(9_000), {}, KEY, rank=0)]
    parser = Parser(KEY)
    fed = [parser.feed(line) for line in [*lines[:-1], *lines]]
    assert [f.kind for f in fed if isinstance(f, Frame)].count("result") == 1


def test_a_result_above_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match=str(LARGEST_RESULT)):
        next(encode_parts("result", bytes(LARGEST_RESULT + 1), {}, KEY, rank=0))
