"""Words for each end of a kernel, and the next bigger profile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.kernels.advice import Death, bigger, explain
from jupyter_kube.models import PodState, Profile
from jupyter_kube.quantity import amount

SMALL, BIG, HUGE = (
    Profile.parse(name, {"memory": memory})
    for name, memory in (("small", "2Gi"), ("big", "8Gi"), ("huge", "64G"))
)
GPU = Profile.parse("gpu", {"memory": "16Gi", "gpus": 1, "display_name": "One GPU"})
GPUS = Profile.parse("gpus", {"memory": "32Gi", "gpus": 4})
MIG = Profile.parse("mig", {"memory": "20Gi", "gpus": 1, "gpu_resource": "nvidia.com/mig-1g.5gb"})
ALL = (SMALL, HUGE, GPUS, MIG, GPU, BIG)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"memory": "2Gi"}, BIG),
        ({"memory": "1Gi"}, SMALL),
        ({"memory": "8Gi"}, GPU),
        ({"memory": "2Gi", "nvidia.com/gpu": "1"}, GPU),
        ({"memory": "16Gi", "nvidia.com/gpu": "1"}, GPUS),
        ({"memory": "2Gi", "nvidia.com/mig-1g.5gb": "1"}, MIG),
        ({"memory": "2Gi", "nvidia.com/gpu": "8"}, None),
        ({"memory": "64G"}, None),
    ],
)
def test_the_next_bigger_profile_has_more_memory_and_the_devices(
    limits: dict[str, str], expected: Profile | None
) -> None:
    assert bigger(limits, ALL) is expected


@given(
    st.lists(st.tuples(st.integers(1, 64), st.integers(0, 4)), max_size=6),
    st.integers(1, 64),
    st.integers(0, 4),
)
def test_no_profile_in_between_is_passed_over(
    shapes: list[tuple[int, int]], memory: int, gpus: int
) -> None:
    profiles = [
        Profile.parse(f"p{number}", {"memory": f"{size}Gi", "gpus": count})
        for number, (size, count) in enumerate(shapes)
    ]
    limits = {"memory": f"{memory}Gi"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    able = [p for p in profiles if amount(p.memory) > memory * 2**30 and p.gpus >= gpus]
    found = bigger(limits, profiles)
    assert (found in able) if able else found is None
    assert all(found and amount(found.memory) <= amount(p.memory) for p in able)


STATE = PodState("p", "running")


def said(event: str, state: PodState = STATE, **more: Any) -> Death:
    return explain({"event": event, **more}, state, limits={"memory": "2Gi"}, profiles=ALL)


@pytest.mark.parametrize(
    ("event", "state"),
    [
        ({"event": "died", "reason": "out of memory", "restarting": True}, STATE),
        ({"event": "explained"}, PodState("p", "running", "OOMKilled", "restarted: ran out")),
        (
            {"event": "gone", "reason": "ran out of memory"},
            PodState("p", "failed", "OOMKilled", "ran out of memory (limit 2Gi)", terminal=True),
        ),
    ],
)
def test_f12_out_of_memory_says_the_limit_and_offers_more(
    event: dict[str, Any], state: PodState
) -> None:
    death = explain(event, state, limits={"memory": "2Gi"}, profiles=ALL)
    assert death.cause == "oom"
    assert death.text.startswith(
        "Kernel ran out of memory (limit 2Gi). The profile “big” has 8Gi: "
        "Kernel > Change Kernel > Python on Kubernetes (big). Variables are gone"
    )


def test_what_a_process_wrote_before_it_crashed_is_told() -> None:
    death = said("died", reason="signal 6 (Aborted)", signal=6, last="one\ntwo", restarting=True)
    assert death.words == "The kernel died: signal 6 (Aborted)."
    assert death.text.splitlines() == [
        "The kernel died: signal 6 (Aborted). It wrote last:",
        "    one",
        "    two",
        "Variables are gone; the next cell runs in a new process in the same pod.",
    ]


def test_without_a_bigger_profile_none_is_offered() -> None:
    event = {"event": "died", "reason": "out of memory", "restarting": True}
    death = explain(event, STATE, limits={"memory": "2Gi"}, profiles=[SMALL])
    assert "No profile has more memory" in death.next


def test_a_profile_whose_options_allow_more_is_offered_with_how_to_ask() -> None:
    options = {"memory": {"max": "32Gi"}, "gpus": {"max": 2}}
    stretchy = Profile.parse("lab", {"memory": "2Gi", "options": options})
    event = {"event": "died", "reason": "out of memory", "restarting": True}
    for devices in ({}, {"nvidia.com/gpu": "2"}):
        death = explain(event, STATE, limits={"memory": "4Gi", **devices}, profiles=[stretchy])
        assert "The profile “lab” may have up to 32Gi" in death.next
        assert '"jupyter_kube": {"options": {"memory": "32Gi"}}' in death.next
    death = explain(event, STATE, limits={"memory": "32Gi"}, profiles=[stretchy])
    assert "No profile has more memory" in death.next


@pytest.mark.parametrize(
    ("death", "cause", "words"),
    [
        (
            said("died", signal=11, exit_code=None, reason="signal 11 (…)", restarting=True),
            "segfault",
            "segmentation fault (signal 11)",
        ),
        (
            said("died", signal=9, exit_code=None, reason="killed (signal 9)", restarting=True),
            "signal",
            "killed (signal 9)",
        ),
        (
            said("died", signal=None, exit_code=3, reason="exit code 3", restarting=True),
            "exit",
            "exit code 3",
        ),
        (said("explained"), "container", "container was restarted"),
        (said("gave-up", reason="it keeps ending"), "crash-loop", "it keeps ending"),
        (said("replaced", reason="Another server"), "replaced", "Another server"),
        (said("ended", reason="idle for 1 h"), "ended", "idle for 1 h"),
    ],
)
def test_each_death_of_a_process_in_words(death: Death, cause: str, words: str) -> None:
    assert death.cause == cause
    assert words in death.text


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("Evicted", "evicted"),
        ("EvictionByEvictionAPI", "evicted"),
        ("PreemptionByScheduler", "preempted"),
        ("DeletionByTaintManager", "node-lost"),
        ("NodeLost", "node-lost"),
        ("DeadlineExceeded", "deadline"),
        ("Deleted", "deleted"),
    ],
)
def test_each_end_of_a_pod_in_words(reason: str, cause: str) -> None:
    state = PodState("p", "gone", reason, "in Kubernetes' words", terminal=True)
    death = said("gone", state, reason=state.message)
    assert death.cause == cause
    assert "in Kubernetes' words. Variables are gone. Restart the kernel" in death.text
