"""Fanning a cell out into a training job.

``submit``, ``fits``, ``attach``, ``rerun``, ``kill`` and ``jobs`` are imported when first used:
this package costs nothing to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .handle import Job
    from .job import attach, fits, jobs, kill, rerun, submit

__all__ = ["Job", "attach", "fits", "jobs", "kill", "rerun", "submit"]


def __getattr__(name: str) -> Any:
    """Import the public interface when it is asked for."""
    if name in __all__:
        from . import job

        return getattr(job, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
