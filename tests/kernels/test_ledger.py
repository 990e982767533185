"""What becomes of requests when a kernel process ends."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.kernels.ledger import Ledger, Message


def request(name: str, msg_type: str = "execute_request", channel: str = "shell") -> Message:
    return Message(channel, {"msg_id": name, "msg_type": msg_type}, name)


def names(lost: list[tuple[Message, bool]]) -> list[tuple[str, bool]]:
    return [(m.header["msg_id"], running) for m, running in lost]


def header(name: str, msg_type: str = "execute_request") -> dict[str, Any]:
    return {"msg_id": name, "msg_type": msg_type}


def test_all_that_waited_behind_a_running_cell_is_lost_with_it() -> None:
    ledger = Ledger()
    for name in ("a", "b", "c"):
        ledger.sent(request(name))
    ledger.status(header("a"), "busy")
    ledger.status(header("a"), "idle")
    ledger.answered("a")
    ledger.status(header("b"), "busy")
    assert names(ledger.settle()) == [("b", True), ("c", False)]
    assert not ledger.held
    assert ledger.settle() == []


def test_a_cell_that_ended_its_process_unseen_is_not_run_again_and_told_why() -> None:
    ledger = Ledger()
    ledger.sent(request("c", "complete_request"))
    ledger.sent(request("a"))
    ledger.sent(request("b"))
    assert names(ledger.settle()) == [("c", False), ("a", True), ("b", False)]
    assert not ledger.held


def test_another_front_ends_cell_is_told_there() -> None:
    ledger = Ledger()
    ledger.sent(request("a"))
    ledger.status(header("theirs"), "busy")
    assert names(ledger.settle()) == [("a", False)]


def test_a_question_about_the_kernel_is_asked_again_before_what_came_later() -> None:
    ledger = Ledger()
    ledger.sent(request("info", "kernel_info_request"))
    ledger.sent(request("a"))
    ledger.status(header("info", "kernel_info_request"), "busy")
    ledger.held.append(request("b"))
    assert names(ledger.settle()) == [("a", True)]
    assert [m.raw for m in ledger.held] == ["info", "b"]


def test_only_shell_requests_expect_a_reply() -> None:
    ledger = Ledger()
    ledger.sent(request("comm", "comm_msg"))
    ledger.sent(request("stop", "interrupt_request", "control"))
    assert ledger.settle() == []
    ledger.held.append(request("comm", "comm_msg"))
    ledger.held.append(request("a"))
    assert names(ledger.refuse_held()) == [("a", True)]


def test_the_first_held_cell_is_told_why_it_waits() -> None:
    ledger = Ledger()
    assert ledger.waiting_cell() is None
    ledger.held.extend([request("i", "kernel_info_request"), request("a"), request("b")])
    cell = ledger.waiting_cell()
    assert cell is not None
    assert cell["msg_id"] == "a"


@given(
    st.lists(
        st.tuples(st.sampled_from("sabi"), st.sampled_from("abcdef"), st.booleans()), max_size=40
    )
)
def test_each_request_is_answered_lost_or_sent_again_once(
    steps: list[tuple[str, str, bool]],
) -> None:
    ledger = Ledger()
    sent: list[str] = []
    answered: set[str] = set()
    for number, (step, letter, _) in enumerate(steps):
        if step == "s":
            sent.append(f"{letter}{number}")
            ledger.sent(request(sent[-1]))
        elif sent and step == "a":
            answered.add(sent[number % len(sent)])
            ledger.answered(sent[number % len(sent)])
        elif sent:
            ledger.status(header(sent[number % len(sent)]), "busy" if step == "b" else "idle")
    lost = ledger.settle()
    left = [m.header["msg_id"] for m, _ in lost] + [str(m.raw) for m in ledger.held]
    assert left == [name for name in sent if name not in answered]


def test_the_cell_at_work_is_the_one_the_kernel_says_or_else_the_first() -> None:
    ledger = Ledger()
    assert ledger.running_cell() is None
    ledger.sent(request("c", "complete_request"))
    assert ledger.running_cell() is None
    for name in ("a", "b"):
        ledger.sent(request(name))
    assert ledger.running_cell() == header("a")
    ledger.status(header("b"), "busy")
    assert ledger.running_cell() == header("b")
    ledger.answered("b")
    assert ledger.running_cell() == header("a")
