"""A scripted Kubernetes API on loopback: says what a test tells it to say, faults included."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Seen(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class FakeApi:
    """Answers each (method, path) with its queued answers; the last one stays."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.released = asyncio.Event()
        """Lets go of the answers that hang."""
        self._answers: dict[tuple[str, str], deque[Answer]] = defaultdict(deque)
        self._runner: web.AppRunner | None = None
        self.url = ""

    def on(self, method: str, path: str, *answers: Answer) -> None:
        """Queue answers, instead of those queued before."""
        self._answers[method, path] = deque(answers)

    def asked(self, method: str, path: str) -> list[Seen]:
        """Return the requests to one path."""
        return [seen for seen in self.seen if (seen.method, seen.path) == (method, path)]

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"

    async def stop(self) -> None:
        self.released.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.seen.append(
            Seen(
                request.method,
                request.rel_url.raw_path,
                dict(request.query),
                dict(request.headers),
                json.loads(raw) if raw else None,
            )
        )
        answers = self._answers[request.method, request.rel_url.raw_path]
        if not answers:
            return await status(404, "NotFound", "no such object")(request)
        answer = answers.popleft() if len(answers) > 1 else answers[0]
        return await answer(request)


def ok(body: Any = None, code: int = 200, **headers: str) -> Answer:
    """Answer with JSON."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {} if body is None else body,
            status=code,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    return answer


def status(code: int, reason: str = "", message: str = "", **headers: str) -> Answer:
    """Answer with a Status object."""
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return ok(body, code, **headers)


def raw(content: bytes) -> Answer:
    """Answer 200 with bytes."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=content)

    return answer


async def vanish(request: web.Request) -> web.StreamResponse:
    """End the connection instead of answering."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def stream(*chunks: bytes, end: str = "close", wait: asyncio.Event | None = None) -> Answer:
    """Send chunks, then ``close`` well, ``cut`` in mid-chunk, or ``hang`` until ``wait``."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if end == "cut":
            assert request.transport is not None
            request.transport.abort()
        elif end == "hang":
            assert wait is not None
            await wait.wait()
        return response

    return answer


def lines(*objects: Any) -> bytes:
    """Encode a watch's events."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in objects)


def event(kind: str, name: str, version: int | str, uid: str = "", **more: Any) -> dict[str, Any]:
    """Make a watch's event."""
    return {"type": kind, "object": thing(name, version, uid, **more)}


def thing(name: str, version: int | str, uid: str = "", **more: Any) -> dict[str, Any]:
    """Make an object."""
    meta = {"name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": meta, **more}


def listed(version: int | str, *items: dict[str, Any]) -> Answer:
    """Answer with a List."""
    return ok({"metadata": {"resourceVersion": str(version)}, "items": list(items)})


def kubeconfig(folder: Path, server: str, user: Any = None, **cluster: Any) -> Path:
    """Write a kubeconfig with one context, ``test``."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [
            {"name": "test", "context": {"cluster": "c", "user": "u", "namespace": "here"}}
        ],
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": {"token": "secret"} if user is None else user}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return path
