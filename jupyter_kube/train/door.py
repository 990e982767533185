"""Files of a worker's pod, for whoever asks with the job's key.

It listens inside the pod only, where a port-forward leads. Who asks says ``fetch`` and a path, and
gets each file as pieces of its bytes, then ``over``; or ``refused`` and why.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .messages import LONGEST, Channel, NotOurs

log = logging.getLogger("jupyter-kube")

PORT = 5824
_PIECE = 128 * 1024
_FIRST_WORD = 10.0  # seconds a stranger has to say what it wants


class Door:
    """Gives a pod's files away.

    Parameters
    ----------
    key
        The job's key.
    folder
        Where paths begin; it may come later.

    """

    def __init__(self, key: bytes, folder: str) -> None:
        self._served = asyncio.Event()
        self._key, self._folder = key, Path(folder)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, host: str) -> None:
        """Begin to listen; ``host`` is the pod's address."""
        # Where pods share one machine's loopback, each has an address of its own there.
        inside = host if host.startswith("127.") else "127.0.0.1"
        try:
            self._server = await asyncio.start_server(self._accept, inside, PORT, limit=LONGEST)
        except OSError as error:  # the job can do without
            log.warning("files cannot be fetched from this pod: %s", error)

    async def wait(self, seconds: float) -> None:
        """Wait so long for somebody who is then served to the end, however long that takes."""
        try:
            async with asyncio.timeout(seconds):
                await self._served.wait()
        except TimeoutError:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Stop listening and cut all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            channel = await Channel.open(reader, writer, self._key, "C")
            async with asyncio.timeout(_FIRST_WORD):
                asked = await channel.receive()
            if asked is not None and asked["kind"] == "fetch":
                await self._give(channel, str(asked["path"]))
                await channel.close()
                self._served.set()
        except (NotOurs, TimeoutError):
            log.warning("a connection from %s was not ours", writer.get_extra_info("peername"))
        except OSError:
            return  # who asked has gone
        finally:
            writer.close()

    async def _give(self, channel: Channel, path: str) -> None:
        pieces = found(self._folder / path)
        try:
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                channel.send("piece", **piece)
                await channel.drain()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            channel.send("refused", text=f"{path or 'the folder'} cannot be read: {why}")
            return
        channel.send("over")


def found(place: Path) -> Iterator[dict[str, Any]]:
    """Give a file, or all that are below a folder, in pieces.

    Links to files count as files; links to folders, pipes and devices are left out.

    Raises
    ------
    OSError
        If it is not there, or cannot be read.

    """
    if not place.is_dir():
        yield from _pieces(place, place.name, alone=True)
        return
    for at, folders, names in os.walk(place):
        folders.sort()
        for name in sorted(names):
            file = Path(at, name)
            if file.is_file():
                yield from _pieces(file, file.relative_to(place).as_posix(), alone=False)


def _pieces(file: Path, name: str, *, alone: bool) -> Iterator[dict[str, Any]]:
    first = True
    with file.open("rb") as opened:
        while (data := opened.read(_PIECE)) or first:
            text = base64.b64encode(data).decode()
            yield {"path": name, "data": text, "first": first, "alone": alone}
            first = False
