"""The four ways to patch an object (pure)."""

from __future__ import annotations

import copy
from typing import Any

from .kinds import ApiError

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",  # a Service's: "port"
    "ownerReferences": "uid",
    "conditions": "type",
    "imagePullSecrets": "name",
}
"""Lists that a strategic merge patch merges by an item's key; all others are replaced."""


def patched(obj: dict[str, Any], patch: Any, content_type: str) -> dict[str, Any]:
    """Return the object with a patch of any of the four types.

    Raises
    ------
    ApiError
        415 for another type, 400 or 422 for a patch that cannot be applied.

    """
    if content_type == JSON:
        return dict(_json(copy.deepcopy(obj), patch))
    if not isinstance(patch, dict):
        text = "error decoding patch: json: cannot unmarshal array into Go value of type"
        raise ApiError(400, "BadRequest", f"{text} map[string]interface {{}}")
    if content_type == MERGE:
        return dict(merge(obj, patch))
    if content_type in {STRATEGIC, APPLY}:
        return dict(_strategic(obj, patch))
    raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type")


def merge(base: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    out = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge(out.get(key), value)
    return out


def _strategic(base: Any, patch: Any) -> Any:
    """Apply a strategic merge patch: maps merge, known lists merge by key."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    out = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if key.startswith(("$setElementOrder/", "$retainKeys")):
            continue
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.split("/", 1)[1]
            out[name] = [item for item in out.get(name, []) if item not in value]
        elif value is None:
            out.pop(key, None)
        elif (
            isinstance(value, list)
            and key in _MERGE_KEYS
            and all(isinstance(item, dict) for item in value)
        ):
            out[key] = _merge_list(out.get(key) or [], value, _merge_key(key, value))
        else:
            out[key] = _strategic(out.get(key), value)
    return out


def _merge_key(name: str, items: list[dict[str, Any]]) -> str:
    if name == "ports" and any("port" in item for item in items):
        return "port"
    return _MERGE_KEYS[name]


def _merge_list(base: list[Any], patch: list[Any], by: str) -> list[Any]:
    out = [dict(item) for item in base]
    for item in patch:
        place = next((i for i, have in enumerate(out) if have.get(by) == item.get(by)), None)
        if item.get("$patch") == "delete":
            if place is not None:
                del out[place]
        elif place is None:
            out.append(copy.deepcopy(item))
        else:
            out[place] = _strategic(out[place], item)
    return out


def _json(obj: Any, operations: Any) -> Any:
    """Apply a JSON patch (RFC 6902): add, replace, remove, test."""
    if not isinstance(operations, list):
        text = "error decoding patch: json: cannot unmarshal object into Go value of type"
        raise ApiError(400, "BadRequest", f"{text} jsonpatch.Patch")
    for operation in operations:
        keys = [
            key.replace("~1", "/").replace("~0", "~")
            for key in operation.get("path", "").split("/")[1:]
        ]
        try:
            _operate(obj, operation, keys)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            text = "the server rejected our request due to an error in our request"
            raise ApiError(422, "Invalid", text) from error
    return obj


def _operate(obj: Any, operation: dict[str, Any], keys: list[str]) -> None:
    *path, last = keys
    for key in path:
        obj = obj[_place(obj, key)]
    place = _place(obj, last)
    match operation["op"]:
        case "add" if isinstance(obj, list):
            obj.insert(place, copy.deepcopy(operation["value"]))
        case "add":
            obj[place] = copy.deepcopy(operation["value"])
        case "replace":
            obj[place]
            obj[place] = copy.deepcopy(operation["value"])
        case "remove":
            del obj[place]
        case "test":
            if obj[place] != operation["value"]:
                raise ValueError(f"testing value {operation['path']} failed")
        case other:
            raise ValueError(f"unexpected kind: {other}")


def _place(obj: Any, key: str) -> Any:
    """Read one part of a JSON pointer as a key or an index."""
    if not isinstance(obj, list):
        return key
    return len(obj) if key == "-" else int(key)
