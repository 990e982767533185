"""A container's log in the CRI format: ``2026-11-24T09:00:00.123456789Z stdout F line``."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

LONGEST_LINE = 16 * 1024
"""Bytes after which a line is cut: its parts but the last are marked ``P``."""

_CHUNK = 64 * 1024
_STAMP = len("2026-11-24T09:00:00.123456789Z stdout F \n")
_SECOND = 1_000_000_000


class Pulse:
    """Tell any number of waiters that something changed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def next(self) -> asyncio.Event:
        """Give the event that the next change sets.

        Take it *before* looking at what may have changed, and no change is missed.
        """
        return self._event

    def fire(self) -> None:
        """Wake all waiters."""
        event, self._event = self._event, asyncio.Event()
        event.set()


class CriWriter:
    """Cut bytes into log lines; the stamps of one log never repeat and never go back."""

    def __init__(self) -> None:
        self._rest = b""
        self._last = 0
        self._second, self._prefix = -1, b""

    def feed(self, data: bytes, now: int) -> bytes:
        """Format all lines that are complete; ``now`` is nanoseconds since the epoch."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        out = [self._stamped(line, now) for line in lines]
        while len(self._rest) >= LONGEST_LINE:
            out.append(self._entry(self._rest[:LONGEST_LINE], b"P", now))
            self._rest = self._rest[LONGEST_LINE:]
        return b"".join(out)

    def finish(self, now: int) -> bytes:
        """Format what came after the last line break."""
        rest, self._rest = self._rest, b""
        return self._stamped(rest, now) if rest else b""

    def _stamped(self, line: bytes, now: int) -> bytes:
        parts = []
        while len(line) > LONGEST_LINE:
            parts.append(self._entry(line[:LONGEST_LINE], b"P", now))
            line = line[LONGEST_LINE:]
        parts.append(self._entry(line, b"F", now))
        return b"".join(parts)

    def _entry(self, line: bytes, tag: bytes, now: int) -> bytes:
        self._last = max(now, self._last + 1)
        seconds, nanoseconds = divmod(self._last, _SECOND)
        if seconds != self._second:
            self._second = seconds
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()
        return b"%s.%09dZ stdout %s %s\n" % (self._prefix, nanoseconds, tag, line)


async def copy_to_log(source: asyncio.StreamReader, path: Path, changed: Pulse) -> None:
    """Write everything ``source`` gives to the log at ``path``, until its end."""
    writer = CriWriter()
    with path.open("ab", buffering=0) as file:
        while data := await source.read(_CHUNK):
            file.write(writer.feed(data, time.time_ns()))
            changed.fire()
        file.write(writer.finish(time.time_ns()))
    changed.fire()


def tail_text(path: Path, lines: int, longest: int) -> str:
    """Give the last ``lines`` lines of a log without their stamps, at most ``longest`` bytes."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - longest - lines * _STAMP - LONGEST_LINE)
        file.seek(start)
        entries = file.read().split(b"\n")[1 if start else 0 : -1]
    texts = [entry.split(b" ", 3)[3] for entry in entries[-lines:] if entry.count(b" ") >= 3]
    return b"\n".join(texts)[-longest:].decode(errors="replace")
