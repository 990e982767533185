"""One kernel's state, told of events in any order; no cluster is needed."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from traitlets.config import LoggingConfigurable

import jupyter_kube
from jupyter_kube import naming
from jupyter_kube.errors import StartFailed
from jupyter_kube.kernels import advice, news
from jupyter_kube.kernels.advice import Death
from jupyter_kube.kernels.found import Found
from jupyter_kube.kernels.kernel import KubeKernelManager
from jupyter_kube.kernels.ledger import Ledger
from jupyter_kube.models import PodState

_SCHEMA = Path(jupyter_kube.__file__).parent / "event_schemas" / "kernel_end" / "v1.yaml"
KILLED = Death("signal", "The kernel died: killed (signal 9).", "Variables are gone.", None, 9)
DIED = {"event": "died", "reason": "killed (signal 9)", "restarting": True, "death": KILLED}
READY = {"event": "ready", "generation": 2, "pid": 1}


class Kernels(LoggingConfigurable):
    """The part of the manager of all kernels that one of them talks to."""

    root_dir = "/root"
    start_patience = 0.0
    transport_encryption = "disabled"
    stopping = False
    server_hash = "mine"
    services = None

    def launched(self, kernel_id: str) -> None:
        pass

    def ended(self, kernel_id: str) -> None:
        pass


class FrontEnd:
    """A connection that notes what it is told."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.told: list[str] = []

    def kernel_waits(self) -> None:
        self.told.append("waits")

    def kernel_says(self, words: str) -> None:
        self.told.append(f"says {words}")

    def kernel_reached(self) -> None:
        self.told.append("reached")

    def kernel_down(self) -> None:
        self.told.append("down")

    def kernel_settled(self, why: str, *, final: bool = False) -> None:
        self.told.append(f"settled {final=}")

    def kernel_up(self) -> None:
        self.told.append("up")


@pytest.fixture
def front_end() -> FrontEnd:
    return FrontEnd()


async def running(front_end: FrontEnd) -> KubeKernelManager:
    """Make a kernel that has started."""
    kernel = KubeKernelManager(parent=Kernels())
    kernel.kernel_id = "an-id"
    kernel.listeners.append(front_end)
    kernel.kernel_event({"event": "launched"})
    front_end.told.clear()
    return kernel


async def test_a_kernel_that_starts_is_idle_once_it_can_be_talked_to(front_end: FrontEnd) -> None:
    kernel = await running(front_end)
    assert (kernel.stage, kernel.execution_state, kernel.process) == ("up", "idle", 1)
    kernel.execution_state = "starting"  # the activity watch passes on the kernel's first words
    assert kernel.execution_state == "idle"
    kernel.execution_state = "busy"
    assert kernel.execution_state == "busy"


@pytest.mark.parametrize("late", ["starting", "busy", "idle"])
async def test_no_message_of_a_kernel_stops_its_repair(late: str, front_end: FrontEnd) -> None:
    kernel = await running(front_end)
    restarted: list[str] = []
    kernel.add_restart_callback(lambda: restarted.append(kernel.execution_state or ""))
    kernel.kernel_event(DIED)
    kernel.execution_state = late
    assert kernel.execution_state == "restarting"
    kernel.kernel_event(READY)
    assert (kernel.stage, kernel.process) == ("up", 2)
    assert front_end.told == ["down", "settled final=False", "up"]
    assert restarted == ["restarting"]


async def test_two_deaths_in_a_row_are_two_restarts(front_end: FrontEnd) -> None:
    kernel = await running(front_end)
    restarted: list[str] = []
    kernel.add_restart_callback(lambda: restarted.append(""))
    for _ in range(2):
        kernel.kernel_event(DIED)
    kernel.kernel_event(READY)
    kernel.kernel_event(READY)
    assert len(restarted) == 2
    assert front_end.told.count("up") == 1


@pytest.mark.parametrize(
    "event",
    [
        {"event": "gave-up", "reason": "it keeps ending", "death": KILLED},
        {"event": "gone", "reason": "evicted", "death": KILLED},
        {"event": "died", "reason": "exit code 1", "restarting": False, "death": KILLED},
    ],
)
async def test_what_nobody_repairs_is_a_dead_kernel(
    event: dict[str, Any], front_end: FrontEnd
) -> None:
    kernel = await running(front_end)
    dead: list[str] = []
    kernel.add_restart_callback(lambda: dead.append(kernel.reason), "dead")
    kernel.kernel_event(event)
    kernel.kernel_event(event)
    assert kernel.execution_state == "dead"
    assert dead == [KILLED.text]
    assert front_end.told == ["down", "settled final=True"]
    await kernel.end(now=False)


async def test_a_lost_link_is_a_reason_and_no_death(front_end: FrontEnd) -> None:
    kernel = await running(front_end)
    kernel.kernel_event({"event": "link-up"})  # it has moved to a better way
    assert front_end.told == []
    kernel.kernel_event({"event": "link-lost", "reason": "reset"})
    assert "connection to the pod" in kernel.reason
    assert kernel.stage == "up"
    kernel.kernel_event({"event": "link-up"})
    assert kernel.reason == ""
    assert front_end.told == ["reached"]


@pytest.mark.parametrize(("phase", "answered"), [("waiting", True), ("pulling", False)])
async def test_only_a_wait_without_end_answers_the_request_to_start(
    phase: str, answered: bool, front_end: FrontEnd
) -> None:
    kernel = KubeKernelManager(parent=Kernels())
    kernel.kernel_id = "an-id"
    kernel.listeners.append(front_end)
    state = PodState("pod", phase, "Reason", "in words")
    kernel.kernel_event({"event": "progress", "state": state})
    assert (kernel.reason, kernel.waits_for) == ("in words", "in words")
    assert front_end.told == ["waits"]
    assert kernel._word.done() is answered


def ends(kernel: KubeKernelManager) -> list[dict[str, Any]]:
    """Note the kernel's ends that are told of as events from now on."""
    seen: list[dict[str, Any]] = []

    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        seen.append(data)

    kernel.event_logger.add_listener(schema_id=news.END, listener=listen)
    return seen


async def test_f12_the_cause_of_a_containers_end_is_told_when_it_is_known(
    front_end: FrontEnd,
) -> None:
    kernel = await running(front_end)
    seen = ends(kernel)
    container = Death("container", "The kernel died: its container was restarted.")
    kernel.kernel_event({"event": "launcher-restarted", "death": container})
    assert front_end.told == ["down"]
    oom = Death("oom", "Kernel ran out of memory (limit 2Gi).", "The profile “big” has 8Gi.")
    kernel.kernel_event({"event": "explained", "death": oom})
    assert kernel.reason == oom.text
    kernel.kernel_event(READY)
    assert front_end.told == ["down", "settled final=False", "up"]
    await kernel.event_logger.gather_listeners()
    assert [(e["outcome"], e["cause"], e["next"]) for e in seen] == [
        ("restarting", "oom", "The profile “big” has 8Gi.")
    ]


async def test_f09_silence_is_said_and_changes_nothing(front_end: FrontEnd) -> None:
    kernel = await running(front_end)
    seen = ends(kernel)
    kernel.kernel_event({"event": "silent", "words": "No answer."})
    assert (kernel.stage, kernel.reason, kernel.silence) == ("up", "No answer.", "No answer.")
    kernel.kernel_event({"event": "heard", "seconds": 12.3})
    assert (kernel.reason, kernel.silence) == ("", "")
    assert front_end.told[0] == "says No answer."
    assert "answers again, after 12 s" in front_end.told[1]
    await kernel.event_logger.gather_listeners()
    assert [(e["outcome"], e["cause"]) for e in seen] == [("lost", "silence"), ("found", "silence")]


async def test_f11_an_end_is_an_event_once(front_end: FrontEnd) -> None:
    kernel = await running(front_end)
    seen = ends(kernel)
    gone = Death("preempted", "The kernel's pod is gone: preempted.", "Restart the kernel.")
    for _ in range(2):
        kernel.kernel_event({"event": "gone", "reason": "preempted", "death": gone})
    await kernel.event_logger.gather_listeners()
    assert [(e["outcome"], e["cause"], e["words"]) for e in seen] == [
        ("dead", "preempted", gone.words)
    ]
    await kernel.end(now=False)


def test_the_schema_has_every_cause() -> None:
    causes = yaml.safe_load(_SCHEMA.read_text())["properties"]["cause"]["enum"]
    assert {*advice.CAUSES, "start", "silence"} == set(causes)


async def test_sessions_are_noted_at_each_pod_a_kernel_has(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = await running(front_end)
    session = {"id": "s", "path": "work.ipynb", "name": "", "type": "notebook"}
    kernel.remember([session])  # no pod is there yet
    given: dict[str, Any] = {}

    async def start_kernel(**kwargs: Any) -> None:
        given.update(kwargs)

    async def read_choice(notebook: str) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(kernel, "start_kernel", start_kernel)
    monkeypatch.setattr(kernel, "_read_choice", read_choice)
    await kernel._start("an-id", None, None)
    assert json.loads(given["notes"]()[naming.SESSIONS]) == [session]
    assert given["notes"]()[naming.NOTEBOOK] == "work.ipynb"


@pytest.mark.parametrize(
    ("step", "error", "logged"),
    [
        ("_read_choice", StartFailed("no"), 0),
        ("_read_choice", LookupError("odd"), 1),
        ("_async_pre_start_kernel", LookupError("odd"), 1),  # by Jupyter
    ],
)
async def test_a_start_that_fails_oddly_is_logged_once_with_where_it_came_from(
    step: str,
    error: Exception,
    logged: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kernel = KubeKernelManager(parent=Kernels())
    kernel.kernel_id = "an-id"

    async def fail(*_args: Any, **_kwargs: Any) -> None:
        raise error

    async def read_choice(notebook: str) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(kernel, "_read_choice", read_choice)
    monkeypatch.setattr(kernel, step, fail)
    await kernel._start("an-id", None, None)
    assert kernel.stage == "dead"
    assert len([record for record in caplog.records if record.exc_info]) == logged


async def test_a_kernel_whose_end_was_asked_for_is_not_left_to_the_next_server(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = await running(front_end)
    kernel.attached = True
    done: list[str] = []
    deleting = asyncio.Event()

    class Provisioner:
        def end_asked(self) -> None:
            pass

        async def bring_back_files(self, patience: float) -> None:
            deleting.set()
            await asyncio.sleep(0)

        async def detach(self) -> None:
            done.append("left")

    async def shutdown_kernel(now: bool) -> None:
        done.append("deleted")

    kernel.provisioner = Provisioner()
    monkeypatch.setattr(kernel, "shutdown_kernel", shutdown_kernel)
    ending = asyncio.create_task(kernel.end(now=False))
    await deleting.wait()
    await kernel.detach()
    await ending
    assert done == ["deleted"]


async def test_a_server_that_ends_leaves_no_pod_for_files_that_are_brought_back(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = await running(front_end)
    done: list[str] = []
    bringing, hurried = asyncio.Event(), asyncio.Event()

    class Provisioner:
        def end_asked(self) -> None:
            pass

        async def bring_back_files(self, patience: float) -> None:
            bringing.set()
            await hurried.wait()

        def hurry_files(self, patience: float) -> None:
            assert patience < 2
            hurried.set()

    async def shutdown_kernel(now: bool) -> None:
        done.append("deleted")

    kernel.provisioner = Provisioner()
    monkeypatch.setattr(kernel, "shutdown_kernel", shutdown_kernel)
    ending = asyncio.create_task(kernel.end(now=False))
    await bringing.wait()
    monkeypatch.setattr(kernel.parent, "stopping", True)
    await kernel.detach()
    await ending
    assert done == ["deleted"]


async def test_an_attached_kernel_that_is_gone_is_dead_and_nobody_waits_for_its_first_word(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = KubeKernelManager(parent=Kernels())

    async def start_kernel(**kwargs: Any) -> None:
        raise StartFailed("The kernel's pod cannot run", "it is gone")

    monkeypatch.setattr(kernel, "start_kernel", start_kernel)
    unheard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    found = cast(Found, SimpleNamespace())
    kernel.begin("an-id", {"JPY_SESSION_NAME": "work.ipynb"}, found)
    while kernel.stage != "dead":
        await asyncio.sleep(0)
    await kernel.end(now=False)
    kernel._word = asyncio.get_running_loop().create_future()
    gc.collect()
    assert unheard == []
