"""What all routes have in common: who may use them, what they read, and how they refuse."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from ..config import KubeConfig
from ..errors import InvalidInput, KubeError, NotConfigured

if TYPE_CHECKING:  # importing what talks to the cluster would delay the server's start
    from ..kube.client import KubeClient
    from ..train.owndesk import OwnDesk

RESOURCE = "jupyter-kube"
"""What an authorizer is asked about."""
SETTINGS = "jupyter_kube_settings"
"""Where the web application has what makes a :class:`.KubeConfig`."""
_LONGEST = 64 * 1024  # bytes of a request's body

Method = Callable[..., Awaitable[None]]


def route(method: Method) -> Method:
    """Let a method answer users who are known and allowed to; errors of ours become answers."""

    @wraps(method)
    async def answer(self: KubeHandler, *args: str) -> None:
        try:
            await method(self, *args)
        except KubeError as error:
            self.refuse(error)

    return cast("Method", web.authenticated(authorized(answer)))


class Place:
    """How a handler gets to the cluster: over the connection that kernels use."""

    settings: dict[str, Any]

    @property
    def kube(self) -> KubeConfig:
        """The server's settings of ours."""
        make: Callable[[], KubeConfig] | None = self.settings.get(SETTINGS)
        if make is None:
            raise NotConfigured(
                "jupyter-kube is off in this server",
                "its settings are wrong, or kernels come from a gateway",
                "The server's log says which.",
            )
        return make()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[KubeClient]:
        """Lend the connection.

        Raises
        ------
        NotConfigured
            Without credentials.

        """
        from ..kernels.cluster import shared

        cluster = shared(self.kube)
        cluster.hold()
        try:
            yield await cluster.client()
        finally:
            await cluster.release()

    @asynccontextmanager
    async def desk(self) -> AsyncIterator[OwnDesk]:
        """Lend what submits jobs, and looks after those of this server's user."""
        from ..train.owndesk import OwnDesk

        async with self.client() as client:
            yield OwnDesk(client, self.kube)


class KubeHandler(Place, APIHandler):
    """A route that answers with JSON."""

    auth_resource = RESOURCE

    def reply(self, content: Any, status: int = 200) -> None:
        """Answer."""
        self.set_status(status)
        self.finish(json.dumps(content))

    def refuse(self, error: KubeError) -> None:
        """Answer with what went wrong, by the table of :mod:`jupyter_kube.errors`."""
        self.reply(told(error), error.status)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer a failure that is not ours in the same shape."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        if not isinstance(error, web.HTTPError):
            words = "The Jupyter Server failed; its log says how"
        else:
            words = error.log_message or error.reason or self._reason
        if status_code == 405:
            self.set_header("Allow", ", ".join(self._verbs()))
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({**told(KubeError(words)), "message": words}))

    @classmethod
    def _verbs(cls) -> list[str]:
        """List what may be asked of this route."""
        none = web.RequestHandler.get
        return [verb for verb in cls.SUPPORTED_METHODS if getattr(cls, verb.lower()) is not none]

    def read(self, **kinds: type) -> dict[str, Any]:
        """Read the request's body: a JSON object with exactly these fields.

        Raises
        ------
        InvalidInput
            In one sentence.
        HTTPError
            413 for one that is too long, 415 for something else than JSON.

        """
        if len(self.request.body) > _LONGEST:
            raise web.HTTPError(413, f"the body has more than {_LONGEST} bytes")
        if self.request.headers.get("Content-Type", "").partition(";")[0] != "application/json":
            raise web.HTTPError(415, "the body must be application/json")
        try:
            body = json.loads(self.request.body, parse_constant=_not_a_number)
        except (ValueError, RecursionError) as error:
            raise InvalidInput("the body is not JSON", str(error)) from None
        if not isinstance(body, dict) or body.keys() != kinds.keys():
            raise InvalidInput(f"the body must be an object with {', '.join(kinds)}")
        for name, kind in kinds.items():
            if kind is int and isinstance(body[name], float) and body[name].is_integer():
                body[name] = int(body[name])  # to JSON, 2.0 is a whole number
            if type(body[name]) is not kind:
                raise InvalidInput(f"{name} must be of type {kind.__name__}")
        return body


def told(error: KubeError) -> dict[str, Any]:
    """Put an error into the words of an answer."""
    return {
        "message": str(error),
        "what": error.what,
        "why": error.why,
        "next": error.next,
        "object": error.obj,
    }


def _not_a_number(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
