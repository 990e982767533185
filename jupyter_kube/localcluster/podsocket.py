"""A websocket into a pod: what exec and port-forward have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from tornado.websocket import WebSocketClosedError, WebSocketHandler

from .handler import ApiHandler
from .kinds import POD, ApiError
from .podparts import check_host


class PodSocketHandler(ApiHandler, WebSocketHandler):
    """Check that the pod may be reached, then talk the protocol that both sides know."""

    protocols: ClassVar[tuple[str, ...]] = ()
    pod: dict[str, Any]

    async def prepare(self) -> None:
        """Refuse, before the connection becomes a websocket, what cannot work."""
        await super().prepare()
        target = self.target()
        for verb in ("get", "create"):  # a websocket needs both
            self.authorise(verb, target)
        self.pod = self.api.store.get(POD, target.namespace, target.name)
        check_host(self.pod)
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        self.protocol = next((p for p in self.protocols if p in map(str.strip, offered)), "")
        upgrades = self.request.headers.get("Upgrade", "").lower() == "websocket"
        if upgrades and not self.protocol:
            text = f"unable to negotiate protocol: client supports {offered}, server supports "
            raise ApiError(403, "Forbidden", text + str(list(self.protocols)))

    @property
    def pod_uid(self) -> str:
        """The pod's uid."""
        return str(self.pod["metadata"]["uid"])

    def pod_ip(self) -> str:
        """Give the address of the pod's ports.

        Raises
        ------
        ApiError
            404 if the pod does not run any more.

        """
        return self.api.kubelet.pod_ip(self.pod_uid)

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Choose the protocol."""
        return self.protocol or None

    async def say(self, channel: int, data: bytes) -> bool:
        """Send bytes on a channel; False if the other side has gone."""
        return await self.send_bytes(bytes((channel,)) + data)

    async def send_bytes(self, data: bytes) -> bool:
        """Send one message; False if the other side has gone."""
        try:
            await self.write_message(data, binary=True)
        except WebSocketClosedError:
            return False
        return True

    def on_finish(self) -> None:
        """Note that a refusal is complete; the upgrade to a websocket is only the beginning."""
        if self.get_status() != 101:
            super().on_finish()

    def on_close(self) -> None:
        """Note that the other side has gone."""
        self._over()
