"""The coordinator of an elastic job: who takes part, and when all start again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from .test_rendezvous import Job


class Elastic(Job):
    """An elastic job's coordinator; members do at once what they are told to prepare for."""

    def __init__(self, workers: int = 4, least: int = 1, **more: Any) -> None:
        super().__init__(workers, least=least, **more)
        self.boots += [f"boot-{index}" for index in range(workers, 10)]

    def prepared(self) -> list[int]:
        """Offer ports for those who were told to prepare; return who was told to start."""
        for index, kind in self.collect():
            if kind == "prepare":
                self.say(index, "offer", ports=[1000 + index, 2000 + index])
        return [index for index, kind in self.collect() if kind == "start"]

    def start(self, *indexes: int) -> Elastic:
        """Let members come, and all that are there start."""
        for index in indexes:
            self.hello(index)
        self.beat(4)
        assert set(indexes) <= set(self.prepared())
        return self

    def beat(self, seconds: int) -> None:
        """Let time pass in which those who are there show life."""
        for _ in range(seconds * 2):
            for index, member in list(self.it._members.items()):
                if member.connected:
                    self.say(index, "beat")
            self.wait(0.5)

    @property
    def indexes(self) -> list[int]:
        """Whose pods the last start named, by rank."""
        starts = [content for _, kind, content in self.sent if kind == "start"]
        assert len(starts[-1]["members"]) == len(starts[-1]["indexes"])
        return list(starts[-1]["indexes"])


def test_all_there_is_room_for_start_at_once() -> None:
    job = Elastic()
    for index in range(4):
        job.hello(index)
    assert job.prepared() == [0, 1, 2, 3]


def test_without_all_those_who_are_there_start_a_moment_after_the_last_came() -> None:
    job = Elastic()
    job.hello(0)
    job.beat(2)
    job.hello(2)
    job.beat(2)
    assert job.prepared() == []
    job.beat(2)
    assert job.prepared() == [0, 2]
    assert job.indexes == [0, 2]


def test_fewer_than_needed_wait_and_say_how_many_they_are() -> None:
    job = Elastic(least=3)
    job.hello(0)
    job.hello(3)
    job.beat(30)
    assert job.prepared() == []
    assert job.notes[-1]["text"] == "waiting for workers: 2 of at least 3 are there"
    job.hello(1)
    job.beat(4)
    assert job.prepared() == [0, 1, 3]


def test_nobody_starts_without_rank_0() -> None:
    job = Elastic()
    job.hello(1, generation=3)
    job.hello(2, generation=3)
    job.beat(30)
    assert job.prepared() == []
    assert job.notes[-1]["missing"] == [0]


def test_newcomers_are_taken_in_together() -> None:
    job = Elastic().start(0)
    job.hello(1)
    job.wait(0.5)
    job.hello(2)
    job.wait(0.7)
    assert job.collect() == []
    job.beat(1)
    assert job.prepared() == [0, 1, 2]
    assert job.it.generation == 2
    assert job.notes[-1]["text"] == "ranks 1 and 2 have joined; all ranks start again"


def test_newcomers_do_not_disturb_a_job_that_is_about_to_end() -> None:
    job = Elastic().start(0, 1)
    job.ended(1, "done")
    job.hello(2)
    job.beat(10)
    assert job.it.phase == "running"
    job.ended(0, "done")
    assert (2, "finish") in job.collect()


def test_a_newcomer_while_others_prepare_starts_with_them() -> None:
    job = Elastic()
    for index in (0, 1):
        job.hello(index)
    job.beat(4)
    job.collect()
    assert job.it.phase == "preparing"
    job.hello(2)
    job.beat(2)
    assert job.prepared() == [0, 1, 2]


def test_a_pod_that_is_removed_is_left_behind_at_once() -> None:
    job = Elastic().start(0, 1, 2)
    job.say(1, "leave")
    assert job.prepared() == [0, 2]
    assert job.indexes == [0, 2]
    assert job.it.failures == 0
    assert job.notes[-1]["text"] == "the pod of rank 1 is being removed; the others start again"


def test_a_pod_that_is_lost_is_left_behind() -> None:
    job = Elastic().start(0, 1, 2)
    job.it.gone(2, "boot-2", job.now)
    job.ended(1, "exception", "ConnectionError: reset")
    job.collect()
    job.pong(0)
    job.beat(6)
    assert job.prepared() == [0, 1]
    assert not job.it.failure
    job.hello(2, boot="another")
    job.beat(2)
    assert job.prepared() == [0, 1, 2]


def test_a_silent_member_is_left_behind_and_taken_in_again_without_its_old_child() -> None:
    job = Elastic().start(0, 1)
    for _ in range(16):
        job.say(0, "beat")
        job.wait(1)
    assert job.prepared() == [0]
    assert not job.say(1, "beat")
    job.hello(1, generation=1, running=1)
    assert job.collect() == [(1, "stop")]
    job.beat(2)
    assert job.prepared() == [0, 1]


def test_too_few_for_too_long_fail_the_job() -> None:
    job = Elastic(least=2, patience=60).start(0, 1)
    job.say(1, "leave")
    job.beat(59)
    assert not job.it.failure
    job.beat(2)
    assert job.it.failure == "rank 1 was lost and did not come back for 60 seconds"
    job.beat(3)
    assert (0, "abort") in [(index, kind) for index, kind, _ in job.it.outbox]


def test_a_job_of_fixed_size_waits_for_a_removed_pod() -> None:
    job = Job(patience=60).running()
    job.say(1, "leave")
    assert job.collect() == [(0, "stop"), (2, "stop")]
    job.hello(1, boot="another")
    job.offer()
    assert job.it.generation == 2


def test_a_job_of_fixed_size_names_who_did_not_come_back() -> None:
    job = Job(patience=60).running()
    job.say(1, "leave")
    for _ in range(61):
        for index in (0, 2):
            job.say(index, "beat")
        job.wait(1)
    assert job.it.failure == "rank 1 was lost and did not come back for 60 seconds"


def test_a_first_start_may_wait_for_its_room_however_long() -> None:
    job = Job(patience=60)
    job.hello(0)
    job.hello(1)
    for _ in range(100):
        for index in (0, 1):
            job.say(index, "beat")
        job.wait(1)
    assert job.it.phase == "gathering"


def test_an_index_beyond_the_size_asked_for_joins_when_the_job_was_scaled() -> None:
    job = Elastic(workers=2).start(0, 1)
    job.hello(5)
    job.beat(2)
    assert job.prepared() == [0, 1, 5]


event = st.sampled_from(
    ["hello", "new", "gone", "leave", "offer", "done", "exception", "died", "killed", "pong"]
    + ["wait"] * 3
)


@given(
    st.integers(1, 4),
    st.lists(st.tuples(event, st.integers(0, 5), st.floats(0, 8)), max_size=80),
)
def test_whatever_comes_and_goes_a_generation_is_one_or_there_is_a_verdict(
    least: int, events: list[tuple[str, int, float]]
) -> None:
    job = Elastic(least=least)
    teams: dict[int, list[int]] = {}
    done: dict[int, set[int]] = {}
    verdicts: set[str] = set()
    for kind, index, seconds in events:
        before, known = job.it.generation, index in job.it._members
        if kind == "hello":
            job.hello(index, generation=job.it.generation, running=job.it.generation)
        elif kind == "new":
            job.boots[index] += "+"
            job.hello(index)
        elif kind == "wait":
            job.wait(seconds)
        elif kind == "gone":
            job.it.gone(index, job.boots[index], job.now)
        elif known and kind == "offer":
            job.say(index, "offer", ports=[1, 2])
        elif known and kind in {"done", "exception"}:
            if kind == "done" and index in teams.get(before, ()):
                done.setdefault(before, set()).add(index)
            job.ended(index, kind, "X: y")
        elif known and kind in {"died", "killed"}:
            job.ended(index, "died", "was killed", killed=kind == "killed")
        elif known:
            job.say(index, kind, number=job.it._pings)
        assert job.it.generation >= before
        job.collect()
        for to, what, content in job.sent:
            if what == "start":
                team = teams.setdefault(content["generation"], content["indexes"])
                assert content["indexes"] == team  # one list for all, and each generation once
                assert to in team
                assert team[0] == 0
                assert len(team) >= least
            elif what in {"finish", "abort"}:
                verdicts.add(what)
        job.sent.clear()
        assert len(verdicts) < 2
        if "finish" in verdicts:
            assert done[job.it.generation] >= set(teams[job.it.generation])
        assert bool(job.it.failure) == ("abort" in verdicts)
        assert job.it.failures <= job.it.retries + 1


@given(
    st.lists(st.tuples(event, st.integers(0, 3), st.floats(0, 8)), max_size=40),
)
def test_after_any_trouble_those_who_stay_run_together_in_the_end(
    events: list[tuple[str, int, float]],
) -> None:
    job = Elastic()
    for kind, index, seconds in events:
        if kind == "hello":
            job.hello(index, running=job.it.generation)
        elif kind == "new":
            job.boots[index] += "+"
            job.hello(index)
        elif kind == "gone":
            job.it.gone(index, job.boots[index], job.now)
        elif kind == "wait":
            job.wait(seconds)
        elif kind == "leave" and index in job.it._members:
            job.say(index, "leave")
    job.collect()
    for index in range(4):
        job.hello(index, running=job.it.generation)
    for _ in range(10):
        job.beat(2)
        job.prepared()
    assert job.it.phase == "running"
    assert job.indexes == [0, 1, 2, 3]
