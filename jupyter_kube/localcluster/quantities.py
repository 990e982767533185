"""Kubernetes quantities ("500m", "2Gi"): parse, print, and add up what a pod asks for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

Amounts = dict[str, Fraction]
"""Resource name to an exact amount in base units (cores, bytes, pieces)."""

_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_PATTERN = re.compile(
    r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?"
)
_BYTES = ("memory", "storage", "ephemeral-storage", "hugepages-")


def parse(text: str | int | float) -> Fraction:
    """Parse a quantity to an exact number of base units.

    Raises
    ------
    ValueError
        If the text is not a quantity.

    """
    match = _PATTERN.fullmatch(str(text))
    if match is None:
        msg = (
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
        raise ValueError(msg)
    number, suffix = Fraction(match["number"]), match["suffix"] or ""
    if suffix in _BINARY:
        return number * Fraction(2) ** _BINARY[suffix]
    if suffix in _DECIMAL:
        return number * Fraction(10) ** _DECIMAL[suffix]
    return number * Fraction(10) ** int(suffix[1:])


def text(name: str, amount: Fraction) -> str:
    """Print an amount of the named resource as Kubernetes does ("1500m", "2Gi", "4")."""
    if any(part in name for part in _BYTES):
        return _scaled(amount, [(suffix, Fraction(2) ** exp) for suffix, exp in _BINARY.items()])
    if amount.denominator != 1:
        return f"{-(-amount * 1000 // 1)}m"
    return str(amount)


def _scaled(amount: Fraction, units: list[tuple[str, Fraction]]) -> str:
    for suffix, unit in reversed(units):
        if amount and amount % unit == 0:
            return f"{amount / unit}{suffix}"
    return str(-(-amount // 1))


def add(amounts: Iterable[Mapping[str, Fraction]]) -> Amounts:
    """Add up amounts, name by name."""
    total: defaultdict[str, Fraction] = defaultdict(Fraction)
    for each in amounts:
        for name, amount in each.items():
            total[name] += amount
    return dict(total)


def container_amounts(container: Mapping[str, Any], field: str) -> Amounts:
    """Read one container's ``requests`` (limits stand in for those left out) or ``limits``."""
    resources = container.get("resources") or {}
    written = dict(resources.get("limits") or {})
    if field == "requests":
        written |= resources.get("requests") or {}
    return {name: parse(value) for name, value in written.items()}


def pod_amounts(pod: Mapping[str, Any], field: str = "requests") -> Amounts:
    """Add up what a pod's containers ask for."""
    spec = pod.get("spec") or {}
    total = add(container_amounts(each, field) for each in spec.get("containers") or ())
    for container in spec.get("initContainers") or ():
        for name, amount in container_amounts(container, field).items():
            total[name] = max(total.get(name, Fraction()), amount)
    return total


def is_terminal(pod: Mapping[str, Any]) -> bool:
    """Tell whether a pod has ended for good and holds no resources any more."""
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
