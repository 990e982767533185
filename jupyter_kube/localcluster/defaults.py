"""What the API server fills in where an object says nothing."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from .kinds import JOB, NAMESPACE, POD, PV, PVC, SECRET, SERVICE, Kind

Object = dict[str, Any]


def admit(kind: Kind, new: Object, old: Object | None) -> None:
    """Fill in defaults; a new object begins without a status of its own."""
    fill = _FILLERS.get(kind)
    if fill is not None:
        fill(new)
    if old is None and kind in _FIRST_STATUS:
        new["status"] = dict(_FIRST_STATUS[kind])


def _part(obj: Object, name: str) -> Object:
    """Give a part of an object, made empty where there is none."""
    if obj.get(name) is None:
        obj[name] = {}
    part: Object = obj[name]
    return part


def _pod(pod: Object) -> None:
    _pod_spec(_part(pod, "spec"))


def _pod_spec(spec: Object) -> None:
    spec["containers"] = spec.get("containers") or []
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("securityContext", {})
    for container in (*spec["containers"], *(spec.get("initContainers") or ())):
        _container(container)
    for volume in spec.get("volumes") or ():
        if len(volume) == 1:
            volume["emptyDir"] = {}
        for source in ("secret", "configMap", "projected"):
            if isinstance(volume.get(source), dict):
                volume[source].setdefault("defaultMode", 0o644)


def _container(container: Object) -> None:
    image = container.get("image") or ""
    tag = image.rpartition("/")[2].partition(":")[2]
    latest = "@" not in image and tag in {"", "latest"}
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    resources = _part(container, "resources")
    for name, amount in (resources.get("limits") or {}).items():
        _part(resources, "requests").setdefault(name, amount)
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference:
            reference.setdefault("apiVersion", "v1")


def _job(job: Object) -> None:
    spec, meta = _part(job, "spec"), job["metadata"]
    template = _part(spec, "template")
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else 2**31 - 1)
    spec.setdefault("suspend", False)
    policy = "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"
    spec.setdefault("podReplacementPolicy", policy)
    labels = _part(_part(template, "metadata"), "labels")
    for prefix in ("", "batch.kubernetes.io/"):
        labels.setdefault(f"{prefix}controller-uid", meta["uid"])
        labels.setdefault(f"{prefix}job-name", meta.get("name", ""))
    selector = {"matchLabels": {"batch.kubernetes.io/controller-uid": meta["uid"]}}
    spec.setdefault("selector", selector)
    _pod_spec(_part(template, "spec"))


def _secret(secret: Object) -> None:
    secret.setdefault("type", "Opaque")
    plain = secret.pop("stringData", None) or {}
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
    if encoded:
        secret["data"] = (secret.get("data") or {}) | encoded


def _service(service: Object) -> None:
    spec = _part(service, "spec")
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("clusterIP", "None")  # there is no proxy: names lead to pods directly
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))


def _claim(claim: Object) -> None:
    _part(claim, "spec").setdefault("volumeMode", "Filesystem")


_FILLERS: dict[Kind, Callable[[Object], None]] = {
    POD: _pod,
    JOB: _job,
    SECRET: _secret,
    SERVICE: _service,
    PVC: _claim,
}
_FIRST_STATUS: dict[Kind, Object] = {
    POD: {"phase": "Pending", "qosClass": "Burstable"},
    JOB: {},
    PVC: {"phase": "Pending"},
    PV: {"phase": "Available"},
    NAMESPACE: {"phase": "Active"},
}
