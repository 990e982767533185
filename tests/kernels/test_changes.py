"""What is sent where, whatever happened to the files on both sides."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jupyter_kube.kernels.changes import difference, plan
from jupyter_kube.kernels.folder import File

CONTENT = st.sampled_from(["", "1", "2", "3"])
SIDES = st.dictionaries(st.sampled_from("abcd"), CONTENT)


def files(side: dict[str, str]) -> dict[str, File]:
    return {p: File(p, 0, 0, 0, digest) for p, digest in side.items() if digest}


def test_the_rules() -> None:
    known = dict.fromkeys(("same", "edited", "there", "gone", "both", "deleted"), "1")
    here = files(
        {"same": "1", "edited": "2", "there": "1", "new": "1", "both": "2", "deleted": "1"}
    )
    there = files({"same": "1", "edited": "1", "there": "2", "gone": "1", "both": "3"})
    planned = plan(here, there, known)
    assert [f.path for f in planned.send] == ["edited", "new", "both"]
    assert [f.path for f in planned.same] == ["same"]
    assert planned.gone == ["gone"]
    found = difference(here, there, known)
    assert found.here == ["edited", "gone", "new"]
    assert found.there == ["deleted", "there"]
    assert found.both == ["both"]


def test_what_is_named_goes_where_it_is_missing() -> None:
    here = files({"a": "1"})
    assert plan(here, {}, {"a": "1"}).send == []
    assert [f.path for f in plan(here, {}, {"a": "1"}, named=True).send] == ["a"]
    assert plan(here, files({"a": "2"}), {"a": "1"}, named=True).send == []
    assert plan({}, files({"b": "1"}), {"b": "1"}, named=True).gone == []


@given(SIDES, SIDES, SIDES)
def test_what_changed_nowhere_is_not_sent_and_no_difference_is_missed(
    here: dict[str, str], there: dict[str, str], known: dict[str, str]
) -> None:
    mine, other, base = files(here), files(there), {p: d for p, d in known.items() if d}
    sent = {f.path for f in plan(mine, other, base).send}
    assert all(mine[p].digest != base.get(p) for p in sent)
    found = difference(mine, other, base)
    told = {*found.here, *found.there, *found.both}
    assert told == {p for p in {*mine, *other} if (mine.get(p) or 0) != (other.get(p) or 0)}
    assert sent <= told


class TwoSides(RuleBasedStateMachine):
    """Edits, pushes and pulls in any order: no version that one side made is ever lost."""

    def __init__(self) -> None:
        super().__init__()
        self.here: dict[str, str] = {}
        self.there: dict[str, str] = {}
        self.known: dict[str, str] = {}
        self.count = 0

    def edit(self, side: dict[str, str], path: str) -> None:
        self.count += 1
        side[path] = f"{path}{self.count}"

    @rule(path=st.sampled_from("ab"))
    def edit_here(self, path: str) -> None:
        self.edit(self.here, path)

    @rule(path=st.sampled_from("ab"))
    def edit_there(self, path: str) -> None:
        self.edit(self.there, path)

    @rule()
    def push(self) -> None:
        self.bring(self.here, self.there, "server")

    @rule()
    def pull(self) -> None:
        self.bring(self.there, self.here, "kernel")

    def bring(self, source: dict[str, str], target: dict[str, str], name: str) -> None:
        unseen = {path: digest for path, digest in target.items() if digest != self.known.get(path)}
        planned = plan(files(source), files(target), self.known)
        for file in planned.send:
            number = 1
            path = file.path
            while target.get(path) not in {None, file.digest} and not (
                path == file.path and target[path] == self.known.get(path)
            ):
                path = f"{file.path}-{name}-{number}"
                number += 1
            target[path] = file.digest
            self.known[file.path] = file.digest
        for file in planned.same:
            self.known[file.path] = file.digest
        assert all(target[path] == digest for path, digest in unseen.items())

    @invariant()
    def a_second_time_there_is_nothing_to_bring(self) -> None:
        for source, target in ((self.here, self.there), (self.there, self.here)):
            before = dict(self.known)
            for file in plan(files(source), files(target), self.known).send:
                before[file.path] = file.digest
            assert plan(files(source), files(target), before).send == []


TestTwoSides = TwoSides.TestCase
TestTwoSides.settings = settings(max_examples=60, stateful_step_count=12)
