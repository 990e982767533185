"""An overlay: a part of a pod's manifest that the platform engineer lays over ours (pure).

Dictionaries merge, and so do lists whose items have a name (or what :data:`_KEYS` says); other
values replace ours, and null removes them. The result is checked, not the overlay alone: whatever
is laid over it, a pod of ours passes Pod Security *restricted*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import naming
from .checks import clip, is_plain
from .errors import InvalidInput
from .quantity import amount
from .restricted import restricted

CONTAINER = "kernel"
"""What our own container is called in an overlay, also where it is a worker's."""

_KEYS = {"volumeMounts": "mountPath", "hostAliases": "ip", "ports": "containerPort"}
"""What tells a list's items apart, where it is not their name."""

_DECIDED = {
    "serviceAccountName": "use service_account",
    "serviceAccount": "use service_account",
    "automountServiceAccountToken": "use service_account",
    "activeDeadlineSeconds": "use lifetime",
    "restartPolicy": "jupyter-kube decides it",
    "hostname": "jupyter-kube decides it",
    "subdomain": "jupyter-kube decides it",
    "ephemeralContainers": "they cannot be created with a pod",
}
_OURS = ("name", "command", "args")


def check(overlay: Mapping[str, Any]) -> None:
    """Refuse an overlay that changes what is not a platform engineer's to decide.

    Raises
    ------
    InvalidInput
        With what is wrong, beginning with the word ``overlay``.

    """
    if not is_plain(overlay):
        raise InvalidInput("overlay must be plain data: dictionaries, lists, texts and numbers")
    if unknown := sorted(set(overlay) - {"metadata", "spec"}):
        raise InvalidInput(
            f'overlay has "{clip(unknown[0])}"', "it is a part of a pod: metadata and spec"
        )
    _check_metadata(overlay.get("metadata", {}))
    spec = overlay.get("spec", {})
    if not isinstance(spec, Mapping):
        raise InvalidInput("overlay: spec must be a dictionary, as in a pod")
    for field in spec:
        if field in _DECIDED:
            raise InvalidInput(f"overlay sets {field}", _DECIDED[field])
    for field in ("containers", "initContainers", "volumes"):
        items = spec.get(field, [])
        if not isinstance(items, list | tuple) or not all(
            isinstance(each, Mapping) and each.get("name") for each in items
        ):
            raise InvalidInput(f"overlay: {field} must be a list of dictionaries with a name")
    for container in spec.get("containers", ()):
        _check_container(container)


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, Mapping) or set(metadata) - {"labels", "annotations"}:
        raise InvalidInput("overlay: metadata may have labels and annotations only")
    for part in metadata.values():
        if not isinstance(part, Mapping) or not all(isinstance(v, str) for v in part.values()):
            raise InvalidInput("overlay: labels and annotations are dictionaries of texts")
        for key in part:
            if key.startswith(naming.PREFIX) or key in {naming.MANAGED_BY, naming.COMPONENT}:
                raise InvalidInput(f'overlay sets "{clip(key)}"', "jupyter-kube finds pods by it")


def _check_container(container: Mapping[str, Any]) -> None:
    if container["name"] != CONTAINER:
        raise InvalidInput(
            f'overlay adds a container "{clip(container["name"])}"',
            "it would keep the pod alive after the kernel's end",
            "Make it an init container with restartPolicy Always (a sidecar). The kernel's own"
            f' container is called "{CONTAINER}".',
        )
    if taken := [field for field in _OURS[1:] if field in container]:
        raise InvalidInput(f"overlay sets {taken[0]} of the kernel's container", "it is ours")


def apply(
    template: Mapping[str, Any], overlay: Mapping[str, Any], container: str
) -> dict[str, Any]:
    """Lay an overlay over a pod's metadata and spec.

    Parameters
    ----------
    template
        ``{"metadata": …, "spec": …}``, as in a Job's template.
    overlay
        Checked by :func:`check`.
    container
        The name of our container in the template.

    Raises
    ------
    InvalidInput
        If Pod Security *restricted* or plain arithmetic would refuse the result.

    """
    merged: dict[str, Any] = merge(template, _renamed(overlay, container))
    try:
        problems = restricted(merged["spec"], merged["metadata"].get("annotations"))
        problems += _amounts(merged["spec"]["containers"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput("the pod is not shaped as Kubernetes wants it", clip(error)) from error
    if problems:
        raise InvalidInput('Pod Security "restricted" does not permit it', ", ".join(problems))
    return merged


def merge(base: Any, extra: Any, field: str = "") -> Any:
    """Merge plain data; ``field`` is what both are the value of."""
    if isinstance(base, Mapping) and isinstance(extra, Mapping):
        out = dict(base)
        for key, value in extra.items():
            if value is None:
                out.pop(key, None)
            else:
                out[key] = merge(out.get(key), value, key)
        return out
    if isinstance(extra, list | tuple):
        return _merge_lists(base or [], list(extra), _KEYS.get(field, "name"))
    return merge({}, extra) if isinstance(extra, Mapping) else extra


def _merge_lists(base: Any, extra: list[Any], key: str) -> list[Any]:
    known = isinstance(base, list | tuple)
    if not known or not all(_has(each, key) for each in (*base, *extra)):
        return [merge(None, each) for each in extra]
    out = {each[key]: each for each in base}
    for each in extra:
        out[each[key]] = merge(out.get(each[key]), each)
    return list(out.values())


def _has(item: Any, key: str) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get(key), str | int)


def _renamed(overlay: Mapping[str, Any], container: str) -> Mapping[str, Any]:
    """Call our own container what it is called in the pod."""
    spec = overlay.get("spec") or {}
    if not spec.get("containers"):
        return overlay
    ours = [{**each, "name": container} for each in spec["containers"]]
    return {**overlay, "spec": {**spec, "containers": ours}}


def _amounts(containers: list[Mapping[str, Any]]) -> list[str]:
    """List requests that are above their limits."""
    found = []
    for container in containers:
        resources = container.get("resources") or {}
        limits = resources.get("limits") or {}
        for name, asked in (resources.get("requests") or {}).items():
            if name in limits and amount(str(asked)) > amount(str(limits[name])):
                found.append(f"{name} request {asked} is above its limit {limits[name]}")
    return found
