"""A pod from a profile: what kernels' pods and workers' pods have in common (pure functions)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from . import naming, overlay
from .errors import InvalidInput
from .models import Profile
from .restricted import CONTAINER_SECURITY, pod_security
from .rules import SHM

AWAY = 30
"""Seconds a node may be gone before its pods are given up."""

_NO_SIDECARS = {
    "sidecar.istio.io/inject": "false",
    "linkerd.io/inject": "disabled",
    "kuma.io/sidecar-injection": "disabled",
}

Object = dict[str, Any]


def build(
    profile: Profile,
    container: Mapping[str, Any],
    *,
    metadata: Mapping[str, Any],
    spec: Mapping[str, Any],
    more_volumes: Iterable[Mapping[str, Any]] = (),
    more_mounts: Iterable[Mapping[str, Any]] = (),
) -> Object:
    """Build a pod's metadata and spec, as in a Job's template.

    Parameters
    ----------
    profile
        What the platform engineer decided.
    container
        What is ours of the container: name, command, ports; its ``env`` wins over the profile's.
    metadata, spec
        What else is ours of the pod.
    more_volumes, more_mounts
        Volumes of ours, which come first.

    Raises
    ------
    InvalidInput
        If Pod Security *restricted* does not permit the pod.

    """
    annotations = {**_NO_SIDECARS, **metadata.get("annotations", {})}
    whole: Object = {
        "enableServiceLinks": False,
        "securityContext": pod_security(profile.run_as_user),
        "tolerations": [*_away(), *map(dict, profile.tolerations)],
        "containers": [_container(profile, container, more_mounts)],
        **spec,
    }
    for key, value in (
        ("volumes", [*map(dict, more_volumes), *volumes(profile)]),
        ("nodeSelector", dict(profile.node_selector)),
        ("affinity", dict(profile.affinity)),
        ("priorityClassName", profile.priority_class),
        ("imagePullSecrets", [{"name": name} for name in profile.pull_secrets]),
        ("resourceClaims", _claims(profile)),
    ):
        if value:
            whole[key] = value
    template = {"metadata": {**metadata, "annotations": annotations}, "spec": whole}
    try:
        return overlay.apply(template, profile.overlay, container["name"])
    except InvalidInput as error:
        raise InvalidInput(f'profile "{profile.name}": {error.what}', error.why) from error


def volumes(profile: Profile) -> list[Object]:
    """Build a profile's volumes."""
    claims: list[Object] = []
    for claim, place in profile.pvcs.items():
        source = {"claimName": claim, **({"readOnly": True} if _read_only(place) else {})}
        claims.append({"name": _claim_volume(claim), "persistentVolumeClaim": source})
    shm = {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": profile.shm_size}}
    return [*map(dict, profile.volumes), *claims, *([shm] if profile.shm_size else [])]


def mounts(profile: Profile) -> list[Object]:
    """Build the mounts of a profile's volumes."""
    claims: list[Object] = []
    for claim, place in profile.pvcs.items():
        mount = {"name": _claim_volume(claim), "mountPath": place.removesuffix(":ro")}
        claims.append({**mount, **({"readOnly": True} if _read_only(place) else {})})
    shm = {"name": "shm", "mountPath": SHM}
    return [*map(dict, profile.volume_mounts), *claims, *([shm] if profile.shm_size else [])]


def _read_only(place: str) -> bool:
    return place.endswith(":ro")


def _claim_volume(claim: str) -> str:
    return f"pvc-{naming.digest(claim)}"


def _claims(profile: Profile) -> list[Object]:
    return [
        {"name": name, "resourceClaimTemplateName": template}
        for name, template in profile.resource_claims.items()
    ]


def _away() -> list[Object]:
    return [
        {
            "key": f"node.kubernetes.io/{state}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": AWAY,
        }
        for state in ("not-ready", "unreachable")
    ]


def _container(
    profile: Profile, ours: Mapping[str, Any], more_mounts: Iterable[Mapping[str, Any]]
) -> Object:
    container: Object = {
        "image": profile.image,
        "imagePullPolicy": profile.image_pull_policy,
        "resources": profile.resources,
        "securityContext": dict(CONTAINER_SECURITY),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **ours,
        "env": _env(profile, ours.get("env", ())),
    }
    if all_mounts := [*map(dict, more_mounts), *mounts(profile)]:
        container["volumeMounts"] = all_mounts
    if profile.working_dir:
        container["workingDir"] = profile.working_dir
    return container


def _env(profile: Profile, ours: Iterable[Mapping[str, Any]]) -> list[Object]:
    taken = {entry["name"] for entry in ours}
    theirs: list[Object] = [
        {"name": name, "value": str(value)} for name, value in profile.env.items()
    ]
    for name, reference in profile.env_from_secrets.items():
        secret, _, key = reference.partition("/")
        source = {"secretKeyRef": {"name": secret, "key": key}}
        theirs.append({"name": name, "valueFrom": source})
    return [*(entry for entry in theirs if entry["name"] not in taken), *map(dict, ours)]
