"""What a kernel said lately, and what it is at work on; pure state, no input or output.

The companion (companion.py) puts each message of the kernel's output on the tape, and plays it to a
server that was not there. This module travels into pods: standard library only.
"""

from __future__ import annotations

import json
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

LIMIT = 8 * 1024 * 1024
"""Bytes of output kept by default; the newest."""
EARLIER = 0.5
"""Seconds before the asked time for which cells' replies are told, too: one too many is no harm."""

_WORK = {"execute_request", "comm_open", "comm_msg", "comm_close"}
_REPLIES = 1024 * 1024  # bytes of replies kept
_OVERHEAD = 500  # bytes a kept message costs besides its parts, about
_RUN = 10  # message numbers missing in a row are no replies on other channels any more: a loss
_STEPS = 1024  # records of losses kept for each session; pairs are merged beyond that
_SESSIONS = 64
_CLOSED = 1000
_SERVED = 100
_TRANSIT = 0.005  # seconds a message is under way inside the pod, at most as a rule

Parts = list[bytes]
"""A message: signature, header, parent, metadata, content, buffers."""


class Entry(NamedTuple):
    """One message on the tape."""

    number: int
    at: float
    said: float
    session: str
    parts: Parts

    @property
    def cost(self) -> int:
        """Bytes it takes, about."""
        return sum(map(len, self.parts)) + _OVERHEAD


class Reply(NamedTuple):
    """What a cell was answered, and the ``idle`` that went with it."""

    idle: Entry
    parent: dict[str, Any]
    content: dict[str, Any]
    cost: int


class Request:
    """A request the kernel is at work on."""

    __slots__ = ("count", "error", "parent", "raw", "seen")

    def __init__(self, parent: dict[str, Any], raw: bytes, seen: float) -> None:
        self.parent, self.raw, self.seen = parent, raw, seen
        self.count: int | None = None
        self.error: dict[str, Any] | None = None


class _Step(NamedTuple):
    """Some losses in a row."""

    losses: int
    until: float
    messages: int
    size: int

    def merged(self, other: _Step) -> _Step:
        losses, until = self.losses + other.losses, max(self.until, other.until)
        return _Step(losses, until, self.messages + other.messages, self.size + other.size)


class Losses:
    """How much was lost when, for one session."""

    def __init__(self) -> None:
        self._steps: list[_Step] = []
        self._width = 1  # losses in one step

    def add(self, at: float, count: int, size: int) -> None:
        """Note a loss; they come in order, nearly."""
        new = _Step(1, at, count, size)
        if self._steps and self._steps[-1].losses < self._width:
            self._steps[-1] = self._steps[-1].merged(new)
            return
        if len(self._steps) == _STEPS:
            pairs = zip(self._steps[::2], self._steps[1::2], strict=True)
            self._steps = [one.merged(two) for one, two in pairs]
            self._width *= 2
        self._steps.append(new)

    def since(self, at: float) -> tuple[int, int]:
        """Return how many messages and bytes were lost since then."""
        found = [step for step in self._steps if step.until >= at]
        return sum(step.messages for step in found), sum(step.size for step in found)


class Tape:
    """The newest output, the newest replies, and the open requests of one kernel.

    Parameters
    ----------
    sign
        Returns the signature for header, parent, metadata and content.
    now
        When the tape begins; all times are the pod's monotonic ones.
    limit
        Bytes of output to keep.

    """

    def __init__(self, sign: Callable[[Parts], bytes], *, now: float, limit: int = LIMIT) -> None:
        self._sign, self._began, self._limit = sign, now, limit
        self.session = uuid.uuid4().hex
        """The companion's own session: what it asked itself is nobody's output."""
        self.known = False
        """Whether it is known what the kernel works on; until then it counts as busy."""
        self.idle_since = now
        """When the kernel ended its last piece of work."""
        self.suspect = False
        """Whether messages are missing, so that a request may have ended unseen."""
        self._entries: deque[Entry] = deque()
        self._size = 0
        self._number = 0
        self._losses: dict[str, Losses] = {}
        self._replies: deque[Reply] = deque()
        self._replies_size = 0
        self._open: dict[str, Request] = {}
        self._closed: deque[str] = deque(maxlen=_CLOSED)
        self._failed = False  # how the last cell ended: the ones behind it are aborted
        self._numbers: tuple[str, int] = ("", 0)
        self.served: deque[float] = deque(maxlen=_SERVED)
        """Moments until which a server had all that was said: that may have come here later."""

    @property
    def busy(self) -> bool:
        """Whether the kernel is at work, or nobody knows."""
        return bool(self._open) or not self.known

    # what the kernel says

    def hear(self, parts: Parts, at: float, wall: float = 0.0) -> None:
        """Put a message on the tape; ``wall`` is the time of day at which it came."""
        header, parent = json.loads(parts[1]), json.loads(parts[2])
        session = parent.get("session", "")
        if session == self.session:
            self._count(str(header["msg_id"]), "", at)
            return
        self._count(str(header["msg_id"]), session, at)
        said = at - _age(header.get("date"), wall)
        entry = self._keep(session, parts, at, said)
        if parent.get("msg_type") in _WORK:
            self._follow(header["msg_type"], parent, entry)

    def _follow(self, kind: str, parent: dict[str, Any], entry: Entry) -> None:
        """Note what a message says about the request that caused it."""
        number = str(parent["msg_id"])
        if kind == "status":
            state = json.loads(entry.parts[4]).get("execution_state")
            if state == "idle":
                request = self._open.get(number) or _request(parent, entry)
                self._open.pop(number, None)
                self._close(request, entry)
            elif state == "busy":
                self._open.setdefault(number, _request(parent, entry))
            return
        if number in self._closed:  # a thread of a cell that ended
            return
        request = self._open.setdefault(number, _request(parent, entry))
        if kind in {"execute_input", "execute_result"}:
            request.count = json.loads(entry.parts[4]).get("execution_count")
        elif kind == "error":
            request.error = json.loads(entry.parts[4])

    def _close(self, request: Request, idle: Entry, *, aborted: bool = False) -> None:
        """Note the end of a request, and the reply it must have had."""
        self._closed.append(request.parent["msg_id"])
        self.idle_since = idle.at
        if request.parent["msg_type"] != "execute_request":
            return
        skipped = request.count is None and request.error is None and self._failed
        content: dict[str, Any]
        if aborted or skipped:
            content = {"status": "aborted"}
        else:
            self._failed = request.error is not None
            content = {"status": "ok", "user_expressions": {}, "payload": []}
            if request.error is not None:
                content |= {"status": "error", **request.error}
            content["execution_count"] = request.count
        cost = len(json.dumps([request.parent, content])) + idle.cost
        if cost > _REPLIES // 8:  # one long traceback shall not push out all other replies
            content["traceback"] = []
            cost = len(json.dumps([request.parent, content])) + idle.cost
        self._replies.append(Reply(idle, request.parent, content, cost))
        self._replies_size += cost
        while self._replies_size > _REPLIES:
            self._replies_size -= self._replies.popleft().cost

    # what happens to the kernel

    def ended(self, words: str, at: float) -> None:
        """Close all requests of a process that ended; ``words`` say how, unless it was asked to."""
        for request in list(self._open.values()):
            if words:
                text = f"The kernel died: {words}\n"
                self._say("stream", {"name": "stderr", "text": text}, request, at)
            self._finish(request, at, aborted=True)
        self._failed = False
        self._numbers = ("", 0)
        self.idle_since = at
        self.known = False  # the next process is another one's to ask

    def settled(self, asked: float, at: float) -> None:
        """Close what was open when the kernel was asked for a sign: it has answered in turn."""
        self.known = True
        for request in list(self._open.values()):
            if request.seen < asked and not request.parent.get("subshell_id"):
                self._finish(request, at)

    def _finish(self, request: Request, at: float, *, aborted: bool = False) -> None:
        """Say in the kernel's place that a request has ended."""
        del self._open[request.parent["msg_id"]]
        idle = self._say("status", {"execution_state": "idle"}, request, at)
        self._close(request, idle, aborted=aborted)

    def _say(self, kind: str, content: dict[str, Any], request: Request, at: float) -> Entry:
        header = self.header(kind)
        parts = [header, request.raw, b"{}", json.dumps(content).encode()]
        return self._keep(request.parent["session"], [self._sign(parts), *parts], at, at)

    def header(self, kind: str) -> bytes:
        """Return the header of a message of ours."""
        return json.dumps(
            {
                "msg_id": uuid.uuid4().hex,
                "msg_type": kind,
                "username": "jupyter-kube",
                "session": self.session,
                "date": datetime.now(UTC).isoformat(),
                "version": "5.4",
            }
        ).encode()

    # what is kept and what is lost

    def _keep(self, session: str, parts: Parts, at: float, said: float) -> Entry:
        self._number += 1
        entry = Entry(self._number, at, said, session, parts)
        if entry.cost > self._limit:
            self._lose(session, at, 1, entry.cost - _OVERHEAD)
            return entry
        self._entries.append(entry)
        self._size += entry.cost
        while self._size > self._limit:
            old = self._entries.popleft()
            self._size -= old.cost
            self._lose(old.session, old.at, 1, old.cost - _OVERHEAD)
        return entry

    def _lose(self, session: str, at: float, count: int, size: int) -> None:
        losses = self._losses.setdefault(session, Losses())
        losses.add(at, count, size)
        if len(self._losses) > _SESSIONS:
            del self._losses[next(iter(self._losses))]

    def _count(self, msg_id: str, session: str, at: float) -> None:
        """Notice missing messages by the number that ends a kernel's message ids."""
        sender, _, digits = msg_id.rpartition("_")
        if not sender or not digits.isascii() or not digits.isdigit():
            return
        before, last = self._numbers
        number = int(digits)
        if sender == before and number - last > _RUN:
            # They were the running request's, most likely, and not the next one's.
            running = next(reversed(self._open.values()), None)
            whose = session if running is None else str(running.parent.get("session", ""))
            self._lose(whose, at, number - last - 1, 0)
            self.suspect = True
        if sender != before or number > last:
            self._numbers = (sender, number)

    # what a server is told

    def recording(self, session: str, since: float) -> tuple[dict[str, Any], list[bytes]]:
        """Return what was said to a session since then: an answer, and its messages' frames."""
        replies = [
            reply
            for reply in self._replies
            if reply.idle.session == session and reply.idle.at >= since - EARLIER
        ]
        entries = [e for e in self._entries if e.session == session and e.at >= since]
        if since in self.served:
            entries = [e for e in entries if e.said >= since - _TRANSIT]
        kept = {entry.number for entry in entries}
        lone = [r.idle for r in replies if r.idle.at >= since and r.idle.number not in kept]
        dropped, size = self._losses[session].since(since) if session in self._losses else (0, 0)
        messages = [entry.parts for entry in (*lone, *entries)]
        answer = {
            "frames": [len(parts) for parts in messages],
            "replies": [(reply.parent, reply.content) for reply in replies],
            "open": [r.parent for r in self._open.values() if r.parent.get("session") == session],
            "dropped": max(0, dropped - len(lone)),
            "dropped_bytes": max(0, size - sum(entry.cost - _OVERHEAD for entry in lone)),
            "unheard": max(0.0, self._began - since),
            "busy": self.busy,
        }
        return answer, list(_flat(messages))


def _age(date: Any, wall: float) -> float:
    """Return how long ago a message was made, as far as its header tells."""
    try:
        return max(0.0, wall - datetime.fromisoformat(date).timestamp())
    except (TypeError, ValueError):
        return 0.0


def _request(parent: dict[str, Any], entry: Entry) -> Request:
    return Request(parent, entry.parts[2], entry.at)


def _flat(messages: list[Parts]) -> Iterator[bytes]:
    for parts in messages:
        yield from parts
