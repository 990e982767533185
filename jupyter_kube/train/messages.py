"""Messages between supervisors: JSON lines over TCP, each authenticated with the job's key.

Both ends first send a random number; the session's key is made from the two and the job's key. Each
line carries a code over its direction, its number and its text, so that none can be forged,
repeated or left out. What :mod:`.rendezvous` makes of them:

============  ==============  ===================================================================
from          message         content
============  ==============  ===================================================================
member        hello           ``index``, ``boot`` (one supervisor's id), ``host``, ``generation``
                              and ``failures`` as far as it knows, ``running`` (generation or 0),
                              ``replaced``: how many pods of its index have failed before it
member        beat            nothing
member        offer           ``generation``, ``ports``
member        ended           ``generation``, ``outcome``: done, exception or died; ``local``: of
                              which of its ranks; ``text``: of what; ``killed`` (by SIGKILL,
                              which no other rank's end causes); ``about``: of an exception as in
                              its frame, short, of a death what the process wrote ``last``
member        pong            ``number`` of the ping
member        leave           nothing: its pod is being removed
member        busy            nothing: it has heard of the end, and needs a while
member        bye             nothing: it ends now
coordinator   prepare         ``generation``, ``failures``
coordinator   start           ``generation``, ``members``: host and ports of each rank, and
                              ``indexes``: whose pods they are, in the same order
coordinator   ping            ``number``
coordinator   stop            nothing: stop the child, another rank is lost
coordinator   finish          nothing: all ranks are done
coordinator   abort           ``rank`` and ``text``: whose failure ends the job, and why; ``about``
============  ==============  ===================================================================

This module travels into pods: standard library only.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any, Protocol

LONGEST = 256 * 1024
"""Bytes of one line: the list of a thousand members fits."""

_HANDSHAKE = 10.0  # seconds a stranger has to say its number
_NONCE = 16


class NotOurs(Exception):
    """The other end does not know the job's key, or breaks the rules."""


class Reader(Protocol):
    """What is needed of an :class:`asyncio.StreamReader`."""

    async def readline(self) -> bytes:
        """Return a line, or what is left before the end."""


class Writer(Protocol):
    """What is needed of an :class:`asyncio.StreamWriter`."""

    def write(self, data: bytes, /) -> None:
        """Send, some time."""

    async def drain(self) -> None:
        """Wait until most is sent."""

    def is_closing(self) -> bool:
        """Tell whether the connection is gone, or nearly so."""

    def close(self) -> None:
        """End the connection."""

    async def wait_closed(self) -> None:
        """Wait for its end."""


class Channel:
    """One authenticated connection.

    Parameters
    ----------
    reader, writer
        An open connection; ``reader`` has :data:`LONGEST` as its limit.
    session
        The session's key.
    side
        ``"C"`` at the coordinator's end, ``"M"`` at a member's.

    """

    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        session: bytes,
        side: str,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._session = session
        self._side, self._other = side, "M" if side == "C" else "C"
        self._sent = self._received = 0

    @classmethod
    async def open(cls, reader: Reader, writer: Writer, key: bytes, side: str) -> Channel:
        """Exchange numbers; who the other end is shows with its first message.

        Raises
        ------
        NotOurs
            If no number comes in time.

        """
        mine = secrets.token_hex(_NONCE).encode()
        writer.write(mine + b"\n")
        try:
            await writer.drain()
            async with asyncio.timeout(_HANDSHAKE):
                theirs = (await reader.readline()).rstrip(b"\n")
        except (TimeoutError, ValueError, ConnectionError) as error:
            raise NotOurs from error
        if len(theirs) != 2 * _NONCE:
            raise NotOurs
        first, second = (mine, theirs) if side == "C" else (theirs, mine)
        session = hmac.digest(key, b"gather " + first + b" " + second, "sha256")
        return cls(reader, writer, session, side)

    def send(self, kind: str, **content: Any) -> None:
        """Send a message, unless the connection is already gone."""
        if self._writer.is_closing():
            return
        body = json.dumps({"kind": kind, **content}, separators=(",", ":"))
        mac = self._mac(self._side, self._sent, body)
        self._sent += 1
        self._writer.write(f"{mac} {body}\n".encode())

    async def drain(self) -> None:
        """Wait until most of what was sent has gone.

        Raises
        ------
        OSError
            If the connection has ended.

        """
        await self._writer.drain()

    async def receive(self) -> Mapping[str, Any] | None:
        """Return the next message, None at the connection's end.

        Raises
        ------
        NotOurs
            If a line's code does not hold.

        """
        try:
            line = await self._reader.readline()
        except OSError:  # also timed out, or without a route: no ConnectionError
            return None
        except ValueError as error:  # longer than the limit
            raise NotOurs from error
        if not line.endswith(b"\n"):
            return None
        mac, _, body = line[:-1].decode("ascii", "replace").partition(" ")
        expected = self._mac(self._other, self._received, body)
        if not hmac.compare_digest(mac.encode(), expected.encode()):
            raise NotOurs
        self._received += 1
        message: Mapping[str, Any] = json.loads(body)
        return message

    async def close(self) -> None:
        """Send what is left and end the connection."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return

    def _mac(self, side: str, number: int, body: str) -> str:
        text = f"{side} {number} {body}".encode("utf-8", "replace")
        return hmac.new(self._session, text, hashlib.sha256).hexdigest()[:32]
