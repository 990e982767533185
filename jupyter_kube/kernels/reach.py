"""The ways to a kernel's pod: a port-forward through the API, and the pod's own address."""

from __future__ import annotations

import asyncio

from ..errors import AccessDenied, KubeError
from ..kube.client import KubeClient
from ..kube.streams import PortForward, port_forward
from .relay import Connection, Relay, tcp_connection

_NEAR = 1.0  # seconds in which a reachable address answers


class _Flowing:
    """A port-forward that sends what is written without being asked to drain."""

    def __init__(self, forward: PortForward) -> None:
        self.read, self.close = forward.read, forward.close
        self._forward = forward
        self._waiting: list[bytes] = []
        self._sending: asyncio.Task[None] | None = None

    def write(self, data: bytes) -> None:
        self._waiting.append(data)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def drain(self) -> None:
        if self._sending is not None:
            await asyncio.wait([self._sending])

    async def _send(self) -> None:
        try:
            while self._waiting:
                data, self._waiting = b"".join(self._waiting), []
                self._forward.write(data)
                await self._forward.drain()
        except (OSError, KubeError):
            self._forward.close()  # the reader is told
        finally:
            self._sending = None


class Reach:
    """Dials one pod, by its name or its address.

    Parameters
    ----------
    client
        Speaks to the cluster.
    pod, port
        Where the launcher listens.
    way
        ``port-forward``, ``pod-ip``, or ``auto``: by name first, since a name is known earlier
        than an address and works from everywhere, then at the address where that works.

    """

    def __init__(self, client: KubeClient, pod: str, port: int, way: str) -> None:
        self._client, self._pod, self._port, self._way = client, pod, port, way
        self._tried = ""  # the address last tried for a move
        self._direct = way == "pod-ip"
        self.address = ""
        """The pod's address, once known."""

    async def dial(self) -> Connection:
        """Connect once, the best way known.

        Raises
        ------
        AccessDenied
            If all ways that there are, are forbidden or lead nowhere.
        OSError, KubeError
            If the pod cannot be reached now.

        """
        if self._direct:
            try:
                return await self._dial_address()
            except OSError:
                if self._way == "pod-ip":
                    raise
        try:
            return _Flowing(await port_forward(self._client, self._pod, self._port))
        except AccessDenied as denied:
            if self._way == "port-forward":
                raise
            return await self._dial_instead(denied)

    def worth_moving(self) -> bool:
        """Return whether there is an address that was not tried yet, and a choice."""
        return self._way == "auto" and bool(self.address) and self.address != self._tried

    async def move(self, relay: Relay) -> None:
        """Move a link to the pod's address, if that answers."""
        self._tried = self.address
        try:
            first: Connection | None = await self._dial_address()
        except OSError:
            return
        self._direct = True

        async def dial() -> Connection:
            nonlocal first
            if first is not None:
                connection, first = first, None
                return connection
            return await self.dial()

        relay.use(dial)

    async def _dial_instead(self, denied: AccessDenied) -> Connection:
        """Use the address, since port-forwards are forbidden."""
        try:
            return await self._dial_address()
        except ConnectionRefusedError as error:  # the pod is there, or will be
            raise ConnectionRefusedError(f"{denied} Besides, {error}.") from None
        except OSError as error:
            denied.why = f"{denied.why}; besides, {error}"
            raise denied from None

    async def _dial_address(self) -> Connection:
        if not self.address:
            raise ConnectionRefusedError("the pod has no address yet")
        try:
            async with asyncio.timeout(_NEAR):
                return await tcp_connection(self.address, self._port)
        except TimeoutError:
            raise TimeoutError(f"{self.address} does not answer") from None
