"""Label and field selectors (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .kinds import ApiError

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


def fields(text: str) -> Test:
    """Parse a field selector: equality on dotted paths.

    Raises
    ------
    ApiError
        400 if it is not one.

    """
    tests = []
    for part in text.split(",") if text else []:
        found = re.fullmatch(r"([\w.]+)(==|=|!=)(.*)", part)
        if not found:
            raise ApiError(400, "BadRequest", f"invalid field selector: {part!r}")
        path, operator, value = found.groups()
        tests.append((path.split("."), operator == "!=", value))

    def test(obj: dict[str, Any]) -> bool:
        return all((str(_at(obj, path)) == value) != negated for path, negated, value in tests)

    return test


def _at(obj: Any, path: list[str]) -> Any:
    for key in path:
        obj = obj.get(key) if isinstance(obj, dict) else None
    return "" if obj is None else obj
