"""A pod's state in words, from what the API says of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from jupyter_kube.kube.pods import exit_words, pod_state

MADE = "2026-11-24T09:00:00Z"


def at(seconds: int) -> datetime:
    return datetime(2026, 11, 24, 9, 0, seconds, tzinfo=UTC)


def pod(node: str = "n1", init: Any = None, **status: Any) -> dict[str, Any]:
    """Make a pod; ``c`` is its container, with a memory limit."""
    spec: dict[str, Any] = {
        "containers": [{"name": "c", "resources": {"limits": {"memory": "2Gi"}}}]
    }
    if node:
        spec["nodeName"] = node
    if init is not None:
        spec["initContainers"] = [{"name": "i"}]
        status["initContainerStatuses"] = [{"name": "i", "state": init}]
    return {"metadata": {"name": "p", "creationTimestamp": MADE}, "spec": spec, "status": status}


def container(state: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [{"name": "c", "image": "img:1", "state": state, **more}]


def waiting(reason: str, message: str = "") -> list[dict[str, Any]]:
    return container({"waiting": {"reason": reason, "message": message}})


def terminated(**more: Any) -> list[dict[str, Any]]:
    return container({"terminated": more})


def condition(kind: str, status: str, reason: str, message: str) -> list[dict[str, Any]]:
    return [{"type": kind, "status": status, "reason": reason, "message": message}]


def said(*arguments: Any, **more: Any) -> tuple[str, str, str, bool]:
    state = pod_state(*arguments, **more)
    return state.phase, state.reason, state.message, state.terminal


NO_ROOM = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
OOM = {"reason": "OOMKilled", "exitCode": 137}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ("gone", "Deleted", "the pod was deleted", True)),
        (pod("", phase="Pending"), ("queued", "", "waiting to be scheduled", False)),
        (
            pod("", conditions=condition("PodScheduled", "False", "Unschedulable", NO_ROOM)),
            ("waiting", "Unschedulable", NO_ROOM, False),
        ),
        (
            pod("", conditions=condition("PodScheduled", "False", "SchedulingGated", "gated")),
            ("waiting", "SchedulingGated", "gated", False),
        ),
        (pod(phase="Pending"), ("starting", "", "the container is being made", False)),
        (
            pod(containerStatuses=waiting("ContainerCreating")),
            ("starting", "", "the container is being made", False),
        ),
        (
            pod(containerStatuses=waiting("ErrImagePull", "not found: img:1")),
            ("waiting", "ErrImagePull", "not found: img:1", True),
        ),
        (
            pod(containerStatuses=waiting("ImagePullBackOff")),
            ("waiting", "ImagePullBackOff", "the image img:1 cannot be had", True),
        ),
        (
            pod(containerStatuses=waiting("ErrImageNeverPull", "not here")),
            ("waiting", "ErrImageNeverPull", "not here", True),
        ),
        (
            pod(containerStatuses=waiting("InvalidImageName", "bad")),
            ("waiting", "InvalidImageName", "bad", True),
        ),
        (
            pod(containerStatuses=waiting("CreateContainerConfigError", "runs as root")),
            ("starting", "CreateContainerConfigError", "runs as root", True),
        ),
        (
            pod(
                containerStatuses=waiting("PodInitializing"),
                init={"waiting": {"reason": "ErrImagePull", "message": "no init image"}},
            ),
            ("waiting", "ErrImagePull", "no init image", True),
        ),
        (
            pod(containerStatuses=waiting("PodInitializing"), init={"running": {}}),
            ("starting", "", "the container is being made", False),
        ),
        (
            pod(
                containerStatuses=container(
                    {"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": OOM}
                )
            ),
            (
                "waiting",
                "OOMKilled",
                "ran out of memory (limit 2Gi); Kubernetes starts it again soon",
                False,
            ),
        ),
        (pod(containerStatuses=container({"running": {}})), ("running", "", "", False)),
        (
            pod(
                containerStatuses=container(
                    {"running": {}}, restartCount=1, lastState={"terminated": OOM}
                )
            ),
            ("running", "OOMKilled", "restarted: ran out of memory (limit 2Gi)", False),
        ),
        (pod(phase="Succeeded"), ("succeeded", "Completed", "", True)),
        (
            pod(phase="Failed", containerStatuses=terminated(**OOM)),
            ("failed", "OOMKilled", "ran out of memory (limit 2Gi)", True),
        ),
        (
            pod(phase="Failed", containerStatuses=terminated(reason="Error", exitCode=143)),
            ("failed", "Error", "ended by SIGTERM (exit code 143)", True),
        ),
        (
            pod(phase="Failed", containerStatuses=terminated(exitCode=42, message=" said so\n")),
            ("failed", "Error", "said so", True),
        ),
        (
            pod(phase="Failed", reason="Evicted", message="low on memory"),
            ("failed", "Evicted", "low on memory", True),
        ),
        (
            pod(
                phase="Failed",
                conditions=condition(
                    "DisruptionTarget", "True", "PreemptionByScheduler", "more urgent"
                ),
                containerStatuses=terminated(exitCode=137),
            ),
            ("failed", "Error", "PreemptionByScheduler: more urgent", True),
        ),
        (pod(phase="Failed"), ("failed", "Failed", "the pod failed", True)),
    ],
)
def test_words(given: Any, expected: tuple[str, str, str, bool]) -> None:
    assert said(given, now=at(30)) == expected


def test_a_pod_being_deleted_is_gone() -> None:
    leaving = pod(containerStatuses=container({"running": {}}))
    leaving["metadata"]["deletionTimestamp"] = MADE
    assert said(leaving) == ("gone", "Deleted", "the pod is being deleted", True)


@pytest.mark.parametrize(("seconds", "hopeless"), [(0, False), (4, False), (6, True)])
def test_a_secret_may_come_a_little_after_its_pod(seconds: int, hopeless: bool) -> None:
    given = pod(containerStatuses=waiting("CreateContainerConfigError", 'secret "s" not found'))
    assert pod_state(given, now=at(seconds)).terminal is hopeless


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        (["Scheduled", "Pulling"], ("pulling", "Pulling")),
        (["Scheduled", "Pulling", "Pulled"], ("starting", "")),
        (["Scheduled", "FailedMount"], ("starting", "FailedMount")),
    ],
)
def test_events_tell_what_a_container_waits_for(
    reasons: list[str], expected: tuple[str, str]
) -> None:
    events = [{"reason": reason, "message": f"about {reason}"} for reason in reasons]
    phase, reason, message, terminal = said(pod(phase="Pending"), events)
    assert (phase, reason, terminal) == (*expected, False)
    assert message == (f"about {reason}" if reason else "the container is being made")


def test_what_identifies_it_is_kept() -> None:
    state = pod_state(
        pod(podIP="10.0.0.1", phase="Failed", containerStatuses=terminated(exitCode=3))
    )
    assert (state.name, state.node, state.ip, state.exit_code) == ("p", "n1", "10.0.0.1", 3)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "ended"),
        (0, "ended"),
        (1, "ended with exit code 1"),
        (137, "ended by SIGKILL (exit code 137)"),
        (255, "ended with exit code 255"),
    ],
)
def test_exit_codes_in_words(code: int | None, words: str) -> None:
    assert exit_words(code) == words
