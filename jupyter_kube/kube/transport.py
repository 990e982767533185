"""What is below HTTP: sockets that notice a dead peer, proxies, bytes cut into lines."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import aiohttp

_KEEPALIVE = {
    "TCP_KEEPIDLE": 15,
    "TCP_KEEPALIVE": 15,  # macOS's name for the one above
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
}
"""A peer that is gone without a word is noticed after 15 + 3 x 5 seconds."""

_SELECTABLE = 1024
"""Files that ``select()`` can take; they have the lowest numbers."""
_OURS = 512
"""How many of those connections may use up: IPython's ``!ls`` selects, and users may."""
_TLS_BUFFER = 2**16
"""Bytes that a TLS connection holds to read into. asyncio's 256 KiB would be a quarter of a GB for
a job of a thousand ranks, whose logs are a connection each; and no faster."""


def open_session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    """Open an HTTP session; proxies and ``.netrc`` of the environment are not its business."""
    from asyncio.sslproto import SSLProtocol

    import aiohttp

    # For all of the process: asyncio has no other place where this may be said.
    SSLProtocol.max_size = min(SSLProtocol.max_size, _TLS_BUFFER)
    connector = aiohttp.TCPConnector(limit=0, ssl=context, socket_factory=keepalive_socket)
    return aiohttp.ClientSession(connector=connector, read_bufsize=2**20)


def make_room(number: int) -> None:
    """Let this process have so many connections open beside what else it has, as far as it may.

    The usual bound of 1,024 files would leave a notebook that follows a thousand logs none to open.
    """
    try:
        import resource
    except ImportError:  # Windows has no such bound
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number + _SELECTABLE
    if resource.RLIM_INFINITY != soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS says no to more than it can do
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """Make a socket for one result of ``getaddrinfo``.

    A watch sends nothing, so only the kernel's probes can tell that its other end has vanished.
    """
    family, kind, protocol = address[:3]
    made = _out_of_the_way(socket.socket(family, kind, protocol))
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


def _out_of_the_way(made: socket.socket) -> socket.socket:
    """Leave low numbers to files that others have to select, as far as there are higher ones."""
    if made.fileno() < _OURS or sys.platform == "win32":
        return made
    from fcntl import F_DUPFD_CLOEXEC, fcntl

    try:
        moved = fcntl(made, F_DUPFD_CLOEXEC, _SELECTABLE)
    except OSError:  # this process may have no more
        return made
    with made:
        return socket.socket(made.family, made.type, made.proto, fileno=moved)


def address(server: str) -> str:
    """Return a server's scheme, host and port, for people: its path may hold a token."""
    parts = urlsplit(server)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def proxy_for(server: str, configured: str | None) -> str | None:
    """Return the URL of the proxy on the way to a server, by kubectl's rules.

    The kubeconfig's ``proxy-url`` wins; then HTTPS_PROXY and NO_PROXY; loopback is never proxied.
    """
    from urllib import request

    if configured:
        return configured
    url = urlsplit(server)
    host = url.hostname or ""
    proxies = request.getproxies_environment()
    bypass = request.proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it
    if _is_loopback(host) or bypass(host, proxies):
        return None
    return proxies.get(url.scheme)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Cut a stream's chunks into lines; the last one may lack its newline."""
    parts: list[bytes] = []
    async for chunk in chunks:
        first, *more = chunk.split(b"\n")
        parts.append(first)
        if more:
            yield b"".join(parts)
            for line in more[:-1]:
                yield line
            parts = [more[-1]]
    if rest := b"".join(parts):
        yield rest
