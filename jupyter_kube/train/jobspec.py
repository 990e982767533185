"""What all backends' manifests share: labels, the worker's pod, Service and Secrets (pure)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from .. import naming
from ..models import Profile
from ..podspec import build, mounts, volumes
from ..quantity import amount
from .cell import Bundle
from .host import SCRATCH
from .payload import (
    BUNDLE_DIR_ENV,
    BUNDLE_ENV,
    LONGEST,
    WORKER_ENV,
    boot_command,
    worker_payload,
)
from .replacing import FAILURES
from .request import STORAGE_ENV, JobRequest
from .roles import CHIEF, PS, WORKER
from .start import FILES_ONLY

CONTAINER = "worker"
PORT = 5823
"""The one TCP port of ours in a worker's pod: where rank 0 gathers the others."""

BUNDLE_VOLUME = "bundle"
"""Volume with the parts of a cell that is too large for a variable."""

MESSAGE_ENV = "JUPYTER_KUBE_MESSAGE"
FIRST_RANK_ENV = "JUPYTER_KUBE_FIRST_RANK"
REPLACED_ENV = "JUPYTER_KUBE_REPLACED"
"""Variable of further roles' pods: how many of this index have failed before it."""

_SCRATCH = "/var/lib/jupyter-kube"
_BUNDLE = "/var/run/jupyter-kube/bundle"
_MESSAGE = "/dev/termination-log"
_SECRET_PART = 1_000_000  # bytes: a Secret holds 1 MiB
_GRACE = 5
_WAITING = "TF_NUM_INTEROP_THREADS"
_FILES_WAIT = 600  # seconds a pod for files waits for who wants them
_FILES_LONGEST = 24 * 3600  # seconds it gives them at most, to who may have gone unnoticed
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", _WAITING)
_FEWEST_WAITING = 8
_PASSING = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "projected", "secret",
}  # fmt: skip


@dataclass(frozen=True)
class Manifests:
    """Everything one job is made of; the job owns the rest."""

    job: dict[str, Any]
    service: dict[str, Any]
    secrets: tuple[dict[str, Any], ...]
    roles: tuple[dict[str, Any], ...] = ()
    """Jobs of further roles."""

    @property
    def owned(self) -> tuple[dict[str, Any], ...]:
        """All but the job itself."""
        return (self.service, *self.secrets, *self.roles)


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
        If Pod Security *restricted* does not permit the pods.

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
    if request.profile.name:
        extra["profile"] = request.profile.name
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
    return headless(metadata(request))


def headless(about: Mapping[str, Any]) -> dict[str, Any]:
    """Build a job's Service from its metadata."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": dict(about),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {naming.JOB: about["name"]},
            "ports": [{"name": "gather", "port": PORT, "protocol": "TCP"}],
        },
    }


def secrets(request: JobRequest, bundle: Bundle, key: bytes) -> tuple[dict[str, Any], ...]:
    """Build the Secrets: the worker's start variables, and the cell's parts if it is large."""
    start = {"key": key.hex(), "worker": worker_payload(key, _options(request))}
    parts = _parts(bundle)
    if not parts:
        start["bundle"] = base64.b64encode(bundle.payload).decode()
    first = opaque(metadata(request), stringData=start)
    rest = (
        opaque(
            metadata(request, f"{request.name}-{number}"),
            data={"part": base64.b64encode(part).decode()},
        )
        for number, part in enumerate(parts, 1)
    )
    return (first, *rest)


def role_name(request: JobRequest, role: str) -> str:
    """Name the Job of a role: the first one's is the job itself."""
    return request.name if role == next(iter(request.roles.counts)) else f"{request.name}-{role}"


def pod_template(request: JobRequest, bundle: Bundle, role: str = WORKER) -> dict[str, Any]:
    """Build the template of the pods of a role.

    Raises
    ------
    InvalidInput
        If Pod Security *restricted* does not permit the pods.

    """
    parts, first = _parts(bundle), request.roles.first(role)
    template = build(
        _profile(request, role),
        _container(request, parts, first),
        metadata={
            "labels": labels(request, role=role),
            "annotations": {**_whose(request), **_ranks(request, first)},
        },
        spec={
            "restartPolicy": "Never",
            "subdomain": request.name,
            "terminationGracePeriodSeconds": _GRACE,
            "automountServiceAccountToken": False,
        },
        more_volumes=_bundle_volume(request, parts),
        more_mounts=[{"name": BUNDLE_VOLUME, "mountPath": _BUNDLE}] if parts else [],
    )
    return _room_to_write(template)


def _room_to_write(template: dict[str, Any]) -> dict[str, Any]:
    """Give a worker a volume if it cannot write to its image's folders.

    Others go without one: a pod's first volume costs it 0.3 s, at which the kubelet looks again
    whether it is mounted.
    """
    containers = template["spec"]["containers"]
    container = next(each for each in containers if each["name"] == CONTAINER)
    if container["securityContext"].get("readOnlyRootFilesystem"):
        for place, key, more in (
            (template["spec"], "volumes", {"name": "scratch", "emptyDir": {}}),
            (container, "volumeMounts", {"name": "scratch", "mountPath": _SCRATCH}),
            (container, "env", {"name": SCRATCH, "value": _SCRATCH}),
        ):
            place[key] = [*place.get(key, ()), more]
    return template


def _ranks(request: JobRequest, first: int) -> dict[str, str]:
    """Build the annotations that tell which ranks a pod has, where it is not its index alone."""
    known = {naming.FIRST_RANK: first, naming.PROCS: request.procs if request.procs > 1 else 0}
    return {name: str(value) for name, value in known.items() if value}


def _profile(request: JobRequest, role: str) -> Profile:
    """Leave GPUs to those who compute: not to parameter servers, nor to who hands out work."""
    if role == PS or (role == CHIEF and request.ps):
        return replace(request.profile, gpus=0)
    return request.profile


def files_pod(job: Mapping[str, Any], submission: str) -> dict[str, Any]:
    """Build a pod that mounts what a job's pods do and gives files away, then ends.

    Parameters
    ----------
    job
        The Job, as the API returns it.
    submission
        Makes its name unique.

    """
    meta, template = job["metadata"], job["spec"]["template"]
    user = (meta.get("annotations") or {}).get(naming.USER, "")
    container = dict(template["spec"]["containers"][0])
    resources = {
        kind: {name: value for name, value in amounts.items() if "/" not in name}
        for kind, amounts in (container.get("resources") or {}).items()
        if kind in ("requests", "limits")
    }
    only = {"name": FILES_ONLY, "value": str(_FILES_WAIT)}
    spec = {
        **{k: v for k, v in template["spec"].items() if k not in ("subdomain", "resourceClaims")},
        "containers": [{**container, "resources": resources, "env": [*container["env"], only]}],
        "restartPolicy": "Never",
        "activeDeadlineSeconds": _FILES_LONGEST,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{meta['name']}-files-{naming.digest(submission, 4)}",
            "namespace": meta["namespace"],
            "labels": naming.labels("files", user=user, job=meta["name"]),
            "annotations": template["metadata"].get("annotations") or {},
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"]}
            ],
        },
        "spec": spec,
    }


def _container(request: JobRequest, parts: list[bytes], first: int) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "command": boot_command(request.profile.python),
        "env": _env(request, parts, first),
        "ports": [{"name": "gather", "containerPort": PORT, "protocol": "TCP"}],
        "terminationMessagePath": _MESSAGE,
    }


def _env(request: JobRequest, parts: list[bytes], first: int) -> list[dict[str, Any]]:
    def secret(name: str, key: str) -> dict[str, Any]:
        return {
            "name": name,
            "valueFrom": {"secretKeyRef": {"name": request.name, "key": key}},
        }

    def field(name: str, path: str) -> dict[str, Any]:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    plain = {**_threads(request), MESSAGE_ENV: _MESSAGE}
    if folder := _storage(request.profile):
        plain[STORAGE_ENV] = folder
    if parts:
        plain[BUNDLE_DIR_ENV] = _BUNDLE
    if first:
        plain[FIRST_RANK_ENV] = str(first)
    return [
        field("POD_IP", "status.podIP"),
        field("POD_NAME", "metadata.name"),
        *([field(REPLACED_ENV, f"metadata.annotations['{FAILURES}']")] if first else []),
        *({"name": name, "value": value} for name, value in plain.items()),
        secret(WORKER_ENV, "worker"),
        *([] if parts else [secret(BUNDLE_ENV, "bundle")]),
    ]


def _threads(request: JobRequest) -> dict[str, str]:
    """Tell numeric libraries to start as many threads as there are CPUs for them, not machines'."""
    profile = request.profile
    count = max(ceil(amount(profile.cpu)) // request.procs, 1)
    threads = dict.fromkeys(_THREADS, count)
    if request.ps:  # TensorFlow's servers wait for each other in these
        threads[_WAITING] = max(count, _FEWEST_WAITING)
    given = {*profile.env, *profile.env_from_secrets}
    return {name: str(number) for name, number in threads.items() if name not in given}


def _storage(profile: Profile) -> str:
    """Say where the profile mounts something that outlives a pod: there checkpoints go."""
    lasting = {volume["name"] for volume in volumes(profile) if not _PASSING & set(volume)}
    return next(
        (
            str(mount["mountPath"])
            for mount in mounts(profile)
            if mount["name"] in lasting and not mount.get("readOnly")
        ),
        "",
    )


def _options(request: JobRequest) -> dict[str, Any]:
    return {
        "job": request.name,
        "workers": request.roles.size,
        "least": request.least,
        "procs": request.procs,
        "gpus": request.profile.gpus,
        "chief": request.chief,
        "ps": request.ps,
        "evaluator": request.evaluator,
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
    return [{"name": BUNDLE_VOLUME, "projected": {"sources": sources}}] if sources else []


def opaque(about: dict[str, Any], **content: dict[str, str]) -> dict[str, Any]:
    """Build an immutable Secret with ``data`` or ``stringData``."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": about,
        "type": "Opaque",
        "immutable": True,
        **content,
    }
