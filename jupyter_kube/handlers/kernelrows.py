"""A kernel as front ends show it: of its pod, and of what this server knows of it (pure)."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from .. import naming
from ..models import PodState
from .cluster import count

TOLD_BY = ["execution_state", "reason", "last_activity"]
"""Traits of a kernel's manager by which :func:`here` may change."""
_PHASES = {"starting": "queued", "up": "running", "restarting": "running", "dead": "failed"}
"""Of a kernel of ours whose pod is not there, by its stage."""


class Here(NamedTuple):
    """What this server knows of a kernel of its own."""

    state: str
    reason: str = ""
    """Why it is not up."""
    idle_since: datetime | None = None
    """As its pod counts; None while it is at work."""
    ours: Ours | None = None


class Ours(NamedTuple):
    """What is known of a kernel on Kubernetes without its pod."""

    stage: str
    waits: bool
    """Whether its start is known to wait for something."""
    profile: str
    notebook: str
    begun: datetime


def here(manager: Any, kernel_id: str) -> Here | None:
    """Ask a server's manager about a kernel; None if the kernel is not this server's."""
    if kernel_id not in manager:
        return None
    one = manager.get_kernel(kernel_id)
    joined = getattr(one, "joined", None)
    idle = one.last_activity if one.execution_state == "idle" else None
    ours = None
    if begun := getattr(one, "begun", None):  # managers other than our own do not know
        ours = Ours(one.stage, bool(one.waits_for), one.profile, one.notebook, begun)
    since = max(idle, joined) if idle and joined else idle
    return Here(one.execution_state, one.reason, since, ours)


def kernel(
    pod: Mapping[str, Any], state: PodState, known: Here | None, devices: Collection[str]
) -> dict[str, Any]:
    """Say how a kernel is.

    Parameters
    ----------
    pod, state
        Its pod, and where that stands.
    known
        From :func:`here`.
    devices
        What profiles call their GPUs.

    """
    meta = pod["metadata"]
    if state.phase == "failed" and meta.get("deletionTimestamp"):
        # Its containers were ended by the deletion; Kubernetes calls that a failure, too.
        state = replace(state, phase="gone", reason="Deleted", message="the pod was deleted")
    notes, labels = meta.get("annotations") or {}, meta["labels"]
    return {
        "id": labels.get(naming.KERNEL_ID, ""),
        "pod": meta["name"],
        "profile": labels.get(naming.PROFILE, ""),
        "notebook": notes.get(naming.NOTEBOOK, ""),
        "phase": state.phase,
        "reason": state.reason,
        "message": state.message or (known.reason if known else ""),
        "execution_state": known.state if known else None,
        "created": meta["creationTimestamp"],
        "gpus": sum(count(pod, device) for device in devices),
        "ends": ends(pod, known.idle_since if known else None),
    }


def without_pod(kernel_id: str, known: Here, ours: Ours) -> dict[str, Any]:
    """Say how a kernel of this server's is that has no pod yet, or none any more."""
    phase = _PHASES.get(ours.stage, "gone")
    return {
        "id": kernel_id,
        "pod": naming.kernel_name(kernel_id),
        "profile": ours.profile,
        "notebook": ours.notebook,
        "phase": "waiting" if phase == "queued" and ours.waits else phase,
        "reason": "",
        "message": known.reason,
        "execution_state": known.state,
        "created": ours.begun.isoformat(timespec="seconds"),
        "gpus": 0,
        "ends": None,
    }


def ends(pod: Mapping[str, Any], idle_since: datetime | None) -> str | None:
    """Say when a pod will end by what is known of it; None if that is nothing."""
    notes, begun = pod["metadata"].get("annotations") or {}, pod["status"].get("startTime")
    lifetime, timeout = pod["spec"].get("activeDeadlineSeconds"), notes.get(naming.IDLE_TIMEOUT)
    moments = []
    if lifetime and begun:
        moments.append(datetime.fromisoformat(begun) + timedelta(seconds=lifetime))
    if timeout and idle_since:
        with contextlib.suppress(ValueError):  # somebody edited it
            moments.append(idle_since + timedelta(seconds=float(timeout)))
    return min(moments).astimezone(UTC).isoformat(timespec="seconds") if moments else None
