"""The tunnel of kubectl's port-forward: SPDY inside the messages of a websocket.

For each connection the client opens two streams, one for an error and one for data, and says by
headers which port they are for and that they belong together.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from . import spdy
from .kinds import ApiError
from .podports import connect, pump, write

if TYPE_CHECKING:
    from .podsocket import PodSocketHandler


class Tunnel:
    """Carry any number of connections to a pod over one websocket."""

    def __init__(self, socket: PodSocketHandler) -> None:
        self._socket = socket
        self._reader, self._writer = spdy.Reader(), spdy.Writer()
        self._errors: dict[str, int] = {}  # the error stream of each request
        self._connections: dict[int, asyncio.Future[asyncio.StreamWriter | None]] = {}

    async def run(self) -> None:
        """Wait until the client has gone: it may open a connection at any time."""
        await self._socket.closed.wait()

    async def take(self, message: bytes) -> None:
        """Take a piece of what the client says."""
        for frame in self._reader.feed(message):
            await self._obey(frame)

    async def _obey(self, frame: spdy.Frame) -> None:
        match frame.type:
            case spdy.SYN_STREAM:
                await self._open(frame)
            case spdy.DATA:
                await self._pass_on(frame)
            case spdy.RST_STREAM:
                await self._end(frame.stream)
            case spdy.PING:
                await self._say(self._writer.ping(frame.stream))
            case spdy.GOAWAY:
                self._socket.close(1000)

    async def _say(self, data: bytes) -> bool:
        return await self._socket.send_bytes(data)

    async def _open(self, frame: spdy.Frame) -> None:
        await self._say(self._writer.reply(frame.stream))
        request = frame.headers.get("requestid", "")
        if frame.headers.get("streamtype") == "error":
            self._errors[request] = frame.stream
            return
        self._connections[frame.stream] = asyncio.get_running_loop().create_future()
        port = int(frame.headers.get("port", "0"))
        self._socket.api.spawn(self._forward(frame.stream, self._errors.pop(request, 0), port))

    async def _forward(self, stream: int, error_stream: int, port: int) -> None:
        socket = self._socket
        try:
            reader, writer = await connect(socket.pod_ip(), port, socket.pod_uid)
        except (ConnectionError, ApiError) as problem:
            self._connections.pop(stream).set_result(None)
            await self._say(self._writer.data(error_stream, str(problem).encode(), last=True))
            await self._say(self._writer.data(stream, b"", last=True))
            return
        self._connections[stream].set_result(writer)
        socket.when_closed(writer.close)
        await pump(reader, lambda data: self._say(self._writer.data(stream, data)))
        writer.close()
        del self._connections[stream]
        for each in (stream, error_stream):
            await self._say(self._writer.data(each, b"", last=True))

    async def _pass_on(self, frame: spdy.Frame) -> None:
        connection = self._connections.get(frame.stream)
        writer = await connection if connection is not None else None
        if writer is None:
            return
        if frame.data:
            await write(writer, frame.data)
        if frame.last and writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    async def _end(self, stream: int) -> None:
        connection = self._connections.get(stream)
        writer = await connection if connection is not None else None
        if writer is not None:
            writer.close()
