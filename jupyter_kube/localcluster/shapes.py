"""The types of the fields that are read: refuses what could not be decoded (pure)."""

from __future__ import annotations

from typing import Any

from .kinds import JOB, POD, SECRET, ApiError, Kind

_TEXT_MAP = {"*": str}
_META = {
    "name": str,
    "generateName": str,
    "namespace": str,
    "labels": _TEXT_MAP,
    "annotations": _TEXT_MAP,
    "finalizers": [str],
    "ownerReferences": [{"uid": str, "name": str, "kind": str, "apiVersion": str}],
}
_SECURITY = {
    "runAsNonRoot": bool,
    "runAsUser": int,
    "seccompProfile": {"type": str},
    "capabilities": {"drop": [str], "add": [str]},
}
_CONTAINER = {
    "name": str,
    "image": str,
    "command": [str],
    "args": [str],
    "workingDir": str,
    "env": [{"name": str, "value": str, "valueFrom": {}}],
    "envFrom": [{}],
    "ports": [{"containerPort": int}],
    "volumeMounts": [{"name": str, "mountPath": str, "readOnly": bool}],
    "resources": {"limits": {"*": (str, int, float)}, "requests": {"*": (str, int, float)}},
    "securityContext": _SECURITY,
    "imagePullPolicy": str,
}
_POD_SPEC = {
    "containers": [_CONTAINER],
    "initContainers": [_CONTAINER],
    "volumes": [{"name": str}],
    "nodeSelector": _TEXT_MAP,
    "tolerations": [{}],
    "restartPolicy": str,
    "hostname": str,
    "subdomain": str,
    "serviceAccountName": str,
    "automountServiceAccountToken": bool,
    "terminationGracePeriodSeconds": int,
    "activeDeadlineSeconds": int,
    "securityContext": _SECURITY,
}
_JOB_SPEC = {
    "template": {"metadata": _META, "spec": _POD_SPEC},
    "completions": int,
    "parallelism": int,
    "backoffLimit": int,
    "backoffLimitPerIndex": int,
    "maxFailedIndexes": int,
    "activeDeadlineSeconds": int,
    "ttlSecondsAfterFinished": int,
    "completionMode": str,
    "suspend": bool,
    "podFailurePolicy": {"rules": [{}]},
    "successPolicy": {"rules": [{}]},
}
_SHAPES: dict[Kind, Any] = {
    POD: {"metadata": _META, "spec": _POD_SPEC},
    JOB: {"metadata": _META, "spec": _JOB_SPEC},
    SECRET: {"metadata": _META, "data": _TEXT_MAP, "stringData": _TEXT_MAP, "immutable": bool},
}
_ANY = {"metadata": _META, "spec": {}, "data": {}}
_GO = {str: "string", int: "int32", bool: "bool"}


def admit(kind: Kind, new: dict[str, Any], _old: object) -> None:
    """Refuse an object whose fields have the wrong types.

    Raises
    ------
    ApiError
        400, with the words of the API server's decoder.

    """
    problem = _problem(new, _SHAPES.get(kind, _ANY), "")
    if problem:
        text = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
        raise ApiError(400, "BadRequest", f"{text}json: cannot unmarshal {problem}")


def _problem(value: Any, shape: Any, path: str) -> str:
    """Describe the first value that does not fit; null always fits."""
    if value is None:
        return ""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return _misfit(value, path, "struct")
        pairs = ((key, shape.get(key, shape.get("*"))) for key in value)
        problems = (
            _problem(value[key], inner, _below(path, key))
            for key, inner in pairs
            if inner is not None
        )
        return next(filter(None, problems), "")
    if isinstance(shape, list):
        if not isinstance(value, list):
            return _misfit(value, path, "slice")
        return next(filter(None, (_problem(item, shape[0], path) for item in value)), "")
    accepted = shape if isinstance(shape, tuple) else (shape,)
    if isinstance(value, bool) != (bool in accepted) or not isinstance(value, accepted):
        return _misfit(value, path, _GO.get(accepted[0], "quantity"))
    return ""


def _misfit(value: Any, path: str, wanted: str) -> str:
    words = {str: "string", bool: "bool", int: "number", float: "number", dict: "object"}
    return f"{words.get(type(value), 'array')} into Go struct field {path} of type {wanted}"


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
