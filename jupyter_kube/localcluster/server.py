"""The API server: routes, and the answers that are about no object."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import tornado.web
from tornado.httpserver import HTTPServer

from . import access, discovery
from .handler import Api, ApiHandler, nothing_there
from .podexec import ExecHandler
from .podlogs import LogHandler
from .portforward import PortForwardHandler
from .resources import ResourceHandler

HOST = "127.0.0.1"

Route = tuple[str, type[tornado.web.RequestHandler], dict[str, Api]]


class HealthHandler(tornado.web.RequestHandler):
    """Say that the server is there; the one thing that anybody may ask."""

    def get(self) -> None:
        """Answer ``ok``."""
        self.finish("ok")


class DiscoveryHandler(ApiHandler):
    """Say what the API offers."""

    async def get(self) -> None:
        """Answer with a discovery document."""
        found: dict[str, Any] | None
        match self.path.strip("/").split("/"):
            case ["version"]:
                found = discovery.VERSION
            case ["api"]:
                found = discovery.api_versions()
            case ["apis"]:
                found = discovery.api_groups()
            case ["api", version]:
                found = discovery.resources("", version)
            case ["apis", group]:
                found = discovery.api_group(group)
            case ["apis", group, version]:
                found = discovery.resources(group, version)
            case ["openapi", "v3"]:
                found = discovery.openapi_index()
            case ["openapi", "v3", "api", version]:
                found = discovery.openapi("", version)
            case ["openapi", "v3", "apis", group, version]:
                found = discovery.openapi(group, version)
            case _:
                found = None
        if found is None:
            raise nothing_there()
        await self.answer(found)


class AccessReviewHandler(ApiHandler):
    """Say what the asking user may do."""

    async def post(self) -> None:
        """Answer a SelfSubjectAccessReview."""
        await self.answer(access.review(self.api.store, self.user, self.body()), 201)


class SelfReviewHandler(ApiHandler):
    """Say who the asking user is."""

    async def post(self) -> None:
        """Answer a SelfSubjectReview."""
        await self.answer(access.whoami(self.user), 201)


class ApiServer:
    """Serve one cluster's API on a port of this machine alone."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._server: HTTPServer | None = None

    def start(self, port: int) -> int:
        """Listen; port 0 takes a free one. Returns the port."""
        application = tornado.web.Application(
            routes(self._api),
            default_handler_class=ResourceHandler,
            default_handler_args={"api": self._api},
            log_function=lambda _: None,
            websocket_max_message_size=64 * 1024 * 1024,
        )
        self._server = HTTPServer(application)
        listening = socket.create_server((HOST, port))
        listening.setblocking(False)
        self._server.add_socket(listening)
        return int(listening.getsockname()[1])

    async def stop(self) -> None:
        """Listen no more, and close all connections."""
        if self._server is None:
            return
        self._server.stop()
        self._api.faults.clear()
        self._api.cut()
        await self._server.close_all_connections()
        while self._api.live or self._api.tasks:
            closing = [each.closed.wait() for each in self._api.live]
            await asyncio.gather(*closing, *self._api.tasks)
        self._server = None


def routes(api: Api) -> list[Route]:
    """List what is served where; all other paths are objects' (or nothing's)."""
    pod = r"/api/v1/namespaces/[^/]+/pods/[^/]+"
    served: dict[str, type[tornado.web.RequestHandler]] = {
        r"/version/?": DiscoveryHandler,
        r"/api(?:/[^/]+)?/?": DiscoveryHandler,
        r"/apis(?:/[^/]+){0,2}/?": DiscoveryHandler,
        r"/openapi/.*": DiscoveryHandler,
        r"/apis/authorization\.k8s\.io/v1/selfsubjectaccessreviews": AccessReviewHandler,
        r"/apis/authentication\.k8s\.io/v1/selfsubjectreviews": SelfReviewHandler,
        f"{pod}/log": LogHandler,
        f"{pod}/exec": ExecHandler,
        f"{pod}/portforward": PortForwardHandler,
    }
    healthy: Route = (r"/(?:healthz|livez|readyz)", HealthHandler, {})
    return [healthy, *((access.PREFIX + path, to, {"api": api}) for path, to in served.items())]
