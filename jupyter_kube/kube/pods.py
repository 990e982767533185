"""What a pod is doing, in words: its status and events made into one :class:`PodState` (pure)."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ..models import PodState

Object = dict[str, Any]

_HOPELESS_IMAGE = frozenset({"InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
_IMAGE_TROUBLE = frozenset({"ErrImagePull", "ImagePullBackOff"})
_HOPELESS_CONFIG = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)
_USUAL = frozenset({"ContainerCreating", "PodInitializing"})
_PATIENCE = 5.0
"""Seconds a Secret may come after its pod before its absence is an error."""


def pod_state(
    pod: Object | None, events: Iterable[Object] = (), *, now: datetime | None = None
) -> PodState:
    """Say where a pod stands.

    Parameters
    ----------
    pod
        The pod as the API gives it; None if it is gone.
    events
        Events about this pod, in any order; they tell of pulls and mounts.
    now
        The cluster's time (:meth:`KubeClient.now`); this machine's where it is not given.

    """
    if pod is None:
        return PodState("", "gone", "Deleted", "the pod was deleted", terminal=True)
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    base = {
        "name": name,
        "node": pod.get("spec", {}).get("nodeName", ""),
        "ip": status.get("podIP", ""),
    }
    ended = _ended(pod, status)
    if ended is not None:
        phase, reason, message, code = ended
        return PodState(
            **base, phase=phase, reason=reason, message=message, terminal=True, exit_code=code
        )
    age = _age(pod, now or datetime.now(UTC))
    phase, reason, message, terminal = _going(pod, status, list(events), age)
    return PodState(**base, phase=phase, reason=reason, message=message, terminal=terminal)


def death(container: Object, limits: Object | None = None) -> tuple[str, str, int | None]:
    """Say how a container ended: reason, words, exit code. ``container`` is its ``terminated``."""
    code, reason = container.get("exitCode"), container.get("reason", "")
    memory = (limits or {}).get("memory", "")
    if reason == "OOMKilled":
        return reason, "ran out of memory" + (f" (limit {memory})" if memory else ""), code
    message = (container.get("message") or "").strip()
    if reason not in {"", "Completed", "Error"}:
        return reason, message or f"ended: {reason}", code
    return reason or "Error", message or exit_words(code), code


def exit_words(code: int | None) -> str:
    """Say an exit code in words."""
    if code is None:
        return "ended"
    if code > 128:
        try:
            return f"ended by {signal.Signals(code - 128).name} (exit code {code})"
        except ValueError:
            pass
    return "ended" if code == 0 else f"ended with exit code {code}"


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


def _ended(pod: Object, status: Object) -> tuple[str, str, str, int | None] | None:
    """Describe a pod that will not run any more."""
    phase = status.get("phase")
    if phase == "Succeeded":
        return "succeeded", "Completed", "", 0
    if phase != "Failed":
        if pod["metadata"].get("deletionTimestamp"):
            return "gone", "Deleted", _disruption(status) or "the pod is being deleted", None
        return None
    disrupted = _disruption(status)
    if status.get("reason"):  # Evicted, NodeLost, DeadlineExceeded, …
        return "failed", status["reason"], disrupted or status.get("message", ""), None
    for container, limits in _containers(pod, status):
        terminated = (container.get("state") or {}).get("terminated")
        if terminated and terminated.get("exitCode"):
            reason, words, code = death(terminated, limits)
            return "failed", reason, disrupted or words, code
    return "failed", "Failed", disrupted or status.get("message", "the pod failed"), None


def _disruption(status: Object) -> str:
    found = _condition(status, "DisruptionTarget")
    if found is None or found.get("status") != "True":
        return ""
    return f"{found.get('reason', 'Disrupted')}: {found.get('message', '')}".strip(": ")


def _condition(status: Object, kind: str) -> Object | None:
    return next((c for c in status.get("conditions") or () if c["type"] == kind), None)


def _going(
    pod: Object, status: Object, events: list[Object], age: float
) -> tuple[str, str, str, bool]:
    """Describe a pod that runs, or may run yet: phase, reason, message, hopeless."""
    scheduled = _condition(status, "PodScheduled")
    if not pod.get("spec", {}).get("nodeName"):
        if scheduled is not None and scheduled.get("status") == "False":
            reason = scheduled.get("reason", "Unschedulable")
            return "waiting", reason, scheduled.get("message", "no node has room"), False
        return "queued", "", "waiting to be scheduled", False
    for container, limits in _containers(pod, status):
        if "running" in (container.get("state") or {}):
            return "running", *_since_restart(container, limits), False
    for container, limits in (
        *_containers(pod, status, "initContainers"),
        *_containers(pod, status),
    ):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in _USUAL:
            return _waiting(waiting, container, limits, age)
    return *_pulling(events), False


def _since_restart(container: Object, limits: Object) -> tuple[str, str]:
    last = (container.get("lastState") or {}).get("terminated")
    if not container.get("restartCount") or not last:
        return "", ""
    reason, words, _ = death(last, limits)
    return reason, f"restarted: {words}"


def _waiting(
    waiting: Object, container: Object, limits: Object, age: float
) -> tuple[str, str, str, bool]:
    reason, message = waiting["reason"], waiting.get("message", "")
    if reason in _HOPELESS_IMAGE or reason in _IMAGE_TROUBLE:
        text = message or f"the image {container.get('image', '')} cannot be had"
        return "waiting", reason, text, True
    if reason == "CrashLoopBackOff":
        last = (container.get("lastState") or {}).get("terminated") or {}
        why, words, _ = death(last, limits)
        return "waiting", why, f"{words}; Kubernetes starts it again soon", False
    if reason in _HOPELESS_CONFIG:
        missing = "not found" in message and age < _PATIENCE
        return "starting", reason, message, not missing
    return "starting", reason, message or "the container is being made", False


def _age(pod: Object, now: datetime) -> float:
    made = pod["metadata"].get("creationTimestamp")
    return (
        (now - datetime.fromisoformat(made.replace("Z", "+00:00"))).total_seconds() if made else 0.0
    )


def _pulling(events: list[Object]) -> tuple[str, str, str]:
    """Tell a pull from the rest of a container's making."""
    reasons = {event.get("reason"): event for event in events}
    if "Pulling" in reasons and not {"Pulled", "Failed"} & set(reasons):
        return "pulling", "Pulling", reasons["Pulling"].get("message", "pulling the image")
    for trouble in ("FailedMount", "FailedCreatePodSandBox", "FailedAttachVolume"):
        if trouble in reasons:
            return "starting", trouble, reasons[trouble].get("message", "")
    return "starting", "", "the container is being made"
