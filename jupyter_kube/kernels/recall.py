"""Ask a pod's companion for what its kernel said while no server was there.

The companion's side is companion.py; what is said between the two is in docs/developers/link.md.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import zmq

TIMEOUT = 10.0
"""Seconds a companion usually gets to answer."""


class RecallError(ConnectionError):
    """The companion answered with something else than a recording."""


@dataclass(frozen=True)
class Recording:
    """What a kernel said to one session while no server was there."""

    messages: list[list[bytes]]
    """Output in order, each message as received: signature, header, parent, metadata, content,
    buffers. For a cell that a dying kernel took along, the companion has written the end."""
    replies: list[tuple[dict[str, Any], dict[str, Any]]]
    """Header of each cell's request that ended in that time (or half a second before), and the
    content of the reply it had, as far as its output tells: status, count and error."""
    open: list[dict[str, Any]]
    """Headers of the requests that the kernel is still at work on."""
    dropped: int
    """Messages that are lost; as far as known, since a kernel does not say how many."""
    dropped_bytes: int
    """Bytes of those, without the ones that the companion has not seen itself."""
    unheard: float
    """Seconds of that time, its first ones, in which the companion did not listen yet."""
    busy: bool
    """Whether the kernel is at work now."""
    quiet: float
    """Seconds since it was at work the last time."""


async def recall(
    endpoint: str,
    *,
    key: bytes,
    curve_publickey: bytes | str | None,
    curve_secretkey: bytes | str | None,
    session: str,
    since: float,
    timeout: float = TIMEOUT,
) -> Recording:
    """Return what a kernel said to a session since a moment.

    Parameters
    ----------
    endpoint
        The companion's, from ``Relay.companion``.
    key, curve_publickey, curve_secretkey
        The kernel's own.
    session
        Session of the requests whose output is wanted.
    since
        By the pod's clock, from the greeting.
    timeout
        Seconds to wait.

    Raises
    ------
    TimeoutError
        If there is no answer in time.
    RecallError
        If the answer is not that of a companion of ours.

    """
    import zmq.asyncio  # not needed where servers start

    context = zmq.asyncio.Context()
    socket = context.socket(zmq.DEALER)
    try:
        if curve_publickey and curve_secretkey:
            socket.curve_serverkey = _bytes(curve_publickey)
            socket.curve_publickey = _bytes(curve_publickey)
            socket.curve_secretkey = _bytes(curve_secretkey)
        socket.rcvhwm = 0
        socket.connect(endpoint)
        order = {"op": "recording", "session": session, "since": since}
        body = json.dumps(order).encode()
        async with asyncio.timeout(timeout):
            await socket.send_multipart([hmac.digest(key, b"ask" + body, "sha256"), body])
            await socket.poll()
        # From here on the thread alone has the socket, and the loop no business with it.
        asyncio.get_running_loop().remove_reader(socket.FD)
        await asyncio.sleep(0)
        # Some MiB in a hundred thousand frames: the event loop would stand still for them.
        reading = asyncio.ensure_future(
            asyncio.to_thread(_read, zmq.Socket.shadow(socket.underlying), key)
        )
        try:
            return await asyncio.shield(reading)
        finally:
            await asyncio.wait([reading])  # the thread has the socket
    finally:
        context.destroy(linger=0)


def _read(socket: zmq.Socket[bytes], key: bytes) -> Recording:
    """Return the recording that has arrived at a socket."""
    answer, frames = _receive(socket, key)
    try:
        return _recording(answer, frames)
    except (KeyError, TypeError, ValueError) as error:  # the pod is as old as its kernel
        raise RecallError(f"the companion's answer lacks something: {error!r}") from error


def _receive(socket: zmq.Socket[bytes], key: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Return an answer, with the frames that came along."""
    proof, said, *frames = socket.recv_multipart()
    if not hmac.compare_digest(proof, hmac.digest(key, b"say" + said, "sha256")):
        raise RecallError("the companion's answer is not authentic")
    answer = json.loads(said)
    if error := answer.get("error"):
        raise RecallError(f"the companion refuses: {error}")
    return answer, frames


def _recording(answer: Mapping[str, Any], frames: list[bytes]) -> Recording:
    messages, at = [], 0
    for count in answer["frames"]:
        messages.append(frames[at : at + count])
        at += count
    return Recording(
        messages=messages,
        replies=[(parent, content) for parent, content in answer["replies"]],
        open=answer.get("open", []),
        dropped=answer["dropped"],
        dropped_bytes=answer["dropped_bytes"],
        unheard=answer.get("unheard", 0.0),
        busy=answer["busy"],
        quiet=answer["quiet"],
    )


def _bytes(key: bytes | str) -> bytes:
    return key.encode() if isinstance(key, str) else key
