"""Jobs and pods as the API gives them, without what no view of a job is made of (pure).

Thousands of whole ones are much to keep, and to let go of.
"""

from __future__ import annotations

from typing import Any

from .request import STORAGE_ENV

Object = dict[str, Any]


def slim_job(obj: Object) -> Object:
    """Keep of a job what was asked for, how it stands, and whether it has storage."""
    meta, spec = obj["metadata"], obj["spec"]
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    has = [{"name": each["name"]} for c in containers for each in c.get("env") or ()]
    storage = [each for each in has if each["name"] == STORAGE_ENV]
    small = some(spec, "completions", "backoffLimitPerIndex")
    small["template"] = {"spec": {"containers": [{"env": storage}]}}
    named = ("name", "uid", "resourceVersion", "labels", "annotations")
    times = ("creationTimestamp", "deletionTimestamp")
    return {"metadata": some(meta, *named, *times), "spec": small, **some(obj, "status")}


def slim_pod(pod: Object) -> Object:
    """Keep of a pod all but what its containers are told."""
    spec = pod["spec"]
    small = {
        kind: [some(container, "name", "resources") for container in spec.get(kind) or ()]
        for kind in ("containers", "initContainers")
    }
    return {**some(pod, "metadata", "status"), "spec": small | some(spec, "nodeName")}


def some(obj: Object, *names: str) -> Object:
    """Keep these of an object's fields."""
    return {name: obj[name] for name in names if name in obj}
