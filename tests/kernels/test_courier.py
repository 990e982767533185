"""Errands: each is done once, by a server that took it, or its kernel is told why not."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import zmq
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jupyter_kube.kernels import courier
from jupyter_kube.kernels.courier import PATIENCE, SILENCE, Courier, Errands


def asked(now: float = 0.0, *, server: bool = True) -> Errands:
    errands = Errands()
    if server:
        errands.wait(b"server", 1)
    errands.add(b"kernel", "push", ["a"], now, [b"along"])
    return errands


def test_why_no_files_travel_any_more_is_in_the_pods_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_given: Any) -> None:
        raise LookupError("odd")

    monkeypatch.setattr(courier, "_Round", fail)
    others = set(threading.enumerate())
    with zmq.Context() as context:
        Courier(context, {}).socket.close()
        for thread in set(threading.enumerate()) - others:
            thread.join(30)
    said = capsys.readouterr().err
    assert said.startswith("[jupyter-kube] no files travel any more:\nTraceback")
    assert said.endswith("LookupError: odd\n")


def test_an_errand_goes_to_the_server_that_waits_and_its_end_to_the_kernel() -> None:
    errands = asked()
    assert errands.offer() == (
        b"server",
        1,
        {"number": 1, "command": "push", "names": ["a"]},
        [b"along"],
    )
    assert errands.offer() is None
    assert errands.take(1, b"server", 0.0)
    assert errands.say(1, "half", 1.0)
    assert errands.say(1, "", 2.0)
    errands.done(1, "all", "")
    assert errands.words() == [
        (b"kernel", {"text": "half"}),
        (b"kernel", {"text": ""}),  # a sign of life
        (b"kernel", {"done": "all"}),
    ]
    assert errands.words() == []
    assert not errands.say(1, "more", 3.0)


def test_a_server_that_comes_late_finds_it() -> None:
    errands = asked(server=False)
    assert errands.offer() is None
    errands.wait(b"server", 7)
    offered = errands.offer()
    assert offered is not None
    assert offered[:2] == (b"server", 7)


def test_what_a_lost_server_was_offered_goes_to_the_next() -> None:
    errands = asked()
    errands.offer()
    errands.wait(b"next", 1)
    offered = errands.offer()
    assert offered is not None
    assert offered[0] == b"next"
    assert errands.take(1, b"next", 0.0)
    assert not errands.take(1, b"server", 0.0)  # the lost one, if it was only slow
    errands.wait(b"next", 2)
    assert errands.offer() is None


def test_without_a_server_the_kernel_is_told() -> None:
    errands = asked(5.0)
    assert errands.patience(5.0) == PATIENCE * 1000 + 1
    errands.expire(5.0 + PATIENCE - 0.1)
    assert errands.words() == []
    errands.expire(5.0 + PATIENCE)
    ((peer, said),) = errands.words()
    assert peer == b"kernel"
    assert "no Jupyter Server is connected" in said["error"]
    assert not errands.take(1, b"server", 5.0 + PATIENCE)
    assert errands.patience(100.0) is None


def test_a_server_that_falls_silent_is_given_up() -> None:
    errands = asked()
    errands.take(1, b"server", 1.0)
    errands.expire(1.0 + PATIENCE)
    errands.say(1, "", 2.0)
    errands.expire(2.0 + SILENCE - 0.1)
    assert errands.words() == [(b"kernel", {"text": ""})]
    errands.expire(2.0 + SILENCE)
    assert "was lost" in errands.words()[0][1]["error"]


def test_what_a_server_was_offered_is_not_sent_to_it_again() -> None:
    errands = asked()
    errands.offer()
    errands.wait(b"server", 2)
    assert errands.offer() is None
    assert errands.take(1, b"server", 0.0)


def test_what_a_lost_server_still_says_late_harms_nothing() -> None:
    errands = asked()
    errands.offer()
    errands.wait(b"next", 1)
    errands.wait(b"server", 2)
    assert not errands.take(1, b"server", 0.0)
    offered = errands.offer()
    assert offered is not None
    assert offered[0] == b"next"
    assert errands.take(1, b"next", 0.0)
    errands.wait(b"server", 3)
    assert errands.words() == []


def test_what_a_lost_server_did_is_given_up_as_soon_as_the_next_one_is_there() -> None:
    errands = asked()
    errands.take(1, b"server", 1.0)
    errands.wait(b"server", 2)
    assert errands.words() == []
    errands.wait(b"next", 1)
    ((peer, said),) = errands.words()
    assert peer == b"kernel"
    assert "was lost" in said["error"]
    assert said["lost"]
    assert not errands.say(1, "half", 2.0)
    assert errands.offer() is None


def test_what_is_withdrawn_is_not_done() -> None:
    errands = asked()
    errands.withdraw(b"kernel")
    assert errands.offer() is None
    assert not errands.take(1, b"server", 0.0)
    errands.done(1, "late", "")
    assert errands.words() == []


def test_there_is_an_end_to_what_may_be_asked() -> None:
    errands = Errands()
    for number in range(100):
        errands.add(b"%d" % number, "push", [], 0.0)
    refusals = errands.words()
    assert 0 < len(refusals) < 100
    assert refusals[0][1] == {"error": "too much is under way"}


def test_errands_of_a_process_that_ended_are_nobodys() -> None:
    errands = asked()
    errands.offer()
    assert errands.take(1, b"server", 0.0)
    errands.forget()
    assert not errands.say(1, "half", 1.0)
    errands.done(1, "all", "")
    assert errands.words() == []


SERVERS = st.sampled_from([b"server", b"next"])


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: nothing is taken twice, everybody gets one end."""

    def __init__(self) -> None:
        super().__init__()
        self.errands = Errands()
        self.now = 0.0
        self.count = 0
        self.taken: list[int] = []
        self.offered: list[int] = []
        self.ends: dict[bytes, int] = {}

    @rule()
    def ask(self) -> None:
        self.count += 1
        self.errands.add(b"%d" % self.count, "push", [], self.now)

    @rule(server=SERVERS)
    def wait(self, server: bytes) -> None:
        self.errands.wait(server, 0)

    @rule()
    def offer(self) -> None:
        if found := self.errands.offer():
            self.offered.append(found[2]["number"])

    @rule(data=st.data())
    def take(self, data: Any) -> None:
        if self.offered and self.errands.take(
            number := data.draw(st.sampled_from(self.offered)), data.draw(SERVERS), self.now
        ):
            assert number not in self.taken
            self.taken.append(number)

    @rule(data=st.data())
    def finish(self, data: Any) -> None:
        if self.taken:
            self.errands.done(data.draw(st.sampled_from(self.taken)), "", "")

    @rule(seconds=st.floats(0, 50))
    def time_goes_on(self, seconds: float) -> None:
        self.now += seconds
        self.errands.expire(self.now)

    @invariant()
    def one_end_each(self) -> None:
        for peer, said in self.errands.words():
            assert {"error", "done"} & said.keys()
            self.ends[peer] = self.ends.get(peer, 0) + 1
        assert all(count == 1 for count in self.ends.values())

    def teardown(self) -> None:
        self.errands.expire(self.now + SILENCE + PATIENCE)
        self.one_end_each()
        assert len(self.ends) == self.count


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=20)
