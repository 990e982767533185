"""What ranks wrote, as their pods' logs have it: runs of plain lines, and lines that mean more."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from ..errors import ClusterError, InvalidManifest, NotFound
from ..kube import logs
from ..kube.logblocks import STAMP, texts
from . import frames, mime
from .feed import BEGINNING_LOST, Line, line_of

if TYPE_CHECKING:
    from ..kube.client import KubeClient
    from .series import Row

_FRAME = b" " + frames.MARK.encode()
_PROGRESS = b"\r\n"
_FRAME_LINES = 1200
"""Lines at a log's end that the largest result and its like may take."""
_MORE = 16
"""How many times as many lines are asked for when too few of them were plain."""
_MOST_HELD = 20_000
"""Lines kept at most while a log's last ones are looked for."""
_LEAST_PIECE = 4096
"""Bytes from which on a node may keep a line in pieces, each of which it counts as a line."""


def runs(data: bytes) -> Iterator[tuple[bytes, str | None]]:
    """Split whole lines of a log into runs of plain ones, and single ones that may mean more.

    Gives bytes of the log, and of a frame or a progress bar's state its text.
    """
    done, size = 0, len(data)
    frame, progress = data.find(_FRAME), data.find(_PROGRESS)
    while frame >= 0 or progress >= 0:
        found = min(at for at in (frame, progress) if at >= 0)
        begin = data.rfind(b"\n", done, found) + 1 or done
        if found == progress or found == begin + STAMP:
            if begin > done:
                yield data[done:begin], None
            done = data.find(b"\n", found) + 1
            for text in texts(data[begin:done], 1):
                yield data[begin:done], text
        after = max(done, found + 1)
        if 0 <= frame < after:
            frame = data.find(_FRAME, after)
        if 0 <= progress < after:
            progress = data.find(_PROGRESS, after)
    if done < size:
        yield data[done:], None


async def plain_lines(
    client: KubeClient,
    pod: str,
    ranks: range,
    key: bytes,
    *,
    tail: int | None = None,
    rank: int | None = None,
) -> AsyncGenerator[list[Line]]:
    """Give the plain lines that a pod's log still has, some at a time, and what it displayed.

    With ``tail`` they are the last so many of each rank, or of ``rank`` only, or some more.
    """
    wanted = ranks if rank is None else range(rank, rank + 1)
    if tail is not None and tail * len(wanted) <= _MOST_HELD:
        yield await _last_lines(client, pod, ranks, key, tail=tail, wanted=wanted)
        return
    opened = _read(client, pod, ranks, key, whose=wanted[0], told=tail is not None)
    async with aclosing(opened) as pieces:
        async for _, lines in pieces:
            yield lines


async def _last_lines(
    client: KubeClient, pod: str, ranks: range, key: bytes, *, tail: int, wanted: range
) -> list[Line]:
    """Return the last plain lines of each rank that is wanted.

    Lines that are none, and other ranks of the pod, may have filled the log's end: then more of it
    is read.
    """
    asked = tail + _FRAME_LINES
    while True:
        kept: dict[int, deque[Line]] = defaultdict(lambda: deque(maxlen=tail))
        number = size = 0
        opened = _read(client, pod, ranks, key, whose=wanted[0], told=True, tail=asked)
        async with aclosing(opened) as pieces:
            async for data, lines in pieces:
                number += data.count(b"\n")
                size += len(data)
                for line in lines:
                    kept[line.rank].append(line)
        was_all = number + size // _LEAST_PIECE < asked
        if was_all or all(len(kept[each]) == tail for each in wanted):
            return [line for each in wanted for line in kept[each]]
        asked *= _MORE


async def _read(
    client: KubeClient,
    pod: str,
    ranks: range,
    key: bytes,
    *,
    whose: int,
    told: bool,
    tail: int | None = None,
) -> AsyncGenerator[tuple[bytes, list[Line]]]:
    """Give what a pod's log has, or its last lines, and which lines of it are to be read.

    Parameters
    ----------
    whose
        The rank to which is said what is missing.
    told
        Whether it need not be said that the log's beginning is.

    """
    parser = frames.Parser(key)
    try:
        async with aclosing(logs.read_blocks(client, pod, tail=tail)) as blocks:
            async for block in blocks:
                lines = []
                for data, text in runs(block.data):
                    said = parser.feed(text) if text is not None else None
                    if parser.cut and not told:
                        told = True
                        lines.append(Line(whose, BEGINNING_LOST))
                    if isinstance(said, frames.Frame):
                        lines += [Line(said.rank, each) for each in _to_be_read(data, said)]
                        continue
                    found = _to_be_read(data, said)
                    lines += [line_of(ranks[0], len(ranks), each) for each in found]
                yield block.data, lines
    except ClusterError as error:
        yield b"", [Line(whose, f"(its lines cannot be read: {error})")]


def _to_be_read(data: bytes, said: frames.Frame | str | None) -> list[str]:
    """Return what is to be read of a run: lines, and what was displayed as text."""
    if said is None:
        return texts(data, data.count(b"\n"))
    if isinstance(said, frames.Frame):
        shown = mime.unpack(said.blob) if said.kind == "display" else {}
        return [str(shown["text/plain"])] if "text/plain" in shown else []
    # Of a progress bar only the last state counts, and a finished one ends without "\r".
    return [] if said.endswith("\r") else [said]


async def gathered(pieces: AsyncGenerator[list[Line]], tail: int | None = None) -> list[Line]:
    """Put pieces together: all lines, or of each rank the last ones."""
    kept: dict[int, deque[Line]] = {}
    async with aclosing(pieces):
        async for piece in pieces:
            for line in piece:
                lines = kept.setdefault(line.rank, deque(maxlen=tail))
                if line.text == BEGINNING_LOST:  # known by the first frame only
                    lines.appendleft(line)
                else:
                    lines.append(line)
    return [line for rank in kept.values() for line in rank]


async def reported(client: KubeClient, pod: str, key: bytes) -> AsyncGenerator[list[Row]]:
    """Give the reports that a pod has in its log, some at a time; those repeated come again."""
    parser = frames.Parser(key)
    try:
        async with aclosing(logs.read_blocks(client, pod)) as blocks:
            async for block in blocks:
                for _, text in runs(block.data):
                    said = parser.feed(text) if text is not None else ""
                    if isinstance(said, frames.Frame) and said.kind == "report":
                        yield said.data["rows"]
    except (InvalidManifest, NotFound):  # not started yet, or gone by now
        return
