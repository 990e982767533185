"""The pod's one open port: who may speak to the kernel, and over which connection.

Anybody in the cluster may connect; only who proves to hold the kernel's key gets further. This
module travels into pods: standard library only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from .handshake import BUSY, LOST, NEW, REPLACED, RESUMED, LinkError, Listener
from .link import Link
from .splice import Pipe, Splice, StreamConnection, shake

log = logging.getLogger("jupyter-kube")

HANDSHAKE = 5.0
"""Seconds a stranger has to prove itself."""
STRANGERS = 16
"""Connections at a time that have not proven themselves; one more sends the oldest away."""
TAKEOVER = 5.0
"""Seconds a server has to come back before another one gets the kernel."""

_SLACK = 0.005  # seconds; the companion may have heard it a moment before we read it
_READ_AHEAD = 256 * 1024  # bytes kept of a connection nobody reads, about


class Gate:
    """Serve the one server this kernel belongs to, until that lets go or stays away.

    Parameters
    ----------
    key
        The kernel's key.
    greeting
        Returns what a server is told first when it begins a session. If it follows another one,
        ``since`` is added: until when (``time.monotonic()``) that one had all output.
    on_served
        Called with that moment if nothing the kernel had said by then was still under way.
    on_control, on_open
        As in :class:`Splice`.

    """

    def __init__(
        self,
        key: bytes,
        *,
        greeting: Callable[[], dict[str, Any]],
        on_served: Callable[[float], None],
        on_control: Callable[[dict[str, Any]], None],
        on_open: Callable[[Pipe], None],
    ) -> None:
        self._key, self._greeting, self._on_served = key, greeting, on_served
        self._on_control, self._on_open = on_control, on_open
        self._splice: Splice | None = None
        self.begun = 0.0
        """When the last session began; 0 if there was none."""
        self._left = 0.0  # when that was without a connection the last time
        self._detached: float | None = None  # when its server let go of the kernel
        self._met = asyncio.Event()  # set by the first session
        self._strangers: list[StreamConnection] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, port: int) -> None:
        """Open the port.

        Raises
        ------
        OSError
            If it is taken.

        """
        sock = listening_socket(port)
        self._server = await asyncio.start_server(self._accept, sock=sock, limit=_READ_AHEAD)

    def close(self) -> None:
        """Close the port and hang up."""
        self._server.close()
        if self._splice is not None:
            self._splice.close()
        for stranger in self._strangers:
            stranger.close()

    @property
    def attached(self) -> bool:
        """Whether a server is connected now, and has not let go."""
        splice = self._splice
        return splice is not None and splice.link.connected and self._detached is None

    @property
    def left(self) -> float:
        """When the last server let go or its connection ended; 0 if there was none."""
        return self._detached or self._left

    def detach(self) -> None:
        """Let the next server in at once: this one goes."""
        if self._detached is None:
            self._detached = time.monotonic()

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message to the server, now or when it is back; to nobody if there was none."""
        if self._splice is not None:
            self._splice.control(message)

    async def heard(self) -> None:
        """Wait until a server has everything it was told; forever if none ever comes."""
        await self._met.wait()
        if self._splice is not None:
            await self._splice.settled()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        serve = self._serve(StreamConnection(reader, writer), peer)
        task = asyncio.get_running_loop().create_task(serve)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: StreamConnection, peer: object) -> None:
        """Serve one connection: the server's, once it has proven itself."""
        try:
            handshake, rest = await self._admit(connection)
            splice = self._splice
            if splice is not None and handshake.status in {NEW, RESUMED}:
                log.info("linked with %s", peer)
                log.info("link lost: %s", await splice.carry(connection, handshake, rest))
                self._parted(splice)
        except (OSError, EOFError, LinkError) as error:
            log.info("turned away %s: %s", peer, error)
        except Exception:
            log.exception("a connection failed in an unexpected way")
        finally:
            connection.close()

    def _parted(self, splice: Splice) -> None:
        """Note that a connection ended, unless another one of its session goes on."""
        if splice is self._splice and not splice.link.connected:
            self._left = time.monotonic()
            if self._detached is not None:
                splice.close()  # nobody will want what its streams hold

    async def _admit(self, connection: StreamConnection) -> tuple[Listener, bytes]:
        """Let a stranger prove itself; few at a time, each for a short while."""
        if len(self._strangers) >= STRANGERS:
            self._strangers.pop(0).close()
        self._strangers.append(connection)
        handshake = Listener(self._key, self._decide)
        try:
            async with asyncio.timeout(HANDSHAKE):
                rest = await shake(connection, handshake)
        finally:
            if connection in self._strangers:
                self._strangers.remove(connection)
        return handshake, rest

    def _decide(self, session: bytes, resuming: bool, received: int) -> tuple[int, int]:
        """Answer a server that has proven itself: its own session goes on, a new one follows."""
        splice = self._splice
        if splice is not None and splice.link.session == session:
            if not splice.link.can_resume(received):
                raise LinkError("an outdated connection")
            splice.cut()
            return RESUMED, splice.link.received
        if resuming:
            return (LOST if splice is None else REPLACED), 0
        if not self._free():
            return BUSY, 0
        greeting = {**self._greeting(), **self._since()}
        if splice is not None:
            splice.close()
        self._splice = Splice(Link(session), on_control=self._on_control, on_open=self._on_open)
        self._splice.control(greeting)
        self._left, self._detached = time.monotonic(), None
        self.begun = self._left
        self._met.set()
        return NEW, 0

    def _free(self) -> bool:
        """Return whether a server that is not the last one may have the kernel."""
        if self._splice is None or self._detached is not None:
            return True
        return not self._splice.link.connected and time.monotonic() - self._left >= TAKEOVER

    def _since(self) -> dict[str, float]:
        """Say until when the former server, if there was one, had all output."""
        if self._splice is None:
            return {}
        oldest = self._splice.link.oldest
        if oldest is None:
            self._on_served(self.left)
            return {"since": self.left}
        return {"since": min(oldest - _SLACK, self.left)}


def listening_socket(port: int) -> socket.socket:
    """Listen on all the pod's addresses, or on its loopback address where it has just that."""
    own = os.environ.get("POD_IP", "")
    if own.startswith("127."):
        return _listen(socket.AF_INET, own, port)
    try:
        return _listen(socket.AF_INET6, "::", port)
    except OSError:  # no IPv6 here
        return _listen(socket.AF_INET, "0.0.0.0", port)


def _listen(family: int, address: str, port: int) -> socket.socket:
    # With the protocol named: else asyncio leaves Nagle's delay on for what is accepted, 40 ms a
    # cell.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((address, port))
        sock.listen()
    except OSError:
        sock.close()
        raise
    return sock
