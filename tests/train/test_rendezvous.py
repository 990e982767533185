"""The coordinator's judgement, event by event, without processes or clocks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.train.rendezvous import Coordinator


class Job:
    """A coordinator, its clock, and members that answer as told."""

    def __init__(self, workers: int = 3, retries: int = 2, **more: Any) -> None:
        self.it = Coordinator(workers, retries, **more)
        self.now = 100.0
        self.sent: list[tuple[int, str, dict[str, Any]]] = []
        self.notes: list[dict[str, Any]] = []
        self.boots = [f"boot-{index}" for index in range(workers)]

    def collect(self) -> list[tuple[int, str]]:
        """Take what the coordinator wants sent; members answer pings and prepares at once."""
        sent, self.it.outbox = self.it.outbox, []
        self.sent += sent
        self.notes += self.it.notes
        self.it.notes = []
        return [(index, kind) for index, kind, _ in sent]

    def hello(self, index: int, *, boot: str = "", generation: int = 0, running: int = 0) -> None:
        about = {
            "boot": boot or self.boots[index],
            "host": f"10.0.0.{index}",
            "generation": generation,
            "failures": 0,
            "running": running,
        }
        self.it.hello(index, about, self.now)

    def say(self, index: int, kind: str, **content: Any) -> bool:
        content.setdefault("generation", self.it.generation)
        return self.it.message(index, {"kind": kind, **content}, self.now)

    def ended(self, index: int, outcome: str, text: str = "", *, killed: bool = False) -> None:
        self.say(index, "ended", outcome=outcome, text=text, killed=killed)

    def pong(self, *indexes: int) -> None:
        pings = [content["number"] for _, kind, content in self.sent if kind == "ping"]
        for index in indexes:
            self.say(index, "pong", number=pings[-1])

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.it.tick(self.now)
        self.notes += self.it.notes
        self.it.notes = []

    def running(self) -> Job:
        for index in range(self.it.workers):
            self.hello(index)
        self.offer()
        return self

    def offer(self) -> None:
        self.collect()
        for index in range(self.it.workers):
            self.say(index, "offer", ports=[1000 + index, 2000 + index])
        self.collect()
        assert self.it.phase == "running"


def test_nobody_starts_before_all_are_there() -> None:
    job = Job()
    job.hello(0)
    job.hello(2)
    job.wait(0.2)
    assert job.collect() == []
    assert job.notes == [{"phase": "waiting", "text": "waiting for rank 1", "missing": [1]}]
    job.hello(1)
    assert job.collect() == [(0, "prepare"), (2, "prepare"), (1, "prepare")]


def test_all_get_the_same_list_of_members_in_the_order_of_ranks() -> None:
    job = Job().running()
    starts = [content for _, kind, content in job.sent if kind == "start"]
    assert len(starts) == 3
    assert all(content == starts[0] for content in starts)
    assert starts[0]["generation"] == 1
    assert [member["host"] for member in starts[0]["members"]] == [
        "10.0.0.0", "10.0.0.1", "10.0.0.2",
    ]  # fmt: skip


def test_the_end_needs_all_and_the_coordinator_leaves_last() -> None:
    job = Job().running()
    job.ended(0, "done")
    job.ended(1, "done")
    assert job.collect() == []
    job.ended(2, "done")
    assert job.collect() == [(0, "finish"), (1, "finish"), (2, "finish")]
    job.say(1, "bye")
    assert not job.it.over
    job.say(2, "bye")
    assert job.it.over


def test_the_end_does_not_wait_forever_for_a_goodbye() -> None:
    job = Job().running()
    for index in range(3):
        job.ended(index, "done")
    job.wait(9)
    assert not job.it.over
    job.wait(2)
    assert job.it.over


def test_the_end_waits_for_a_goodbye_of_who_is_busy_and_alive() -> None:
    job = Job().running()
    for index in range(3):
        job.ended(index, "done")
    job.say(1, "busy")
    job.say(2, "bye")
    for _ in range(100):
        job.say(1, "beat")
        job.wait(1)
    assert not job.it.over
    job.wait(16)
    assert job.it.over


def test_a_member_cut_off_at_the_end_is_told_when_it_comes_back() -> None:
    job = Job().running()
    for index in range(3):
        job.ended(index, "done")
    job.it.gone(1, "boot-1", job.now)
    job.collect()
    job.hello(1, generation=1, running=1)
    assert job.collect() == [(1, "finish")]


def test_an_exception_fails_the_job_only_after_all_have_shown_life() -> None:
    job = Job().running()
    job.ended(1, "exception", "ValueError: x")
    assert job.collect() == [(0, "ping"), (1, "ping"), (2, "ping")]
    job.wait(1)
    assert job.it.phase == "judging"
    job.pong(0)
    job.pong(2)
    assert job.collect() == [(1, "abort")]
    assert job.it.failure == "rank 1 raised ValueError: x"
    job.say(1, "bye")
    assert job.collect() == [(0, "abort"), (2, "abort")]
    job.say(2, "bye")
    job.it.gone(0, "boot-0", job.now)
    assert job.it.over


@pytest.mark.parametrize("first", [0, 1])
def test_a_killed_rank_is_the_cause_whatever_the_others_raise(first: int) -> None:
    job = Job().running()
    for index in (first, 1 - first):
        if index == 0:
            job.ended(0, "exception", "ConnectionError: reset")
        else:
            job.ended(1, "died", "was killed (SIGKILL)", killed=True)
    job.collect()
    job.pong(2)
    job.wait(0.5)
    assert job.it.phase == "preparing"
    assert job.it.generation == 2
    assert job.notes[-1]["cause"] == "rank 1 was killed (SIGKILL)"


def test_a_death_told_a_moment_after_all_have_answered_still_counts() -> None:
    job = Job().running()
    job.ended(0, "exception", "ConnectionError: reset")
    job.collect()
    job.pong(1, 2)
    job.wait(0.1)
    job.ended(1, "died", "was killed (SIGKILL)", killed=True)
    job.wait(0.5)
    assert job.it.failure == ""
    assert job.it.generation == 2


def test_the_earliest_of_several_exceptions_is_the_cause() -> None:
    job = Job().running()
    job.ended(2, "exception", "ValueError: first")
    job.now += 0.1
    job.ended(0, "exception", "ConnectionError: second")
    job.collect()
    job.pong(1)
    job.wait(0.5)
    assert job.it.cause == 2


def test_an_abort_of_a_peer_after_an_exception_is_not_the_cause() -> None:
    job = Job().running()
    job.ended(2, "exception", "ValueError: first")
    job.now += 0.4
    job.ended(0, "died", "was killed (SIGABRT)")
    job.collect()
    job.pong(1)
    job.wait(0.5)
    assert job.it.failure == "rank 2 raised ValueError: first"


@pytest.mark.parametrize("how", ["was killed (SIGSEGV)", "ended with exit code 3"])
def test_what_others_raise_as_a_process_dies_is_not_the_cause_though_told_first(how: str) -> None:
    job = Job().running()
    job.ended(0, "exception", "ConnectionError: reset")
    job.now += 0.2
    job.ended(1, "died", how)
    job.collect()
    job.pong(2)
    job.wait(0.5)
    assert job.it.failure == ""
    assert job.notes[-1]["cause"] == f"rank 1 {how}"


def test_an_exception_because_of_a_lost_pod_restarts_all() -> None:
    job = Job().running()
    job.it.gone(1, "boot-1", job.now)
    job.ended(0, "exception", "ConnectionError: reset")
    job.collect()
    job.pong(0, 2)
    job.wait(4)
    assert job.it.phase == "judging"
    job.pong(0, 2)
    job.wait(2)
    assert job.it.phase == "gathering"
    assert job.notes[-1]["cause"] == "rank 1 was lost"
    job.hello(1, boot="another")
    job.collect()
    assert job.it.generation == 2
    assert job.it.failures == 0


def test_a_short_cut_of_the_network_disturbs_nobody() -> None:
    job = Job().running()
    job.it.gone(1, "boot-1", job.now)
    job.wait(3)
    job.hello(1, generation=1, running=1)
    job.wait(10)
    assert job.it.phase == "running"
    assert job.collect() == []


def test_a_pod_replaced_within_the_deadline_restarts_all() -> None:
    job = Job().running()
    job.hello(1, boot="another")
    assert (0, "stop") in job.collect()
    assert job.it.generation == 2


def test_the_end_of_some_ranks_may_be_the_jobs() -> None:
    job = Job(enders=1).running()
    job.ended(2, "done")
    assert job.collect() == []
    job.ended(0, "done")
    assert job.collect() == [(index, "finish") for index in range(3)]


def test_a_rank_whose_pods_fail_again_and_again_fails_the_job() -> None:
    job = Job(retries=2).running()
    for count, boot in enumerate(("second", "third", "fourth"), 1):
        about = {"boot": boot, "host": "10.0.0.1", "generation": 0, "failures": 0, "running": 0}
        job.it.hello(1, {**about, "replaced": count}, job.now)
        if count < 3:
            assert not job.it.failure
            job.offer()
    assert job.it.failure == "rank 1 was lost with its pod 3 times"
    assert (1, "abort") in job.collect()


def test_a_silent_member_is_lost_in_the_end() -> None:
    job = Job().running()
    job.now += 14
    for index in (0, 2):
        job.say(index, "beat")
    job.wait(2)
    assert job.it.phase == "gathering"
    assert job.notes[-1]["cause"] == "rank 1 was lost"


def test_deaths_are_counted_and_end_the_job_above_the_retries() -> None:
    job = Job(retries=2).running()
    for count in range(3):
        job.ended(1, "died", "was killed (SIGSEGV)")
        job.collect()
        job.pong(0, 2)
        job.wait(0.5)
        if count < 2:
            assert job.it.generation == count + 2
            job.offer()
    assert job.it.failure == "rank 1 was killed (SIGSEGV) (3 starts failed)"


def test_a_new_coordinator_goes_on_counting_where_members_are() -> None:
    job = Job()
    job.hello(0)
    job.hello(1, generation=4, running=4)
    job.hello(2, generation=4, running=4)
    assert job.it.generation == 5


def test_what_a_past_generation_says_does_not_count() -> None:
    job = Job().running()
    job.say(1, "ended", generation=0, outcome="exception", text="old", killed=False)
    assert job.it.phase == "running"


def test_an_index_outside_the_job_is_ignored() -> None:
    job = Job()
    job.it.hello(7, {"boot": "x", "host": "h", "generation": 9, "failures": 9}, job.now)
    assert (job.it.generation, job.collect()) == (0, [])


event = st.sampled_from(
    ["hello", "new", "gone", "offer", "done", "exception", "died", "killed", "pong", "bye", "wait"]
)


@given(st.lists(st.tuples(event, st.integers(0, 2), st.floats(0, 8)), max_size=60))
def test_no_order_of_events_ends_well_without_all_being_done(
    events: list[tuple[str, int, float]],
) -> None:
    job = Job()
    done: dict[int, set[int]] = {}
    for kind, index, seconds in events:
        known = index in job.it._members
        if kind == "hello":
            job.hello(index, running=job.it.generation)
        elif kind == "new":
            job.boots[index] += "+"
            job.hello(index)
        elif kind == "gone":
            job.it.gone(index, job.boots[index], job.now)
        elif kind == "wait":
            job.wait(seconds)
        elif known and kind == "offer":
            job.say(index, "offer", ports=[1, 2])
        elif known and kind in {"done", "exception"}:
            if kind == "done" and job.it.phase in {"running", "judging"}:
                done.setdefault(job.it.generation, set()).add(index)
            job.ended(index, kind, "X: y")
        elif known and kind in {"died", "killed"}:
            job.ended(index, "died", "was killed", killed=kind == "killed")
        elif known and kind == "pong":
            job.say(index, "pong", number=job.it._pings)
        elif known:
            job.say(index, "bye")
        sent = dict.fromkeys(kind for _, kind in job.collect())
        assert not {"finish", "abort"} <= set(sent)
        if "finish" in sent:
            assert done[job.it.generation] == {0, 1, 2}
        if "abort" in sent:
            assert job.it.failure
        assert job.it.failures <= job.it.retries + 1


def test_a_member_that_was_given_up_and_speaks_again_has_to_say_hello() -> None:
    job = Job().running()
    for _ in range(16):
        for index in (0, 1):
            assert job.say(index, "beat")
        job.wait(1)
    assert job.it.phase == "gathering"
    job.collect()
    assert not job.say(2, "beat")
    assert not job.say(2, "ended", outcome="done")
    job.hello(2, running=1)
    assert job.collect() == [(index, "prepare") for index in range(3)]
