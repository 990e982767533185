"""Port-forward: the framing of the API's websockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from jupyter_kube.errors import AccessDenied, ClusterUnavailable, InvalidManifest, NotFound
from jupyter_kube.kube import streams
from jupyter_kube.kube.client import KubeClient

from .fake import Answer, FakeApi, status

FORWARD = "/api/v1/namespaces/here/pods/p/portforward"
PORT = (8123).to_bytes(2, "little")

Talk = Callable[[web.WebSocketResponse, web.Request], Awaitable[None]]


def websocket(talk: Talk) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",), max_msg_size=0)
        await socket.prepare(request)
        assert socket.ws_protocol == "v4.channel.k8s.io"
        await talk(socket, request)
        await socket.close()
        return socket

    return answer


async def greet(socket: web.WebSocketResponse) -> None:
    await socket.send_bytes(b"\0" + PORT)
    await socket.send_bytes(b"\1" + PORT)


async def echo(socket: web.WebSocketResponse, _request: web.Request) -> None:
    await greet(socket)
    async for message in socket:
        assert message.data[0] == 0
        await socket.send_bytes(message.data)


async def test_bytes_travel_both_ways(api: FakeApi, client: KubeClient) -> None:
    api.on("GET", FORWARD, websocket(echo))
    connection = await streams.port_forward(client, "p", 8123)
    assert api.seen[0].query == {"ports": "8123"}
    sent = bytes(range(256)) * 4000
    connection.write(sent[:10])
    connection.write(sent[10:])
    await connection.drain()
    got = b""
    while len(got) < len(sent):
        got += await connection.read()
    assert got == sent
    connection.close()
    connection.close()


async def test_the_first_bytes_may_share_a_message_with_the_port(
    api: FakeApi, client: KubeClient
) -> None:
    async def talk(socket: web.WebSocketResponse, _request: web.Request) -> None:
        await socket.send_bytes(b"\0" + PORT + b"early")
        await socket.send_bytes(b"\0" + PORT)

    api.on("GET", FORWARD, websocket(talk))
    connection = await streams.port_forward(client, "p", 8123)
    assert [await connection.read() for _ in range(3)] == [b"early", PORT, b""]
    connection.close()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (b"error forwarding: dial tcp4 127.0.0.1:8123: connect: connection refused\n", "nothing"),
        (b"x" * 300 + b" network namespace is closed", "network namespace is closed"),
    ],
)
async def test_why_a_port_cannot_be_reached_is_said(
    api: FakeApi, client: KubeClient, words: bytes, why: str
) -> None:
    async def talk(socket: web.WebSocketResponse, _request: web.Request) -> None:
        await greet(socket)
        await socket.send_bytes(b"\1" + words)

    api.on("GET", FORWARD, websocket(talk))
    connection = await streams.port_forward(client, "p", 8123)
    with pytest.raises(ClusterUnavailable, match="cannot reach port 8123 of pod p") as caught:
        await connection.read()
    assert why in caught.value.why
    assert len(caught.value.why) <= 256
    connection.close()


async def test_a_broken_connection_ends_the_stream(api: FakeApi, client: KubeClient) -> None:
    async def talk(socket: web.WebSocketResponse, request: web.Request) -> None:
        await greet(socket)
        assert request.transport is not None
        request.transport.abort()

    api.on("GET", FORWARD, websocket(talk))
    connection = await streams.port_forward(client, "p", 8123)
    assert await connection.read() == b""
    connection.write(b"too late")
    with pytest.raises(ConnectionError):
        await connection.drain()
    connection.close()


async def test_writing_waits_for_a_slow_reader(api: FakeApi, client: KubeClient) -> None:
    reading = asyncio.Event()

    async def talk(socket: web.WebSocketResponse, _request: web.Request) -> None:
        await greet(socket)
        await reading.wait()
        received = 0
        async for message in socket:
            received += len(message.data) - 1
            if received == 64 * 2**20:
                await socket.send_bytes(b"\0all")

    api.on("GET", FORWARD, websocket(talk))
    connection = await streams.port_forward(client, "p", 8123)
    connection.write(bytes(64 * 2**20))
    draining = asyncio.create_task(connection.drain())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await asyncio.shield(draining)
    reading.set()
    await draining
    assert await connection.read() == b"all"
    connection.close()


async def test_a_refusal_has_the_apis_words(api: FakeApi, client: KubeClient) -> None:
    words = 'pods "p" is forbidden: User "u" cannot create resource "pods/portforward"'
    api.on("GET", FORWARD, status(403, "Forbidden", words))
    with pytest.raises(AccessDenied) as caught:
        await streams.port_forward(client, "p", 8123)
    assert caught.value.why == words
    api.on("GET", FORWARD, status(404, "NotFound", 'pods "p" not found'))
    with pytest.raises(NotFound, match='pods "p" not found'):
        await streams.port_forward(client, "p", 8123)
    api.on("GET", FORWARD, status(400, "BadRequest", "pod p does not have a host assigned"))
    with pytest.raises(InvalidManifest, match="reach port 8123 of pod p"):
        await streams.port_forward(client, "p", 8123)


async def test_f19_refused_credentials_are_renewed_once(api: FakeApi, client: KubeClient) -> None:
    api.on("GET", FORWARD, status(401), websocket(echo))
    connection = await streams.port_forward(client, "p", 8123)
    connection.close()
    api.on("GET", FORWARD, status(401))
    with pytest.raises(AccessDenied):
        await streams.port_forward(client, "p", 8123)
    assert len(api.asked("GET", FORWARD)) == 4


async def test_an_api_that_is_away_is_said(api: FakeApi, client: KubeClient) -> None:
    await api.stop()
    with pytest.raises(ClusterUnavailable, match="cannot reach"):
        await streams.port_forward(client, "p", 8123)
