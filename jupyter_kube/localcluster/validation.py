"""What the API server refuses as invalid, field by field (pure)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any

from . import names, podvalidation
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
    Kind,
    invalid,
)
from .names import Causes
from .shapes import undecodable

Object = dict[str, Any]
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_DATA_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=]")
_LONGEST_DATA = 1024 * 1024

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


def _metadata(kind: Kind, meta: Object) -> Causes:
    name = meta.get("name")
    if not name:
        yield "metadata.name", "Required value: name or generateName is required"
    elif kind not in _FREE_NAMES:
        style = names.SUBDOMAIN
        if kind is NAMESPACE or kind is SERVICE:
            style = names.LABEL if kind is NAMESPACE else names.SERVICE_LABEL
        yield from names.check("metadata.name", name, style)
    yield from names.check_labels("metadata.labels", meta.get("labels"))
    total = sum(len(k) + len(v or "") for k, v in (meta.get("annotations") or {}).items())
    if total > 256 * 1024:
        yield "metadata.annotations", "Too long: may not be more than 262144 bytes"
    for index, owner in enumerate(meta.get("ownerReferences") or ()):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                place = f"metadata.ownerReferences[{index}].{field}"
                yield place, f'Invalid value: "": {field} must not be empty'


def _job(job: Object, old: Object | None) -> Causes:
    spec = job["spec"]
    for field in ("completions", "parallelism", "backoffLimit", "backoffLimitPerIndex"):
        if spec.get(field) is not None and spec[field] < 0:
            why = "must be greater than or equal to 0"
            yield f"spec.{field}", f"Invalid value: {spec[field]}: {why}"
    indexed = spec["completionMode"] == "Indexed"
    if spec["completionMode"] not in {"Indexed", "NonIndexed"}:
        supported = 'supported values: "NonIndexed", "Indexed"'
        yield (
            "spec.completionMode",
            f'Unsupported value: "{spec["completionMode"]}": {supported}',
        )
    if indexed and spec.get("completions") is None:
        yield "spec.completions", "Required value: when completion mode is Indexed"
    pod = spec["template"]["spec"]
    yield from podvalidation.check_spec("spec.template.spec", pod)
    if pod.get("restartPolicy") == "Always":
        required = 'Required value: valid values: "OnFailure", "Never"'
        yield "spec.template.spec.restartPolicy", required
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
            value = json.dumps(new.get(field))
            yield f"spec.{field}", f"Invalid value: {value}: field is immutable"
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
                yield f"{field}[{key}]", f'Invalid value: "{key}": {_DATA_KEY_TEXT}'
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
            wrong = _NOT_BASE64.search(value)
            at = wrong.start() if wrong else len(value)
            raise undecodable(SECRET, f"illegal base64 data at input byte {at}") from error
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
    POD: podvalidation.check,
    JOB: _job,
    SECRET: _secret,
    CONFIGMAP: _data,
    SERVICE: _service,
    PVC: _claim,
    EVENT: _event,
}
