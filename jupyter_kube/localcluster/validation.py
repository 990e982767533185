"""What the API server refuses as invalid, field by field (pure)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any

from .kinds import (
    CONFIGMAP,
    EVENT,
    JOB,
    NAMESPACE,
    POD,
    PVC,
    ROLE,
    ROLEBINDING,
    SECRET,
    SERVICE,
    ApiError,
    Kind,
    invalid,
)
from .quantities import parse

Object = dict[str, Any]
Causes = Iterator[tuple[str, str]]
"""Paths of fields, and what is wrong with them."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_LABEL_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_LONGEST_DATA = 1024 * 1024

_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    r"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    "or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NAME_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_POD_IS_FIXED = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set "
    "to 1 if it was previously negative)"
)
_FREE_NAMES = (ROLE, ROLEBINDING)


def admit(kind: Kind, new: Object, old: Object | None) -> None:
    """Refuse an invalid object.

    Raises
    ------
    ApiError
        422 that names every field that is wrong, or 400 for a Secret that is not base64.

    """
    causes = list(_metadata(kind, new["metadata"]))
    check = _CHECKS.get(kind)
    if check is not None:
        causes += check(new, old)
    if causes:
        raise invalid(kind, new["metadata"].get("name") or "", causes)


# -- names and labels


def _metadata(kind: Kind, meta: Object) -> Causes:
    name = meta.get("name")
    if not name:
        yield "metadata.name", "Required value: name or generateName is required"
    elif kind is NAMESPACE or kind is SERVICE:
        yield from _name_problem("metadata.name", name, _LABEL, 63, _LABEL_TEXT)
    elif kind not in _FREE_NAMES:
        yield from _name_problem("metadata.name", name, _SUBDOMAIN, 253, _SUBDOMAIN_TEXT)
    yield from _labels("metadata.labels", meta.get("labels"))
    total = sum(len(k) + len(v or "") for k, v in (meta.get("annotations") or {}).items())
    if total > 256 * 1024:
        yield "metadata.annotations", "Too long: may not be more than 262144 bytes"
    for index, owner in enumerate(meta.get("ownerReferences") or ()):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                place = f"metadata.ownerReferences[{index}].{field}"
                yield place, f'Invalid value: "": {field} must not be empty'


def _name_problem(
    field: str, name: str, pattern: re.Pattern[str], longest: int, text: str
) -> Causes:
    if len(name) > longest:
        yield field, f'Invalid value: "{name}": must be no more than {longest} characters'
    if not pattern.fullmatch(name):
        yield field, f'Invalid value: "{name}": {text}'


def _labels(field: str, labels: dict[str, str] | None) -> Causes:
    for key, value in (labels or {}).items():
        prefix, slash, name = key.rpartition("/")
        if not _LABEL_NAME.fullmatch(name) or (slash and not _SUBDOMAIN.fullmatch(prefix)):
            yield field, f'Invalid value: "{key}": {_NAME_TEXT}'
        if len(name) > 63:
            yield field, f'Invalid value: "{key}": name part must be no more than 63 characters'
        if len(value or "") > 63:
            yield field, f'Invalid value: "{value}": must be no more than 63 characters'
        if not _LABEL_VALUE.fullmatch(value or ""):
            yield field, f'Invalid value: "{value}": {_VALUE_TEXT}'


# -- pods


def _pod(pod: Object, old: Object | None) -> Causes:
    yield from _pod_spec("spec", pod["spec"])
    if old is not None and _fixed(pod["spec"]) != _fixed(old["spec"]):
        yield "spec", _POD_IS_FIXED


def _fixed(spec: Object) -> Object:
    """Leave out what may be changed of a pod that is there."""
    rest = {k: v for k, v in spec.items() if k not in {"activeDeadlineSeconds", "tolerations"}}
    rest["containers"] = [{**each, "image": ""} for each in spec["containers"]]
    return rest


def _pod_spec(path: str, spec: Object) -> Causes:
    containers = spec.get("containers") or []
    volumes = {each.get("name") for each in spec.get("volumes") or ()}
    if not containers:
        yield f"{path}.containers", "Required value"
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield from _container(f"{path}.{field}[{index}]", container, volumes)
    names = [each.get("name") for each in containers]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f"{path}.containers[{index}].name", f'Duplicate value: "{name}"'
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from _required_label(f"{path}.volumes[{index}].name", volume.get("name"))
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            yield from _name_problem(f"{path}.{field}", spec[field], _LABEL, 63, _LABEL_TEXT)
    if spec.get("restartPolicy") not in {"Always", "OnFailure", "Never"}:
        supported = 'supported values: "Always", "OnFailure", "Never"'
        yield (
            f"{path}.restartPolicy",
            f'Unsupported value: "{spec.get("restartPolicy")}": {supported}',
        )


def _required_label(field: str, name: str | None) -> Causes:
    if not name:
        yield field, "Required value"
    else:
        yield from _name_problem(field, name, _LABEL, 63, _LABEL_TEXT)


def _container(path: str, container: Object, volumes: set[Any]) -> Causes:
    yield from _required_label(f"{path}.name", container.get("name"))
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
        if not mount.get("mountPath"):
            yield f"{place}.mountPath", "Required value"
        if mount.get("name") not in volumes:
            yield f"{place}.name", f'Not found: "{mount.get("name")}"'
    for index, port in enumerate(container.get("ports") or ()):
        if not 0 < (port.get("containerPort") or 0) < 65536:
            text = "must be between 1 and 65535, inclusive"
            value = port.get("containerPort")
            yield f"{path}.ports[{index}].containerPort", f"Invalid value: {value}: {text}"


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
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or"
        yield f"{path}.valueFrom", f'Invalid value: "": {text} `secretKeyRef`'
    if variable.get("value"):
        text = "may not be specified when `value` is not empty"
        yield f"{path}.valueFrom", f'Invalid value: "": {text}'
    for reference in ("secretKeyRef", "configMapKeyRef"):
        for field in ("name", "key"):
            if source.get(reference) is not None and not source[reference].get(field):
                yield f"{path}.valueFrom.{reference}.{field}", "Required value"


def _resources(path: str, resources: Object) -> Causes:
    amounts: dict[str, dict[str, Any]] = {}
    for field in ("limits", "requests"):
        amounts[field] = {}
        for name, text in (resources.get(field) or {}).items():
            try:
                amounts[field][name] = parse(text)
            except ValueError as error:
                yield f"{path}.{field}[{name}]", f'Invalid value: "{text}": {error}'
                continue
            if amounts[field][name] < 0:
                why = "must be greater than or equal to 0"
                yield f"{path}.{field}[{name}]", f'Invalid value: "{text}": {why}'
            if "/" in name and amounts[field][name] % 1:
                yield f"{path}.{field}[{name}]", f'Invalid value: "{text}": must be an integer'
    for name, asked in amounts["requests"].items():
        limit = amounts["limits"].get(name)
        written = (resources.get("requests") or {}).get(name)
        if "/" in name and limit is None:
            why = "Limit must be set for non overcommitable resources"
            yield f"{path}.limits", f"Required value: {why}"
        elif limit is not None and ("/" in name and asked != limit):
            yield f"{path}.requests", f'Invalid value: "{written}": must be equal to {name} limit'
        elif limit is not None and asked > limit:
            top = resources["limits"][name]
            why = f"must be less than or equal to {name} limit of {top}"
            yield f"{path}.requests", f'Invalid value: "{written}": {why}'


# -- other kinds


def _job(job: Object, old: Object | None) -> Causes:
    spec = job["spec"]
    for field in ("completions", "parallelism", "backoffLimit", "backoffLimitPerIndex"):
        if spec.get(field) is not None and spec[field] < 0:
            why = "must be greater than or equal to 0"
            yield f"spec.{field}", f"Invalid value: {spec[field]}: {why}"
    indexed = spec["completionMode"] == "Indexed"
    if spec["completionMode"] not in {"Indexed", "NonIndexed"}:
        supported = 'supported values: "Indexed", "NonIndexed"'
        yield (
            "spec.completionMode",
            f'Unsupported value: "{spec["completionMode"]}": {supported}',
        )
    if indexed and spec.get("completions") is None:
        yield "spec.completions", "Required value: when completion mode is Indexed"
    pod = spec["template"]["spec"]
    yield from _pod_spec("spec.template.spec", pod)
    if pod.get("restartPolicy") == "Always":
        supported = 'supported values: "OnFailure", "Never"'
        yield "spec.template.spec.restartPolicy", f'Unsupported value: "Always": {supported}'
    per_index = spec.get("backoffLimitPerIndex")
    if per_index is not None and not indexed:
        why = "requires indexed completion mode"
        yield "spec.backoffLimitPerIndex", f"Invalid value: {per_index}: {why}"
    needs_never = [f for f in ("podFailurePolicy", "backoffLimitPerIndex") if spec.get(f)]
    if needs_never and pod.get("restartPolicy") == "OnFailure":
        why = f'only "Never" is supported when {needs_never[0]} is specified'
        yield "spec.template.spec.restartPolicy", f'Invalid value: "OnFailure": {why}'
    if spec.get("successPolicy") and not indexed:
        yield "spec.successPolicy", "Invalid value: requires indexed completion mode"
    if old is not None:
        yield from _job_update(spec, old["spec"], indexed=indexed)


def _job_update(new: Object, old: Object, *, indexed: bool) -> Causes:
    for field in (
        "template", "selector", "completionMode", "podFailurePolicy", "successPolicy",
        "backoffLimitPerIndex",
    ):  # fmt: skip
        if new.get(field) != old.get(field) and not (field == "template" and old.get("suspend")):
            yield f"spec.{field}", f"Invalid value: {new.get(field)}: field is immutable"
    changed = new.get("completions") != old.get("completions")
    if changed and not (indexed and new.get("completions") == new.get("parallelism")):
        why = (
            "can only be modified in tandem with spec.parallelism"
            if indexed
            else "field is immutable"
        )
        yield "spec.completions", f"Invalid value: {new.get('completions')}: {why}"


def _data(obj: Object, old: Object | None) -> Causes:
    size = 0
    for field in ("data", "binaryData"):
        for key, value in (obj.get(field) or {}).items():
            if not _DATA_KEY.fullmatch(key) or len(key) > 253:
                why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
                yield f"{field}[{key}]", f'Invalid value: "{key}": {why}'
            size += len(value or "")
    if size > _LONGEST_DATA:
        yield "data", f"Too long: may not be more than {_LONGEST_DATA} bytes"
    if old is not None and old.get("immutable"):
        for field in ("data", "binaryData", "immutable"):
            if obj.get(field) != old.get(field):
                yield field, "Forbidden: field is immutable when `immutable` is set"


def _secret(secret: Object, old: Object | None) -> Causes:
    decoded = {}
    for key, value in (secret.get("data") or {}).items():
        try:
            decoded[key] = base64.b64decode(value or "", validate=True).decode("latin-1")
        except binascii.Error as error:
            text = 'Secret in version "v1" cannot be handled as a Secret: illegal base64 data'
            raise ApiError(400, "BadRequest", f"{text} ({key})") from error
    yield from _data({**secret, "data": decoded}, old and {**old, "data": _decoded(old)})
    if old is not None and secret.get("type") != old.get("type"):
        yield "type", f'Invalid value: "{secret.get("type")}": field is immutable'


def _decoded(secret: Object) -> dict[str, str]:
    data = secret.get("data") or {}
    return {key: base64.b64decode(value or "").decode("latin-1") for key, value in data.items()}


def _service(service: Object, _old: Object | None) -> Causes:
    spec = service["spec"]
    headless = spec.get("clusterIP") == "None"
    if not spec.get("ports") and not headless:
        yield "spec.ports", "Required value"
    for index, port in enumerate(spec.get("ports") or ()):
        if not 0 < (port.get("port") or 0) < 65536:
            text = "must be between 1 and 65535, inclusive"
            yield f"spec.ports[{index}].port", f"Invalid value: {port.get('port')}: {text}"


def _claim(claim: Object, _old: Object | None) -> Causes:
    spec = claim["spec"]
    if not spec.get("accessModes"):
        yield "spec.accessModes", "Required value: at least 1 access mode is required"
    if not ((spec.get("resources") or {}).get("requests") or {}).get("storage"):
        yield "spec.resources[storage]", "Required value"


def _event(event: Object, _old: Object | None) -> Causes:
    where = event["metadata"]["namespace"]
    about = (event.get("involvedObject") or {}).get("namespace") or "default"
    if where != about:
        why = "does not match event.namespace"
        yield "involvedObject.namespace", f'Invalid value: "{about}": {why}'


_CHECKS: dict[Kind, Callable[[Object, Object | None], Causes]] = {
    POD: _pod,
    JOB: _job,
    SECRET: _secret,
    CONFIGMAP: _data,
    SERVICE: _service,
    PVC: _claim,
    EVENT: _event,
}
