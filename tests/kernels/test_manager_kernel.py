"""One kernel's state, told of events in any order; no cluster is needed."""

from __future__ import annotations

from typing import Any

import pytest
from traitlets.config import LoggingConfigurable

from jupyter_kube.kernels.kernel import KubeKernelManager
from jupyter_kube.kernels.ledger import Ledger
from jupyter_kube.models import PodState

DIED = {"event": "died", "reason": "killed (signal 9)", "restarting": True}
READY = {"event": "ready", "generation": 2, "pid": 1}


class Kernels(LoggingConfigurable):
    """The part of the manager of all kernels that one of them talks to."""

    root_dir = "/root"
    start_patience = 0.0
    transport_encryption = "disabled"

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
        {"event": "gave-up", "reason": "it keeps ending"},
        {"event": "gone", "reason": "evicted"},
        {"event": "died", "reason": "exit code 1", "restarting": False},
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
    assert dead == [event["reason"]]
    assert front_end.told == ["down", "settled final=True"]
    await kernel.end(now=False)


async def test_a_lost_link_is_a_reason_and_no_death(front_end: FrontEnd) -> None:
    kernel = await running(front_end)
    kernel.kernel_event({"event": "link-lost", "reason": "reset"})
    assert "connection to the pod" in kernel.reason
    assert kernel.stage == "up"
    kernel.kernel_event({"event": "link-up"})
    assert kernel.reason == ""
    assert front_end.told == []


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
