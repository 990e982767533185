"""One connection to one cluster's API: plain JSON in and out, every error one of ours."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ..config import KubeConfig
from ..errors import (
    AccessDenied,
    ClusterError,
    ClusterUnavailable,
    NotConfigured,
    NotFound,
    from_status,
)
from . import credentials
from .answers import NOT_DONE, ahead, decoded, refusal, too_many, unreachable
from .transport import address, open_session

if TYPE_CHECKING:
    import aiohttp

Json = dict[str, Any]
Query = Mapping[str, str] | Sequence[tuple[str, str]]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_LAST_WORDS = 0.05
_REPEATABLE = frozenset({"GET", "PUT", "DELETE", "PATCH"})


class _Call(NamedTuple):
    """One request as the caller wants it."""

    method: str
    path: str
    what: str
    query: Query | None = None
    body: Any = None
    content_type: str = "application/json"


class KubeClient:
    """Speaks to one cluster as one user; made by :meth:`connect`, ended by :meth:`close`."""

    def __init__(
        self, found: credentials.Credentials, session: aiohttp.ClientSession, timeout: float
    ) -> None:
        self.context, self.namespace, self.server = found.context, found.namespace, found.server
        self._credentials, self._session = found, session
        self.timeout = timeout
        """Seconds that one request may take."""
        self.reached = asyncio.Event()
        """Set by each success, cleared where the API is away or knows us no more."""
        self._proxy, self._hostname = found.proxy, found.server_hostname
        self._ahead = timedelta()
        self._closing: set[asyncio.Future[object]] = set()
        self._errands: set[asyncio.Future[object]] = set()

    @classmethod
    async def connect(cls, config: KubeConfig) -> KubeClient:
        """Read credentials and prepare; nothing is asked of the cluster yet.

        Raises
        ------
        NotConfigured
            If there are no usable credentials.

        """
        found = await credentials.find(config)
        try:
            context = await asyncio.to_thread(found.ssl_context)
        except OSError as error:  # ssl.SSLError is one
            raise NotConfigured("the cluster's certificates cannot be read", str(error)) from error
        return cls(found, open_session(context), config.request_timeout)

    @property
    def address(self) -> str:
        """The API's address for people."""
        return address(self.server)

    def now(self) -> datetime:
        """Return the cluster's time, within about a second, as its last answer told it."""
        return datetime.now(UTC) + self._ahead

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout: float | None = None,
        what: str = "",
        on_trouble: Callable[[ClusterUnavailable], None] | None = None,
    ) -> Json:
        """Ask the API and return its decoded answer.

        A refused connection, 429 and, where repeating is harmless, 5xx are tried again until
        ``timeout`` (seconds; default: the setting ``request_timeout``), as Retry-After says.
        ``what`` says in an error what was being done, as in ``"create pod kube-ab12"``;
        ``on_trouble`` is told each time that something is to be tried again.

        Raises
        ------
        ClusterError
            Of the class that :mod:`jupyter_kube.errors` has for the answer's code.

        """
        loop = asyncio.get_running_loop()
        end = loop.time() + (timeout or self.timeout)
        pause = _FIRST_PAUSE
        call = _Call(method, path, what or f"{method.lower()} {path}", query, body, content_type)
        while True:
            try:
                return await self._once(call, max(end - loop.time(), 0.1))
            except ClusterUnavailable as error:
                if method not in _REPEATABLE and error.reason not in NOT_DONE:
                    raise
                wait = (error.retry_after or pause) * random.uniform(1.0, 1.3)  # noqa: S311 - jitter
                if loop.time() + wait >= end:
                    raise
                if on_trouble is not None:
                    on_trouble(error)
                await asyncio.sleep(wait)
                pause = min(pause * 2, _LONGEST_PAUSE)

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        query: Query | None = None,
        idle_timeout: float | None = None,
        what: str = "",
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open an answer without end; gives its raw chunks as they come.

        ``idle_timeout`` is the longest silence in seconds; None waits for ever.

        Raises
        ------
        ClusterError
            If the API refuses; :class:`ClusterUnavailable` also later, when the stream breaks.

        """
        import aiohttp

        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=self.timeout, sock_read=idle_timeout
        )
        response = await self._send(_Call("GET", path, what or f"read {path}", query), limits)
        try:
            async with aclosing(self._chunks(response)) as chunks:
                yield chunks
        finally:
            _hang_up(response)

    async def websocket(
        self,
        path: str,
        *,
        query: Query,
        protocols: tuple[str, ...],
        timeout: float | None = None,
        what: str = "",
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a websocket (exec, port-forward).

        429 is waited out until ``timeout``, as Retry-After says.

        Raises
        ------
        ClusterError
            If the API refuses or does not answer within ``timeout`` seconds.

        """
        import aiohttp

        call = _Call("GET", path, what or f"open a stream to {path}", query)
        seconds = timeout or self.timeout
        end = asyncio.get_running_loop().time() + seconds
        refused: str | None = None
        while True:
            token = await self._credentials.token(refused=refused)
            try:
                async with asyncio.timeout(seconds):
                    return await self._session.ws_connect(
                        self._url(call),
                        protocols=protocols,
                        headers={"Authorization": token} if token else {},
                        proxy=self._proxy,
                        ssl=self._credentials.tls,
                        server_hostname=self._hostname,
                        max_msg_size=0,
                        compress=0,
                        timeout=aiohttp.ClientWSTimeout(ws_close=0.5),
                    )
            except aiohttp.WSServerHandshakeError as error:
                if error.status == 401 and refused is None:
                    refused = token
                    continue
                wait = too_many(error.status, error.headers) * random.uniform(1.0, 1.3)  # noqa: S311
                if wait and asyncio.get_running_loop().time() + wait < end:
                    await asyncio.sleep(wait)
                    continue
                raise await self._no_stream(call, error.status, seconds) from error
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise unreachable(self.address, error) from error

    def closing(self, work: Coroutine[Any, Any, object]) -> None:
        """Finish a connection's end in the background; :meth:`close` waits for it."""
        task = asyncio.ensure_future(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def errand(self, work: Coroutine[Any, Any, object]) -> None:
        """Go on with something in the background; :meth:`close` ends it."""
        task = asyncio.ensure_future(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def close(self) -> None:
        """End all connections."""
        for errand in list(self._errands):
            errand.cancel()
        await asyncio.gather(*self._errands, return_exceptions=True)
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._session.close()
        # TLS connections need some turns of the loop to be gone
        await asyncio.sleep(_LAST_WORDS if self.server.startswith("https") else 0)

    # inside

    def _url(self, call: _Call) -> Any:
        from yarl import URL

        return URL(self.server + call.path, encoded=True).update_query(call.query or {})

    async def _once(self, call: _Call, seconds: float) -> Json:
        import aiohttp

        async with await self._send(call, aiohttp.ClientTimeout(total=seconds)) as response:
            try:
                raw = await response.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise unreachable(self.address, error) from error
        return await decoded(raw, self.address)

    async def _send(self, call: _Call, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        """Send a request and return a success; credentials that were refused are renewed once."""
        refused: str | None = None
        while True:
            token = await self._credentials.token(refused=refused)
            try:
                response = await self._ask(call, token, limits)
            except ClusterError:
                self.reached.clear()
                raise
            self._ahead = ahead(response.headers.get("Date")) or self._ahead
            if response.status < 300:
                self.reached.set()
                return response
            if response.status == 401 or response.status >= 500:
                self.reached.clear()
            async with response:
                if response.status != 401 or refused is not None:
                    raise await refusal(response, call.what)
            refused = token

    async def _ask(
        self, call: _Call, token: str, limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        import aiohttp

        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = token
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        try:
            return await self._session.request(
                call.method,
                self._url(call),
                data=None if call.body is None else json.dumps(call.body).encode(),
                headers=headers,
                timeout=limits,
                allow_redirects=False,  # the token is for this server only
                proxy=self._proxy,
                ssl=self._credentials.tls,
                server_hostname=self._hostname,
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(self.address, error) from error

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
        import aiohttp

        try:
            async for chunk in response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(self.address, error) from error

    async def _no_stream(self, call: _Call, status: int, seconds: float) -> ClusterError:
        """Make our error of a refused handshake, which comes without its words."""
        if status in {403, 404}:  # asked for without an upgrade, the API has words for it
            try:
                await self._once(call, seconds)
            except (AccessDenied, NotFound) as told:
                return told
            except ClusterError:
                pass
        return from_status(status, {"message": f"the API answered {status}"}, what=call.what)


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """End an answer in mid-stream, without TLS's goodbye, which nobody would wait for."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()
