"""What the job's Secret tells every worker (pure).

This module travels into pods: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

from .roles import Roles

_YIELD = 300.0  # seconds an elastic job's worker keeps its room without a coordinator


@dataclass(frozen=True)
class Options:
    """What the job's Secret tells every worker."""

    job: str
    workers: int
    retries: int
    framework: str
    coordinator: str
    """Host name of index 0."""
    port: int
    least: int = 0
    """How many an elastic job needs; 0 for a job of fixed size."""
    procs: int = 1
    """How many processes, a rank each, there are in a pod."""
    gpus: int = 0
    """Of a pod, which its processes divide."""
    chief: bool = False
    ps: int = 0
    evaluator: bool = False
    """Which roles there are beside workers'."""
    patience: float = 3600.0
    """Seconds a worker looks for the coordinator, and the coordinator for lost workers."""

    @property
    def stay(self) -> float:
        """Seconds to wait for the coordinator; it may be waiting for the room that this one has."""
        return min(self.patience, _YIELD) if self.least else self.patience

    def roles(self, ranks: int) -> Roles:
        """Tell who is what of that many ranks."""
        others = self.chief + self.ps + self.evaluator
        return Roles(ranks - others, self.chief, self.ps, self.evaluator)
