"""Objects as the API gives them, without what no row is made of (pure).

Thousands are kept for as long as a front end watches. Each function may return None for an object
that is of no use, now and later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from .. import naming
from ..train.slim import slim_pod, some
from .cluster import count

Object = dict[str, Any]


def pods(devices: Collection[str]) -> Callable[[Object], Object | None]:
    """Keep pods of jobs, and whatever else holds devices."""

    def keep(pod: Object) -> Object | None:
        ours = naming.JOB in (pod["metadata"].get("labels") or {})
        if not ours and not any(count(pod, device) for device in devices):
            return None
        return slim_pod(pod)

    return keep


def event(obj: Object) -> Object:
    """Keep of an event what it says, when and of what."""
    names = ("metadata", "involvedObject", "reason", "message", "lastTimestamp", "eventTime")
    return some(obj, *names)


def node(obj: Object) -> Object:
    """Keep of a node what it has to give."""
    meta = some(obj["metadata"], "name", "uid", "resourceVersion")
    return {"metadata": meta, "status": some(obj["status"], "allocatable")}
