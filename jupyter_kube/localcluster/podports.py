"""Connections to the ports of pods."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

CHUNK = 64 * 1024

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(host: str, port: int, pod: str) -> Connection:
    """Connect to a port of a pod.

    Raises
    ------
    ConnectionError
        With the words that a real cluster uses.

    """
    try:
        return await asyncio.open_connection(host, port)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        text = (
            f"error forwarding port {port} to pod {pod}, uid : failed to execute portforward in "
            f'network namespace "{host}": failed to connect to localhost:{port} inside '
            f'namespace "{host}", IPv4: dial tcp4 {host}:{port}: connect: {reason}'
        )
        raise ConnectionError(text) from error


async def pump(reader: asyncio.StreamReader, take: Callable[[bytes], Awaitable[bool]]) -> None:
    """Hand on what the pod says until it ends, or nobody takes it any more."""
    try:
        while data := await reader.read(CHUNK):
            if not await take(data):
                return
    except ConnectionError:
        return  # to the client that is an end as any other


async def write(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Hand something to the pod, and wait until it has been taken, or never will be."""
    if writer.is_closing():
        return
    writer.write(data)
    try:
        await writer.drain()
    except ConnectionError:
        return
