"""Who ends a pod: each row of the table, by a clock of our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.kernels.retire import Limits, Use, verdict

LIMITS = Limits(idle=100.0, lost=200.0, lost_busy=400.0)


def use(**changes: object) -> Use:
    usual = {"attached": True, "begun": 0.0, "left": 0.0, "busy": False, "idle_since": 0.0}
    return Use(**{**usual, **changes})  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("changes", "ends_at", "option"),
    [
        ({"idle_since": 50.0}, 150.0, "idle_timeout"),
        ({"begun": 1000.0, "idle_since": 50.0}, 1100.0, "idle_timeout"),  # somebody came back
        ({"busy": True}, None, ""),
        ({"busy": None}, None, ""),  # no companion
        ({"attached": False, "left": 50.0}, 250.0, "lost_timeout"),
        ({"attached": False, "left": 50.0, "idle_since": 300.0}, 500.0, "lost_timeout"),
        ({"attached": False, "left": 50.0, "busy": True}, 450.0, "lost_busy_timeout"),
        ({"attached": False, "left": 50.0, "busy": None}, 450.0, "lost_busy_timeout"),
    ],
)
def test_each_row_of_the_table(
    changes: dict[str, object], ends_at: float | None, option: str
) -> None:
    now = use(**changes)
    if ends_at is None:
        assert verdict(LIMITS, now, 1e9) == ""
        return
    assert verdict(LIMITS, now, ends_at - 1) == ""
    assert option in verdict(LIMITS, now, ends_at)
    assert verdict(Limits(0.0, 0.0, 0.0), now, 1e9) == ""


def test_the_reason_names_time_and_option() -> None:
    assert (
        verdict(Limits(1.5, 0, 0), use(), 2.0)
        == "nothing ran for 2 s (idle_timeout of the profile)"
    )
    words = verdict(Limits(0, 3600, 0), use(attached=False), 3600.0)
    assert words == (
        "nothing ran and no Jupyter Server was connected for 60 min (lost_timeout of the profile)"
    )
    assert "24.0 h" in verdict(Limits(0, 0, 86400), use(attached=False, busy=True), 86400.0)


def test_options_are_seconds_and_none_is_never() -> None:
    assert Limits.of({"port": 8888}) == (0.0, 0.0, 0.0)
    assert Limits.of({"idle_timeout": 60, "lost_timeout": None}) == (60.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [((0, 0, 0), 0), ((1.0, 3600, 0), 0.25), ((3600, 0, 0), 10), ((0, 0, 8), 2)],
)
def test_looks_are_as_frequent_as_the_shortest_limit_needs(
    limits: tuple[float, float, float], seconds: float
) -> None:
    assert Limits(*limits).look_every == seconds


@given(
    st.builds(
        Use,
        attached=st.booleans(),
        begun=st.floats(0, 1e6),
        left=st.floats(0, 1e6),
        busy=st.sampled_from([True, False, None]),
        idle_since=st.floats(0, 1e6),
    ),
    st.floats(0, 1e6),
)
def test_work_with_a_server_is_never_ended_and_nothing_early(use: Use, now: float) -> None:
    if not verdict(LIMITS, use, now):
        return
    assert use.busy is False or not use.attached
    assert now >= (use.begun if use.attached else use.left) + min(LIMITS)
