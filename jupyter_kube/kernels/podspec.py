"""The manifests of one kernel: its pod, and the Secret with its keys (pure functions)."""

from __future__ import annotations

import re
from typing import Any

from .. import naming
from ..config import SETTINGS_ENV
from ..errors import InvalidInput
from ..models import Profile
from ..podspec import build
from .folder import LIMITS
from .payload import DEFAULT_PORT, LAUNCH_ENV, boot_command

CONTAINER = "kernel"
WARM = "warm"
"""Value of the label on a kernel's pod that nobody has asked for yet."""
FILES_PLACE = "/notebook"
"""Where a copy of the notebook's folder goes, unless the profile has a working directory."""

PORT = DEFAULT_PORT
"""The one TCP port of a kernel's pod: the launcher's."""

SECRET_KEY = "launch"  # noqa: S105 - the name of the entry
"""The start variable's entry in a kernel's Secret."""
_GRACE = 2
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
# Python starts quicker with its frozen modules; the debugger would warn of them each time.
_QUIET = "PYDEVD_DISABLE_FILE_VALIDATION"

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
    warm: bool = False,
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
    warm
        Whether nobody has asked for the kernel yet.

    Raises
    ------
    InvalidInput
        If the kernel's id cannot be a label, or Pod Security *restricted* does not permit the pod.

    """
    if not _LABEL_VALUE.fullmatch(kernel_id):
        raise InvalidInput(
            f"the kernel id {kernel_id[:80]!r} is not allowed",
            'at most 63 letters, digits, "-", "_" and "."',
        )
    spec: dict[str, Any] = {
        "restartPolicy": "OnFailure",
        "terminationGracePeriodSeconds": _GRACE,
        "automountServiceAccountToken": bool(profile.service_account),
    }
    if profile.service_account:
        spec["serviceAccountName"] = profile.service_account
    if profile.lifetime:
        spec["activeDeadlineSeconds"] = max(int(profile.lifetime), 1)
    annotations = dict(_STAY)
    if user:
        annotations[naming.USER] = user
    if notebook:
        annotations[naming.NOTEBOOK] = notebook
    if kernel_name:
        annotations[naming.KERNEL_NAME] = kernel_name
    if profile.idle_timeout:
        annotations[naming.IDLE_TIMEOUT] = f"{profile.idle_timeout:g}"
    metadata = {
        "name": naming.kernel_name(kernel_id),
        "namespace": namespace,
        "labels": _labels(kernel_id, user, profile=profile.name, **_of(server, warm=warm)),
        "annotations": annotations,
    }
    container = _container(profile, kernel_id, notebook, settings)
    volumes, mounts = _for_files(profile)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        **build(
            profile,
            container,
            metadata=metadata,
            spec=spec,
            more_volumes=volumes,
            more_mounts=mounts,
        ),
    }


def _for_files(profile: Profile) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Build the volume, and its mount, for a copy of the notebook's folder."""
    if not profile.files or profile.working_dir:
        return [], []
    return (
        [{"name": "files", "emptyDir": {}}],
        [{"name": "files", "mountPath": FILES_PLACE}],
    )


def options(profile: Profile, folder: str = "", limits: tuple[int, int] = LIMITS) -> dict[str, Any]:
    """Return the launcher's options.

    Parameters
    ----------
    profile
        Gives the times after which a pod ends by itself, in seconds; 0 is never.
    folder
        Name of the notebook's folder, of which the pod may get a copy.
    limits
        How many files, and bytes of them, may travel at once.

    """
    names = ("idle_timeout", "lost_timeout", "lost_busy_timeout")
    made: dict[str, Any] = {name: getattr(profile, name) for name in names}
    made["files"] = list(limits)
    if profile.files:
        plain = folder.isprintable() and folder not in {"", ".", ".."} and "/" not in folder
        made["cwd"] = folder if plain else "notebook"
    return made


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
        "stringData": {SECRET_KEY: launch},
    }


def _labels(kernel_id: str, user: str, **extra: str) -> dict[str, str]:
    return naming.labels("kernel", user=user, kernel_id=kernel_id, **extra)


def _of(server: str, *, warm: bool) -> dict[str, str]:
    labels = {"server": server} if server else {}
    return {**labels, "pool": WARM} if warm else labels


def _container(profile: Profile, kernel_id: str, notebook: str, settings: str) -> dict[str, Any]:
    place = {"workingDir": FILES_PLACE} if profile.files else {}  # the profile's own wins
    return {
        **place,
        "name": CONTAINER,
        "command": boot_command(profile.python),
        "env": _env(profile, kernel_id, notebook, settings),
        "ports": [{"name": "link", "containerPort": PORT, "protocol": "TCP"}],
    }


def _env(profile: Profile, kernel_id: str, notebook: str, settings: str) -> list[dict[str, Any]]:
    """Build the variables that are ours; they win over the profile's."""
    secret_key = {"name": naming.kernel_name(kernel_id), "key": SECRET_KEY}
    ours: list[dict[str, Any]] = [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": LAUNCH_ENV, "valueFrom": {"secretKeyRef": secret_key}},
    ]
    if _QUIET not in profile.env:
        ours.append({"name": _QUIET, "value": "1"})
    if notebook:
        ours.append({"name": "JPY_SESSION_NAME", "value": notebook})
    if profile.service_account and settings:
        ours.append({"name": SETTINGS_ENV, "value": settings})
    return ours
