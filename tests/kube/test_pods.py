"""A pod's state in words, from what the API says of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.kube.pods import exit_words, forsaken, out_of_reach, pod_state

MADE = "2026-11-24T09:00:00Z"


def at(seconds: int) -> datetime:
    return datetime(2026, 11, 24, 9, tzinfo=UTC) + timedelta(seconds=seconds)


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
            ("waiting", "ErrImagePull", "the image img:1 cannot be had: not found: img:1", True),
        ),
        (
            pod(containerStatuses=waiting("ImagePullBackOff")),
            ("waiting", "ImagePullBackOff", "the image img:1 cannot be had", True),
        ),
        (
            pod(containerStatuses=waiting("ErrImageNeverPull", "not here")),
            ("waiting", "ErrImageNeverPull", "the image img:1 cannot be had: not here", True),
        ),
        (
            pod(containerStatuses=waiting("InvalidImageName", "bad")),
            ("waiting", "InvalidImageName", "the image img:1 cannot be had: bad", True),
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
            ("waiting", "ErrImagePull", "an image cannot be had: no init image", True),
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
            pod(phase="Succeeded", containerStatuses=terminated(exitCode=0, message="idle\n")),
            ("succeeded", "Completed", "idle", True),
        ),
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
            ("failed", "Evicted", "evicted: low on memory", True),
        ),
        (
            pod(
                phase="Failed",
                conditions=condition(
                    "DisruptionTarget", "True", "PreemptionByScheduler", "more urgent"
                ),
                containerStatuses=terminated(exitCode=137),
            ),
            (
                "failed",
                "PreemptionByScheduler",
                "preempted by a pod with a higher priority: more urgent",
                True,
            ),
        ),
        (pod(phase="Failed"), ("failed", "Failed", "the pod failed", True)),
    ],
)
def test_words(given: Any, expected: tuple[str, str, str, bool]) -> None:
    assert said(given, now=at(30)) == expected


def test_a_pod_being_deleted_is_gone() -> None:
    leaving = pod(containerStatuses=container({"running": {}}))
    leaving["metadata"]["deletionTimestamp"] = MADE
    assert said(leaving) == ("gone", "Deleted", "the pod was deleted", True)


@pytest.mark.parametrize(("seconds", "hopeless"), [(0, False), (4, False), (6, True)])
def test_a_secret_may_come_a_little_after_its_pod(seconds: int, hopeless: bool) -> None:
    given = pod(containerStatuses=waiting("CreateContainerConfigError", 'secret "s" not found'))
    assert pod_state(given, now=at(seconds)).terminal is hopeless


def test_a_kernels_own_secret_may_come_much_later() -> None:
    own = f'secret "{pod()["metadata"]["name"]}" not found'
    given = pod(containerStatuses=waiting("CreateContainerConfigError", own))
    assert not pod_state(given, now=at(59)).terminal


@pytest.mark.parametrize(("seconds", "hopeless"), [(59, False), (61, True)])
def test_a_jobs_own_secret_may_come_after_the_node_has_looked_in_vain(
    seconds: int, hopeless: bool
) -> None:
    lacking = waiting("CreateContainerConfigError", 'secret "digits-7f3a" not found')
    given = pod(containerStatuses=lacking)
    given["metadata"]["labels"] = {naming.JOB: "digits-7f3a"}
    assert pod_state(given, now=at(seconds)).terminal is hopeless


@pytest.mark.parametrize(
    ("lacking", "seconds", "expected"),
    [("", 59, False), ("", 61, True), ("another", 61, False)],
)
def test_a_pod_whose_server_ended_before_its_secret_is_forsaken(
    lacking: str, seconds: int, expected: bool
) -> None:
    message = f'secret "{lacking or pod()["metadata"]["name"]}" not found'
    given = pod(containerStatuses=waiting("CreateContainerConfigError", message))
    assert forsaken(given, now=at(seconds)) is expected


def test_a_kubelet_that_waits_for_a_slow_api_tries_again() -> None:
    slow = "failed to sync secret cache: timed out waiting for the condition"
    given = pod(containerStatuses=waiting("CreateContainerConfigError", slow))
    assert said(given, now=at(9)) == ("starting", "CreateContainerConfigError", slow, False)


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
        (139, "ended by SIGSEGV, a segmentation fault (exit code 139)"),
        (255, "ended with exit code 255"),
    ],
)
def test_exit_codes_in_words(code: int | None, words: str) -> None:
    assert exit_words(code) == words


def event(reason: str, message: str, second: int) -> dict[str, Any]:
    return {"reason": reason, "message": message, "lastTimestamp": f"2026-11-24T09:00:{second:02}Z"}


UP = event("TriggeredScaleUp", "pod triggered scale-up: [{gpus 0->1 (max: 3)}]", 10)
NOT_UP = event("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached", 5)
KARPENTER = event("Nominated", "Pod should schedule on: nodeclaim/gpu-7x", 12)


@pytest.mark.parametrize(
    ("events", "reason", "words"),
    [
        ([], "Unschedulable", NO_ROOM),
        ([UP], "TriggeredScaleUp", f"Autoscaler: a node is being added: {UP['message']}"),
        ([NOT_UP], "NotTriggerScaleUp", f"no node will be added: {NOT_UP['message']}"),
        ([KARPENTER], "Nominated", f"a node is being added: {KARPENTER['message']}"),
        ([UP, NOT_UP], "TriggeredScaleUp", UP["message"]),
        ([KARPENTER, UP, NOT_UP], "Nominated", KARPENTER["message"]),
    ],
)
def test_f16_the_schedulers_words_and_the_autoscalers_newest(
    events: list[dict[str, Any]], reason: str, words: str
) -> None:
    waits = pod("", conditions=condition("PodScheduled", "False", "Unschedulable", NO_ROOM))
    phase, found, message, terminal = said(waits, events)
    assert (phase, found, terminal) == ("waiting", reason, False)
    assert message.startswith(NO_ROOM)
    assert message.endswith(words)


def test_what_the_scheduler_says_of_evicting_others_is_left_out() -> None:
    tried = " no new claims to deallocate, preemption: 0/3 nodes are available: 3 No victims."
    waits = pod("", conditions=condition("PodScheduled", "False", "Unschedulable", NO_ROOM + tried))
    assert said(waits, [])[2] == NO_ROOM.rstrip(".")
    assert said(waits, [UP])[2].startswith(f"{NO_ROOM.rstrip('.')}. Autoscaler: ")


@pytest.mark.parametrize(
    ("events", "phase", "words"),
    [
        (
            [event("Pulling", 'Pulling image "i"', 3)],
            "pulling",
            'Pulling image "i", for 17 s so far',
        ),
        (
            [event("Pulling", 'Pulling image "i"', 20), event("Failed", "no", 9)],
            "pulling",
            'Pulling image "i"',
        ),
        (
            [event("Pulling", 'Pulling image "i"', 3), event("Pulled", "done", 9)],
            "starting",
            "the container is being made",
        ),
    ],
)
def test_a_pull_says_how_long_it_has_taken(
    events: list[dict[str, Any]], phase: str, words: str
) -> None:
    state = pod_state(pod(phase="Pending"), events, now=at(20))
    assert (state.phase, state.message) == (phase, words)


NOT_FOUND = (
    'Back-off pulling image "img:1": ErrImagePull: rpc error: code = NotFound desc = failed to '
    'pull and unpack image "img:1": failed to resolve reference "img:1": img:1: not found'
)
DENIED = (
    'rpc error: code = Unknown desc = failed to pull and unpack image "img:1": failed to resolve '
    'reference "img:1": pull access denied, repository does not exist or may require authorization'
)
BUSY = (
    'failed to pull and unpack image "img:1": unexpected status from GET request to '
    "https://registry.example/v2/img/manifests/1: 429 Too Many Requests"
)
SLOW = "dial tcp 192.0.2.1:443: i/o timeout"


@pytest.mark.parametrize(
    ("reason", "message", "answer", "hopeless"),
    [
        ("ImagePullBackOff", NOT_FOUND, "img:1: not found", True),
        (
            "ErrImagePull",
            DENIED,
            "pull access denied, repository does not exist or may require authorization",
            True,
        ),
        ("ErrImagePull", BUSY, BUSY.partition(": ")[2], False),
        ("ErrImagePull", SLOW, SLOW, False),
        ("RegistryUnavailable", "503 Service Unavailable", "503 Service Unavailable", False),
    ],
)
def test_f14_an_image_is_named_with_the_registrys_answer(
    reason: str, message: str, answer: str, hopeless: bool
) -> None:
    phase, found, words, terminal = said(pod(containerStatuses=waiting(reason, message)))
    assert (phase, found, terminal) == ("waiting", reason, hopeless)
    assert words == f"the image img:1 cannot be had: {answer}"


PREEMPTING = condition("DisruptionTarget", "True", "PreemptionByScheduler", "default-scheduler: …")


def test_f11_the_event_names_who_preempted() -> None:
    given = pod(conditions=PREEMPTING, containerStatuses=container({"running": {}}))
    by = event("Preempted", "Preempted by pod 1-2-3 on node n1", 1)
    words = "preempted by a pod with a higher priority: Preempted by pod 1-2-3 on node n1"
    assert said(given, [by]) == ("running", "PreemptionByScheduler", words, False)
    given["metadata"]["deletionTimestamp"] = MADE
    assert said(given, [by]) == ("gone", "PreemptionByScheduler", words, True)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("EvictionByEvictionAPI", "evicted through the API, as when a node is drained: why"),
        ("DeletionByTaintManager", "removed from its node, which was lost or tainted: why"),
        ("DeletionByPodGC", "its node is gone: why"),
        ("SomethingNew", "SomethingNew: why"),
    ],
)
def test_f10_who_took_a_pod_away_is_said(reason: str, words: str) -> None:
    given = pod(conditions=condition("DisruptionTarget", "True", reason, "why"))
    given["metadata"]["deletionTimestamp"] = MADE
    assert said(given) == ("gone", reason, words, True)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("NodeLost", "its node was lost: why"),
        ("DeadlineExceeded", "its lifetime is over: why"),
        ("OutOfnvidia.com/gpu", "its node refused it (OutOfnvidia.com/gpu): why"),
    ],
)
def test_a_pod_that_its_node_failed_says_so(reason: str, words: str) -> None:
    assert said(pod(phase="Failed", reason=reason, message="why")) == (
        "failed",
        reason,
        words,
        True,
    )


def test_f09_a_pod_on_a_node_that_does_not_answer_says_so() -> None:
    given = pod(
        conditions=condition("Ready", "False", "", ""), containerStatuses=container({"running": {}})
    )
    assert said(given) == ("running", "", "", False)
    lost = [event("NodeNotReady", "Node is not ready", 1)]
    assert said(given, lost) == ("running", "NodeNotReady", "its node n1 does not answer", False)


def test_f09_nothing_more_comes_from_a_pod_that_is_gone_or_late_or_on_such_a_node() -> None:
    def gone(given: dict[str, Any] | None, *events: dict[str, Any], after: int = 60) -> bool:
        return out_of_reach(given, events, now=at(after))

    silent = pod(phase="Running", conditions=condition("Ready", "False", "", ""))
    lost = event("NodeNotReady", "Node is not ready", 1)
    assert gone(None)
    assert not gone(pod(phase="Running"), lost), "it has answered again"
    assert not gone(silent)
    assert gone(silent, lost)
    silent["metadata"]["deletionTimestamp"] = MADE
    assert not gone(silent, after=3), "it takes a moment"
    assert gone(silent)
    silent["status"]["phase"] = "Failed"
    assert not gone(silent, lost), "its node has told of it, and may have its log"


def test_restarts_are_counted() -> None:
    given = pod(containerStatuses=container({"running": {}}, restartCount=2))
    assert pod_state(given).restarts == 2
