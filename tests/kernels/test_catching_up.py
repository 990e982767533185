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

from jupyter_kube.kernels import activity
from jupyter_kube.kernels import recall as recalls
from jupyter_kube.kernels.recall import RecallError, Recording
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
    return Recording(messages, [], [CELL] if still_open else [], 0, 0, 0.0, still_open, 0.0)


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


async def test_what_cannot_be_shown_is_said_under_the_next_cell(server: Server) -> None:
    async def recall() -> Recording:
        raise RecallError("nothing recorded it")

    kernel = await left_behind(server, recall)
    socket = await server.connect(kernel.kernel_id, "one-session")
    first = await socket.run("1", 30)
    assert "cannot be shown: nothing recorded it. The kernel itself goes on" in first.text
    assert (await socket.run("1", 30)).text == ""


@pytest.mark.parametrize("known", [True, False])
async def test_a_recording_that_is_not_whole_says_so(known: bool, server: Server) -> None:
    async def recall() -> Recording:
        said = ["said before"] if known else []
        return replace(recording(kernel, *said), unheard=60.0)

    kernel = await left_behind(server, recall)
    socket = await server.connect(kernel.kernel_id, "one-session")
    seen = note(socket)
    assert ("may be lost" in (await socket.run("1", 30)).text) is not known
    assert [text for text in printed(seen) if "may be lost" in text] == printed(seen)[:1]


async def test_a_pod_that_has_no_companion_is_not_asked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def recall(*args: Any, **kwargs: Any) -> Recording:
        raise AssertionError("asked")

    monkeypatch.setattr(recalls, "recall", recall)
    kernel = server.manager((await server.start())["id"])
    relay = kernel.provisioner._life.relay
    kernel.attached, relay.since, relay.alone = True, 1.0, True
    socket = await server.connect(kernel.kernel_id, "one-session")
    assert "nothing recorded it" in (await socket.run("1", 30)).text


async def test_much_output_of_before_comes_in_order_with_what_is_said_now(server: Server) -> None:
    """Others get their turns meanwhile, too."""
    lines = 3000

    async def recall() -> Recording:
        return recording(kernel, *(f"{n}\n" for n in range(lines)))

    turns, given = 0, asyncio.Event()

    async def others() -> None:
        nonlocal turns
        while not given.is_set():
            turns += connection is not None and 0 < len(connection._given) < lines
            await asyncio.sleep(0)

    kernel = await left_behind(server, recall)
    connection: Any = None
    watching = asyncio.create_task(others())
    socket = await server.connect(kernel.kernel_id, "one-session")
    seen = note(socket)
    (connection,) = kernel.listeners
    assert (await socket.run("print('now')", 60)).text == "now\n"
    given.set()
    await watching
    assert printed(seen) == [f"{n}\n" for n in range(lines)]
    said = [m["content"]["text"] for m in seen if m["msg_type"] == "stream"]
    assert said[-1] == "now\n"
    assert turns > 3


@pytest.mark.parametrize("busy", [True, False])
async def test_an_attached_kernels_state_and_clock_are_its_own(
    server: Server, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def recall() -> Recording:
        return replace(recording(kernel), busy=busy, quiet=0.0 if busy else 3600.0)

    monkeypatch.setattr(activity, "_LOOKS", (0.0, 0.0))
    kernel = await left_behind(server, recall)
    await activity.learn(kernel)
    model = await server.call("GET", "api", "kernels", kernel.kernel_id)
    assert model["execution_state"] == ("busy" if busy else "idle")
    idle_for = utcnow() - kernel.last_activity
    assert (idle_for > timedelta(minutes=59)) is not busy


async def test_a_companion_that_knew_it_late_does_not_leave_a_kernel_busy(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [True, False]

    async def recall() -> Recording:
        return replace(recording(kernel), busy=answers.pop(0))

    monkeypatch.setattr(activity, "_LOOKS", (0.0, 0.0))
    kernel = await left_behind(server, recall)
    await activity.learn(kernel)
    assert (kernel.execution_state, answers) == ("idle", [])


async def test_what_a_kernel_says_of_itself_is_newer_than_its_companions_word(
    server: Server,
) -> None:
    async def recall() -> Recording:
        kernel.execution_state = "idle"  # a status message comes meanwhile
        return replace(recording(kernel), busy=True)

    kernel = await left_behind(server, recall)
    await activity.learn(kernel)
    assert kernel.execution_state == "idle"
