"""What a job says, live, over a websocket: its state, its ranks' lines and reports, its end.

Each message is a JSON object with ``job``, ``lines``, ``dropped`` and ``reports``; the last one has
``error`` instead if the job cannot be followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ..errors import KubeError
from .base import RESOURCE, Place, told
from .jobs import shown

if TYPE_CHECKING:
    from ..train.feed import Batch
    from ..train.outlet import Reported


class LogsHandler(Place, WebSocketMixin, WebSocketHandler, JupyterHandler):
    """``jobs/NAME/logs``."""

    auth_resource = RESOURCE
    _following: asyncio.Task[None] | None = None

    def set_default_headers(self) -> None:
        """Leave the headers to the websocket."""

    async def get(self, *args: str, **kwargs: Any) -> None:
        """Open it, for users who are known and may read."""
        if not (user := self.current_user):
            raise web.HTTPError(403)
        may = self.authorizer.is_authorized(self, user, "read", self.auth_resource)
        if not await ensure_async(may):
            raise web.HTTPError(403)
        self._name = args[0]
        await ensure_async(super().get(*args, **kwargs))

    def open(self, *args: str, **kwargs: Any) -> None:
        """Begin to tell."""
        super().open(*args, **kwargs)
        self._following = asyncio.create_task(self._tell_all())

    def on_message(self, message: str | bytes) -> None:
        """Hear nothing: there is nothing to be said."""

    def on_close(self) -> None:
        """Stop following; the job goes on."""
        if self._following is not None:
            self._following.cancel()
        super().on_close()

    async def _tell_all(self) -> None:
        try:
            with contextlib.suppress(WebSocketClosedError, StreamClosedError):
                try:
                    await self._follow()
                except KubeError as error:
                    await self._say({"error": told(error)})
            self.close()
        except Exception:
            self.log.exception("the log of job %s cannot be told", self._name)
            self.close(1011, "the Jupyter Server failed")

    async def _follow(self) -> None:
        from ..train.outlet import pass_on

        async with self.desk() as desk:
            ticket = await desk.find(await desk.own(self._name))
            await pass_on(desk, ticket, self._tell)

    async def _tell(self, batch: Batch | None, reports: Reported) -> None:
        from ..train import wire

        if batch is not None:  # signs of life are the websocket's own
            about = {"lines": wire.encode(batch.lines), "dropped": batch.dropped}
            await self._say({"job": shown(batch.view), **about, "reports": reports})

    async def _say(self, message: dict[str, Any]) -> None:
        """Send, and wait until it is gone: so a slow browser holds back what is read for it."""
        await self.write_message(json.dumps(message))
