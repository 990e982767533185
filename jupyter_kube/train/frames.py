"""Frames: what workers tell the notebook, as marked lines in their pods' logs.

A frame is one line: the mark, a message authentication code over the rest, and JSON. It needs no
network path, storage or right beyond reading logs. Only supervisors know the key, so nothing that
a cell prints can pass for a frame. This module also travels into pods: standard library only.

==========  =====================================================================================
kind        data
==========  =====================================================================================
begin       none; the first of each log: one that begins otherwise lacks its beginning
state       ``phase`` (joining, waiting, running, done, finishing, restarting) and ``text``, a
            sentence for people; ``missing``: ranks waited for; ``world_size``; ``cause`` of a
            restart
report      ``rows``: reports as in ``series.py``; those of before come again in long logs
exception   ``type``, ``message``, ``traceback`` (text), ``pod``
result      ``missing``: name to the reason why its value cannot come back; ``sizes``: bytes by
            name; the values are in ``Frame.blob``
display     none; in ``Frame.blob`` a bundle by MIME type, as ``mime.pack`` makes it
part        ``part`` and ``of``: a result or a display is arriving
end         ``ok``; the last of a rank that has done its part. Rank 0 speaks for all, and after
            the result. Of a failure each rank says ``text``, why, ``cause``, whose it was, and what
            is known ``about`` it: the exception again, or what was written ``last``, shortened
==========  =====================================================================================

A line that ends with a carriage return is progress: the rank's next line takes its place.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MARK = "\x1ekube1 "
LONGEST = 8192
"""Bytes of a frame's JSON: container runtimes cut lines at 16 KiB."""
LARGEST_RESULT = 4 * 1024 * 1024
"""Bytes of a result, compressed."""
FAIL_JOB = 42
"""Exit code of a worker, its very last word: the job has failed, do not try again."""

_PART = 5900  # bytes of a blob in one frame: in base64 below LONGEST, with room for the rest
_MAC = 32


@dataclass(frozen=True)
class Frame:
    """One message of one worker."""

    kind: str
    rank: int
    generation: int
    data: Mapping[str, Any]
    blob: bytes = b""
    """Of a result, its values: a compressed pickle, to be opened in the notebook's kernel only."""


def encode(
    kind: str, data: Mapping[str, Any], key: bytes, *, rank: int, generation: int = 0
) -> bytes:
    """Build a frame's line, its end included.

    Raises
    ------
    ValueError
        If the data are longer than :data:`LONGEST` or no JSON.

    """
    body = json.dumps(
        {"k": kind, "r": rank, "g": generation, "d": dict(data)},
        separators=(",", ":"),
        allow_nan=False,
    )
    if len(body) > LONGEST:
        msg = f"a frame holds {LONGEST} bytes, this {kind} has {len(body)}"
        raise ValueError(msg)
    return f"{MARK}{_mac(body, key)} {body}\n".encode()


def encode_parts(
    kind: str, blob: bytes, data: Mapping[str, Any], key: bytes, *, rank: int, generation: int = 0
) -> Iterator[bytes]:
    """Build the lines that carry a result or a display.

    Raises
    ------
    ValueError
        If it is larger than :data:`LARGEST_RESULT`.

    """
    if len(blob) > LARGEST_RESULT:
        msg = f"a {kind} of {len(blob)} bytes, compressed, is above {LARGEST_RESULT}"
        raise ValueError(msg)
    parts = [blob[at : at + _PART] for at in range(0, len(blob), _PART)] or [b""]
    yield encode("about", {**data, "kind": kind}, key, rank=rank, generation=generation)
    for number, part in enumerate(parts):
        chunk = {"part": number, "of": len(parts), "b": base64.b64encode(part).decode()}
        yield encode("part", chunk, key, rank=rank, generation=generation)


class Parser:
    """Tell frames from plain lines, for the log of one worker."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._arriving: dict[int, _Arriving] = {}
        self.first = ""
        """Kind of the first frame there was."""

    @property
    def cut(self) -> bool:
        """Whether the log's beginning is known to be missing."""
        return self.first not in ("", "begin")

    def feed(self, line: str) -> Frame | str:
        """Take one line, without its end: return the frame in it, or the line itself."""
        frame = self._decode(line)
        if frame is None:
            return line
        if frame.kind == "about":
            self._arriving[frame.rank] = _Arriving(frame)
            return Frame("part", frame.rank, frame.generation, {"part": 0, "of": 1})
        if frame.kind == "part":
            return self._add(frame)
        return frame

    def _decode(self, line: str) -> Frame | None:
        if not line.startswith(MARK):
            return None
        mac, space, body = line[len(MARK) :].partition(" ")
        if not space or not hmac.compare_digest(mac.encode(), _mac(body, self._key).encode()):
            return None
        raw = json.loads(body)
        self.first = self.first or raw["k"]
        return Frame(raw["k"], raw["r"], raw["g"], raw["d"])

    def _add(self, frame: Frame) -> Frame:
        number, of = frame.data["part"], frame.data["of"]
        whole = self._arriving.get(frame.rank)
        if whole is not None and whole.add(frame):
            del self._arriving[frame.rank]
            about = dict(whole.about.data)
            blob = b"".join(whole.parts)
            return Frame(about.pop("kind"), frame.rank, frame.generation, about, blob)
        return Frame("part", frame.rank, frame.generation, {"part": number + 1, "of": of})


class _Arriving:
    """A result or a display on its way."""

    def __init__(self, about: Frame) -> None:
        self.about = about
        self.parts: list[bytes] = []

    def add(self, frame: Frame) -> bool:
        """Add a part if it is the next one; say whether all are there."""
        data = frame.data
        if frame.generation != self.about.generation or data["part"] != len(self.parts):
            return False
        self.parts.append(base64.b64decode(data["b"]))
        return bool(len(self.parts) == data["of"])


def _mac(body: str, key: bytes) -> str:
    return hmac.new(key, body.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:_MAC]
