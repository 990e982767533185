"""Byte streams into pods over the API's websockets: port-forward."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ClusterUnavailable
from .client import KubeClient
from .objects import PODS

if TYPE_CHECKING:
    import aiohttp

_PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_PIECE = 128 * 1024


class PortForward:
    """One connection to a port in a pod: ``read``, ``write``, ``drain``, ``close``."""

    def __init__(
        self, client: KubeClient, socket: aiohttp.ClientWebSocketResponse, what: str
    ) -> None:
        self._client, self._socket, self._what = client, socket, what
        self._greeted = {_DATA: False, _ERROR: False}
        self._waiting: list[bytes] = []
        self._closed = False

    async def read(self) -> bytes:
        """Return the next bytes; ``b""`` at the end.

        Raises
        ------
        ClusterUnavailable
            With the API's words, if nobody listens in the pod or the stream broke.

        """
        import aiohttp

        while True:
            message = await self._socket.receive()
            if message.type != aiohttp.WSMsgType.BINARY:
                return b""
            channel, data = message.data[0], message.data[1:]
            if not self._greeted.get(channel, True):
                self._greeted[channel] = True  # each channel's first message repeats the port
                data = data[2:]
            if channel == _ERROR and data:
                raise ClusterUnavailable(f"cannot reach {self._what}", _why(data))
            if channel == _DATA and data:
                return bytes(data)

    def write(self, data: bytes) -> None:
        """Queue bytes; they go out at :meth:`drain`."""
        self._waiting.append(data)

    async def drain(self) -> None:
        """Send what is queued, as fast as the other end takes it.

        Raises
        ------
        ConnectionError
            If the stream has ended.

        """
        waiting, self._waiting = b"".join(self._waiting), []
        for start in range(0, len(waiting), _PIECE):
            await self._socket.send_bytes(b"\0" + waiting[start : start + _PIECE])

    def close(self) -> None:
        """End the connection, without waiting for the other end."""
        if not self._closed:
            self._closed = True
            self._client.closing(self._socket.close())


def _why(words: bytes) -> str:
    """Say why a port cannot be reached; the node's words begin with paths of its own."""
    text = words.decode(errors="replace").strip()
    return "nothing listens there" if "connection refused" in text else text[-256:]


async def port_forward(
    client: KubeClient, pod: str, port: int, *, namespace: str | None = None
) -> PortForward:
    """Connect to a TCP port inside a pod through the API server.

    Raises
    ------
    ClusterError
        If the API refuses, for example while the pod does not run.

    """
    path = PODS.path(namespace or client.namespace, pod, "portforward")
    target = f"port {port} of pod {pod}"
    socket = await client.websocket(
        path, query={"ports": str(port)}, protocols=(_PROTOCOL,), what=f"reach {target}"
    )
    return PortForward(client, socket, target)
