"""One resumable stream of frames between server and pod; pure state, no input or output.

Both ends hold a :class:`Link` for as long as the session lives, and carry it over one connection
after the other. What was not acknowledged when a connection broke is sent again on the next one:
each stream's bytes arrive exactly once and in order. Before that, the two ends prove themselves to
each other (handshake.py).

The bytes are specified in docs/developers/link.md. This module travels into pods: standard
library only.
"""

from __future__ import annotations

import hmac
import json
import os
from collections import deque
from collections.abc import Iterator
from itertools import chain
from struct import Struct
from typing import Any, NamedTuple

from .handshake import Keys, LinkError

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


class _Frame(NamedTuple):
    kind: int
    stream: int
    payload: bytes
    born: float = 0.0  # when its bytes came from their source, where that matters


class _Stream:
    """What one end knows of a stream."""

    __slots__ = ("credit", "ended", "granted", "held", "listed", "owed", "queue")

    def __init__(self, window: int) -> None:
        self.queue: deque[_Frame] = deque()  # not yet sent
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
        self._ack_due = False
        self._silent = 0

    # what the owner wants

    def open(self, channel: str) -> int:
        """Open a stream and return its number (dialing end only)."""
        self._last_stream += 1
        self._streams[self._last_stream] = _Stream(self._window)
        self._first.append(_Frame(_OPEN, self._last_stream, channel.encode()))
        return self._last_stream

    def send(self, stream: int, data: bytes, born: float = 0.0) -> None:
        """Send bytes on a stream; nothing happens if it is closed. Mind :meth:`writable`.

        ``born`` says when they came from their source, for :attr:`oldest`.
        """
        state = self._streams.get(stream)
        if state is None or state.ended:
            return
        for start in range(0, len(data), self._piece):
            piece = data[start : start + self._piece]
            state.queue.append(_Frame(_DATA, stream, piece, born))
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

    @property
    def oldest(self) -> float | None:
        """When the oldest bytes that may not have arrived came from their source."""
        waiting = (state.queue for state in self._streams.values())
        born = [f.born for f in chain(self._again, self._sent, *waiting) if f.born]
        return min(born, default=None)

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
        self.confirm()
        self._silent += 1
        return self._silent <= PATIENCE

    @property
    def unconfirmed(self) -> bool:
        """Whether something arrived that the other end has not been told of."""
        return self._unconfirmed > 0

    def confirm(self) -> None:
        """Acknowledge with the next bytes that go out."""
        self._ack_due = True

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
        if self._ack_due or (self._unconfirmed and (parts or self._unconfirmed >= _ACK_EVERY)):
            self._seal(parts, _Frame(_ACK, 0, _COUNT.pack(self.received)))
            self._unconfirmed, self._ack_due = 0, False
        return b"".join(parts)

    def _seal(self, parts: list[bytes], frame: _Frame) -> int:
        kind, stream, payload, _ = frame
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
        frame = state.queue.popleft()
        state.credit -= len(frame.payload)
        self._list(stream, state)
        return frame

    def _list(self, stream: int, state: _Stream) -> None:
        # A piece goes as a whole: it is at most half a window, so its credit comes.
        ready = len(state.queue[0].payload) <= state.credit if state.queue else state.ended
        if ready and not state.listed:
            state.listed = True
            self._turn.append(stream)

    def _drop(self, stream: int) -> bool:
        """Forget a stream and what it has not sent; return whether there was one."""
        state = self._streams.pop(stream, None)
        if state is None:
            return False
        self._held -= sum(len(frame.payload) + _OVERHEAD for frame in state.queue)
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
        self._unconfirmed += _ACK_EVERY  # its sender may wait to be heard
        return Control(message)


def _number(payload: bytes) -> int:
    if len(payload) != _COUNT.size:
        raise LinkError("a number of the wrong size")
    number: int = _COUNT.unpack(payload)[0]
    return number
