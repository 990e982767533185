"""When a kernel last did something, and whether it is at work: what idle kernels are ended by.

Jupyter watches a second copy of all that a kernel says, each message unpacked whole. Over a link
that would be sent, encrypted and checked twice, at the cost of every cell's time. So while a front
end is connected, whose connection notes output by itself, the watch is told of the kernel's doings
only, and of these it reads the headers.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from jupyter_client.session import DELIM

if TYPE_CHECKING:
    from .kernel import KubeKernelManager

_LOOKS = 0.0, 2.0  # seconds before a kernel's state is asked for; what it says may be missed first
_NOBODY = "nobody"  # a session that has asked nothing
_EXACT = timedelta(seconds=0.1)
_DOINGS = b"kernel."
"""What the topics of all of ipykernel's messages but output and displays begin with."""


def record(manager: Any, kernel: Any, message: list[bytes]) -> None:
    """Take note of a message, by the rules of Jupyter's own watch."""
    parts = message[message.index(DELIM) + 2 :]
    kind = json.loads(parts[0])["msg_type"]
    if kind == "iopub_welcome":  # an answer to us, not a deed of the kernel's
        return
    tracked = manager.track_message_type(json.loads(parts[1]).get("msg_type"))
    if tracked or manager.track_message_type(kind) or kernel.execution_state == "busy":
        touch(manager, kernel)
    if kind == "status":
        state = json.loads(parts[3])["execution_state"]
        if tracked:
            kernel.execution_state = state
        elif kernel.execution_state == "starting" and state != "starting":
            kernel.execution_state = "idle"


def touch(manager: Any, kernel: Any) -> None:
    """Note that a kernel does something now; as exactly as anybody needs it, of many messages."""
    now = datetime.now(UTC)
    if not timedelta() <= now - kernel.last_activity < _EXACT:
        manager.last_kernel_activity = kernel.last_activity = now


def seen_by(message: list[bytes]) -> bool:
    """Return whether a narrowed watch is told of this message."""
    return message[0].startswith(_DOINGS)


def narrow(stream: Any) -> None:
    """Have a watch of everything told of what a front end's connection does not note."""
    stream.socket.subscribe(_DOINGS)
    stream.socket.unsubscribe(b"")


def widen(stream: Any) -> None:
    """Have it told of everything again."""
    stream.socket.subscribe(b"")
    stream.socket.unsubscribe(_DOINGS)


async def learn(kernel: KubeKernelManager) -> None:
    """Find out whether an attached kernel is at work, or since when it is not.

    What it says itself meanwhile is newer.
    """
    states, activity = kernel.states, kernel.last_activity
    for pause in _LOOKS:
        await asyncio.sleep(pause)
        try:
            recording = await kernel.recall(_NOBODY)
        except (TimeoutError, OSError) as error:
            kernel.log.warning("The state of kernel %s is unknown: %r", kernel.kernel_id, error)
            return
        if recording is None or not kernel.up or kernel.states != states:
            return
        kernel.execution_state, states = "busy" if recording.busy else "idle", states + 1
        if not recording.busy:
            if kernel.last_activity == activity:
                kernel.last_activity = datetime.now(UTC) - timedelta(seconds=recording.quiet)
            return
