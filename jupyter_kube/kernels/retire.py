"""Whether a kernel's pod has lived long enough; pure.

A GPU is held for as long as its pod runs, so the pod ends by itself when nobody uses it, whatever
became of the server. The table is in docs/operators/ends.md. This module travels into pods:
standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Limits(NamedTuple):
    """Seconds after which a pod ends; 0 is never."""

    idle: float
    """Nothing runs, and a server is attached."""
    lost: float
    """Nothing runs, and no server is attached."""
    lost_busy: float
    """Something runs, or nobody knows, and no server is attached."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Limits:
        """Read the launch options ``idle_timeout``, ``lost_timeout`` and ``lost_busy_timeout``."""
        names = ("idle_timeout", "lost_timeout", "lost_busy_timeout")
        return cls(*(float(options.get(name) or 0) for name in names))

    @property
    def look_every(self) -> float:
        """Seconds between two looks that are often enough; 0 if none is needed."""
        shortest = min((limit for limit in self if limit > 0), default=0.0)
        return min(shortest / 4, 10.0)


class Use(NamedTuple):
    """How a kernel is used at a moment; all times are of one clock."""

    attached: bool
    """Whether a server is connected."""
    begun: float
    """When the last server came; the pod's start if none did."""
    left: float
    """When the last server went; the pod's start if none came."""
    busy: bool | None
    """Whether something runs; None if nobody knows."""
    idle_since: float
    """When the last piece of work ended, if nothing runs."""


def verdict(limits: Limits, use: Use, now: float) -> str:
    """Say why a pod shall end now; empty if it shall not."""
    idle = use.busy is False
    if use.attached:
        since, limit, name = max(use.idle_since, use.begun), limits.idle, "idle_timeout"
        words = "nothing ran"
        if not idle:
            return ""
    elif idle:
        since, limit, name = max(use.idle_since, use.left), limits.lost, "lost_timeout"
        words = "nothing ran and no Jupyter Server was connected"
    else:
        since, limit, name = use.left, limits.lost_busy, "lost_busy_timeout"
        words = "no Jupyter Server was connected"
    if not limit or now - since < limit:
        return ""
    return f"{words} for {_duration(now - since)} ({name} of the profile)"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
