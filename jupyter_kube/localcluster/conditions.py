"""Status conditions and the time stamps of the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def now() -> str:
    """Give the time as the API writes it, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def timestamp(seconds: float) -> str:
    """Write seconds since the epoch as the API does."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(written: str) -> float:
    """Read a time of the API as seconds since the epoch."""
    return datetime.fromisoformat(written).timestamp()


def set_condition(
    obj: dict[str, Any], kind: str, *, status: str, reason: str = "", message: str = ""
) -> None:
    """Set one condition in ``obj``'s status; its transition time moves only with its status."""
    conditions = obj.setdefault("status", {}).setdefault("conditions", [])
    before = next((each for each in conditions if each["type"] == kind), None)
    fresh: dict[str, Any] = {"type": kind, "status": status, "lastProbeTime": None}
    unchanged = before is not None and before["status"] == status
    fresh["lastTransitionTime"] = before["lastTransitionTime"] if before and unchanged else now()
    fresh |= {key: text for key, text in (("reason", reason), ("message", message)) if text}
    if before is None:
        conditions.append(fresh)
    else:
        before.clear()
        before.update(fresh)


def has_condition(obj: dict[str, Any], kind: str) -> bool:
    """Tell whether a condition is there and true."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(each["type"] == kind and each["status"] == "True" for each in conditions)
