"""The user's kernels, on whichever server they were started."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from .. import naming
from ..errors import AccessDenied
from ..models import PodState
from .base import KubeHandler, route
from .cluster import count


class Here(NamedTuple):
    """What this server knows of a kernel that it is attached to."""

    state: str
    idle_since: datetime | None
    """As its pod counts; None while it is at work."""


class KernelsHandler(KubeHandler):
    """``kernels``."""

    @route
    async def get(self) -> None:
        """List them, oldest first."""
        from ..config import user_name
        from ..kube import objects

        mine = naming.selector(component="kernel", user_hash=naming.user_hash(user_name()))
        async with self.client() as client:
            pods, events = await asyncio.gather(
                objects.list_(client, objects.PODS, labels=mine), self._events(client)
            )
            now = client.now()
        known, devices = here(self.kernel_manager), self.kube.gpu_resources()
        rows = [
            kernel(pod, _state(pod, events, now), known, devices)
            for pod in pods["items"]
            if naming.POOL not in pod["metadata"]["labels"]
        ]
        self.reply({"kernels": sorted(rows, key=lambda row: str(row["created"]))})

    async def _events(self, client: Any) -> list[dict[str, Any]]:
        """List events; without the right to, reasons are missing and nothing else."""
        from ..kube import objects

        try:
            return list((await objects.list_(client, objects.EVENTS))["items"])
        except AccessDenied:
            return []


def here(manager: Any) -> dict[str, Here]:
    """Return what a server's manager knows of its kernels, by id."""
    known = {}
    for kernel_id in manager.list_kernel_ids():
        one = manager.get_kernel(kernel_id)
        idle = one.last_activity if one.execution_state == "idle" else None
        joined = getattr(one, "joined", None)  # of our own managers
        known[kernel_id] = Here(one.execution_state, max(idle, joined) if idle and joined else idle)
    return known


def kernel(
    pod: Mapping[str, Any],
    state: PodState,
    known: Mapping[str, Here],
    devices: Collection[str],
) -> dict[str, Any]:
    """Say how a kernel is (pure).

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
    notes, labels = meta.get("annotations") or {}, meta["labels"]
    kernel_id = labels.get(naming.KERNEL_ID, "")
    return {
        "id": kernel_id,
        "pod": meta["name"],
        "profile": labels.get(naming.PROFILE, ""),
        "notebook": notes.get(naming.NOTEBOOK, ""),
        "phase": state.phase,
        "reason": state.reason,
        "message": state.message,
        "execution_state": known[kernel_id].state if kernel_id in known else None,
        "created": meta["creationTimestamp"],
        "gpus": sum(count(pod, device) for device in devices),
        "ends": ends(pod, known[kernel_id].idle_since if kernel_id in known else None),
    }


def ends(pod: Mapping[str, Any], idle_since: datetime | None) -> str | None:
    """Say when a pod will end by what is known of it; None if it is nothing (pure)."""
    notes, begun = pod["metadata"].get("annotations") or {}, pod["status"].get("startTime")
    lifetime, timeout = pod["spec"].get("activeDeadlineSeconds"), notes.get(naming.IDLE_TIMEOUT)
    moments = []
    if lifetime and begun:
        moments.append(datetime.fromisoformat(begun) + timedelta(seconds=lifetime))
    if timeout and idle_since:
        with contextlib.suppress(ValueError):  # somebody edited it
            moments.append(idle_since + timedelta(seconds=float(timeout)))
    return min(moments).astimezone(UTC).isoformat(timespec="seconds") if moments else None


def _state(pod: dict[str, Any], events: Iterable[dict[str, Any]], now: datetime) -> PodState:
    from ..kube.pods import pod_state

    uid = pod["metadata"]["uid"]
    return pod_state(pod, [e for e in events if e["involvedObject"].get("uid") == uid], now=now)
