"""What the API server refuses of a pod, field by field (pure)."""

from __future__ import annotations

from typing import Any

from . import names
from .names import Causes
from .quantities import parse, text

Object = dict[str, Any]

_POD_IS_FIXED = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set "
    "to 1 if it was previously negative)"
)


def check(pod: Object, old: Object | None) -> Causes:
    """Check a pod, and what is changed of it."""
    yield from check_spec("spec", pod["spec"])
    if old is not None and _fixed(pod["spec"]) != _fixed(old["spec"]):
        yield "spec", _POD_IS_FIXED


def _fixed(spec: Object) -> Object:
    """Leave out what may be changed of a pod that is there."""
    rest = {k: v for k, v in spec.items() if k not in {"activeDeadlineSeconds", "tolerations"}}
    rest["containers"] = [{**each, "image": ""} for each in spec["containers"]]
    return rest


def check_spec(path: str, spec: Object) -> Causes:
    """Check the spec of a pod or of a Job's template."""
    containers = spec.get("containers") or []
    volumes = {each.get("name") for each in spec.get("volumes") or ()}
    if not containers:
        yield f"{path}.containers", "Required value"
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield from _container(f"{path}.{field}[{index}]", container, volumes)
    taken = [each.get("name") for each in containers]
    for index, name in enumerate(taken):
        if name in taken[:index]:
            yield f"{path}.containers[{index}].name", f'Duplicate value: "{name}"'
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from names.check_required(
            f"{path}.volumes[{index}].name", volume.get("name"), names.LABEL
        )
    for field in ("hostname", "subdomain"):
        if "." in (spec.get(field) or ""):
            yield f"{path}.{field}", f'Invalid value: "{spec[field]}": must not contain dots'
        elif spec.get(field):
            yield from names.check(f"{path}.{field}", spec[field], names.LABEL)
    if spec.get("restartPolicy") not in {"Always", "OnFailure", "Never"}:
        supported = 'supported values: "Always", "OnFailure", "Never"'
        yield (
            f"{path}.restartPolicy",
            f'Unsupported value: "{spec.get("restartPolicy")}": {supported}',
        )


def _container(path: str, container: Object, volumes: set[Any]) -> Causes:
    yield from names.check_required(f"{path}.name", container.get("name"), names.LABEL)
    image = container.get("image")
    if not image:
        yield f"{path}.image", "Required value"
    elif image != image.strip():
        text = "must not have leading or trailing whitespace"
        yield f"{path}.image", f'Invalid value: "{image}": {text}'
    for index, variable in enumerate(container.get("env") or ()):
        yield from _variable(f"{path}.env[{index}]", variable)
    yield from _resources(f"{path}.resources", container.get("resources") or {})
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        place = f"{path}.volumeMounts[{index}]"
        if mount.get("name") not in volumes:
            yield f"{place}.name", f'Not found: "{mount.get("name")}"'
        if not mount.get("mountPath"):
            yield f"{place}.mountPath", "Required value"
    for index, port in enumerate(container.get("ports") or ()):
        number, place = port.get("containerPort"), f"{path}.ports[{index}].containerPort"
        if not number:
            yield place, "Required value"
        elif not 0 < number < 65536:
            yield place, f"Invalid value: {number}: must be between 1 and 65535, inclusive"


def _variable(path: str, variable: Object) -> Causes:
    name, source = variable.get("name"), variable.get("valueFrom")
    if not name:
        yield f"{path}.name", "Required value"
    elif "=" in name or not name.isprintable() or not name.isascii():
        text = "a valid environment variable name must consist only of printable ASCII characters"
        yield f"{path}.name", f"Invalid value: \"{name}\": {text} other than '='"
    if source is None:
        return
    if not source:
        sources = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or"
        text = f"must specify one of: {sources} `fileKeyRef`"
        yield f"{path}.valueFrom", f'Invalid value: "": {text}'
    if variable.get("value"):
        text = "may not be specified when `value` is not empty"
        yield f"{path}.valueFrom", f'Invalid value: "": {text}'
    for reference in ("secretKeyRef", "configMapKeyRef"):
        if source.get(reference) is not None:
            place = f"{path}.valueFrom.{reference}"
            yield from names.check(
                f"{place}.name", source[reference].get("name") or "", names.SUBDOMAIN
            )
            if not source[reference].get("key"):
                yield f"{place}.key", "Required value"


def _resources(path: str, resources: Object) -> Causes:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for field, amounts in (("limits", limits), ("requests", requests)):
        for name, written in amounts.items():
            amount = parse(written)
            if amount < 0:
                why = "must be greater than or equal to 0"
                yield f"{path}.{field}[{name}]", f'Invalid value: "{written}": {why}'
            elif "/" in name and amount % 1:
                value = text(name, amount)
                yield f"{path}.{field}[{name}]", f'Invalid value: "{value}": must be an integer'
    for name, written in requests.items():
        extended, limit = "/" in name, limits.get(name)
        if extended and limit is None:
            why = "Limit must be set for non overcommitable resources"
            yield f"{path}.limits", f"Required value: {why}"
        elif limit is not None and extended and parse(written) != parse(limit):
            why = f"must be equal to {name} limit of {limit}"
            yield f"{path}.requests", f'Invalid value: "{written}": {why}'
        elif limit is not None and parse(written) > parse(limit):
            why = f"must be less than or equal to {name} limit of {limit}"
            yield f"{path}.requests", f'Invalid value: "{written}": {why}'
