"""Objects as the rows of a table, as ``kubectl get`` asks for them (pure)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from . import kinds
from .kinds import Kind

Object = Mapping[str, Any]


def table(
    kind: Kind, objects: Sequence[dict[str, Any]], version: str, include: str
) -> dict[str, Any]:
    """Build a Table.

    Parameters
    ----------
    kind
        The kind of the objects.
    objects
        The objects, a row each.
    version
        The resourceVersion of the list; empty for a single object.
    include
        How much of each object comes along: ``Metadata`` (default), ``Object`` or ``None``.

    """
    columns = _COLUMNS.get(kind, _PLAIN)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version} if version else {},
        "columnDefinitions": [
            {
                "name": title.lstrip("+"),
                "type": "string",
                "format": "name" if title == "Name" else "",
                "description": "",
                "priority": int(title.startswith("+")),
            }
            for title in columns
        ],
        "rows": [
            {
                "cells": [cell(obj) for cell in columns.values()],
                **({} if include == "None" else {"object": _included(obj, include)}),
            }
            for obj in objects
        ],
    }


def _included(obj: dict[str, Any], include: str) -> dict[str, Any]:
    if include == "Object":
        return obj
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }


def duration(seconds: float) -> str:
    """Write a duration as kubectl does: 90s, 5m10s, 3h20m, 2d4h, 40d."""
    whole = max(int(seconds), 0)
    if whole < 120:
        return f"{whole}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    return _two(days, "d", hours % 24, "h") if days < 8 else f"{days}d"


def _two(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big}{big_unit}{small}{small_unit}" if small else f"{big}{big_unit}"


def _since(written: str | None, until: str | None = None) -> str:
    if not written:
        return "<unknown>"
    end = datetime.fromisoformat(until) if until else datetime.now(UTC)
    return duration((end - datetime.fromisoformat(written)).total_seconds())


# -- cells


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def _age(obj: Object) -> str:
    return _since(obj["metadata"].get("creationTimestamp"))


def _at(*path: str, default: str = "") -> Callable[[Object], str]:
    """Make a cell that shows what is at a path."""

    def cell(obj: Object) -> str:
        found: Any = obj
        for key in path:
            found = (found or {}).get(key)
        return default if found in (None, "") else str(found)

    return cell


def _count(key: str) -> Callable[[Object], str]:
    return lambda obj: str(len(obj.get(key) or ()))


def _joined(mapping: Mapping[str, Any] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((mapping or {}).items())) or "<none>"


def _statuses(pod: Object) -> list[dict[str, Any]]:
    return (pod.get("status") or {}).get("containerStatuses") or []


def _ready(pod: Object) -> str:
    ready = sum(bool(each.get("ready")) for each in _statuses(pod))
    return f"{ready}/{len(pod['spec']['containers'])}"


def pod_status(pod: Object) -> str:
    """Sum up a pod's state in the one word that kubectl shows."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    word = str(status.get("reason") or status.get("phase") or "Pending")
    running = False
    for each in reversed(_statuses(pod)):
        state = each.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        if waiting.get("reason"):
            word = waiting["reason"]
        elif ended:
            word = ended.get("reason") or f"ExitCode:{ended['exitCode']}"
        elif each.get("ready"):
            running = True
    return "Running" if word == "Completed" and running else word


def _restarts(pod: Object) -> str:
    count = sum(each.get("restartCount", 0) for each in _statuses(pod))
    ends = [
        ended["finishedAt"]
        for each in _statuses(pod)
        if (ended := (each.get("lastState") or {}).get("terminated"))
    ]
    return f"{count} ({_since(max(ends))} ago)" if count and ends else str(count)


def _job_status(job: Object) -> str:
    true = {
        each["type"]
        for each in (job.get("status") or {}).get("conditions") or ()
        if each["status"] == "True"
    }
    words = ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget", "Suspended")
    return next((word for word in words if word in true), "Running")


def _completions(job: Object) -> str:
    wanted = job["spec"].get("completions") or job["spec"].get("parallelism") or 1
    return f"{(job.get('status') or {}).get('succeeded') or 0}/{wanted}"


def _job_duration(job: Object) -> str:
    status = job.get("status") or {}
    start = status.get("startTime")
    return _since(start, status.get("completionTime")) if start else ""


def _ports(service: Object) -> str:
    ports = (service.get("spec") or {}).get("ports") or ()
    return ",".join(f"{each['port']}/{each.get('protocol', 'TCP')}" for each in ports) or "<none>"


def _node_status(node: Object) -> str:
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    cordoned = ",SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else ""
    return ("Ready" if ready else "NotReady") + cordoned


def _involved(event: Object) -> str:
    return f"{event['involvedObject']['kind'].lower()}/{event['involvedObject']['name']}"


def _quota(*, limits: bool) -> Callable[[Object], str]:
    def cell(quota: Object) -> str:
        status = quota.get("status") or {}
        hard = status.get("hard") or (quota.get("spec") or {}).get("hard") or {}
        used = status.get("used") or {}
        return ", ".join(
            f"{name}: {used.get(name, '0')}/{amount}"
            for name, amount in sorted(hard.items())
            if name.startswith("limits.") == limits
        )

    return cell


def _access_modes(obj: Object) -> str:
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX"}
    return ",".join(short.get(m, m) for m in (obj.get("spec") or {}).get("accessModes") or ())


_PLAIN: dict[str, Callable[[Object], str]] = {"Name": _name, "Age": _age}
_COLUMNS: dict[Kind, dict[str, Callable[[Object], str]]] = {
    kinds.POD: {
        "Name": _name,
        "Ready": _ready,
        "Status": pod_status,
        "Restarts": _restarts,
        "Age": _age,
        "+IP": _at("status", "podIP", default="<none>"),
        "+Node": _at("spec", "nodeName", default="<none>"),
    },
    kinds.JOB: {
        "Name": _name,
        "Status": _job_status,
        "Completions": _completions,
        "Duration": _job_duration,
        "Age": _age,
        "+Selector": lambda job: _joined((job["spec"].get("selector") or {}).get("matchLabels")),
    },
    kinds.SECRET: {
        "Name": _name,
        "Type": _at("type", default="Opaque"),
        "Data": _count("data"),
        "Age": _age,
    },
    kinds.CONFIGMAP: {"Name": _name, "Data": _count("data"), "Age": _age},
    kinds.SERVICE: {
        "Name": _name,
        "Type": _at("spec", "type", default="ClusterIP"),
        "Cluster-IP": _at("spec", "clusterIP", default="<none>"),
        "External-IP": lambda _: "<none>",
        "Port(s)": _ports,
        "Age": _age,
        "+Selector": lambda service: _joined((service.get("spec") or {}).get("selector")),
    },
    kinds.EVENT: {
        "Last Seen": lambda event: _since(event.get("lastTimestamp")),
        "Type": _at("type"),
        "Reason": _at("reason"),
        "Object": _involved,
        "Message": _at("message"),
        "+Source": _at("source", "component"),
        "+Count": _at("count"),
        "+Name": _name,
    },
    kinds.NODE: {
        "Name": _name,
        "Status": _node_status,
        "Roles": lambda _: "<none>",
        "Age": _age,
        "Version": _at("status", "nodeInfo", "kubeletVersion"),
    },
    kinds.NAMESPACE: {"Name": _name, "Status": _at("status", "phase"), "Age": _age},
    kinds.QUOTA: {
        "Name": _name,
        "Request": _quota(limits=False),
        "Limit": _quota(limits=True),
        "Age": _age,
    },
    kinds.PVC: {
        "Name": _name,
        "Status": _at("status", "phase"),
        "Volume": _at("spec", "volumeName"),
        "Capacity": _at("status", "capacity", "storage"),
        "Access Modes": _access_modes,
        "StorageClass": _at("spec", "storageClassName"),
        "Age": _age,
    },
    kinds.PV: {
        "Name": _name,
        "Capacity": _at("spec", "capacity", "storage"),
        "Access Modes": _access_modes,
        "Reclaim Policy": _at("spec", "persistentVolumeReclaimPolicy"),
        "Status": _at("status", "phase"),
        "Claim": _at("spec", "claimRef", "name"),
        "Age": _age,
    },
    kinds.ROLEBINDING: {"Name": _name, "Role": _at("roleRef", "name"), "Age": _age},
    kinds.LEASE: {"Name": _name, "Holder": _at("spec", "holderIdentity"), "Age": _age},
}
"""Titles and cells; a title with a plus is shown with ``-o wide`` only."""
