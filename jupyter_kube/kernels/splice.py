"""Join local sockets to a link's streams, and carry the link over connections.

Both ends do this alike: the server's relay, whose local sockets are Jupyter's, and the supervisor
in the pod, whose local sockets are the kernel's. This module travels into pods: standard library
only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

from .handshake import Dialer, LinkError, Listener
from .link import Closed, Control, Data, Event, Link, Opened

log = logging.getLogger(__name__)

BEAT = 1.0
"""Seconds between two beats of a link."""

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
"""A kernel's sockets; the n-th (from 1) is at ``<prefix>-n``."""
COMPANION = "companion"
"""One channel more, that of the pod's companion: what a server asks that was not there before."""
SILENT = "the other end is silent"
"""Why a connection was cut after some beats without an answer."""
ACK_DELAY = 0.02
"""Seconds between two acknowledgements that go by themselves, in the long run."""

_AT_ONCE = 8  # acknowledgements that go at once after a time of silence
_READ = 256 * 1024
_SHORT = 32 * 1024  # bytes; a local socket that had fewer has nothing more waiting
_HIGH_WATER = 1024 * 1024
_HOLD = 0.5  # seconds for which a local side may keep what the other end's owner says waiting


class Connection(Protocol):
    """One two-way stream of bytes."""

    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` at the end."""

    def write(self, data: bytes) -> None:
        """Send bytes, buffering what does not fit."""

    async def drain(self) -> None:
        """Wait until the buffer has room."""

    def close(self) -> None:
        """End the stream at once."""


class StreamConnection:
    """A :class:`Connection` over an asyncio stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` at the end."""
        return await self._reader.read(_READ)

    def write(self, data: bytes) -> None:
        """Send bytes, buffering what does not fit."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the buffer has room."""
        await self._writer.drain()

    def close(self) -> None:
        """End the stream at once."""
        self._writer.transport.abort()


async def shake(connection: Connection, handshake: Dialer | Listener) -> bytes:
    """Do a handshake over a new connection; return the bytes that came after it.

    Raises
    ------
    LinkError
        If the peer does not hold the key.
    EOFError
        If the peer hung up.

    """
    if first := handshake.begin():
        connection.write(first)
    got = b""
    while need := handshake.need:
        while len(got) < need:
            data = await connection.read()
            if not data:
                raise EOFError("the connection ended during the handshake")
            got += data
        message, got = got[:need], got[need:]
        if answer := handshake.take(message):
            connection.write(answer)
    return got


class Pipe(asyncio.Protocol):
    """One local connection joined to one stream.

    Bytes that arrive from the stream before the local connection is there wait in the pipe.
    """

    def __init__(self, splice: Splice, channel: str, stream: int = 0) -> None:
        self.channel = channel
        self.stream = stream
        self.transport: asyncio.Transport | None = None
        self.splice = splice
        self.ended = asyncio.Event()  # set once the local side has ended
        self._early: list[bytes] = []
        self.behind = 0.0  # when the link had no room for more, until what piled up was read
        self._blocked = False
        self._owed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; a pipe without a stream opens one."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=_HIGH_WATER)
        if not self.stream:
            self.splice.open(self)
        early, self._early = self._early, []
        for data in early:
            self.deliver(data)
        self.splice.pump()

    def data_received(self, data: bytes) -> None:
        """Pass on what the local side says, as long as there is somebody to hear it."""
        if self.wanted:
            self.splice.outbound(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on that the local side ended."""
        self.transport = None
        self.ended.set()
        self.splice.local_end(self)

    def pause_writing(self) -> None:
        """Stop crediting: the local side does not read."""
        self._blocked = True

    def resume_writing(self) -> None:
        """Credit what the local side has taken at last."""
        self._blocked = False
        owed, self._owed = self._owed, 0
        self.splice.consumed(self, owed)

    def deliver(self, data: bytes) -> None:
        """Hand bytes of the stream to the local side."""
        if self.transport is None:
            self._early.append(data)
            return
        self.transport.write(data)
        if self._blocked:
            self._owed += len(data)
        else:
            self.splice.link.consumed(self.stream, len(data))

    @property
    def wanted(self) -> bool:
        """Whether the other end still has the stream."""
        return self.splice.pipes.get(self.stream) is self

    def end(self) -> None:
        """Tell the local side, once it has taken everything, that no more will come.

        It then closes the connection itself, which shows that it knows.
        """
        if self.transport is not None:
            try:
                self.transport.write_eof()
            except OSError:  # it is gone already
                self.abort()

    def abort(self) -> None:
        """Close the local side at once."""
        if self.transport is not None:
            self.transport.abort()


class Splice:
    """All pipes of one link, and the connection that carries it now.

    Parameters
    ----------
    link
        The session, at this end.
    on_control
        Called with each message of the other end's owner.
    on_open
        Called with each pipe the other end opened; it is not connected locally yet.

    """

    def __init__(
        self,
        link: Link,
        *,
        on_control: Callable[[dict[str, Any]], None],
        on_open: Callable[[Pipe], None] | None = None,
    ) -> None:
        self.link = link
        self.pipes: dict[int, Pipe] = {}
        self._ending: set[Pipe] = set()  # told to end, and not known to know
        self._held: list[dict[str, Any]] = []  # said by the other end's owner since
        self._on_control, self._on_open = on_control, on_open
        self._stopped: set[Pipe] = set()  # not read, for want of room
        self._connection: Connection | None = None
        self._reader: asyncio.Task[str] | None = None
        self._drainer: asyncio.Task[None] | None = None
        self._undrained = 0
        self._next_beat: asyncio.TimerHandle | None = None
        self._next_ack: asyncio.TimerHandle | None = None
        self._acks, self._acked_at = 0.0, 0.0
        self._why = ""
        self._unsettled: asyncio.Future[None] | None = None

    # the local side

    def open(self, pipe: Pipe) -> None:
        """Give a new local connection a stream, or end it when there are too many."""
        if not self.link.room:
            pipe.end()
            return
        pipe.stream = self.link.open(pipe.channel)
        self.pipes[pipe.stream] = pipe
        self.pump()

    def outbound(self, pipe: Pipe, data: bytes) -> None:
        """Send what the local side said; stop reading it when the link has no room."""
        self.link.send(pipe.stream, data, self._born(pipe, data))
        self.pump()
        if pipe.transport is not None and not self.link.writable(pipe.stream):
            pipe.transport.pause_reading()
            self._stopped.add(pipe)
            pipe.behind = pipe.behind or time.monotonic()

    def _born(self, pipe: Pipe, data: bytes) -> float:
        """Return the earliest time at which the kernel can have said this; 0 if nobody will ask."""
        if pipe.channel not in {"iopub", "shell"}:
            return 0.0
        born = pipe.behind or time.monotonic()
        if len(data) < _SHORT:
            pipe.behind = 0.0
        return born

    def consumed(self, pipe: Pipe, count: int) -> None:
        """Credit bytes the local side has taken."""
        self.link.consumed(pipe.stream, count)
        self.pump()

    def local_end(self, pipe: Pipe) -> None:
        """Close the stream of a local connection that ended."""
        self._stopped.discard(pipe)
        self._let_go(pipe)
        if self.pipes.pop(pipe.stream, None) is not None:
            self.link.close(pipe.stream)
            self.pump()

    def control(self, message: dict[str, Any]) -> None:
        """Send a message to the other end's owner."""
        self.link.control(message)
        self.pump()

    async def settled(self) -> None:
        """Wait until the other end has acknowledged everything."""
        while not self.link.settled:
            self._unsettled = asyncio.get_running_loop().create_future()
            await self._unsettled

    def close(self) -> None:
        """Hang up and end all local connections."""
        self.cut()
        pipes = [*self.pipes.values(), *self._ending]
        self.pipes.clear()
        self._held.clear()
        for pipe in pipes:
            pipe.abort()

    # the link's side

    async def carry(self, connection: Connection, handshake: Dialer | Listener, rest: bytes) -> str:
        """Carry the link over a connection until it ends; return why it did.

        Parameters
        ----------
        connection, handshake, rest
            A new connection, its finished handshake, and what :func:`shake` returned.

        Raises
        ------
        LinkError
            If the other end is at a place from which the session cannot go on.

        """
        self.cut()
        self.link.connection_made(handshake.keys, handshake.peer_received)
        loop = asyncio.get_running_loop()
        self._connection = connection
        self._undrained = 0
        self._next_beat = loop.call_later(BEAT, self._beat)
        reader = self._reader = loop.create_task(self._read(connection, rest))
        try:
            await asyncio.wait([reader])
            return self._why if reader.cancelled() else reader.result()
        finally:
            reader.cancel()
            if self._connection is connection:
                self._hang_up()

    def cut(self, why: str = "another connection took over") -> None:
        """End the connection at once; the session stays."""
        if self._connection is not None:
            self._why = why
            self._hang_up()

    def _hang_up(self) -> None:
        for task in (self._reader, self._drainer):
            if task is not None:
                task.cancel()
        for timer in (self._next_beat, self._next_ack):
            if timer is not None:
                timer.cancel()
        self._next_ack = None
        if self._connection is not None:
            self._connection.close()
        self._connection = self._drainer = None
        self.link.connection_lost()

    async def _read(self, connection: Connection, rest: bytes) -> str:
        try:
            self._take(rest)
            while data := await connection.read():
                self._take(data)
        except (OSError, EOFError, LinkError) as error:
            return str(error) or type(error).__name__
        except Exception as error:
            log.exception("the link's connection failed in an unexpected way")
            return str(error)
        return "the other end hung up"

    def _take(self, data: bytes) -> None:
        for event in self.link.receive(data):
            self._dispatch(event)
        for pipe in [p for p in self._stopped if self.link.writable(p.stream)]:
            self._stopped.discard(pipe)
            if pipe.transport is not None:
                pipe.transport.resume_reading()
        self.pump()
        if self.link.unconfirmed and self._next_ack is None and self._connection is not None:
            self._confirm()
        if self._unsettled is not None and self.link.settled and not self._unsettled.done():
            self._unsettled.set_result(None)

    def _dispatch(self, event: Event) -> None:
        match event:
            case Data(stream, data):
                if pipe := self.pipes.get(stream):
                    pipe.deliver(data)
            case Control(message) if self._ending:
                self._held.append(message)
            case Control(message):
                self._on_control(message)
            case Opened(stream, channel):
                pipe = self.pipes[stream] = Pipe(self, channel, stream)
                if self._on_open is not None:
                    self._on_open(pipe)
            case Closed(stream):
                if pipe := self.pipes.pop(stream, None):
                    self._stopped.discard(pipe)
                    self._end(pipe)

    def _end(self, pipe: Pipe) -> None:
        """End a local connection; what the other end's owner says next waits until it knows.

        So what is sent on news of a kernel's next process cannot go to the one before.
        """
        if pipe.transport is None:
            return
        pipe.end()
        self._ending.add(pipe)
        asyncio.get_running_loop().call_later(_HOLD, self._let_go, pipe)

    def _let_go(self, pipe: Pipe) -> None:
        self._ending.discard(pipe)
        while self._held and not self._ending:
            self._on_control(self._held.pop(0))

    def _confirm(self) -> None:
        """Acknowledge at once, but not too often.

        What a server had before it died shall not be told again; there may be several copies of it.
        """
        loop = asyncio.get_running_loop()
        earned, self._acked_at = (loop.time() - self._acked_at) / ACK_DELAY, loop.time()
        self._acks = min(self._acks + earned, _AT_ONCE)
        if self._acks >= 1:
            self._acks -= 1
            self._ack()
        else:
            self._next_ack = loop.call_later(ACK_DELAY, self._ack)

    def _ack(self) -> None:
        self._next_ack = None
        if self.link.unconfirmed:
            self.link.confirm()
            self.pump()

    def _beat(self) -> None:
        if not self.link.tick():
            self.cut(SILENT)
            return
        self._next_beat = asyncio.get_running_loop().call_later(BEAT, self._beat)
        self.pump()

    def pump(self) -> None:
        """Write what the link has to say, as far as the connection takes it now."""
        if self._connection is None or self._drainer is not None:
            return
        if data := self.link.outgoing(_READ):
            self._connection.write(data)
            self._undrained += len(data)
            if self._undrained >= _READ:
                drain = self._drain(self._connection)
                self._drainer = asyncio.get_running_loop().create_task(drain)

    async def _drain(self, connection: Connection) -> None:
        try:
            await connection.drain()
            while data := self.link.outgoing(_READ):
                connection.write(data)
                await connection.drain()
        except OSError as error:
            self.cut(str(error))
        except Exception as error:
            log.exception("the link's connection failed in an unexpected way")
            self.cut(str(error))
        else:
            self._drainer = None
            self._undrained = 0
