"""A client as plain as can be, so that tests see what the API server really says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from jupyter_kube.localcluster import LocalCluster

PODS = "/api/v1/namespaces/default/pods"
SECRETS = "/api/v1/namespaces/default/secrets"
JOBS = "/apis/batch/v1/namespaces/default/jobs"


class Answer:
    """An HTTP answer."""

    def __init__(self, code: int, body: bytes, headers: Any) -> None:
        self.code, self.body, self.headers = code, body, headers

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["message"])


class ApiClient:
    """Talk to a cluster as its owner, or with another token."""

    def __init__(self, cluster: LocalCluster, token: str | None = None) -> None:
        self.cluster, self.token = cluster, cluster.token if token is None else token
        self._http = AsyncHTTPClient(force_instance=True)

    def close(self) -> None:
        self._http.close()

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        **query: str,
    ) -> Answer:
        answer = await self._http.fetch(
            self.cluster.url + path + ("?" + urlencode(query) if query else ""),
            method=method,
            body=None if body is None else body if isinstance(body, bytes) else json.dumps(body),
            headers={**self.headers, "Content-Type": content_type},
            allow_nonstandard_methods=True,
            raise_error=False,
        )
        return Answer(answer.code, answer.body, answer.headers)

    async def get(self, path: str, **query: str) -> Answer:
        return await self.request("GET", path, **query)

    async def post(self, path: str, body: Any, **query: str) -> Answer:
        return await self.request("POST", path, body, **query)

    async def lines(self, path: str, **query: str) -> AsyncIterator[bytes]:
        """Give the lines of an answer as they come; closing it closes the connection."""
        where = urlsplit(self.cluster.url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        head = f"GET {path}?{urlencode(query)} HTTP/1.1\r\nHost: x\r\n"
        writer.write(f"{head}Authorization: Bearer {self.token}\r\n\r\n".encode())
        try:
            assert b" 200 " in await reader.readline()
            while await reader.readline() != b"\r\n":
                pass
            rest = b""
            while size := int(await reader.readline() or b"0", 16):
                *lines, rest = (rest + await reader.readexactly(size)).split(b"\n")
                await reader.readexactly(2)
                for line in lines:
                    yield line
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()
            await writer.wait_closed()

    async def watch(self, path: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        """Give the events of a watch."""
        lines = self.lines(path, watch="true", **query)
        try:
            async for line in lines:
                yield json.loads(line)
        finally:
            await lines.aclose()  # type: ignore[attr-defined]  # it is a generator

    async def socket(self, path: str, protocol: str, query: Any) -> WebSocketClientConnection:
        url = self.cluster.url.replace("http", "ws", 1) + path + "?" + urlencode(query)
        return await websocket_connect(
            HTTPRequest(url, headers=self.headers), subprotocols=[protocol]
        )


async def received(socket: WebSocketClientConnection) -> list[bytes]:
    """Read all messages until the other side closes."""
    messages = []
    while (message := await socket.read_message()) is not None:
        messages.append(message if isinstance(message, bytes) else message.encode())
    socket.close()
    return messages


def pod(name: str, code: str = "pass", **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "python:3.11", "command": ["python", "-Suc", code]}
    return {
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
            **spec,
        },
    }
