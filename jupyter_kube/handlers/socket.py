"""What all websockets of ours have in common: who may open one, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ..errors import KubeError
from .base import RESOURCE, Place, told

TOLD_ALL, GOING_AWAY, FAILED = 1000, 1001, 1011
"""Why a websocket is closed, by RFC 6455: front ends come back but for the first."""


class KubeSocket(Place, WebSocketMixin, WebSocketHandler, JupyterHandler):
    """A websocket that tells something to its end, and hears nothing."""

    auth_resource = RESOURCE
    _telling: asyncio.Task[None] | None = None

    async def follow(self) -> None:
        """Say all there is to be said; an error of ours is said last."""
        raise NotImplementedError

    async def say(self, message: str) -> None:
        """Send, and wait until it is gone: so a slow browser holds back what is read for it."""
        await self.write_message(message)

    def set_default_headers(self) -> None:
        """Leave the headers to the websocket."""

    async def get(self, *args: str, **kwargs: Any) -> None:
        """Open it, for users who are known and may read."""
        if not (user := self.current_user):
            raise web.HTTPError(403)
        may = self.authorizer.is_authorized(self, user, "read", self.auth_resource)
        if not await ensure_async(may):
            raise web.HTTPError(403)
        await ensure_async(super().get(*args, **kwargs))

    def open(self, *args: str, **kwargs: Any) -> None:
        """Begin to tell."""
        super().open(*args, **kwargs)
        self._telling = asyncio.create_task(self._tell_all())

    def on_message(self, message: str | bytes) -> None:
        """Hear nothing: there is nothing to be said."""

    def on_close(self) -> None:
        """Stop; what was told of goes on."""
        if self._telling is not None:
            self._telling.cancel()
        super().on_close()

    async def _tell_all(self) -> None:
        try:
            with contextlib.suppress(WebSocketClosedError, StreamClosedError):
                try:
                    await self.follow()
                except KubeError as error:
                    await self.say(json.dumps({"error": told(error)}))
            self.close(TOLD_ALL)
        except Exception:
            self.log.exception("%s cannot be told", self.request.path)
            self.close(FAILED, "the Jupyter Server failed")
