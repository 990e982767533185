"""Label and field selectors (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .kinds import EVENT, JOB, NAMESPACE, NODE, POD, SECRET, SERVICE, ApiError, Kind

Test = Callable[[dict[str, Any]], bool]
_SET = re.compile(r"\s*([\w./-]+)\s+(in|notin)\s*\(([^)]*)\)\s*")
_EQUAL = re.compile(r"\s*([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)\s*")
_EXISTS = re.compile(r"\s*(!?)\s*([\w./-]+)\s*")


def labels(text: str) -> Test:
    """Parse a label selector.

    Raises
    ------
    ApiError
        400 if it is not one.

    """
    tests = [_label_test(part) for part in _split(text)]
    return lambda obj: all(test((obj.get("metadata") or {}).get("labels") or {}) for test in tests)


def _split(text: str) -> list[str]:
    """Split at commas that are not inside parentheses."""
    return [part for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _label_test(part: str) -> Callable[[dict[str, str]], bool]:
    if found := _SET.fullmatch(part):
        key, operator, inner = found.groups()
        values = {value.strip() for value in inner.split(",")}
        if operator == "in":
            return lambda have: have.get(key) in values
        return lambda have: have.get(key) not in values
    if found := _EQUAL.fullmatch(part):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda have: have.get(key) != value
        return lambda have: have.get(key) == value
    if found := _EXISTS.fullmatch(part):
        absent, key = found.groups()
        return lambda have: (key in have) != bool(absent)
    raise ApiError(400, "BadRequest", f"unable to parse requirement: {part!r}")


_FIELDS = {
    POD: (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
        "status.phase", "status.podIP", "status.nominatedNodeName",
    ),
    EVENT: (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
        "involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion",
        "involvedObject.fieldPath", "reason", "reportingComponent", "type",
    ),
    SECRET: ("type",),
    JOB: ("status.successful",),
    NAMESPACE: ("status.phase",),
    NODE: ("spec.unschedulable",),
    SERVICE: ("spec.clusterIP", "spec.type"),
}  # fmt: skip
"""The fields that can be selected by, besides name and namespace."""


def fields(kind: Kind, text: str) -> Test:
    """Parse a field selector: equality on the few fields that a kind offers for it.

    Raises
    ------
    ApiError
        400 if it is not one.

    """
    tests = []
    for part in text.split(",") if text else []:
        found = re.fullmatch(r"([\w.]+)(==|=|!=)(.*)", part)
        if not found:
            raise ApiError(400, "BadRequest", f"invalid selector: {part!r}; can't understand it")
        path, operator, value = found.groups()
        if path not in ("metadata.name", "metadata.namespace", *_FIELDS.get(kind, ())):
            raise ApiError(400, "BadRequest", f"field label not supported: {path}")
        tests.append((path.split("."), operator == "!=", value))

    def test(obj: dict[str, Any]) -> bool:
        return all((_at(obj, path) == value) != negated for path, negated, value in tests)

    return test


def both(kind: Kind, label_selector: str, field_selector: str) -> Test:
    """Parse the two selectors of one request."""
    by_label, by_field = labels(label_selector), fields(kind, field_selector)
    return lambda obj: by_label(obj) and by_field(obj)


def _at(obj: Any, path: list[str]) -> str:
    for key in path:
        obj = obj.get(key) if isinstance(obj, dict) else None
    if isinstance(obj, bool):
        return str(obj).lower()
    return "" if obj is None else str(obj)
