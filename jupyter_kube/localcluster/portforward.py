"""Port-forward: the API's channels over a websocket, and kubectl's tunnel."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Protocol

from .kinds import ApiError
from .podports import connect, pump, write
from .podsocket import PodSocketHandler
from .tunnel import Tunnel

_CHANNELS, _TUNNEL = "v4.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"


class _Carrier(Protocol):
    async def run(self) -> None:
        """Carry until there is nothing to carry any more."""

    async def take(self, message: bytes) -> None:
        """Take what the client says; its next message waits until this returns."""


class PortForwardHandler(PodSocketHandler):
    """Serve ``pods/portforward``."""

    protocols: ClassVar[tuple[str, ...]] = (_CHANNELS, _TUNNEL)

    async def prepare(self) -> None:
        """Read the ports; in the tunnel each stream names its own."""
        await super().prepare()
        listed = ",".join(self.get_query_arguments("ports"))
        try:
            self._ports = [int(port) for port in listed.split(",") if port]
        except ValueError as error:
            raise ApiError(400, "BadRequest", f"unable to parse ports: {listed}") from error
        if not self._ports and self.protocol != _TUNNEL:
            raise ApiError(400, "BadRequest", 'query parameter "ports" is required')

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Begin to carry."""
        self._carrier: _Carrier = (
            Tunnel(self) if self.protocol == _TUNNEL else Channels(self, self._ports)
        )
        self.api.spawn(self._run())

    async def _run(self) -> None:
        await self._carrier.run()
        self.close(1000)

    async def on_message(self, message: str | bytes) -> None:
        """Pass on what the client says."""
        if isinstance(message, bytes):
            await self._carrier.take(message)


class Channels:
    """Two channels for each port: an even one for data, the odd one after it for an error."""

    def __init__(self, socket: PodSocketHandler, ports: list[int]) -> None:
        self._socket, self._ports = socket, ports
        loop = asyncio.get_running_loop()
        self._writers: list[asyncio.Future[asyncio.StreamWriter | None]] = [
            loop.create_future() for _ in ports
        ]

    async def run(self) -> None:
        """Connect to all ports, and carry until all connections have ended."""
        await asyncio.gather(*(self._forward(i, port) for i, port in enumerate(self._ports)))

    async def _forward(self, index: int, port: int) -> None:
        socket, data_channel, error_channel = self._socket, 2 * index, 2 * index + 1
        for channel in (data_channel, error_channel):
            await socket.say(channel, port.to_bytes(2, "little"))
        try:
            reader, writer = await connect(socket.pod_ip(), port, socket.pod_uid)
        except (ConnectionError, ApiError) as problem:
            self._writers[index].set_result(None)
            await socket.say(error_channel, str(problem).encode())
            return
        self._writers[index].set_result(writer)
        socket.when_closed(writer.close)
        await pump(reader, lambda data: socket.say(data_channel, data))
        writer.close()

    async def take(self, message: bytes) -> None:
        """Pass on what is meant for a port."""
        index, is_error = divmod(message[0], 2) if message else (0, 1)
        if is_error or index >= len(self._writers):
            return
        writer = await self._writers[index]
        if writer is not None:
            await write(writer, message[1:])
