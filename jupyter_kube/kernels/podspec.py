"""The manifests of one kernel: its pod, and the Secret with its keys (pure functions)."""

from __future__ import annotations

import re
from typing import Any

from .. import naming
from ..config import SETTINGS_ENV
from ..errors import InvalidInput
from ..models import Profile
from .payload import DEFAULT_PORT, LAUNCH_ENV, boot_command

CONTAINER = "kernel"
PORT = DEFAULT_PORT
"""The one TCP port of a kernel's pod: the launcher's."""

_SECRET_KEY = "launch"  # noqa: S105 - the name of the entry
_GRACE = 2
_AWAY = 30  # seconds a node may be gone before the kernel is given up
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_RESERVED = {LAUNCH_ENV, SETTINGS_ENV, "POD_IP"}

_NO_SIDECARS = {
    "sidecar.istio.io/inject": "false",
    "linkerd.io/inject": "disabled",
    "kuma.io/sidecar-injection": "disabled",
}
_STAY = {  # a kernel moved to another node is a kernel lost
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


def pod(
    profile: Profile,
    kernel_id: str,
    *,
    namespace: str,
    user: str = "",
    notebook: str = "",
    settings: str = "",
    kernel_name: str = "",
    server: str = "",
) -> dict[str, Any]:
    """Build a kernel's pod.

    Parameters
    ----------
    profile
        What the platform engineer decided.
    kernel_id
        Jupyter's id of the kernel.
    namespace
        Where the pod will be.
    user
        Whose kernel it is; a hash of it becomes a label, the text an annotation.
    notebook
        Path of the notebook the kernel belongs to, as the server knows it.
    settings
        What a kernel that may submit jobs needs to know; used with a service account only.
    kernel_name, server
        The kernelspec, and the hash of the server that will attach to the pod again.

    Raises
    ------
    InvalidInput
        If the kernel's id cannot be a label, or the profile mounts a folder of the node.

    """
    if not _LABEL_VALUE.fullmatch(kernel_id):
        raise InvalidInput(
            f"the kernel id {kernel_id[:80]!r} is not allowed",
            'at most 63 letters, digits, "-", "_" and "."',
        )
    if any("hostPath" in volume for volume in profile.volumes):
        raise InvalidInput(
            f'profile "{profile.name}" mounts a folder of the node (hostPath)',
            "pods that may do so can read and change the node",
            "Use a PersistentVolumeClaim.",
        )
    spec: dict[str, Any] = {
        "restartPolicy": "OnFailure",
        "terminationGracePeriodSeconds": _GRACE,
        "enableServiceLinks": False,
        "automountServiceAccountToken": bool(profile.service_account),
        "securityContext": _pod_security(profile),
        "tolerations": [*_away(), *map(dict, profile.tolerations)],
        "containers": [_container(profile, kernel_id, notebook, settings)],
    }
    if profile.service_account:
        spec["serviceAccountName"] = profile.service_account
    if profile.node_selector:
        spec["nodeSelector"] = dict(profile.node_selector)
    if profile.volumes:
        spec["volumes"] = [dict(volume) for volume in profile.volumes]
    annotations = {**_NO_SIDECARS, **_STAY}
    if user:
        annotations[naming.USER] = user
    if notebook:
        annotations[naming.NOTEBOOK] = notebook
    if kernel_name:
        annotations[naming.KERNEL_NAME] = kernel_name
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": naming.kernel_name(kernel_id),
            "namespace": namespace,
            "labels": _labels(kernel_id, user, profile=profile.name, **_of(server)),
            "annotations": annotations,
        },
        "spec": spec,
    }


def secret(
    kernel_id: str, launch: str, owner: dict[str, Any], *, namespace: str, user: str = ""
) -> dict[str, Any]:
    """Build the Secret that holds a kernel's start variable.

    Parameters
    ----------
    kernel_id
        Jupyter's id of the kernel.
    launch
        From :func:`.payload.launch_payload`.
    owner
        Owner reference to the pod: the Secret goes with it.
    namespace, user
        As for the pod.

    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": naming.kernel_name(kernel_id),
            "namespace": namespace,
            "labels": _labels(kernel_id, user),
            "ownerReferences": [owner],
        },
        "type": "Opaque",
        "immutable": True,
        "stringData": {_SECRET_KEY: launch},
    }


def _labels(kernel_id: str, user: str, **extra: str) -> dict[str, str]:
    return naming.labels("kernel", user=user, kernel_id=kernel_id, **extra)


def _of(server: str) -> dict[str, str]:
    return {"server": server} if server else {}


def _pod_security(profile: Profile) -> dict[str, Any]:
    return {
        "runAsNonRoot": True,
        "runAsUser": profile.run_as_user,
        "runAsGroup": profile.run_as_user or 1000,
        "fsGroup": profile.run_as_user or 1000,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _away() -> list[dict[str, Any]]:
    return [
        {
            "key": f"node.kubernetes.io/{state}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": _AWAY,
        }
        for state in ("not-ready", "unreachable")
    ]


def _container(profile: Profile, kernel_id: str, notebook: str, settings: str) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": profile.image,
        "imagePullPolicy": profile.image_pull_policy,
        "command": boot_command(profile.python),
        "env": _env(profile, kernel_id, notebook, settings),
        "ports": [{"name": "link", "containerPort": PORT, "protocol": "TCP"}],
        "resources": _resources(profile),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if profile.volume_mounts:
        container["volumeMounts"] = [dict(mount) for mount in profile.volume_mounts]
    return container


def _env(profile: Profile, kernel_id: str, notebook: str, settings: str) -> list[dict[str, Any]]:
    # Python starts quicker with its frozen modules; the debugger would warn of them each time.
    values = {"PYDEVD_DISABLE_FILE_VALIDATION": "1", **profile.env}
    for name in _RESERVED & set(values):
        del values[name]
    if notebook:
        values["JPY_SESSION_NAME"] = notebook
    if profile.service_account and settings:
        values[SETTINGS_ENV] = settings
    secret_key = {"name": naming.kernel_name(kernel_id), "key": _SECRET_KEY}
    return [
        *({"name": name, "value": str(value)} for name, value in values.items()),
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": LAUNCH_ENV, "valueFrom": {"secretKeyRef": secret_key}},
    ]


def _resources(profile: Profile) -> dict[str, Any]:
    requests = {"cpu": profile.cpu, "memory": profile.memory}
    limits = {"memory": profile.memory}
    if profile.gpus:
        requests[profile.gpu_resource] = limits[profile.gpu_resource] = str(profile.gpus)
    return {"requests": requests, "limits": limits}
