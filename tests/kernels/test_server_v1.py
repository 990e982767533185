"""The websocket protocol that JupyterLab chooses: binary frames of parts."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from .serving import Server

PROTOCOL = "v1.kernel.websocket.jupyter.org"
DIE = """
import os, pathlib, time
while not pathlib.Path({!r}).exists(): time.sleep(0.01)
os.kill(os.getpid(), 9)
"""
"""A cell that ends its kernel once a file is there."""


class FrontEnd:
    """A connection in the newer protocol."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self._socket = socket

    def execute(self, code: str) -> str:
        return self.ask("execute_request", code=code, silent=False, store_history=True)

    def ask(self, msg_type: str, channel: str = "shell", **content: Any) -> str:
        msg_id = uuid.uuid4().hex
        header = {"msg_id": msg_id, "msg_type": msg_type, "session": "s"}
        parts = [
            json.dumps(part).encode()
            for part in (header | {"username": "", "version": "5.4"}, {}, {}, content)
        ]
        self._socket.write_message(serialize_msg_to_ws_v1(parts, channel), binary=True)
        return msg_id

    async def receive(self) -> tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Return the next message: channel, header, parent's header, content."""
        raw = await self._socket.read_message()
        assert isinstance(raw, bytes)
        channel, parts = deserialize_msg_from_ws_v1(raw)
        header, parent, _, content = (json.loads(part) for part in parts[:4])
        return channel, header, parent, content

    async def answers(self, msg_id: str) -> list[tuple[str, str, Any]]:
        """Collect what answers a request, until its reply and its idle state were there."""
        told: list[tuple[str, str, Any]] = []
        wanted = {"execute_reply", "idle"}
        while wanted:
            channel, header, parent, content = await self.receive()
            if parent.get("msg_id") == msg_id:
                shown = content.get("text") or content.get("status") or content
                told.append((channel, header["msg_type"], shown))
                wanted -= {header["msg_type"], content.get("execution_state")}
        return told


async def connect(server: Server, kernel_id: str, headers: dict[str, str]) -> FrontEnd:
    app = server.app
    url = f"ws://127.0.0.1:{app.port}{app.base_url}api/kernels/{kernel_id}/channels?session_id=s"
    request = HTTPRequest(url, headers=headers)
    socket = await websocket_connect(request, subprotocols=[PROTOCOL])
    assert socket.selected_subprotocol == PROTOCOL
    server.adopt(socket)
    return FrontEnd(socket)


async def test_cells_are_answered_before_during_and_after_a_death(
    server: Server, jp_auth_header: dict[str, str], tmp_path: Path
) -> None:
    kernel = (await server.start())["id"]
    front_end = await connect(server, kernel, jp_auth_header)
    assert ("iopub", "stream", "1\n") in await front_end.answers(front_end.execute("print(1)"))
    end = tmp_path / "end"
    killed, behind = front_end.execute(DIE.format(str(end))), front_end.execute("print(2)")
    last = front_end.ask("kernel_info_request", "control")
    while (await front_end.receive())[2].get("msg_id") != last:
        pass  # what was sent before it is there, too
    end.touch()
    told = await front_end.answers(killed)
    assert ("shell", "execute_reply", "aborted") in told
    assert any(kind == "stream" and "signal 9" in text for _, kind, text in told)
    assert ("shell", "execute_reply", "aborted") in await front_end.answers(behind)
    while (await front_end.receive())[3].get("execution_state") != "restarting":
        pass
    assert ("iopub", "stream", "3\n") in await front_end.answers(front_end.execute("print(3)"))


async def test_a_cell_that_waits_says_why_and_runs(
    server: Server, jp_auth_header: dict[str, str]
) -> None:
    holder = (await server.start("kube-four-gpus"))["id"]
    waiting = (await server.start("kube-gpu"))["id"]
    front_end = await connect(server, waiting, jp_auth_header)
    cell = front_end.execute("print(1)")
    while True:
        _, header, parent, content = await front_end.receive()
        if header["msg_type"] == "stream" and parent.get("msg_id") == cell:
            break
    assert "Insufficient nvidia.com/gpu" in content["text"]
    await server.delete(holder)
    told = await front_end.answers(cell)
    assert told[0][1] == "clear_output"
    assert ("iopub", "stream", "1\n") in told
