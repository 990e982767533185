"""What a pod is doing, in words: its status and events made into one :class:`PodState` (pure)."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from datetime import UTC, datetime
from typing import Any

from .. import naming
from ..models import PodState
from .deaths import condition, death, disruption, exit_words, failure

__all__ = ["death", "exit_words", "forsaken", "out_of_reach", "pod_state"]

Object = dict[str, Any]

_HOPELESS_IMAGE = frozenset({"InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
_IMAGE_TROUBLE = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"})
_PASSING = re.compile(
    r"time(d )?out|connection re|temporary|unexpected EOF|QPS exceeded|too ?many ?requests|"
    r"(status|code):? (429|5\d\d)|RegistryUnavailable",
    re.IGNORECASE,
)
"""In a registry's answer: Kubernetes tries again, and that may help."""
_PACKING = re.compile(
    r'^(Back-off pulling image "[^"]*"|(ErrImagePull|RegistryUnavailable)|'
    r'rpc error: code = \w+ desc =|failed to [a-z ]+ (image|reference) "[^"]*"):? ?'
)
"""What the node and its container runtime put around a registry's answer, layer by layer."""
_PREEMPTION = re.compile(r"\.?\s*(no new claims to deallocate,?)?\s*preemption: .*", re.DOTALL)
"""What the scheduler says about evicting other pods: of no use to who waits."""

_HOPELESS_CONFIG = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)
_USUAL = frozenset({"ContainerCreating", "PodInitializing"})
_PATIENCE = 5.0
"""Seconds a Secret may come after its pod before its absence is an error."""
_FORSAKEN = 60.0
"""The same for a job's own Secret, and a kernel's when its server is not there to say."""
_LATE = 30.0
"""Seconds after which a pod that should be gone is late: volumes and networks take some."""
_SLOW_CACHE = "failed to sync"
"""The kubelet did not get a Secret or ConfigMap in time: the API is slow, and it tries again."""
_NEWS_OF_NODES = {
    "TriggeredScaleUp": "a node is being added",  # cluster-autoscaler
    "Nominated": "a node is being added",  # Karpenter
    "NotTriggerScaleUp": "no node will be added",
}
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def pod_state(
    pod: Object | None, events: Iterable[Object] = (), *, now: datetime | None = None
) -> PodState:
    """Say where a pod stands.

    Parameters
    ----------
    pod
        The pod as the API gives it; None if it is gone.
    events
        Events about this pod, in any order; they tell of pulls, mounts and nodes.
    now
        The cluster's time (:meth:`KubeClient.now`); this machine's where it is not given.

    """
    if pod is None:
        return PodState("", "gone", "Deleted", "the pod was deleted", terminal=True)
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    events, now = list(events), now or datetime.now(UTC)
    base = {
        "name": name,
        "node": pod.get("spec", {}).get("nodeName", ""),
        "ip": status.get("podIP", ""),
        "restarts": sum(c.get("restartCount", 0) for c in status.get("containerStatuses") or ()),
    }
    ended = _ended(pod, status, events)
    if ended is not None:
        phase, reason, message, code = ended
        return PodState(
            **base, phase=phase, reason=reason, message=message, terminal=True, exit_code=code
        )
    phase, reason, message, terminal = _going(pod, status, events, now)
    return PodState(**base, phase=phase, reason=reason, message=message, terminal=terminal)


def _containers(
    pod: Object, status: Object, kind: str = "containers"
) -> list[tuple[Object, Object]]:
    """Pair each container's status with its resource limits; ``kind`` as in a pod's spec."""
    spec = {c["name"]: c for c in pod.get("spec", {}).get(kind, ())}
    key = "initContainerStatuses" if kind == "initContainers" else "containerStatuses"
    return [
        (state, (spec.get(state["name"], {}).get("resources") or {}).get("limits") or {})
        for state in status.get(key) or ()
    ]


def _ended(
    pod: Object, status: Object, events: list[Object]
) -> tuple[str, str, str, int | None] | None:
    """Describe a pod that will not run any more."""
    phase = status.get("phase")
    if phase == "Succeeded":
        return "succeeded", "Completed", _last_words(pod, status), 0
    taken, words = disruption(status, events)
    if phase != "Failed":
        if pod["metadata"].get("deletionTimestamp"):
            return "gone", taken or "Deleted", words or "the pod was deleted", None
        return None
    if status.get("reason"):  # Evicted, NodeLost, DeadlineExceeded, …
        return "failed", status["reason"], failure(status), None
    for container, limits in _containers(pod, status):
        terminated = (container.get("state") or {}).get("terminated")
        if terminated and terminated.get("exitCode"):
            reason, how, code = death(terminated, limits)
            return "failed", taken or reason, words or how, code
    return "failed", taken or "Failed", words or status.get("message", "the pod failed"), None


def _last_words(pod: Object, status: Object) -> str:
    """Return what a container that ended well has left as its message."""
    ends = (
        (container.get("state") or {}).get("terminated")
        for container, _ in _containers(pod, status)
    )
    return next((end["message"].strip() for end in ends if end and end.get("message")), "")


def _going(
    pod: Object, status: Object, events: list[Object], now: datetime
) -> tuple[str, str, str, bool]:
    """Describe a pod that runs, or may run yet: phase, reason, message, hopeless."""
    if not pod.get("spec", {}).get("nodeName"):
        return *_unscheduled(status, events), False
    for container, limits in _containers(pod, status):
        if "running" in (container.get("state") or {}):
            return "running", *_running(pod, status, events, container, limits), False
    for container, limits in (
        *_containers(pod, status, "initContainers"),
        *_containers(pod, status),
    ):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in _USUAL:
            return _waiting(waiting, container, limits, _may_come(pod, waiting, now))
    return *_pulling(events, now), False


def _unscheduled(status: Object, events: list[Object]) -> tuple[str, str, str]:
    """Give the scheduler's words, and an autoscaler's."""
    scheduled = condition(status, "PodScheduled")
    if scheduled is None or scheduled.get("status") != "False":
        return "queued", "", "waiting to be scheduled"
    reason = scheduled.get("reason", "Unschedulable")
    words = _PREEMPTION.sub("", scheduled.get("message", "no node has room"))
    news = _newest(events, _NEWS_OF_NODES)
    if news is None:
        return "waiting", reason, words
    said = f"{_NEWS_OF_NODES[news['reason']]}: {news.get('message', '')}"
    return "waiting", news["reason"], f"{words.rstrip('.')}. Autoscaler: {said}"


def _running(
    pod: Object, status: Object, events: list[Object], container: Object, limits: Object
) -> tuple[str, str]:
    """Say what is remarkable about a pod that runs."""
    reason, words = disruption(status, events)  # its end is near
    if reason:
        return reason, words
    if _node_is_silent(status, events):
        return "NodeNotReady", f"its node {pod['spec']['nodeName']} does not answer"
    last = (container.get("lastState") or {}).get("terminated")
    if not container.get("restartCount") or not last:
        return "", ""
    reason, words, _ = death(last, limits)
    return reason, f"restarted: {words}"


def _waiting(
    waiting: Object, container: Object, limits: Object, may_come: bool
) -> tuple[str, str, str, bool]:
    reason, message = waiting["reason"], waiting.get("message", "")
    if reason in _HOPELESS_IMAGE or reason in _IMAGE_TROUBLE:
        passing = reason in _IMAGE_TROUBLE and bool(_PASSING.search(f"{reason} {message}"))
        return "waiting", reason, _image_words(container.get("image", ""), message), not passing
    if reason == "CrashLoopBackOff":
        last = (container.get("lastState") or {}).get("terminated") or {}
        why, words, _ = death(last, limits)
        return "waiting", why, f"{words}; Kubernetes starts it again soon", False
    if reason in _HOPELESS_CONFIG:
        passing = may_come or _SLOW_CACHE in message
        return "starting", reason, message, not passing
    return "starting", reason, message or "the container is being made", False


def out_of_reach(pod: Object | None, events: Iterable[Object] = (), *, now: datetime) -> bool:
    """Say whether nothing more can be expected from a pod: it is gone, or its node does not answer.

    A node that has died leaves its pods as they were. One that is being deleted should be gone by
    its ``deletionTimestamp``; of one that has ended the node may still tell. ``None`` is gone.
    """
    if pod is None:
        return True
    status, due = pod.get("status") or {}, pod["metadata"].get("deletionTimestamp")
    if status.get("phase") in {"Succeeded", "Failed"}:
        return False
    if due and (now - datetime.fromisoformat(due)).total_seconds() > _LATE:
        return True
    return _node_is_silent(status, events)


def _node_is_silent(status: Object, events: Iterable[Object]) -> bool:
    """Say whether Kubernetes has marked a pod because it hears nothing from its node."""
    ready = condition(status, "Ready")
    unready = ready is not None and ready.get("status") == "False"
    return unready and _newest(events, {"NodeNotReady"}) is not None


def forsaken(pod: Object, *, now: datetime) -> bool:
    """Say whether a kernel's pod waits for a Secret of its own that nobody will make any more.

    A server makes it right after the pod; this is a pod whose server ended between the two.
    """
    lacking = f'secret "{pod["metadata"]["name"]}" not found'
    waits = any(
        ((container.get("state") or {}).get("waiting") or {}).get("message") == lacking
        for container, _ in _containers(pod, pod.get("status") or {})
    )
    return waits and _age(pod, now) > _FORSAKEN


def _may_come(pod: Object, waiting: Object, now: datetime) -> bool:
    """Say whether the Secret that a container lacks is on its way.

    A kernel's Secret has its pod's name and is made after it, however long the API takes for that;
    whoever makes it knows if it never comes. A job's is made after its Job in the same way, and
    a node that has looked in vain twice does so again after 10 s only.
    """
    message, meta = waiting.get("message", ""), pod["metadata"]
    if "not found" not in message:
        return False
    if f'"{meta["name"]}"' in message:
        return True
    job = (meta.get("labels") or {}).get(naming.JOB)
    patience = _FORSAKEN if job and f'"{job}"' in message else _PATIENCE
    return _age(pod, now) < patience


def _image_words(image: str, message: str) -> str:
    """Name the image and give the registry's answer without its packing."""
    answer = message.strip()
    while packing := _PACKING.match(answer):
        answer = answer[packing.end() :]
    named = f"the image {image}" if image else "an image"
    return f"{named} cannot be had" + (f": {answer}" if answer else "")


def _age(pod: Object, now: datetime) -> float:
    made = pod["metadata"].get("creationTimestamp")
    return (now - datetime.fromisoformat(made)).total_seconds() if made else 0.0


def _pulling(events: list[Object], now: datetime) -> tuple[str, str, str]:
    """Tell a pull from the rest of a container's making."""
    begun, ended = _newest(events, {"Pulling"}), _newest(events, {"Pulled", "Failed"})
    if begun and (ended is None or _time(begun) > _time(ended)):
        words = begun.get("message") or "Pulling the image"
        took = (now - _time(begun)).total_seconds() if _time(begun) > _LONG_AGO else 0
        return "pulling", "Pulling", words + (f", for {took:.0f} s so far" if took >= 1 else "")
    for trouble in ("FailedMount", "FailedCreatePodSandBox", "FailedAttachVolume"):
        if found := _newest(events, {trouble}):
            return "starting", trouble, found.get("message", "")
    return "starting", "", "the container is being made"


def _newest(events: Iterable[Object], reasons: Container[str]) -> Object | None:
    """Return the newest event with one of these reasons."""
    found = [event for event in events if event.get("reason") in reasons]
    return max(found, key=_time, default=None)


def _time(event: Object) -> datetime:
    """Return when an event happened last."""
    series = (event.get("series") or {}).get("lastObservedTime")
    made = (event.get("metadata") or {}).get("creationTimestamp")
    text = series or event.get("lastTimestamp") or event.get("eventTime") or made
    return datetime.fromisoformat(text) if text else _LONG_AGO
