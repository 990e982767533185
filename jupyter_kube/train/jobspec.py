"""What all backends' manifests share: labels, the worker's pod, Service and Secrets (pure)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import naming
from ..errors import InvalidInput
from .cell import Bundle
from .payload import (
    BUNDLE_DIR_ENV,
    BUNDLE_ENV,
    LONGEST,
    WORKER_ENV,
    boot_command,
    worker_payload,
)
from .request import JobRequest, PodTemplate

CONTAINER = "worker"
PORT = 5823
"""The one TCP port of ours in a worker's pod: where rank 0 gathers the others."""

SCRATCH_ENV = "JUPYTER_KUBE_SCRATCH"
STORAGE_ENV = "JUPYTER_KUBE_STORAGE"
MESSAGE_ENV = "JUPYTER_KUBE_MESSAGE"

_SCRATCH = "/var/lib/jupyter-kube"
_BUNDLE = "/var/run/jupyter-kube/bundle"
_MESSAGE = "/dev/termination-log"
_SECRET_PART = 1_000_000  # bytes: a Secret holds 1 MiB
_GRACE = 5
_AWAY = 30  # seconds a node may be gone before its worker is given up
_PASSING = {"secret", "configMap", "emptyDir", "downwardAPI", "projected", "ephemeral"}

_NO_SIDECARS = {
    "sidecar.istio.io/inject": "false",
    "linkerd.io/inject": "disabled",
    "kuma.io/sidecar-injection": "disabled",
}


@dataclass(frozen=True)
class Manifests:
    """Everything one job is made of; the job owns the rest."""

    job: dict[str, Any]
    service: dict[str, Any]
    secrets: tuple[dict[str, Any], ...]


def manifests(request: JobRequest, bundle: Bundle, key: bytes) -> Manifests:
    """Build a job's manifests with the default backend.

    Parameters
    ----------
    request
        What was asked for.
    bundle
        The packed cell.
    key
        32 random bytes: the job's own.

    Raises
    ------
    InvalidInput
        If the pod's template mounts a folder of the node.

    """
    from .backends import job

    return job.render(request, bundle, key)


def with_owner(manifest: Mapping[str, Any], owner: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest that goes when its owner goes; ``owner`` is an owner reference."""
    metadata = {**manifest["metadata"], "ownerReferences": [dict(owner)]}
    return {**manifest, "metadata": metadata}


def key_of(secret: Mapping[str, Any]) -> bytes:
    """Read a job's key from its Secret, as the API returns it."""
    return bytes.fromhex(base64.b64decode(secret["data"]["key"]).decode())


def labels(request: JobRequest, **extra: str) -> dict[str, str]:
    """Build the labels that all objects of a job carry."""
    if request.profile:
        extra["profile"] = request.profile
    if request.kernel_id:
        extra["kernel_id"] = request.kernel_id
    return naming.labels(
        "job", user=request.user, job=request.name, submission=request.submission, **extra
    )


def metadata(request: JobRequest, name: str = "", **extra_labels: str) -> dict[str, Any]:
    """Build an object's metadata; ``name`` is the job's own where none is given."""
    return {
        "name": name or request.name,
        "namespace": request.namespace,
        "labels": labels(request, **extra_labels),
    }


def annotate(request: JobRequest) -> dict[str, str]:
    """Build the job's annotations: what people and those who attach later want to know."""
    return {
        naming.FRAMEWORK: request.framework,
        naming.REQUEST: json.dumps(request.to_json(), sort_keys=True),
        **_whose(request),
    }


def _whose(request: JobRequest) -> dict[str, str]:
    """Build the annotations by which people know whose something is."""
    known = {naming.USER: request.user, naming.NOTEBOOK: request.notebook}
    return {key: value for key, value in known.items() if value}


def service(request: JobRequest) -> dict[str, Any]:
    """Build the headless Service that gives each worker's pod a name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(request),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {naming.JOB: request.name},
            "ports": [{"name": "gather", "port": PORT, "protocol": "TCP"}],
        },
    }


def secrets(request: JobRequest, bundle: Bundle, key: bytes) -> tuple[dict[str, Any], ...]:
    """Build the Secrets: the worker's start variables, and the cell's parts if it is large."""
    start = {"key": key.hex(), "worker": worker_payload(key, _options(request))}
    parts = _parts(bundle)
    if not parts:
        start["bundle"] = base64.b64encode(bundle.payload).decode()
    first = _secret(metadata(request), stringData=start)
    rest = (
        _secret(
            metadata(request, f"{request.name}-{number}"),
            data={"part": base64.b64encode(part).decode()},
        )
        for number, part in enumerate(parts, 1)
    )
    return (first, *rest)


def pod_template(request: JobRequest, bundle: Bundle) -> dict[str, Any]:
    """Build the template of a worker's pod.

    Raises
    ------
    InvalidInput
        If it mounts a folder of the node.

    """
    template = request.template
    if any("hostPath" in volume for volume in template.volumes):
        raise InvalidInput(
            "workers may not mount a folder of the node (hostPath)",
            "pods that may do so can read and change the node",
            "Use a PersistentVolumeClaim.",
        )
    parts = _parts(bundle)
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "subdomain": request.name,
        "terminationGracePeriodSeconds": _GRACE,
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "securityContext": _security(template),
        "tolerations": [*_away(), *map(dict, template.tolerations)],
        "containers": [_container(request, parts)],
        "volumes": [
            {"name": "scratch", "emptyDir": {}},
            *_bundle_volume(request, parts),
            *map(dict, template.volumes),
        ],
    }
    if template.node_selector:
        spec["nodeSelector"] = dict(template.node_selector)
    about = {
        "labels": labels(request, role="worker"),
        "annotations": {**_NO_SIDECARS, **_whose(request)},
    }
    return {"metadata": about, "spec": spec}


def _container(request: JobRequest, parts: list[bytes]) -> dict[str, Any]:
    template = request.template
    mounts = [{"name": "scratch", "mountPath": _SCRATCH}]
    if parts:
        mounts.append({"name": "bundle", "mountPath": _BUNDLE})
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": template.image,
        "imagePullPolicy": template.image_pull_policy,
        "command": boot_command(template.python),
        "env": _env(request, parts),
        "ports": [{"name": "gather", "containerPort": PORT, "protocol": "TCP"}],
        "resources": _resources(template),
        "volumeMounts": [*mounts, *map(dict, template.volume_mounts)],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": _MESSAGE,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if template.working_dir:
        container["workingDir"] = template.working_dir
    return container


def _env(request: JobRequest, parts: list[bytes]) -> list[dict[str, Any]]:
    def secret(name: str, key: str) -> dict[str, Any]:
        return {
            "name": name,
            "valueFrom": {"secretKeyRef": {"name": request.name, "key": key}},
        }

    def field(name: str, path: str) -> dict[str, Any]:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    plain = {SCRATCH_ENV: _SCRATCH, MESSAGE_ENV: _MESSAGE}
    if storage := _storage(request.template):
        plain[STORAGE_ENV] = storage
    if parts:
        plain[BUNDLE_DIR_ENV] = _BUNDLE
    ours = [
        field("POD_IP", "status.podIP"),
        field("POD_NAME", "metadata.name"),
        *({"name": name, "value": value} for name, value in plain.items()),
        secret(WORKER_ENV, "worker"),
        *([] if parts else [secret(BUNDLE_ENV, "bundle")]),
    ]
    taken = {entry["name"] for entry in ours}
    theirs = [
        {"name": name, "value": str(value)}
        for name, value in request.template.env.items()
        if name not in taken
    ]
    return [*theirs, *ours]


def _storage(template: PodTemplate) -> str:
    """Where the template mounts something that outlives a pod: there checkpoints go."""
    lasting = {volume["name"] for volume in template.volumes if not _PASSING & set(volume)}
    return next(
        (
            str(mount["mountPath"])
            for mount in template.volume_mounts
            if mount["name"] in lasting and not mount.get("readOnly")
        ),
        "",
    )


def _options(request: JobRequest) -> dict[str, Any]:
    return {
        "job": request.name,
        "workers": request.workers,
        "retries": request.retries,
        "framework": request.framework,
        "coordinator": f"{request.name}-0.{request.name}",
        "port": PORT,
    }


def _parts(bundle: Bundle) -> list[bytes]:
    """Cut a packed cell that is too large for a variable; empty where it fits."""
    if len(bundle.payload) * 4 / 3 + 4 <= LONGEST:
        return []
    payload = bundle.payload
    return [payload[at : at + _SECRET_PART] for at in range(0, len(payload), _SECRET_PART)]


def _bundle_volume(request: JobRequest, parts: list[bytes]) -> list[dict[str, Any]]:
    sources = [
        {
            "secret": {
                "name": f"{request.name}-{number}",
                "items": [{"key": "part", "path": f"{number:03}"}],
            }
        }
        for number in range(1, len(parts) + 1)
    ]
    return [{"name": "bundle", "projected": {"sources": sources}}] if sources else []


def _secret(about: dict[str, Any], **content: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": about,
        "type": "Opaque",
        "immutable": True,
        **content,
    }


def _security(template: PodTemplate) -> dict[str, Any]:
    group = template.run_as_user or 1000
    return {
        "runAsNonRoot": True,
        "runAsUser": template.run_as_user,
        "runAsGroup": group,
        "fsGroup": group,
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


def _resources(template: PodTemplate) -> dict[str, Any]:
    requests = {"cpu": template.cpu, "memory": template.memory}
    limits = {"memory": template.memory}
    if template.gpus:
        requests[template.gpu_resource] = limits[template.gpu_resource] = str(template.gpus)
    return {"requests": requests, "limits": limits}
