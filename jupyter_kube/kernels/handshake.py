"""How two ends of a link prove to each other that they hold the kernel's key.

Four messages, pure state; each (but the first) ends with a proof over all that was said before.
Specified in docs/developers/link.md. This module travels into pods: standard library only.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

_MAGIC = b"jk-link1"
_PROOF = 32
_HELLO = Struct("!16s?Q")  # session, whether it was connected before, frames received
_ANSWER = Struct("!BQ")  # one of the five below, frames received

RESUMED, NEW, LOST, REPLACED, BUSY = range(5)
"""How a listener answers: goes on; begins; does not know the session; serves another one for good;
serves another one that may be asked for again later."""


class LinkError(Exception):
    """The peer's bytes are not the protocol's, or not the peer's: end the connection."""


class Keys(NamedTuple):
    """What one connection's frames are authenticated with, by direction."""

    send: bytes
    receive: bytes


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
