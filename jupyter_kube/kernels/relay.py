"""The server's end of a kernel's link: five local sockets for Jupyter, one connection to the pod.

This is the interface; see the class for what each part promises.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from ..errors import KubeError


class LauncherError(KubeError):
    """What the launcher in the pod says it cannot do, in its own words."""

    status = 503


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


Dial = Callable[[], Awaitable[Connection]]


async def tcp_connection(host: str, port: int) -> Connection:
    """Connect to a pod by its address."""
    raise NotImplementedError


class Relay:
    """Hold a kernel's local sockets open and carry their bytes to its pod, whatever happens."""

    connected: bool
    lost_since: float | None
    """When the link was lost, on ``time.monotonic()``."""
    generation: int
    kernel_alive: bool

    def __init__(
        self,
        dial: Dial,
        key: bytes,
        *,
        socket_dir: Path,
        on_event: Callable[[dict[str, Any]], None],
        log: Any,
    ) -> None:
        raise NotImplementedError

    async def start(self) -> dict[str, Any]:
        """Listen, begin to dial, and return the connection info for Jupyter."""
        raise NotImplementedError

    async def ready(self) -> dict[str, Any]:
        """Wait until the current generation of the kernel accepts connections."""
        raise NotImplementedError

    async def command(self, op: str, **args: Any) -> dict[str, Any]:
        """Have the launcher do ``restart``, ``kill``, ``signal`` or ``shutdown``."""
        raise NotImplementedError

    def use(self, dial: Dial) -> None:
        """Move the link to a better way to the pod; nothing is lost."""
        raise NotImplementedError

    def hurry(self) -> None:
        """Dial again at once, since the pod is known to run now."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stop listening, hang up; the kernel goes on."""
        raise NotImplementedError
