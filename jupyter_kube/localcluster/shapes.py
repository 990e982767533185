"""The types of the fields that are read: refuses what could not be decoded (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .kinds import JOB, POD, SECRET, ApiError, Kind
from .quantities import parse


@dataclass(frozen=True)
class _Leaf:
    """A plain value, with its type's name in Go."""

    go: str
    types: tuple[type, ...]


@dataclass(frozen=True)
class _Struct:
    """An object with fields of its own types; other fields may be anything."""

    name: str
    fields: Mapping[str, _Shape]


@dataclass(frozen=True)
class _Map:
    """An object whose keys are free."""

    value: _Shape


@dataclass(frozen=True)
class _List:
    each: _Shape


_Shape = _Leaf | _Struct | _Map | _List

_TEXT = _Leaf("string", (str,))
_FLAG = _Leaf("bool", (bool,))
_INT32, _INT64 = _Leaf("int32", (int,)), _Leaf("int64", (int,))
_QUANTITY = _Leaf("resource.Quantity", (str, int, float))
_TEXTS, _TEXT_MAP, _AMOUNTS = _List(_TEXT), _Map(_TEXT), _Map(_QUANTITY)

_OWNER = _Struct(
    "OwnerReference", {"uid": _TEXT, "name": _TEXT, "kind": _TEXT, "apiVersion": _TEXT}
)
_META = _Struct(
    "ObjectMeta",
    {
        "name": _TEXT,
        "generateName": _TEXT,
        "namespace": _TEXT,
        "labels": _TEXT_MAP,
        "annotations": _TEXT_MAP,
        "finalizers": _TEXTS,
        "ownerReferences": _List(_OWNER),
    },
)
_SECURITY: dict[str, _Shape] = {
    "runAsNonRoot": _FLAG,
    "runAsUser": _INT64,
    "seccompProfile": _Struct("SeccompProfile", {"type": _TEXT}),
    "capabilities": _Struct("Capabilities", {"drop": _TEXTS, "add": _TEXTS}),
}
_CONTAINER = _Struct(
    "Container",
    {
        "name": _TEXT,
        "image": _TEXT,
        "command": _TEXTS,
        "args": _TEXTS,
        "workingDir": _TEXT,
        "env": _List(
            _Struct(
                "EnvVar",
                {"name": _TEXT, "value": _TEXT, "valueFrom": _Struct("EnvVarSource", {})},
            )
        ),
        "envFrom": _List(_Struct("EnvFromSource", {})),
        "ports": _List(_Struct("ContainerPort", {"containerPort": _INT32, "hostPort": _INT32})),
        "volumeMounts": _List(
            _Struct("VolumeMount", {"name": _TEXT, "mountPath": _TEXT, "readOnly": _FLAG})
        ),
        "resources": _Struct("ResourceRequirements", {"limits": _AMOUNTS, "requests": _AMOUNTS}),
        "securityContext": _Struct("SecurityContext", _SECURITY),
        "imagePullPolicy": _TEXT,
    },
)
_POD_SPEC = _Struct(
    "PodSpec",
    {
        "containers": _List(_CONTAINER),
        "initContainers": _List(_CONTAINER),
        "volumes": _List(_Struct("Volume", {"name": _TEXT})),
        "nodeSelector": _TEXT_MAP,
        "tolerations": _List(_Struct("Toleration", {"key": _TEXT, "effect": _TEXT})),
        "restartPolicy": _TEXT,
        "hostname": _TEXT,
        "subdomain": _TEXT,
        "serviceAccountName": _TEXT,
        "automountServiceAccountToken": _FLAG,
        "terminationGracePeriodSeconds": _INT64,
        "activeDeadlineSeconds": _INT64,
        "securityContext": _Struct("PodSecurityContext", _SECURITY),
    },
)
_RULES = _List(_Struct("Rule", {}))
_JOB_SPEC = _Struct(
    "JobSpec",
    {
        "template": _Struct("PodTemplateSpec", {"metadata": _META, "spec": _POD_SPEC}),
        "completions": _INT32,
        "parallelism": _INT32,
        "backoffLimit": _INT32,
        "backoffLimitPerIndex": _INT32,
        "maxFailedIndexes": _INT32,
        "activeDeadlineSeconds": _INT64,
        "ttlSecondsAfterFinished": _INT32,
        "completionMode": _TEXT,
        "suspend": _FLAG,
        "podFailurePolicy": _Struct("PodFailurePolicy", {"rules": _RULES}),
        "successPolicy": _Struct("SuccessPolicy", {"rules": _RULES}),
    },
)
_SHAPES: dict[Kind, Mapping[str, _Shape]] = {
    POD: {"spec": _POD_SPEC},
    JOB: {"spec": _JOB_SPEC},
    SECRET: {"data": _TEXT_MAP, "stringData": _TEXT_MAP, "immutable": _FLAG},
}
_OTHERS: Mapping[str, _Shape] = {"spec": _Struct("Spec", {}), "data": _TEXT_MAP}


def admit(kind: Kind, new: dict[str, Any], _old: object) -> None:
    """Refuse an object whose fields have the wrong types.

    Raises
    ------
    ApiError
        400, with the words of the API server's decoder.

    """
    fields = {"metadata": _META, **_SHAPES.get(kind, _OTHERS)}
    problem = _problem(new, _Struct(kind.kind, fields), "", kind.kind)
    if problem:
        raise undecodable(kind, problem)


def undecodable(kind: Kind, problem: str) -> ApiError:
    """Say that a body is not an object of its kind."""
    text = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {problem}'
    return ApiError(400, "BadRequest", text)


def _problem(value: Any, shape: _Shape, path: str, parent: str) -> str:
    """Describe the first value that does not fit; null always fits."""
    if value is None:
        return ""
    match shape:
        case _Leaf():
            return _leaf_problem(value, shape, f"{parent}.{path}")
        case _List(each) if isinstance(value, list):
            parts = [(item, each, path, parent) for item in value]
        case _Map(inner) if isinstance(value, dict):
            parts = [(item, inner, path, parent) for item in value.values()]
        case _Struct(name, fields) if isinstance(value, dict):
            below = f"{path}." if path else ""
            parts = [(value[key], fields[key], below + key, name) for key in value if key in fields]
        case _:
            return _misfit(value, shape, f"{parent}.{path}")
    return next(filter(None, (_problem(*part) for part in parts)), "")


def _leaf_problem(value: Any, leaf: _Leaf, path: str) -> str:
    fits = isinstance(value, leaf.types) and isinstance(value, bool) == (bool in leaf.types)
    if not fits:
        return _misfit(value, leaf, path)
    if leaf is _QUANTITY:
        try:
            parse(str(value))
        except ValueError as error:
            return str(error)
    return ""


def _misfit(value: Any, shape: _Shape, path: str) -> str:
    words = {str: "string", bool: "bool", int: "number", float: "number", dict: "object"}
    word = words.get(type(value), "array")
    return f"json: cannot unmarshal {word} into Go struct field {path} of type {_go(shape)}"


def _go(shape: _Shape) -> str:
    match shape:
        case _Leaf(go):
            return go
        case _Struct(name):
            return f"v1.{name}"
        case _Map(value):
            return f"map[string]{_go(value)}"
        case _List(each):
            return f"[]{_go(each)}"
