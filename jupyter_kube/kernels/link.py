"""One resumable stream of frames between server and pod; pure state, no input or output.

Both ends hold a :class:`Link` for as long as the session lives, and carry it over one connection
after the other. What was not acknowledged when a connection broke is sent again on the next one:
each stream's bytes arrive exactly once and in order. Before that, a :class:`Dialer` and a
:class:`Listener` prove to each other that they hold the kernel's key.

The bytes are specified in docs/developers/link.md. This module travels into pods: standard
library only.
"""

from __future__ import annotations

import hmac
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from struct import Struct
from typing import Any, NamedTuple

MAX_PAYLOAD = 256 * 1024
"""Bytes one frame may carry."""
WINDOW = 4 * 1024 * 1024
"""Bytes of one stream that may be under way and not yet taken by the other end's socket."""
LIMIT = 64 * 1024 * 1024
"""Bytes one end keeps that the other has not acknowledged."""
PATIENCE = 5
"""Ticks without a frame from the peer after which the connection counts as dead."""

_MAX_STREAMS = 1024
_FLOOR = 64 * 1024  # bytes a stream may always hold, so that full ones do not stall the others
_OVERHEAD = 100  # bytes a kept frame costs besides its payload, about
_ACK_EVERY = 512 * 1024

_HEADER = Struct("!IBIQ")  # payload length, kind, stream, number of the frame on this connection
_COUNT = Struct("!Q")
_TAG = 16

_ACK, _OPEN, _DATA, _CLOSE, _CREDIT, _CONTROL = range(6)


class LinkError(Exception):
    """The peer's bytes are not the protocol's, or not the peer's: end the connection."""


class Opened(NamedTuple):
    """The dialing end opened a stream."""

    stream: int
    channel: str


class Data(NamedTuple):
    """Bytes of a stream. Say :meth:`Link.consumed` when they have gone where they belong."""

    stream: int
    data: bytes


class Closed(NamedTuple):
    """The other end closed a stream; all its bytes came before this."""

    stream: int


class Control(NamedTuple):
    """A message between the two owners of the link."""

    message: dict[str, Any]


Event = Opened | Data | Closed | Control


class Keys(NamedTuple):
    """What one connection's frames are authenticated with, by direction."""

    send: bytes
    receive: bytes


# --- the handshake -------------------------------------------------------------------------------

_MAGIC = b"jk-link1"
_PROOF = 32
_HELLO = Struct("!16s?Q")  # session, whether it was connected before, frames received
_ANSWER = Struct("!BQ")  # one of the four below, frames received

RESUMED, NEW, LOST, REPLACED = range(4)
"""How a listener answers: goes on; begins; does not know the session; serves another one."""


class _Handshake:
    """Messages of fixed size, each (but the first) proven over all that was said before."""

    need: int
    """Bytes of the next message from the peer; 0 when done."""
    keys: Keys
    status: int
    """How the listening end decided."""
    peer_received: int
    """Frames the peer has received in the session."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, b"jupyter-kube link 1", "sha256")
        self._said = b""

    def _say(self, message: bytes) -> bytes:
        proven = message + hmac.digest(self._key, self._said + message, "sha256")
        self._said += proven
        return proven

    def _hear(self, data: bytes) -> bytes:
        message, proof = data[:-_PROOF], data[-_PROOF:]
        expected = hmac.digest(self._key, self._said + message, "sha256")
        if not hmac.compare_digest(proof, expected):
            raise LinkError("the other end does not hold this kernel's key")
        self._said += data
        return message

    def _direction(self, name: bytes) -> bytes:
        return hmac.digest(self._key, name + self._said, "sha256")


class Dialer(_Handshake):
    """The dialing end's half: :meth:`begin`, then :meth:`take` until ``need`` is 0."""

    def __init__(self, key: bytes, *, session: bytes, resuming: bool, received: int) -> None:
        super().__init__(key)
        self._hello = _HELLO.pack(session, resuming, received)
        self.need = 32 + _PROOF

    def begin(self) -> bytes:
        """Return the first message."""
        self._said = _MAGIC + os.urandom(32)
        return self._said

    def take(self, data: bytes) -> bytes:
        """Judge the peer's next message, of ``need`` bytes, and return the answer to it."""
        message = self._hear(data)
        if self.need == 32 + _PROOF:
            self.keys = Keys(self._direction(b"to pod"), self._direction(b"to server"))
            self.need = _ANSWER.size + _PROOF
            return self._say(self._hello)
        self.status, self.peer_received = _ANSWER.unpack(message)
        self.need = 0
        return b""


class Listener(_Handshake):
    """The listening end's half.

    Parameters
    ----------
    key
        The kernel's key.
    decide
        Called with session, resuming and received of a peer that has proven itself; returns the
        status to answer with and the frames received in that session.

    """

    def __init__(self, key: bytes, decide: Callable[[bytes, bool, int], tuple[int, int]]) -> None:
        super().__init__(key)
        self._decide = decide
        self.need = len(_MAGIC) + 32

    def begin(self) -> bytes:
        """Return nothing: the dialing end speaks first."""
        return b""

    def take(self, data: bytes) -> bytes:
        """Judge the peer's next message, of ``need`` bytes, and return the answer to it."""
        if not self._said:
            if not data.startswith(_MAGIC):
                raise LinkError("not a link, or one of another version")
            self._said = data
            self.need = _HELLO.size + _PROOF
            answer = self._say(os.urandom(32))
            self.keys = Keys(self._direction(b"to server"), self._direction(b"to pod"))
            return answer
        session, resuming, self.peer_received = _HELLO.unpack(self._hear(data))
        self.need = 0
        self.status, received = self._decide(session, resuming, self.peer_received)
        return self._say(_ANSWER.pack(self.status, received))


# --- the session ---------------------------------------------------------------------------------


class _Frame(NamedTuple):
    kind: int
    stream: int
    payload: bytes


class _Stream:
    """What one end knows of a stream."""

    __slots__ = ("credit", "ended", "granted", "held", "listed", "owed", "queue")

    def __init__(self, window: int) -> None:
        self.queue: deque[bytes] = deque()  # not yet sent
        self.held = 0  # cost of what is queued or not acknowledged
        self.credit = window  # bytes the peer takes now
        self.granted = window  # bytes we take from the peer now
        self.owed = 0  # bytes taken that the peer got no credit for yet
        self.ended = False  # close once the queue is empty
        self.listed = False  # waits for its turn to send


class Link:
    """One end of a session.

    Parameters
    ----------
    session
        The session's 16 bytes; the dialing end leaves it out and makes a new session.
    limit, window
        See :data:`LIMIT` and :data:`WINDOW`; both ends need the same window.

    """

    def __init__(
        self, session: bytes | None = None, *, limit: int = LIMIT, window: int = WINDOW
    ) -> None:
        self.session = session or os.urandom(16)
        self.received = 0
        """Numbered frames received in this session."""
        self.connected = False
        self._dialing = session is None
        self._limit, self._window = limit, window
        self._piece = min(MAX_PAYLOAD, window // 2)
        self._streams: dict[int, _Stream] = {}
        self._last_stream = 0
        self._held = 0
        self._acked = 0  # our numbered frames the peer is known to have
        self._sent: deque[_Frame] = deque()  # on this connection, not acknowledged
        self._again: deque[_Frame] = deque()  # on an earlier one, not acknowledged
        self._first: deque[_Frame] = deque()  # never sent; go before the streams' data
        self._turn: deque[int] = deque()  # streams with something to send
        self._disconnect()

    def _disconnect(self) -> None:
        self.connected = False
        self._inbox = bytearray()
        self._at = 0
        self._frames_in = self._frames_out = 0
        self._unconfirmed = 0  # cost of what was received since our last acknowledgement
        self._beat = False
        self._silent = 0

    # what the owner wants

    def open(self, channel: str) -> int:
        """Open a stream and return its number (dialing end only)."""
        self._last_stream += 1
        self._streams[self._last_stream] = _Stream(self._window)
        self._first.append(_Frame(_OPEN, self._last_stream, channel.encode()))
        return self._last_stream

    def send(self, stream: int, data: bytes) -> None:
        """Send bytes on a stream; nothing happens if it is closed. Mind :meth:`writable`."""
        state = self._streams.get(stream)
        if state is None or state.ended:
            return
        for start in range(0, len(data), self._piece):
            piece = data[start : start + self._piece]
            state.queue.append(piece)
            self._hold(state, len(piece) + _OVERHEAD)
        self._list(stream, state)

    def close(self, stream: int) -> None:
        """Close a stream after what was sent on it; its further events are nobody's business."""
        state = self._streams.get(stream)
        if state is None:
            return
        for frame in self._first:
            if frame.kind == _OPEN and frame.stream == stream:  # the peer need never know of it
                self._first.remove(frame)
                self._drop(stream)
                return
        state.ended = True
        self._list(stream, state)

    def control(self, message: dict[str, Any]) -> None:
        """Send a message to the other end's owner; its JSON must fit into one frame."""
        payload = json.dumps(message).encode()
        if len(payload) > MAX_PAYLOAD:
            raise ValueError("a control message must fit into one frame")
        self._first.append(_Frame(_CONTROL, 0, payload))

    def consumed(self, stream: int, count: int) -> None:
        """Say that so many bytes of a stream need no more room here."""
        state = self._streams.get(stream)
        if state is None:
            return
        state.owed += count
        if state.owed >= self._window // 4:
            self._first.append(_Frame(_CREDIT, stream, _COUNT.pack(state.owed)))
            state.granted += state.owed
            state.owed = 0

    def writable(self, stream: int) -> bool:
        """Return whether more bytes for a stream should be read from its source."""
        state = self._streams.get(stream)
        if state is None:
            return True  # to see that source's end
        if state.held < _FLOOR:
            return True
        return state.held < self._limit // 2 and self._held < self._limit

    @property
    def room(self) -> bool:
        """Whether one more stream can be opened."""
        return len(self._streams) < _MAX_STREAMS

    @property
    def settled(self) -> bool:
        """Whether the other end has acknowledged everything."""
        return not (self._sent or self._again or self._first or self._turn)

    # what happens to the connection

    def can_resume(self, peer_received: int) -> bool:
        """Return whether a peer that has received so many frames can go on from there."""
        return 0 <= peer_received - self._acked <= len(self._sent) + len(self._again)

    def connection_made(self, keys: Keys, peer_received: int) -> None:
        """Go on over a new connection.

        Raises
        ------
        LinkError
            If the peer is not at a place from which it can go on.

        """
        self.connection_lost()
        if not self.can_resume(peer_received):
            raise LinkError("the other end is at a place of the session that is gone")
        self._acknowledge(peer_received)
        self._keys = keys
        self.connected = True

    def connection_lost(self) -> None:
        """Forget the connection; the session stays."""
        self._again.extendleft(reversed(self._sent))
        self._sent.clear()
        self._disconnect()

    def tick(self) -> bool:
        """Beat, once a second; return False when the peer has been silent for too long."""
        self._beat = True
        self._silent += 1
        return self._silent <= PATIENCE

    # bytes out

    def outgoing(self, limit: int = MAX_PAYLOAD) -> bytes:
        """Return the next bytes for the connection, about ``limit``; empty if there are none."""
        if not self.connected:
            return b""
        parts: list[bytes] = []
        size = 0
        while size < limit and (frame := self._next()):
            self._sent.append(frame)
            size += self._seal(parts, frame)
        if self._beat or (self._unconfirmed and (parts or self._unconfirmed >= _ACK_EVERY)):
            self._seal(parts, _Frame(_ACK, 0, _COUNT.pack(self.received)))
            self._unconfirmed, self._beat = 0, False
        return b"".join(parts)

    def _seal(self, parts: list[bytes], frame: _Frame) -> int:
        kind, stream, payload = frame
        covered = _HEADER.pack(len(payload), kind, stream, self._frames_out) + payload
        self._frames_out += 1
        parts.append(covered)
        parts.append(hmac.digest(self._keys.send, covered, "sha256")[:_TAG])
        return len(covered) + _TAG

    def _next(self) -> _Frame | None:
        if self._again:
            return self._again.popleft()
        if self._first:
            return self._first.popleft()
        if self._turn:
            return self._next_of(self._turn.popleft())
        return None

    def _next_of(self, stream: int) -> _Frame:
        """Return a stream's next frame and line the stream up again behind the others."""
        state = self._streams[stream]
        state.listed = False
        if not state.queue:
            del self._streams[stream]
            return _Frame(_CLOSE, stream, b"")
        payload = state.queue.popleft()
        state.credit -= len(payload)
        self._list(stream, state)
        return _Frame(_DATA, stream, payload)

    def _list(self, stream: int, state: _Stream) -> None:
        # A piece goes as a whole: it is at most half a window, so its credit comes.
        ready = len(state.queue[0]) <= state.credit if state.queue else state.ended
        if ready and not state.listed:
            state.listed = True
            self._turn.append(stream)

    def _drop(self, stream: int) -> bool:
        """Forget a stream and what it has not sent; return whether there was one."""
        state = self._streams.pop(stream, None)
        if state is None:
            return False
        self._held -= sum(len(piece) + _OVERHEAD for piece in state.queue)
        if state.listed:
            self._turn.remove(stream)
        return True

    def _hold(self, state: _Stream | None, cost: int) -> None:
        self._held += cost
        if state is not None:
            state.held += cost

    def _acknowledge(self, count: int) -> None:
        while self._acked < count:
            frame = self._sent.popleft() if self._sent else self._again.popleft()
            self._acked += 1
            if frame.kind == _DATA:
                self._hold(self._streams.get(frame.stream), -len(frame.payload) - _OVERHEAD)

    # bytes in

    def receive(self, data: bytes) -> Iterator[Event]:
        """Take bytes of the connection and yield what they mean; always iterate to the end.

        Raises
        ------
        LinkError
            At the first frame that is not right; what was yielded before stands.

        """
        self._inbox += data
        while (frame := self._parse()) is not None:
            event = self._handle(frame)
            if event is not None:
                yield event
        del self._inbox[: self._at]
        self._at = 0

    def _parse(self) -> _Frame | None:
        start, have = self._at, len(self._inbox)
        if have - start < _HEADER.size:
            return None
        length, kind, stream, number = _HEADER.unpack_from(self._inbox, start)
        if length > MAX_PAYLOAD or number != self._frames_in:
            raise LinkError("a frame is too long or out of turn")
        body, end = start + _HEADER.size, start + _HEADER.size + length
        if have < end + _TAG:
            return None
        with memoryview(self._inbox) as view, view[start:end] as covered:
            tag = hmac.digest(self._keys.receive, covered, "sha256")[:_TAG]
            if not hmac.compare_digest(tag, view[end : end + _TAG]):
                raise LinkError("a frame is not authentic")
            payload = bytes(view[body:end])
        self._at = end + _TAG
        self._frames_in += 1
        self._silent = 0
        return _Frame(kind, stream, payload)

    def _handle(self, frame: _Frame) -> Event | None:
        if frame.kind == _ACK:
            self._on_ack(frame)
            return None
        handle = {
            _OPEN: self._on_open,
            _DATA: self._on_data,
            _CLOSE: self._on_close,
            _CREDIT: self._on_credit,
            _CONTROL: self._on_control,
        }.get(frame.kind)
        if handle is None or (frame.kind != _OPEN and frame.stream > self._last_stream):
            raise LinkError("a frame of no known kind or stream")
        event = handle(frame)
        self.received += 1
        self._unconfirmed += len(frame.payload) + _OVERHEAD
        return event

    def _on_ack(self, frame: _Frame) -> None:
        count = _number(frame.payload)
        if not 0 <= count - self._acked <= len(self._sent):
            raise LinkError("an acknowledgement of what was not sent")
        self._acknowledge(count)

    def _on_open(self, frame: _Frame) -> Event:
        if self._dialing or frame.stream <= self._last_stream or not self.room:
            raise LinkError("a stream that may not be opened")
        self._last_stream = frame.stream
        self._streams[frame.stream] = _Stream(self._window)
        return Opened(frame.stream, frame.payload.decode("ascii", "replace"))

    def _on_data(self, frame: _Frame) -> Event | None:
        state = self._streams.get(frame.stream)
        if state is None:
            return None
        if len(frame.payload) > state.granted:
            raise LinkError("more bytes than there was credit for")
        state.granted -= len(frame.payload)
        return None if state.ended else Data(frame.stream, frame.payload)

    def _on_close(self, frame: _Frame) -> Event | None:
        return Closed(frame.stream) if self._drop(frame.stream) else None

    def _on_credit(self, frame: _Frame) -> None:
        state = self._streams.get(frame.stream)
        if state is not None:
            state.credit += _number(frame.payload)
            self._list(frame.stream, state)

    def _on_control(self, frame: _Frame) -> Event:
        try:
            message = json.loads(frame.payload)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise LinkError("a control message is not a JSON object")
        return Control(message)


def _number(payload: bytes) -> int:
    if len(payload) != _COUNT.size:
        raise LinkError("a number of the wrong size")
    number: int = _COUNT.unpack(payload)[0]
    return number
