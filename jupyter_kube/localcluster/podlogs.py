"""A container's log: as it is, or followed to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from tornado.iostream import StreamClosedError

from .handler import ApiHandler
from .kinds import POD, ApiError
from .podparts import chosen_container, has_ended, log_number

_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Wanted:
    """What of a log is asked for.

    ``since`` is the first second of interest, as in ``2026-11-24T09:00:00``; ``limit`` is in
    bytes of the answer.
    """

    timestamps: bool = False
    since: bytes = b""
    limit: int | None = None


class Excerpt:
    """Turn a log in the CRI format, piece by piece, into what is asked for."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._rest = b""
        self._in_line = False
        self._left = wanted.limit
        self.complete = False
        """Whether the limit was reached."""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the file and give those of the answer."""
        *entries, self._rest = (self._rest + data).split(b"\n")
        out = b"".join(self._text(entry) for entry in entries)
        if self._left is not None:
            self.complete = len(out) >= self._left
            out = out[: self._left]
            self._left -= len(out)
        return out

    def _text(self, entry: bytes) -> bytes:
        stamp, _, rest = entry.partition(b" ")
        _, tag, text = rest.split(b" ", 2)
        if stamp[:19] < self._wanted.since:
            return b""
        begins, self._in_line = not self._in_line, tag == b"P"
        prefix = stamp + b" " if self._wanted.timestamps and begins else b""
        return prefix + text + (b"" if self._in_line else b"\n")


class LogHandler(ApiHandler):
    """Serve ``pods/log``."""

    async def get(self) -> None:
        """Answer with the log, as plain text."""
        target = self.target()
        self.authorise("get", target)
        pod = self.api.store.get(POD, target.namespace, target.name)
        container = chosen_container(pod, self.get_query_argument("container", ""))
        wanted, tail = self._wanted(), self.number("tailLines")
        if not pod["spec"].get("nodeName"):
            self.set_status(204)
            return
        number = log_number(pod, container, previous=self.flag("previous"))
        path = self.api.kubelet.log_path(pod["metadata"]["uid"], container, number)
        self.set_header("Content-Type", "text/plain")
        pieces = self._pieces(pod, container, number, path, tail)
        excerpt = Excerpt(wanted)
        with suppress(StreamClosedError):  # the reader has gone
            async with aclosing(pieces):
                async for piece in pieces:
                    await self.send(excerpt.feed(piece))
                    if excerpt.complete:
                        return

    def _wanted(self) -> Wanted:
        since = self.get_query_argument("sinceTime", "")
        seconds = self.number("sinceSeconds")
        try:
            moment = datetime.fromisoformat(since) if since else None
        except ValueError as error:
            raise ApiError(400, "BadRequest", f"invalid sinceTime: {since!r}") from error
        if seconds is not None:
            moment = datetime.now(UTC) - timedelta(seconds=seconds)
        first = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S") if moment else ""
        return Wanted(self.flag("timestamps"), first.encode(), self.number("limitBytes"))

    async def _pieces(
        self, pod: dict[str, Any], container: str, number: int, path: Path, tail: int | None
    ) -> AsyncGenerator[bytes, None]:
        """Give the file's bytes; when it is followed, those to come as well."""
        uid = pod["metadata"]["uid"]
        with _opened(path) as file:
            if tail is not None:
                file.seek(tail_start(file, tail))
            while True:
                changed = self._next_change(uid, container)
                ended = changed is None or self._has_ended(pod, container, number)
                yield b""  # sends the headers of an answer that has nothing to say yet
                while data := file.read(_CHUNK):
                    yield data
                if ended or changed is None or not self.flag("follow"):
                    return
                await self.unless_closed(changed.wait())

    def _next_change(self, uid: str, container: str) -> asyncio.Event | None:
        try:
            return self.api.kubelet.log_changed(uid, container)
        except ApiError:
            return None  # the pod is gone; what was written is read from the open file

    def _has_ended(self, pod: dict[str, Any], container: str, number: int) -> bool:
        meta = pod["metadata"]
        try:
            present = self.api.store.get(POD, meta["namespace"], meta["name"])
        except ApiError:
            return True
        return present["metadata"]["uid"] != meta["uid"] or has_ended(present, container, number)


def _opened(path: Path) -> BinaryIO:
    """Open a log; that of a process which has just been started is made."""
    path.touch()
    return path.open("rb")


def tail_start(file: BinaryIO, lines: int) -> int:
    """Find where the last ``lines`` lines of a file begin."""
    place = file.seek(0, 2)
    wanted = lines + 1  # the last line ends with a line break, too
    while place > 0:
        size = min(_CHUNK, place)
        place = file.seek(place - size)
        data = file.read(size)
        found = data.count(b"\n")
        if found >= wanted:
            for _ in range(wanted):
                at = data.rindex(b"\n")
                data = data[:at]
            return place + at + 1
        wanted -= found
    return 0
