"""A notebook session over a Jupyter Server's REST and websocket API, as a browser holds one.

The demo, the bench and the tests drive servers with it, so that what they see is what a user's
front end sees.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from . import messages
from .messages import Message


class ServerError(Exception):
    """An answer of the Jupyter Server that is not success: its code and its own words."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"HTTP {code}: {message}")
        self.code, self.message = code, message


@dataclass
class Reply:
    """What one cell gave: its reply, its outputs in order, and its text."""

    status: str = ""
    content: Message = field(default_factory=dict)
    outputs: list[Message] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of stdout and stderr."""
        return self._stream("stdout", "stderr")

    @property
    def stdout(self) -> str:
        """All of stdout; what the server has to say is on stderr."""
        return self._stream("stdout")

    def _stream(self, *names: str) -> str:
        streams = [m["content"] for m in self.outputs if m["msg_type"] == "stream"]
        return "".join(content["text"] for content in streams if content["name"] in names)


class JupyterServer:
    """One running Jupyter Server, by URL and token."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url.rstrip("/"), token
        self.process: subprocess.Popen[bytes] | None = None
        """The server's process, where it is :func:`running_server`'s."""
        self._http = AsyncHTTPClient(force_instance=True)

    async def request(self, method: str, path: str, body: Any = None, timeout: float = 60) -> Any:
        """Ask the server; returns the decoded answer.

        Raises
        ------
        ServerError
            With the ``message`` of the server's JSON answer.

        """
        request = HTTPRequest(
            f"{self.url}/{path.lstrip('/')}",
            method=method,
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
            body=None if body is None and method != "POST" else json.dumps(body or {}),
            request_timeout=timeout,
        )
        try:
            answer = await self._http.fetch(request)
        except HTTPClientError as error:
            raise ServerError(error.code, _message_of(error)) from None
        return json.loads(answer.body) if answer.body else None

    async def wait_until_up(self, seconds: float, alive: Callable[[], bool]) -> None:
        """Wait for the server's first answer while its process is ``alive``."""
        end = time.monotonic() + seconds
        while True:
            try:
                await self.request("GET", "api/status", timeout=2)
            except (OSError, ServerError) as error:
                if not alive():
                    raise ServerError(503, "the Jupyter Server ended while starting") from error
                if time.monotonic() > end:
                    raise ServerError(503, f"no answer for {seconds:.0f} s") from error
                await asyncio.sleep(0.1)
            else:
                return

    async def start_kernel(self, name: str) -> Message:
        """Start a kernel; returns its model."""
        model: Message = await self.request("POST", "api/kernels", {"name": name})
        return model

    async def connect(self, kernel_id: str, session: str = "") -> KernelSocket:
        """Open a kernel's websocket, as a front end that was there before where it is named."""
        session, rest = session or uuid.uuid4().hex, self.url.removeprefix("http")
        address = f"ws{rest}/api/kernels/{kernel_id}/channels?session_id={session}"
        request = HTTPRequest(address, headers={"Authorization": f"token {self.token}"})
        try:
            socket = await websocket_connect(
                request, max_message_size=2**28, subprotocols=[messages.V1]
            )
        except HTTPClientError as error:
            raise ServerError(error.code, _message_of(error)) from None
        if socket.stream is not None:
            socket.stream.set_nodelay(True)
        return KernelSocket(socket, session)

    def close(self) -> None:
        """Let go of the HTTP client."""
        self._http.close()


def hang_up(socket: WebSocketClientConnection) -> None:
    """Close a websocket at once: its event loop may end before the other end has said goodbye."""
    socket.close()
    if socket.stream is not None:
        socket.stream.close()


class KernelSocket:
    """A kernel's websocket: sends requests and collects what belongs to each."""

    def __init__(self, socket: WebSocketClientConnection, session: str) -> None:
        self.socket, self.session = socket, session
        self.on_message: Callable[[Message], None] = lambda _message: None

    def send(self, msg_type: str, content: Message, channel: str = "shell") -> str:
        """Send one message; returns its id."""
        msg_id = uuid.uuid4().hex
        header = {
            "msg_id": msg_id,
            "msg_type": msg_type,
            "session": self.session,
            "username": "",
            "version": "5.3",
        }
        packed = messages.pack(self.socket.selected_subprotocol, channel, header, content)
        self.socket.write_message(packed, binary=isinstance(packed, bytes))
        return msg_id

    def send_code(self, code: str) -> str:
        """Send an execute request; returns its id."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        return self.send("execute_request", content)

    async def receive(self) -> Message:
        """Wait for the next message of any kind.

        Raises
        ------
        ConnectionError
            If the websocket was closed.

        """
        raw = await self.socket.read_message()
        if raw is None:
            raise ConnectionError("the kernel's websocket was closed")
        message = messages.unpack(self.socket.selected_subprotocol, raw)
        self.on_message(message)
        return message

    async def collect(self, msg_id: str, timeout: float | None = None) -> Reply:
        """Gather one request's outputs until its reply and its idle status are both in."""
        reply = Reply()
        idle = False
        async with asyncio.timeout(timeout):
            while not (idle and reply.status):
                message = await self.receive()
                if message["parent_header"].get("msg_id") != msg_id:
                    continue
                kind = message["msg_type"]
                if kind.endswith("_reply"):
                    reply.content = message["content"]
                    reply.status = reply.content.get("status", "ok")
                elif kind == "status":
                    idle = idle or message["content"]["execution_state"] == "idle"
                else:
                    reply.outputs.append(message)
        return reply

    async def run(self, code: str, timeout: float | None = None) -> Reply:
        """Run one cell and return what it gave."""
        return await self.collect(self.send_code(code), timeout)

    def close(self) -> None:
        """Close the websocket."""
        hang_up(self.socket)


@asynccontextmanager
async def running_server(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    app: str = "jupyter_server",
    arguments: Sequence[str] = ("--no-browser",),
) -> AsyncIterator[JupyterServer]:
    """Run a Jupyter Server in a process of its own, on loopback, until the block is left.

    Its kernels end with it, unless the settings say otherwise.

    Parameters
    ----------
    folder
        Gets the server's settings and runtime files; its ``notebooks`` folder is served.
    settings
        Configuration by class name, as in ``jupyter_server_config.json``.
    app, arguments
        The module to run (``jupyter_server`` or ``jupyterlab``) and further arguments.

    """
    port, token = free_port(), secrets.token_urlsafe(16)
    config = folder / "jupyter_server_config.json"
    quiet = {"log_level": "WARN", **settings.get("ServerApp", {})}
    ours = {"keep_kernels": False, **settings.get("KubeMappingKernelManager", {})}
    text = json.dumps({**settings, "ServerApp": quiet, "KubeMappingKernelManager": ours})
    config.write_text(text, encoding="utf-8")
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    argv = [
        *(sys.executable, "-m", app, f"--config={config}", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        f"--ServerApp.root_dir={folder / 'notebooks'}",
        *arguments,
    ]
    env = {**os.environ, "JUPYTER_TOKEN": token, "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    process = subprocess.Popen(  # noqa: ASYNC220 - a fork; waited for in a thread
        argv,
        env=env,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is ours: we end the server when we are done with it
    )
    server = JupyterServer(f"http://127.0.0.1:{port}", token)
    server.process = process
    try:
        await server.wait_until_up(60, lambda: process.poll() is None)
        yield server
    finally:
        server.close()
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(_wait_or_kill, process)


def _wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """Find a port that nobody else takes before the server does.

    The system gives connections ports above these; Kubernetes' own services have 30000 and more.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def _message_of(error: HTTPClientError) -> str:
    """Find the server's own words in a refused request."""
    try:
        body = json.loads(error.response.body) if error.response else {}
    except ValueError:
        body = {}
    return str(body.get("message") or body.get("reason") or error.message)
