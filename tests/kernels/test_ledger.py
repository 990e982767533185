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
    assert ledger.executing
    assert names(ledger.settle(executing=True)) == [("b", True), ("c", False)]
    assert not ledger.held
    assert not ledger.executing


def test_requests_nobody_began_with_are_sent_again_before_later_ones() -> None:
    ledger = Ledger()
    ledger.sent(request("a"))
    ledger.sent(request("b"))
    ledger.held.append(request("c"))
    assert ledger.settle(executing=False) == []
    assert [m.raw for m in ledger.held] == ["a", "b", "c"]


def test_a_question_about_the_kernel_is_always_asked_again() -> None:
    ledger = Ledger()
    ledger.sent(request("info", "kernel_info_request"))
    ledger.sent(request("a"))
    ledger.status(header("info", "kernel_info_request"), "busy")
    assert not ledger.executing
    assert names(ledger.settle(executing=True)) == [("a", False)]
    assert [m.raw for m in ledger.held] == ["info"]


def test_only_shell_requests_expect_a_reply() -> None:
    ledger = Ledger()
    ledger.sent(request("comm", "comm_msg"))
    ledger.sent(request("stop", "interrupt_request", "control"))
    assert ledger.settle(executing=True) == []
    ledger.held.append(request("comm", "comm_msg"))
    ledger.held.append(request("a"))
    assert names(ledger.refuse_held()) == [("a", False)]


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
def test_each_request_is_answered_lost_or_sent_again_exactly_once(
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
    lost = ledger.settle(executing=ledger.executing)
    left = [m.header["msg_id"] for m, _ in lost] + [str(m.raw) for m in ledger.held]
    assert left == [name for name in sent if name not in answered]
