"""What ranks wrote, as their pods' logs have it: runs of plain lines, and lines that mean more."""

from __future__ import annotations

from collections import deque
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
    client: KubeClient, pod: str, ranks: range, key: bytes, tail: int | None = None
) -> AsyncGenerator[list[Line]]:
    """Give the plain lines that a pod's log still has, some at a time, and what it displayed.

    With ``tail`` it begins near the end, with that many lines or a few more.
    """
    rank, procs = ranks[0], len(ranks)
    parser = frames.Parser(key)
    wanted = None if tail is None else tail + _FRAME_LINES
    told = tail is not None
    try:
        async with aclosing(logs.read_blocks(client, pod, tail=wanted)) as blocks:
            async for block in blocks:
                lines = []
                for data, text in runs(block.data):
                    said = parser.feed(text) if text is not None else None
                    if parser.cut and not told:
                        told = True
                        lines.append(Line(rank, BEGINNING_LOST))
                    if isinstance(said, frames.Frame):
                        lines += [Line(said.rank, each) for each in _to_be_read(data, said)]
                        continue
                    lines += [line_of(rank, procs, each) for each in _to_be_read(data, said)]
                yield lines
    except ClusterError as error:
        yield [Line(rank, f"(its lines cannot be read: {error})")]


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
