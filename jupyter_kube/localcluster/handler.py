"""What all answers of the API server have in common: who asks, errors, faults, the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import tornado.web
import yaml
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError

from . import access, protobuf
from .faults import Fault, Faults
from .kinds import ApiError
from .paths import Target, parse
from .store import Store

if TYPE_CHECKING:
    from .kubelet import Kubelet

LONGEST_BODY = 3 * 1024 * 1024


@dataclass
class Api:
    """What handlers work with."""

    store: Store
    kubelet: Kubelet
    tokens: access.Tokens
    faults: Faults
    bookmark_seconds: float = 60.0
    live: set[ApiHandler] = field(default_factory=set)
    """The requests that are being answered."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the request that began it; the server's end waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def cut(self, path: str = "") -> int:
        """Close the connections of all requests that match; returns how many."""
        fault = Fault(path)
        found = [each for each in self.live if fault.matches("", each.uri)]
        for each in found:
            each.drop()
        return len(found)


class ApiHandler(tornado.web.RequestHandler):
    """Answer one request."""

    user: access.User

    def initialize(self, api: Api) -> None:
        """Take what is worked with."""
        self.api = api
        self.token, self.path = access.split_token(self.request.path)
        if not self.token:
            scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
            self.token = token.strip() if scheme.lower() == "bearer" else ""
        query = f"?{self.request.query}" if self.request.query else ""
        self.uri = self.path + query
        self.closed = asyncio.Event()
        """Set when the answer is complete, or nobody is there any more to read it."""
        self._when_closed: list[Callable[[], object]] = []
        self._fault: Fault | None = None
        self._sent = 0
        # kept here since a websocket takes it from the request
        self._stream = cast(HTTP1Connection, self.request.connection).stream

    async def prepare(self) -> None:
        """Recognise the user, and meet faults."""
        self.api.live.add(self)
        self._stream.set_nodelay(True)
        fault = self._fault = self.api.faults.meet(self.request.method or "", self.uri)
        if fault is not None:
            await self._suffer(fault)
        user = self.api.tokens.user(self.token)
        if user is None:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        self.user = user
        if len(self.request.body) > LONGEST_BODY:
            text = f"Request entity too large: limit is {LONGEST_BODY}"
            raise ApiError(413, "RequestEntityTooLarge", text)

    async def _suffer(self, fault: Fault) -> None:
        if fault.delay:
            await self.unless_closed(asyncio.sleep(fault.delay))
        if fault.silent:
            await self.unless_closed(fault.lifted.wait())
        if fault.status:
            reason = _REASONS.get(fault.status, "InternalError")
            text = "fault injected for a test"
            raise ApiError(fault.status, reason, text, retry_after=fault.retry_after)

    async def unless_closed(self, waiting: Awaitable[object]) -> None:
        """Wait for something, or raise StreamClosedError as soon as the reader has gone."""
        tasks = {asyncio.ensure_future(waiting), asyncio.ensure_future(self.closed.wait())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self.closed.is_set():
            raise StreamClosedError

    # -- what is asked

    def target(self) -> Target:
        """Read what the path names.

        Raises
        ------
        ApiError
            404 if there is nothing of that name in the API.

        """
        found = parse(self.path)
        if found is None:
            raise nothing_there()
        return found

    def authorise(self, verb: str, target: Target) -> None:
        """Refuse what the user may not do."""
        access.check(self.api.store, self.user, access.question(verb, target))

    def flag(self, name: str) -> bool:
        """Read a yes-or-no parameter."""
        return self.get_query_argument(name, "").lower() in {"1", "true"}

    def number(self, name: str) -> int | None:
        """Read a number parameter."""
        text = self.get_query_argument(name, "")
        try:
            return int(text) if text else None
        except ValueError as error:
            why = f'strconv.ParseInt: parsing "{text}": invalid syntax'
            raise ApiError(400, "BadRequest", why) from error

    def dry_run(self) -> bool:
        """Tell whether nothing is to be stored."""
        values = self.get_query_arguments("dryRun")
        if any(value != "All" for value in values):
            options = f"{_OPTIONS.get(self.request.method or '', '')}Options.meta.k8s.io"
            why = f'dryRun: Unsupported value: {json.dumps(values)}: supported values: "All"'
            raise ApiError(422, "Invalid", f'{options} "" is invalid: {why}')
        return bool(values)

    def body(self) -> Any:
        """Read the body as what it says it is: JSON, YAML or protobuf.

        Raises
        ------
        ApiError
            400 if it is not that, 415 if it says it is something else.

        """
        content_type = self.request.headers.get("Content-Type", "application/json")
        try:
            if "json" in content_type:
                return json.loads(self.request.body or b"{}")
            if "yaml" in content_type:
                return yaml.safe_load(self.request.body)
            if content_type == protobuf.MEDIA_TYPE:
                return protobuf.decode(self.request.body)
        except (ValueError, yaml.YAMLError) as error:
            text = f"the object provided is unrecognized (must be of type Object): {error}"
            raise ApiError(400, "BadRequest", text) from error
        text = "the body of the request was in an unknown format - accepted media types include"
        raise ApiError(415, "UnsupportedMediaType", f"{text}: application/json, application/yaml")

    # -- what is answered

    async def answer(self, obj: Any, code: int = 200) -> None:
        """Answer with one JSON object."""
        self.set_status(code)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-cache, private")
        data = encode(obj)
        if self._fault is None:
            await self.finish(data)
        else:
            self.set_header("Content-Length", str(len(data)))
            await self.send(data)
            await self.finish()

    async def send(self, data: bytes) -> None:
        """Send a part of the answer and wait until the connection takes more.

        Raises
        ------
        StreamClosedError
            If the reader has gone.

        """
        if held := self.api.faults.silencing(self.request.method or "", self.uri):
            await self.unless_closed(held.lifted.wait())
        fault = self._fault
        if fault is not None and fault.cut_after is not None:
            left = fault.cut_after - self._sent
            if len(data) >= left:
                self.write(data[:left])
                await self.flush()
                self.drop()
                raise StreamClosedError
        self._sent += len(data)
        self.write(data)
        await self.flush()

    def drop(self) -> None:
        """Close the connection without a word."""
        self._stream.close()

    def on_connection_close(self) -> None:
        """Note that the reader has gone."""
        super().on_connection_close()
        self._over()

    def on_finish(self) -> None:
        """Note that the answer is complete."""
        self._over()

    def when_closed(self, call: Callable[[], object]) -> None:
        """Call something as soon as ``closed`` is set."""
        self._when_closed.append(call)

    def _over(self) -> None:
        self.api.live.discard(self)
        if not self.closed.is_set():
            self.closed.set()
            for call in self._when_closed:
                call()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with a Status object."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if not isinstance(error, ApiError):
            text = f"Internal error occurred: {error}"
            if isinstance(error, tornado.web.HTTPError):
                text = error.log_message or error.reason or self._reason
            error = ApiError(status_code, _REASONS.get(status_code, "InternalError"), text)
        self.set_status(error.code)
        self.set_header("Content-Type", "application/json")
        if error.retry_after is not None:
            self.set_header("Retry-After", str(error.retry_after))
        self.finish(encode(error.status()))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log what is our fault; refusals and readers that went are not."""
        if not isinstance(value, (ApiError, StreamClosedError, tornado.web.HTTPError)):
            super().log_exception(typ, value, tb)

    def compute_etag(self) -> None:
        """Give no ETag: the API has resourceVersions."""


_OPTIONS = {"POST": "Create", "PUT": "Update", "PATCH": "Patch", "DELETE": "Delete"}
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def encode(obj: Any) -> bytes:
    """Write JSON as the API does."""
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def nothing_there() -> ApiError:
    """Say that the API has no such path."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")
