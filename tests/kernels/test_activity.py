"""What is noted of a kernel's activity, from what it says."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_client.session import DELIM
from jupyter_server._tz import utcnow

from jupyter_kube.kernels import activity, adapter

from .serving import Server

LONG_AGO = utcnow() - timedelta(hours=1)
THREAD = """\
import threading, time
def speak():
    while True:
        time.sleep(0.05)
        print("still here", flush=True)
threading.Thread(target=speak, daemon=True).start()
"""


def said(kind: str, parent: str = "execute_request", **content: Any) -> list[bytes]:
    parts = [{"msg_type": kind}, {"msg_type": parent}, {}, content]
    return [b"kernel.1." + kind.encode(), DELIM, b"sig", *(json.dumps(p).encode() for p in parts)]


@pytest.fixture
def kernel() -> Any:
    return SimpleNamespace(last_activity=LONG_AGO, execution_state="idle")


@pytest.fixture
def manager() -> Any:
    untracked = {"kernel_info_request", "comm_msg"}
    return SimpleNamespace(
        track_message_type=lambda kind: kind not in untracked, last_kernel_activity=LONG_AGO
    )


@pytest.mark.parametrize(
    ("message", "state", "noted"),
    [
        (said("status", execution_state="busy"), "busy", True),
        (said("status", "kernel_info_request", execution_state="busy"), "idle", True),
        (said("execute_result"), "idle", True),
        (said("comm_msg", "kernel_info_request"), "idle", False),
        (said("iopub_welcome"), "idle", False),
    ],
)
def test_jupyters_rules_hold(
    manager: Any, kernel: Any, message: list[bytes], state: str, noted: bool
) -> None:
    activity.record(manager, kernel, message)
    assert kernel.execution_state == state
    assert (kernel.last_activity > LONG_AGO) == noted
    assert manager.last_kernel_activity == kernel.last_activity


def test_f25_a_clock_that_was_set_back_does_not_stop_the_notes(manager: Any, kernel: Any) -> None:
    kernel.last_activity = utcnow() + timedelta(hours=1)
    activity.touch(manager, kernel)
    assert kernel.last_activity < utcnow() + timedelta(seconds=1)


async def test_output_passes_once_while_a_front_end_takes_it_and_counts_without_one(
    server: Server,
) -> None:
    model = await server.start()
    kernel = server.manager(model["id"])
    socket = await server.connect(model["id"])
    await socket.run("1", 60)  # by then the kernel is up, and watched
    watch, topics, spoken = adapter.activity_stream(kernel), [], asyncio.Event()

    def note(message: list[bytes]) -> None:
        topics.append(message[0])
        if message[0].startswith(b"stream"):
            spoken.set()
        activity.record(server.app.kernel_manager, kernel, message)

    watch.on_recv(note)
    kernel.last_activity = LONG_AGO
    assert (await socket.run("print('x', flush=True)", 60)).text == "x\n"
    assert kernel.last_activity > LONG_AGO
    async with asyncio.timeout(30):
        while kernel.execution_state != "idle":  # it comes by itself, beside the front end's
            await asyncio.sleep(0.01)
    assert not [topic for topic in topics if not topic.startswith(b"kernel.")]
    await socket.run(THREAD, 60)
    socket.close()
    async with asyncio.timeout(30):
        await spoken.wait()
        kernel.last_activity = LONG_AGO
        while kernel.last_activity == LONG_AGO:
            spoken.clear()
            await spoken.wait()
    await server.delete(model["id"])
