"""Objects as the API gives them, without what no row is made of (pure).

Thousands are kept for as long as a front end watches. Each function may return None for an object
that is of no use, now and later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from .. import naming
from ..train.request import STORAGE_ENV
from .cluster import count

Object = dict[str, Any]


def pods(devices: Collection[str]) -> Callable[[Object], Object | None]:
    """Keep pods of jobs, and whatever else holds devices."""

    def keep(pod: Object) -> Object | None:
        ours = naming.JOB in (pod["metadata"].get("labels") or {})
        if not ours and not any(count(pod, device) for device in devices):
            return None
        spec = pod["spec"]
        small = {"containers": [_some(c, "name", "resources") for c in spec["containers"]]}
        return {**_some(pod, "metadata", "status"), "spec": small | _some(spec, "nodeName")}

    return keep


def job(obj: Object) -> Object:
    """Keep of a job what was asked for, how it stands, and whether it has storage."""
    meta, spec = obj["metadata"], obj["spec"]
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    has = [{"name": each["name"]} for c in containers for each in c.get("env") or ()]
    storage = [each for each in has if each["name"] == STORAGE_ENV]
    small = _some(spec, "completions", "backoffLimitPerIndex")
    small["template"] = {"spec": {"containers": [{"env": storage}]}}
    named = ("name", "uid", "resourceVersion", "labels", "annotations")
    times = ("creationTimestamp", "deletionTimestamp")
    return {"metadata": _some(meta, *named, *times), "spec": small, **_some(obj, "status")}


def event(obj: Object) -> Object:
    """Keep of an event what it says, when and of what."""
    names = ("metadata", "involvedObject", "reason", "message", "lastTimestamp", "eventTime")
    return _some(obj, *names)


def node(obj: Object) -> Object:
    """Keep of a node what it has to give."""
    meta = _some(obj["metadata"], "name", "uid", "resourceVersion")
    return {"metadata": meta, "status": _some(obj["status"], "allocatable")}


def _some(obj: Object, *names: str) -> Object:
    return {name: obj[name] for name in names if name in obj}
