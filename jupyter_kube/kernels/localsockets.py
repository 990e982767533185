"""The local sockets that Jupyter connects to instead of a kernel's own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .splice import CHANNELS, COMPANION, Pipe

_LONGEST_PATH = 107


class LocalSockets:
    """Listen for each channel of a kernel, and for its companion, for the kernel's whole life.

    Unix sockets where there are any, loopback TCP where there are none.

    Parameters
    ----------
    folder
        For the sockets, made with mode 0700.
    pipe
        Makes the local end of a new connection to a channel.

    """

    def __init__(self, folder: Path, pipe: Callable[[str], Pipe]) -> None:
        self._folder, self._pipe = folder, pipe
        self._servers: list[asyncio.Server] = []
        self.companion = ""
        """The pod's companion as a ZMQ endpoint, once :meth:`listen` was called."""

    async def listen(self) -> dict[str, Any]:
        """Listen; return the connection info for Jupyter.

        Raises
        ------
        OSError
            If the sockets cannot be made.

        """
        return await (self._listen_tcp() if sys.platform == "win32" else self._listen_unix())

    def close(self) -> None:
        """Take no more connections."""
        for server in self._servers:
            server.close()

    def remove(self) -> None:
        """Remove the sockets from the folder."""
        for number in range(1, len(CHANNELS) + 2):
            (self._folder / f"k-{number}").unlink(missing_ok=True)

    async def _listen_unix(self) -> dict[str, Any]:
        prefix = self._folder / "k"
        if len(os.fsencode(f"{prefix}-1")) > _LONGEST_PATH:
            raise OSError(f"the path of a socket in {self._folder} would be too long")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        self.remove()
        loop = asyncio.get_running_loop()
        for number, channel in enumerate((*CHANNELS, COMPANION), 1):
            # In two steps: whoever cancels in the second leaves a server that close() knows.
            server = await loop.create_unix_server(
                self._factory(channel), f"{prefix}-{number}", start_serving=False
            )
            self._servers.append(server)
            await server.start_serving()
        self.companion = f"ipc://{prefix}-{len(self._servers)}"
        return _info("ipc", str(prefix), range(1, len(CHANNELS) + 1))

    async def _listen_tcp(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        for channel in (*CHANNELS, COMPANION):
            server = await loop.create_server(
                self._factory(channel), "127.0.0.1", 0, start_serving=False
            )
            self._servers.append(server)
            await server.start_serving()
        *ports, companion = [server.sockets[0].getsockname()[1] for server in self._servers]
        self.companion = f"tcp://127.0.0.1:{companion}"
        return _info("tcp", "127.0.0.1", ports)

    def _factory(self, channel: str) -> Callable[[], Pipe]:
        return lambda: self._pipe(channel)


def _info(transport: str, ip: str, ports: Iterable[int]) -> dict[str, Any]:
    named = {f"{channel}_port": port for channel, port in zip(CHANNELS, ports, strict=True)}
    return {"transport": transport, "ip": ip, **named}
