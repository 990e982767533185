"""A kubelet's log endpoint whose containers never print: each log is followed for ever.

kwok's pods have no log at all; a client that follows them would only ask in vain again and again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.cluster.components import PKI
from tests.cluster.layout import HOST


class SilentKubelet:
    """Answers on this machine's address as the node's own kubelet, with its certificate."""

    def __init__(self) -> None:
        self.port = 0
        self.asked = 0
        """Requests for a log so far."""
        self.open = 0
        """Logs that are followed now."""

    async def log(self, request: web.Request) -> web.StreamResponse:
        """Say nothing, until the other end has enough."""
        self.asked += 1
        self.open += 1
        try:
            response = web.StreamResponse()
            await response.prepare(request)
            await asyncio.Event().wait()
        finally:
            self.open -= 1
        return response


@asynccontextmanager
async def silent_kubelet() -> AsyncIterator[SilentKubelet]:
    """Serve, until the block is left."""
    made = SilentKubelet()
    app = web.Application()
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", made.log)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(PKI / "kubelet.crt", PKI / "kubelet.key")
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, 0, ssl_context=context, backlog=2000)
        await site.start()
        made.port = runner.addresses[0][1]
        yield made
    finally:
        await runner.cleanup()
