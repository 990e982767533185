"""Event objects (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any


def build(
    involved: Mapping[str, Any], reason: str, message: str, *, kind: str, component: str, at: str
) -> dict[str, Any]:
    """Build an Event about an object; the same words about the same object give the same name.

    ``kind`` is Normal or Warning; ``at`` the time as the API writes it.
    """
    meta = involved["metadata"]
    words = "\0".join((meta.get("uid", ""), reason, message, component))
    return {
        "metadata": {
            "name": f"{meta['name']}.{hashlib.sha256(words.encode()).hexdigest()[:16]}",
            "namespace": meta.get("namespace") or "default",
        },
        "involvedObject": {
            "kind": involved.get("kind", ""),
            **({"namespace": meta["namespace"]} if meta.get("namespace") else {}),
            "name": meta["name"],
            "uid": meta.get("uid", ""),
            "apiVersion": involved.get("apiVersion", ""),
            "resourceVersion": meta.get("resourceVersion", ""),
        },
        "reason": reason,
        "message": message,
        "source": {"component": component},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
        "type": kind,
        "eventTime": None,
        "reportingComponent": component,
        "reportingInstance": "",
    }


def repeat(event: dict[str, Any], at: str) -> None:
    """Count an Event once more."""
    event["count"] += 1
    event["lastTimestamp"] = at
