"""When Kubernetes will replace a pod of a Job that has ended (pure).

The Job controller counts an index's failures in an annotation of its next pod, and waits 10, 20, 40
… seconds after the last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .frames import FAIL_JOB

FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
"""Failures that do not count against the limit: drained nodes, preemptions."""

_FIRST, _LONGEST = 10.0, 600.0


def due(pod: Mapping[str, Any], limit: int | None) -> float | None:
    """Return when a pod's replacement will be made, in seconds since 1970; None if never.

    Parameters
    ----------
    pod
        The newest pod of its index, as it was last seen; one that was deleted counts as failed.
    limit
        The Job's ``backoffLimitPerIndex``; None: there is none.

    """
    ended, code = _end(pod)
    deleted = pod["metadata"].get("deletionTimestamp")
    if code in (0, FAIL_JOB) or not (ended or deleted):
        return None
    notes = pod["metadata"].get("annotations") or {}
    failures = int(notes.get(FAILURES) or 0)
    if limit is not None and failures >= limit:
        return None
    earlier = min(failures + int(notes.get(IGNORED) or 0), 16)
    delay = min(_FIRST * 2.0**earlier, _LONGEST)
    return datetime.fromisoformat(str(ended or deleted)).timestamp() + delay


def _end(pod: Mapping[str, Any]) -> tuple[str, int | None]:
    """Tell when a pod's container ended, and how; nothing while it runs."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if last := (status.get("state") or {}).get("terminated"):
            return str(last.get("finishedAt") or ""), last.get("exitCode")
    return "", None
