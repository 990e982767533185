"""A front end comes back to a kernel that an earlier server left: what it is given, and when."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from jupyter_client.session import Session
from jupyter_server._tz import utcnow

from jupyter_kube.kernels.recall import Recording
from jupyter_kube.session import KernelSocket

from .serving import Server

CELL = {
    "msg_id": "of-before",
    "msg_type": "execute_request",
    "session": "one-session",
    "username": "",
    "version": "5.3",
}


async def left_behind(server: Server, recall: Callable[[], Awaitable[Recording]]) -> Any:
    """Start a kernel that counts as one of an earlier server; ``recall`` is what its pod says."""
    kernel = server.manager((await server.start())["id"])

    async def recalled(session: str) -> Recording:
        return await recall()

    kernel.recall, kernel.attached, kernel.provisioner._life.relay.since = recalled, True, 1.0
    return kernel


def recording(kernel: Any, *texts: str, still_open: bool = False) -> Recording:
    """Return a recording of one cell's output."""
    session = Session(key=kernel.session.key)
    said = [
        session.msg("stream", {"name": "stdout", "text": text}, parent={"header": CELL})
        for text in texts
    ]
    messages = [session.serialize(message)[1:] for message in said]
    return Recording(messages, [], [CELL] if still_open else [], 0, 0, True, still_open, 0.0)


def note(socket: KernelSocket) -> list[dict[str, Any]]:
    """Return a list to which all that the front end receives is added."""
    seen: list[dict[str, Any]] = []
    socket.on_message = seen.append
    return seen


def printed(seen: list[dict[str, Any]]) -> list[str]:
    of_cell = [m for m in seen if m["parent_header"].get("msg_id") == CELL["msg_id"]]
    return [m["content"]["text"] for m in of_cell if m["msg_type"] == "stream"]


async def test_a_connection_lost_while_catching_up_loses_nothing(server: Server) -> None:
    asked, answers = asyncio.Event(), False

    async def recall() -> Recording:
        asked.set()
        if not answers:
            await asyncio.get_running_loop().create_future()
        return recording(kernel, "said before")

    kernel = await left_behind(server, recall)
    first = await server.connect(kernel.kernel_id, "one-session")
    await asked.wait()
    first.close()
    while (await server.call("GET", "api", "kernels"))[0]["connections"]:
        await asyncio.sleep(0.01)
    answers = True
    again = await server.connect(kernel.kernel_id, "one-session")
    seen = note(again)
    assert (await again.run("1", 60)).status == "ok"
    assert printed(seen) == ["said before"]


async def test_a_recording_that_is_not_understood_leaves_the_kernel_usable(server: Server) -> None:
    async def recall() -> Recording:
        raise LookupError("not what was expected")

    kernel = await left_behind(server, recall)
    socket = await server.connect(kernel.kernel_id, "one-session")
    assert (await socket.run("1", 30)).status == "ok"


async def test_a_cell_of_before_is_answered_when_its_kernel_dies_now(server: Server) -> None:
    async def recall() -> Recording:
        return recording(kernel, "said before", still_open=True)

    kernel = await left_behind(server, recall)
    socket = await server.connect(kernel.kernel_id, "one-session")
    seen = note(socket)
    pid = (await socket.run("import os; print(os.getpid())", 60)).text
    os.kill(int(pid), 9)
    assert (await socket.collect(CELL["msg_id"], 60)).status == "aborted"
    assert [text for text in printed(seen) if "killed" in text]


@pytest.mark.parametrize("busy", [True, False])
async def test_an_attached_kernels_state_and_clock_are_its_own(server: Server, busy: bool) -> None:
    async def recall() -> Recording:
        return replace(recording(kernel), busy=busy, quiet=0.0 if busy else 3600.0)

    kernel = await left_behind(server, recall)
    await kernel._learn()
    model = await server.call("GET", "api", "kernels", kernel.kernel_id)
    assert model["execution_state"] == ("busy" if busy else "idle")
    idle_for = utcnow() - kernel.last_activity
    assert (idle_for > timedelta(minutes=59)) is not busy
