"""One connection to one cluster's API: plain JSON in and out, every error one of ours."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ..config import KubeConfig
from ..errors import AccessDenied, ClusterError, ClusterUnavailable, NotConfigured, from_status
from . import credentials

if TYPE_CHECKING:
    import aiohttp

Json = dict[str, Any]

_BIG = 200_000  # bytes of an answer from which decoding it would be felt on the event loop
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_LAST_WORDS = 0.05
_REPEATABLE = frozenset({"GET", "PUT", "DELETE", "PATCH"})
_NOT_SENT = frozenset({"Unreachable", "TooManyRequests"})
"""Reasons after which even a POST may be repeated: the API did not act on it."""


class _Call(NamedTuple):
    """One request as the caller wants it."""

    method: str
    path: str
    query: Mapping[str, str] | None = None
    body: Any = None
    content_type: str = "application/json"
    what: str = ""


class KubeClient:
    """Speaks to one cluster as one user; made by :meth:`connect`, ended by :meth:`close`."""

    def __init__(
        self, found: credentials.Credentials, session: aiohttp.ClientSession, timeout: float
    ) -> None:
        self.context, self.namespace, self.server = found.context, found.namespace, found.server
        self._credentials, self._session, self._timeout = found, session, timeout
        self._closing: set[asyncio.Future[object]] = set()

    @classmethod
    async def connect(cls, config: KubeConfig) -> KubeClient:
        """Read credentials and prepare; nothing is asked of the cluster yet.

        Raises
        ------
        NotConfigured
            If there are no usable credentials.

        """
        found = await credentials.find(config)
        import aiohttp

        try:
            context = await asyncio.to_thread(found.ssl_context)
        except OSError as error:  # ssl.SSLError is one
            raise NotConfigured("the cluster's certificates cannot be read", str(error)) from error
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=context),
            trust_env=True,
            read_bufsize=2**20,
            auto_decompress=True,
        )
        return cls(found, session, config.request_timeout)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout: float | None = None,
        retry: bool = True,
        what: str = "",
    ) -> Json:
        """Ask the API and return its decoded answer.

        A refused connection, 429 and, where repeating is harmless, 5xx are tried again until
        ``timeout`` (seconds; default: the setting ``request_timeout``), as Retry-After says.

        Raises
        ------
        ClusterError
            Of the class that :mod:`jupyter_kube.errors` has for the answer's code.

        """
        loop = asyncio.get_running_loop()
        end = loop.time() + (timeout or self._timeout)
        pause = _FIRST_PAUSE
        call = _Call(method, path, query, body, content_type, what)
        while True:
            try:
                return await self._once(call, max(end - loop.time(), 0.1))
            except ClusterUnavailable as error:
                if not retry or (method not in _REPEATABLE and error.reason not in _NOT_SENT):
                    raise
                wait = (error.retry_after or pause) * random.uniform(1.0, 1.3)  # noqa: S311 - jitter
                if loop.time() + wait >= end:
                    raise
                await asyncio.sleep(wait)
                pause = min(pause * 2, _LONGEST_PAUSE)

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        idle_timeout: float | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open an answer without end; gives its raw chunks as they come.

        ``idle_timeout`` is the longest silence in seconds; None waits for ever.
        """
        import aiohttp

        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=self._timeout, sock_read=idle_timeout
        )
        response = await self._send(_Call("GET", path, query), limits)
        try:
            if response.status >= 400:
                raise await _error(response, f"watch {path}")
            yield _chunks(response)
        finally:
            _hang_up(response)

    async def websocket(
        self,
        path: str,
        *,
        query: Mapping[str, str],
        protocols: tuple[str, ...],
        timeout: float | None = None,
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a websocket (exec, port-forward).

        Raises
        ------
        ClusterError
            If the API refuses or does not answer within ``timeout`` seconds.

        """
        import aiohttp

        rejected = False
        while True:
            try:
                async with asyncio.timeout(timeout or self._timeout):
                    return await self._session.ws_connect(
                        self._url(path, query),
                        protocols=protocols,
                        headers=await self._credentials.headers(rejected=rejected),
                        proxy=self._credentials.proxy,
                        max_msg_size=0,
                        compress=0,
                        timeout=aiohttp.ClientWSTimeout(ws_close=0.5),
                    )
            except aiohttp.WSServerHandshakeError as error:
                if error.status == 401 and not rejected:
                    rejected = True
                    continue
                body = {"message": f"{path} answered {error.status}"}
                raise from_status(error.status, body, what="open a stream") from error
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise _unreachable(self.server, error) from error

    def closing(self, work: Coroutine[Any, Any, object]) -> None:
        """Finish a connection's end in the background; :meth:`close` waits for it."""
        task = asyncio.ensure_future(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End all connections."""
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._session.close()
        # TLS connections need some turns of the loop to be gone
        await asyncio.sleep(_LAST_WORDS if self.server.startswith("https") else 0)

    # inside

    def _url(self, path: str, query: Mapping[str, str] | None) -> Any:
        from yarl import URL

        return URL(self.server + path, encoded=True).update_query(query or {})

    async def _once(self, call: _Call, seconds: float) -> Json:
        import aiohttp

        response = await self._send(call, aiohttp.ClientTimeout(total=seconds))
        async with response:
            if response.status >= 400:
                raise await _error(response, call.what or f"{call.method.lower()} {call.path}")
            try:
                raw = await response.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise _unreachable(self.server, error, reason="Broken") from error
        if len(raw) > _BIG:
            return await asyncio.to_thread(_decode, raw)
        return _decode(raw)

    async def _send(self, call: _Call, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        """Send a request; credentials that were refused are renewed once."""
        import aiohttp

        headers = {"Accept": "application/json"}
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        for rejected in (False, True):
            headers |= await self._credentials.headers(rejected=rejected)
            try:
                response = await self._session.request(
                    call.method,
                    self._url(call.path, call.query),
                    data=None if call.body is None else json.dumps(call.body).encode(),
                    headers=headers,
                    timeout=limits,
                    proxy=self._credentials.proxy,
                    server_hostname=self._credentials.server_hostname,
                )
            except aiohttp.ClientConnectorError as error:
                raise _unreachable(self.server, error, reason="Unreachable") from error
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise _unreachable(self.server, error, reason="Broken") from error
            if response.status != 401 or rejected:
                break
            response.release()
        return response


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """End an answer in mid-stream, without TLS's goodbye, which nobody would wait for."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    import aiohttp

    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _unreachable(str(response.url.origin()), error, reason="Broken") from error


async def _error(response: aiohttp.ClientResponse, what: str) -> ClusterError:
    """Make our error of an answer that is not success."""
    import aiohttp

    try:
        body = _decode(await response.read())
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        body = {}
    error = from_status(
        response.status, body, what=what, retry_after=_seconds(response.headers.get("Retry-After"))
    )
    if response.status == 429:
        error.reason = "TooManyRequests"
    if isinstance(error, AccessDenied) and response.status == 401:
        error.why = "the cluster does not accept these credentials (401)"
        error.next = "Log in again, then see `kubectl auth whoami`."
    return error


def _unreachable(server: str, error: BaseException, *, reason: str = "") -> ClusterUnavailable:
    why = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        why = "it did not answer in time"
    return ClusterUnavailable(f"cannot reach {server}", why[:256], reason=reason)


def _seconds(value: str | None) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        return None


def _decode(raw: bytes) -> Json:
    decoded = json.loads(raw) if raw else {}
    return decoded if isinstance(decoded, dict) else {"value": decoded}
