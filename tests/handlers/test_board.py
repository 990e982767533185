"""What front ends are told: everything once, then what has changed, as it is by then."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.handlers.board import Board, View

Shown = dict[str, dict[str, Any]]


def told(view: View, shown: Shown) -> dict[str, Any]:
    """Take a message, and do with it what a front end does."""
    message: dict[str, Any] = json.loads(view.take())
    for kind, key in (("kernels", "id"), ("jobs", "name")):
        for row in message.get(kind, ()):
            shown[kind][row[key]] = row
        for gone in message.get("gone", {}).get(kind, ()):
            shown[kind].pop(gone, None)
    return message


def test_the_first_message_has_everything_the_newest_jobs_first() -> None:
    board = Board()
    board.state("stale_since", None)
    board.put("jobs", "old", {"name": "old"}, 1.0)
    board.put("jobs", "new", {"name": "new"}, 2.0)
    view = board.view()
    assert view.behind
    assert json.loads(view.take()) == {
        "stale_since": None,
        "kernels": [],
        "jobs": [{"name": "new"}, {"name": "old"}],
    }
    assert not view.behind


def test_only_what_differs_is_told_and_only_as_it_is_now() -> None:
    board = Board()
    view = board.view()
    view.take()
    board.put("jobs", "a", {"name": "a", "phase": "waiting"})
    board.put("jobs", "a", {"name": "a", "phase": "running"})
    board.put("kernels", "k", {"id": "k"})
    assert json.loads(view.take()) == {
        "kernels": [{"id": "k"}],
        "jobs": [{"name": "a", "phase": "running"}],
    }
    board.put("kernels", "k", {"id": "k"})
    board.drop("kernels", "another")
    board.state("cluster", {"state": "up"})
    assert json.loads(view.take()) == {"cluster": {"state": "up"}}
    board.state("cluster", {"state": "up"})
    assert not view.behind
    board.drop("jobs", "a")
    assert json.loads(view.take()) == {"gone": {"jobs": ["a"]}}


def test_a_closed_view_is_noted_nothing_for() -> None:
    board = Board()
    view = board.view()
    view.take()
    board.close(view)
    board.put("jobs", "a", {"name": "a"})
    board.state("cluster", {})
    assert not view.behind


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abc"), st.integers(0, 3)),
        st.tuples(st.just("drop"), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.just("take"), st.integers(0, 1), st.just(0)),
    )
)


@given(_STEPS)
def test_whoever_listens_however_slowly_ends_with_what_there_is(
    steps: list[tuple[str, Any, int]],
) -> None:
    board, there = Board(), {}
    views = [(board.view(), {"kernels": {}, "jobs": {}}) for _ in range(2)]
    for step, key, value in steps:
        if step == "put":
            there[key] = {"name": key, "value": value}
            board.put("jobs", key, there[key], value)
        elif step == "drop":
            there.pop(key, None)
            board.drop("jobs", key)
        elif views[key][0].behind:
            told(*views[key])
    for view, shown in views:
        told(view, shown)
        assert shown["jobs"] == there
        assert not view.behind
