"""A proxy before an API server that does on purpose what networks and API servers do by accident.

It speaks HTTPS with a certificate of its own, asks for a bearer token of its own, and passes
requests on with the credentials of the cluster's kubeconfig, one request a connection. It can be
down, cut what is open, let connections hang half open, lose answers, and answer by itself.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml

from jupyter_kube.localcluster import faults
from tests.cluster.pki import Authority

TOKEN = "let-me-in"
_PIECE = 65536


@dataclass(eq=False)
class Fault(faults.Fault):
    """A fault as the local cluster has them, and one more.

    ``cut_after`` counts from the answer's first byte here, its head included: 0 loses the answer to
    a request that the API server has carried out.

    Parameters
    ----------
    events
        Answer 200 with these lines, then end the answer.
    message
        Words of the Status that goes with ``status``.

    """

    events: tuple[Any, ...] = ()
    message: str = "a fault made for a test"


class Seen(NamedTuple):
    """A request as it came: when (the loop's clock), and what it asked for."""

    at: float
    method: str
    uri: str
    token: str


@dataclass(eq=False)
class _Open:
    """One connection with the request that it carries."""

    writer: asyncio.StreamWriter
    uri: str = ""
    back: asyncio.StreamWriter | None = None
    frozen: bool = False
    never: asyncio.Event = field(default_factory=asyncio.Event)

    def abort(self) -> None:
        for side in (self.writer, self.back):
            if side is not None:
                side.transport.abort()


class FaultProxy:
    """Stands before the API server that a kubeconfig names; to be used on one event loop.

    Parameters
    ----------
    kubeconfig
        The cluster, and who the proxy is there.
    folder
        Where its certificates go; must exist.

    """

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self.faults = faults.Faults()
        self.accepted = {TOKEN}
        """Bearer tokens that are let in; others are answered 401."""
        self.seen: list[Seen] = []
        """All requests, also those refused."""
        self.called = asyncio.Event()
        """Set by each request."""
        self.port = 0
        self._folder = folder
        self._authority = Authority(folder / "pki")
        self._upstream = _Upstream(yaml.safe_load(kubeconfig.read_text()), folder)
        self._open: set[_Open] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._reserved = _socket(0)

    # --- for tests

    async def up(self) -> None:
        """Listen, always at the same port."""
        identity = self._authority.folder / "proxy.crt"
        if not identity.exists():
            self._authority.issue("proxy", "/CN=proxy", ["IP:127.0.0.1"])
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(identity, identity.with_suffix(".key"))
        self.port = self._reserved.getsockname()[1]
        self._server = await asyncio.start_server(self._begin, sock=_socket(self.port), ssl=context)

    def down(self) -> None:
        """Refuse connections and reset those that are open."""
        if self._server is not None:
            self._server.close()
        self.cut()

    def cut(self, uri: str = "") -> int:
        """Reset the connections whose ``path?query`` matches; returns how many."""
        met = [each for each in self._open if re.search(uri, each.uri)]
        for each in met:
            each.abort()
        return len(met)

    def freeze(self, uri: str = "") -> int:
        """Let the open connections that match hang half open, for good; returns how many."""
        met = [each for each in self._open if re.search(uri, each.uri) and not each.frozen]
        for each in met:
            each.frozen = True
        return len(met)

    def asked(self, uri: str, method: str = "") -> list[Seen]:
        """Return the requests that match."""
        return [s for s in self.seen if re.search(uri, s.uri) and method in {"", s.method}]

    def kubeconfig(self, user: dict[str, Any] | None = None, namespace: str = "default") -> Path:
        """Write a kubeconfig that leads here; ``user`` replaces the token."""
        authority = base64.b64encode(self._authority.certificate.read_bytes()).decode()
        server = {
            "server": f"https://127.0.0.1:{self.port}",
            "certificate-authority-data": authority,
        }
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": server}],
            "users": [{"name": "proxy", "user": user or {"token": TOKEN}}],
            "contexts": [
                {
                    "name": "proxy",
                    "context": {"cluster": "proxy", "user": "proxy", "namespace": namespace},
                }
            ],
        }
        path = self._folder / "kubeconfig-to-proxy"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(content))
        return path

    async def stop(self) -> None:
        """End everything."""
        self.faults.clear()
        self.down()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._reserved.close()
        await asyncio.sleep(0.01)  # lets the transports go

    # --- inside

    async def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = _Open(writer)
        self._open.add(connection)
        try:
            await self._serve(reader, connection)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            connection.abort()
            self._open.discard(connection)
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, connection: _Open) -> None:
        request = _Request(await reader.readuntil(b"\r\n\r\n"))
        body = await reader.readexactly(int(request.header("content-length") or 0))
        connection.uri = request.uri
        token = request.header("authorization").removeprefix("Bearer ")
        self.seen.append(
            Seen(asyncio.get_running_loop().time(), request.method, request.uri, token)
        )
        self.called.set()
        fault = self.faults.meet(request.method, request.uri) or Fault()
        assert isinstance(fault, Fault)
        if fault.delay:
            with suppress(TimeoutError):
                async with asyncio.timeout(fault.delay):
                    await fault.lifted.wait()
        if token not in self.accepted:
            await _answer(connection.writer, _status(401, "Unauthorized"), 401)
        elif fault.status:
            seconds = "" if fault.retry_after is None else f"Retry-After: {fault.retry_after}\r\n"
            words = _status(fault.status, fault.message)
            await _answer(connection.writer, words, fault.status, seconds)
        elif fault.events:
            lines = b"".join(json.dumps(each).encode() + b"\n" for each in fault.events)
            await _answer(connection.writer, lines)
        else:
            if fault.silent:
                await fault.lifted.wait()
            await self._pass_on(request, body, reader, connection, fault)

    async def _pass_on(
        self,
        request: _Request,
        body: bytes,
        reader: asyncio.StreamReader,
        connection: _Open,
        fault: Fault,
    ) -> None:
        there, back = await self._upstream.connect()
        connection.back = back
        back.write(self._upstream.head(request) + body)
        if request.header("upgrade") and fault.cut_after is None:
            connection.writer.write(await _only(there))
        directions = {
            asyncio.ensure_future(_pump(reader, back, connection)),
            asyncio.ensure_future(_pump(there, connection.writer, connection, fault.cut_after)),
        }
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in directions:
                each.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
        if fault.cut_after is None and not connection.writer.is_closing():
            connection.writer.close()
            with suppress(OSError):
                await connection.writer.wait_closed()


@asynccontextmanager
async def proxied(kubeconfig: Path, folder: Path) -> AsyncIterator[FaultProxy]:
    """Run a proxy before a kubeconfig's cluster until the block is left."""
    proxy = FaultProxy(kubeconfig, folder)
    await proxy.up()
    try:
        yield proxy
    finally:
        await proxy.stop()


class _Request:
    """The head of a request."""

    def __init__(self, head: bytes) -> None:
        first, *rest = head.decode("latin-1").split("\r\n")
        self.method, self.uri, _ = first.split(" ", 2)
        pairs = (line.partition(":") for line in rest if line)
        self.headers = [(name, value.strip()) for name, _, value in pairs]

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


class _Upstream:
    """The API server behind, and who we are there."""

    def __init__(self, kubeconfig: dict[str, Any], folder: Path) -> None:
        (cluster,), (user,) = kubeconfig["clusters"], kubeconfig["users"]
        where = urlsplit(cluster["cluster"]["server"])
        self._host, self._port = where.hostname, where.port
        self._path, self._netloc = where.path.rstrip("/"), where.netloc
        self._token = user["user"].get("token", "")
        self._tls: ssl.SSLContext | None = None
        if where.scheme == "https":
            authority = _decoded(cluster["cluster"]["certificate-authority-data"]).decode()
            self._tls = ssl.create_default_context(cadata=authority)
            self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if "client-key-data" in user["user"]:
                identity = folder / "upstream.pem"
                identity.touch(mode=0o600)
                parts = (user["user"][f"client-{part}-data"] for part in ("certificate", "key"))
                identity.write_bytes(b"\n".join(map(_decoded, parts)))
                self._tls.load_cert_chain(identity)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, ssl=self._tls)

    def head(self, request: _Request) -> bytes:
        """Write a request's head anew: for this server, as us, and the connection's only one."""
        upgrade = bool(request.header("upgrade"))
        dropped = {"host", "authorization"} | (set() if upgrade else {"connection"})
        headers = [(k, v) for k, v in request.headers if k.lower() not in dropped]
        headers.append(("Host", self._netloc))
        if not upgrade:
            headers.append(("Connection", "close"))
        if self._token:
            headers.append(("Authorization", f"Bearer {self._token}"))
        lines = [f"{request.method} {self._path}{request.uri} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _only(reader: asyncio.StreamReader) -> bytes:
    """Read the answer to a handshake; a refusal is made the connection's only answer.

    What a client asked next there would reach the server as it is, not as us.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 101 " in head.partition(b"\r\n")[0]:
        return head
    return head.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n"


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    connection: _Open,
    limit: int | None = None,
) -> None:
    """Carry bytes one way until they end or ``limit`` is reached; of a frozen one, none."""
    with suppress(OSError):
        while data := await reader.read(_PIECE):
            if connection.frozen:
                continue
            if limit is not None:
                data, limit = data[:limit], limit - len(data)
            writer.write(data)
            await writer.drain()
            if limit is not None and limit <= 0:
                return
    if connection.frozen:
        await connection.never.wait()


async def _answer(
    writer: asyncio.StreamWriter, body: bytes, code: int = 200, headers: str = ""
) -> None:
    """Answer by ourselves and hang up."""
    head = (
        f"HTTP/1.1 {code} Fault\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    )
    writer.write(head.encode() + body)
    with suppress(OSError):
        await writer.drain()
        writer.close()
        await writer.wait_closed()


def _status(code: int, message: str) -> bytes:
    reasons = {401: "Unauthorized", 403: "Forbidden", 410: "Expired", 429: "TooManyRequests"}
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reasons.get(code, "InternalError"),
        "message": message,
    }
    return json.dumps(status).encode()


def _socket(port: int) -> socket.socket:
    """Bind on loopback; a bound socket that does not listen keeps the port for us."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    return made


def _decoded(data: str) -> bytes:
    return base64.b64decode(data)
