"""A log as it arrives: blocks of whole lines, of which few are ever looked at (pure).

A program can write more lines than anybody reads. So a block stays bytes, counted and searched as
a whole, and only the lines that are shown are decoded.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

STAMP = 30
"""Bytes of a time with nanoseconds and in UTC; a space follows it."""
LONGEST_LINE = 16 * 2**20
"""Bytes after which the rest of a line is passed over."""

_CUT = " … (the rest of this line was passed over)".encode()
_RECENT = 256
"""Lines whose times are kept: many more than can be stamped in another order than written."""


@dataclass(frozen=True)
class LogLine:
    """One line of a pod's log.

    ``time`` is the node's, in RFC 3339 with nanoseconds and in UTC, so that times sort as text;
    "" for what the node itself says instead of a log.
    ``text`` has no newline; what is not UTF-8 is U+FFFD. ``gap`` says that lines before this one
    may be missing: the node had rotated them away while nobody was reading.
    """

    time: str
    text: str
    gap: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines as the API sent them: each behind its time, each with its newline.

    ``gap`` says that lines before these may be missing.
    """

    data: bytes
    gap: bool = False

    def lines(self) -> list[LogLine]:
        """Decode all of them."""
        found = [_line(raw) for raw in self.data.split(b"\n")[:-1]]
        if self.gap and found:
            found[0] = LogLine(found[0].time, found[0].text, gap=True)
        return found


def texts(data: bytes, most: int, longest: int = LONGEST_LINE) -> list[str]:
    """Decode the last lines of a block's data, at most so many, without their times.

    Of lines that are longer than ``longest`` bytes only the beginning is decoded, and their size
    is told. What the node says instead of a log bears no time, and is left out.
    """
    # Of more lines than these the first piece is all that comes before them.
    last = data.rsplit(b"\n", most + 1)[:-1][-most:] if most > 0 else []
    stamped = (raw if _is_stamped(raw) else b"%b %b" % _split(raw) for raw in last)
    return [_text(raw, longest) for raw in stamped if raw[:1] != b" "]


def _text(raw: bytes, longest: int) -> str:
    text = raw[STAMP + 1 : STAMP + 1 + longest].decode(errors="replace")
    size = len(raw) - STAMP - 1
    return text if size <= longest else f"{text}… ({size:,} bytes)"


def in_utc(data: bytes) -> bytes:
    """Write the times of whole lines in the usual form, which most nodes' have already.

    What the node says instead of a log bears no time, and stays as it is.
    """
    last = data.rfind(b"\n", 0, -1) + 1
    if _is_stamped(data) and _is_stamped(data[last : last + STAMP + 1]):
        return data
    pieces = (_split(raw) for raw in data.split(b"\n")[:-1])
    return b"".join(b"%b %b\n" % (time, text) if time else text + b"\n" for time, text in pieces)


async def cut(chunks: AsyncIterator[bytes], longest: int = LONGEST_LINE) -> AsyncGenerator[bytes]:
    """Cut a stream's chunks at the ends of lines; a newline is added where the last one has none.

    Of a line that is longer than ``longest`` bytes the rest is passed over, which is said in it.
    """
    parts: list[bytes] = []
    size = 0  # bytes of the line that is not whole
    async for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if not end:
            if size <= longest:
                parts.append(chunk)
            size += len(chunk)
            continue
        begin = 0
        if size > longest:
            parts.append(_CUT)
            begin = chunk.index(b"\n")
        parts.append(chunk[begin:end])
        whole, parts = b"".join(parts), [chunk[end:]]
        size = len(chunk) - end
        yield whole
    if size:
        yield b"".join([*parts, *([_CUT] if size > longest else ()), b"\n"])


class Place:
    """Where a follow stands, so that a reconnect neither loses nor repeats a line.

    The API cuts ``sinceTime`` to whole seconds: after a reconnect the lines of the newest second
    come again, and are told by their nanoseconds. Lines of one container can have been stamped in
    another order than they were written in (two streams, one file), so order alone tells nothing:
    the times of the newest lines are kept, and all that is older has been seen.

    Parameters
    ----------
    since
        Time of the last line already seen.

    """

    def __init__(self, since: str | None) -> None:
        self.begun = since is not None
        self._since = (since or "").encode()
        self._second = self._since[:19]
        self._recent: deque[bytes] = deque()  # times of the newest lines
        self._forgotten, self._number = b"", 0  # the newest time not among them, of how many lines
        self._again: Counter[bytes] = Counter()  # times of the lines that must come again
        self._until = b""  # the second in which the last connection ended
        self._first = False  # whether the next line is the first of a reconnect
        self._sifting = True  # whether a line may be one that was seen

    def query(self) -> dict[str, str]:
        """Ask for everything from the newest second on."""
        return {"sinceTime": f"{self._second.decode()}Z"} if self._second else {}

    def reconnected(self) -> None:
        """Expect the lines of the newest second again."""
        self._again = Counter(time for time in self._recent if time[:19] >= self._second)
        if self._forgotten[:19] >= self._second:
            self._again[self._forgotten] += self._number
        self._until, self._first, self._sifting = self._second, True, True

    def expect_restart(self, started_at: str) -> None:
        """Do not expect them of a container that was started after they were written."""
        if started_at[:19].encode() > self._second:
            self._recent.clear()
            self._number = 0

    def take(self, data: bytes) -> Block | None:
        """Return what of a block is new, if anything."""
        last = data.rfind(b"\n", 0, -1) + 1
        if not self._sifting and _is_stamped(data) and _is_stamped(data[last : last + STAMP + 1]):
            gap = False
        else:
            data, gap = self._sift(data)
            if not data:
                return None
        self._remember(data)
        self.begun = True
        return Block(data, gap)

    def _sift(self, data: bytes) -> tuple[bytes, bool]:
        """Pick the lines that are new, with their times in the usual form; is there a gap?"""
        fresh, gap, time = [], False, b""
        for raw in data.split(b"\n")[:-1]:
            first, self._first = self._first, False
            time, text = (raw[:STAMP], raw[STAMP + 1 :]) if _is_stamped(raw) else _split(raw)
            if self._again[time] > 0:
                self._again[time] -= 1
            elif time > self._since and time >= self._forgotten:  # not the node's own words
                # a log that begins after what was seen last: what was between is rotated away
                gap = gap or (first and self._again.total() > 0)
                fresh.append(b"%b %b\n" % (time, text))
        begins = data[:19]
        seen = time <= self._since or time < self._forgotten
        if not seen and (begins > self._until or not self._again.total()):
            self._sifting = False
        return b"".join(fresh), gap

    def _remember(self, data: bytes) -> None:
        before, *lines = data.rsplit(b"\n", _RECENT + 1)[:-1]
        if len(lines) < _RECENT:
            self._recent.append(before[:STAMP])
        else:  # of all that come before them, only the newest time
            begin = before.rfind(b"\n") + 1
            time = before[begin : begin + STAMP]
            while self._recent:
                self._forget(self._recent.popleft())
            self._forget(time, before.count(b"\n%b " % time) + before.startswith(time))
        self._recent.extend(line[:STAMP] for line in lines)
        while len(self._recent) > _RECENT:
            self._forget(self._recent.popleft())
        self._second = max(self._second, self._recent[-1][:19])

    def _forget(self, time: bytes, number: int = 1) -> None:
        if time > self._forgotten:
            self._forgotten, self._number = time, 0
        if time == self._forgotten:
            self._number += number


def utc(time: str) -> str:
    """Write a time with nine digits and in UTC, as most nodes do already; "" if it is none."""
    if len(time) == STAMP and time[-1] == "Z" and time[10] == "T":
        return time
    whole, _, rest = time.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :] or "Z"
    try:
        then = datetime.fromisoformat(whole.rstrip("Z") + zone.replace("Z", "+00:00"))
    except ValueError:
        return ""
    return f"{then.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{digits:0<9}Z"


def _is_stamped(raw: bytes) -> bool:
    """Say whether a line begins with a time as most nodes write it."""
    return raw[29:31] == b"Z " and raw[10:11] == b"T" and raw[19:20] == b"."


def _split(raw: bytes) -> tuple[bytes, bytes]:
    """Take the time off a line; of what bears none it is empty."""
    stamp, _, text = raw.partition(b" ")
    time = utc(stamp.decode(errors="replace"))
    return time.encode(), text if time else raw


def _line(raw: bytes) -> LogLine:
    time, text = _split(raw)
    return LogLine(time.decode(), text.decode(errors="replace"))
