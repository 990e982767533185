"""The coordinator's door: members connect here, in the supervisor of index 0.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from .messages import LONGEST, Channel, NotOurs
from .rendezvous import Coordinator

log = logging.getLogger("jupyter-kube")

_TICK = 0.2
_HELLO = 10.0  # seconds a stranger has to say who it is


class Gathering:
    """Serve the members of one job until its end.

    Parameters
    ----------
    coordinator
        Decides.
    key
        The job's key.
    note
        Writes a state frame; called with its data.

    """

    def __init__(self, coordinator: Coordinator, key: bytes, note: Callable[..., None]) -> None:
        self.over = asyncio.Event()
        """Set when this process may end."""
        self._coordinator, self._key, self._note = coordinator, key, note
        self._channels: dict[int, Channel] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=LONGEST)
        self._spawn(self._tick())

    async def close(self) -> None:
        """Stop listening and cut all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._spawn(self._serve(reader, writer))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except NotOurs:
            log.warning("a connection from %s was not ours", writer.get_extra_info("peername"))
        except Exception:
            log.exception("a member's connection failed")
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        channel = await Channel.open(reader, writer, self._key, "C")
        try:
            async with asyncio.timeout(_HELLO):
                hello = await channel.receive()
        except TimeoutError as error:
            raise NotOurs from error
        if hello is None or hello["kind"] != "hello":
            return
        index = int(hello["index"])
        self._channels[index] = channel
        self._coordinator.hello(index, hello, loop.time())
        self._flush()
        while (message := await channel.receive()) is not None:
            if self._channels.get(index) is channel:
                known = self._coordinator.message(index, message, loop.time())
                self._flush()
                if not known:  # it says hello when it connects again
                    break
        if self._channels.get(index) is channel:
            del self._channels[index]
            self._coordinator.gone(index, hello["boot"], loop.time())
            self._flush()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK)
            self._coordinator.tick(loop.time())
            self._flush()

    def _flush(self) -> None:
        messages, self._coordinator.outbox = self._coordinator.outbox, []
        for index, kind, content in messages:
            if (channel := self._channels.get(index)) is not None:
                channel.send(kind, **content)
        notes, self._coordinator.notes = self._coordinator.notes, []
        for note in notes:
            self._note(**note)
        if self._coordinator.over:
            self.over.set()
