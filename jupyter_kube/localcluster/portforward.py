"""Connections to ports of pods, over the API's websocket protocol."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from .kinds import ApiError
from .podsocket import PodSocketHandler

_CHUNK = 64 * 1024

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(host: str, port: int, pod: str) -> Connection:
    """Connect to a port of a pod.

    Raises
    ------
    ConnectionError
        With the words that a real cluster uses.

    """
    try:
        return await asyncio.open_connection(host, port)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(":")[0].lower()
        if "connect call failed" in reason or isinstance(error, ConnectionRefusedError):
            reason = "connection refused"
        text = (
            f"error forwarding port {port} to pod {pod}, uid : failed to execute portforward in "
            f'network namespace "{host}": failed to connect to localhost:{port} inside '
            f'namespace "{host}", IPv4: dial tcp4 {host}:{port}: connect: {reason}'
        )
        raise ConnectionError(text) from error


class PortForwardHandler(PodSocketHandler):
    """Serve ``pods/portforward``: two channels for each port, one for data, one for an error."""

    protocols: ClassVar[tuple[str, ...]] = ("v4.channel.k8s.io",)

    async def prepare(self) -> None:
        """Read the ports."""
        await super().prepare()
        listed = ",".join(self.get_query_arguments("ports")).split(",")
        try:
            self._ports = [int(port) for port in listed if port]
        except ValueError as error:
            raise ApiError(400, "BadRequest", f"invalid ports: {listed}") from error
        if not self._ports:
            text = "you must specify at least 1 port"
            raise ApiError(400, "BadRequest", f'query parameter "ports" is required: {text}')

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Connect to each port."""
        loop = asyncio.get_running_loop()
        self._writers: list[asyncio.Future[asyncio.StreamWriter | None]] = [
            loop.create_future() for _ in self._ports
        ]
        self.api.spawn(self._run())

    async def _run(self) -> None:
        await asyncio.gather(*(self._forward(i, port) for i, port in enumerate(self._ports)))
        self.close(1000)

    async def _forward(self, index: int, port: int) -> None:
        data_channel, error_channel = 2 * index, 2 * index + 1
        for channel in (data_channel, error_channel):
            await self.say(channel, port.to_bytes(2, "little"))
        uid = self.pod["metadata"]["uid"]
        try:
            reader, writer = await connect(self.api.kubelet.pod_ip(uid), port, uid)
        except (ConnectionError, ApiError) as problem:
            self._writers[index].set_result(None)
            await self.say(error_channel, str(problem).encode())
            return
        self._writers[index].set_result(writer)
        if self.closed.is_set():
            writer.close()
        self.when_closed(writer.close)
        try:
            while data := await reader.read(_CHUNK):
                if not await self.say(data_channel, data):
                    break
        except ConnectionError:
            pass  # to the client that is the end, as any other
        finally:
            writer.close()

    async def on_message(self, message: str | bytes) -> None:
        """Pass on what is meant for a port; the next message waits until it has been taken."""
        if not isinstance(message, bytes) or not message or message[0] % 2:
            return
        index = message[0] // 2
        writer = await self._writers[index] if index < len(self._writers) else None
        if writer is None or writer.is_closing():
            return
        writer.write(message[1:])
        try:
            await writer.drain()
        except ConnectionError:
            return  # the pod's side is closed
