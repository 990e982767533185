"""Roles in a job: who runs the cell, who only serves, and whose end is the job's (pure).

Ranks go by role: the chief's, the workers', those of parameter servers, the evaluator's. A job
without roles has workers only.

This module travels into pods: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

CHIEF, WORKER, PS, EVALUATOR = "chief", "worker", "ps", "evaluator"


@dataclass(frozen=True)
class Roles:
    """How many ranks there are of each role."""

    workers: int
    chief: bool = False
    ps: int = 0
    """Parameter servers."""
    evaluator: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """How many of each role there are, in the order of their ranks."""
        known = {CHIEF: int(self.chief), WORKER: self.workers, PS: self.ps}
        known[EVALUATOR] = int(self.evaluator)
        return {role: count for role, count in known.items() if count}

    @property
    def several(self) -> bool:
        """Whether there are others than workers."""
        return bool(self.chief or self.ps or self.evaluator)

    @property
    def size(self) -> int:
        """How many ranks there are in all."""
        return sum(self.counts.values())

    @property
    def trainers(self) -> int:
        """How many ranks, the first ones, train together in the cell: their end is the job's.

        A chief of a job with parameter servers is alone: it hands out work to the workers.
        """
        return 1 if self.chief and self.ps else self.chief + self.workers

    def first(self, role: str) -> int:
        """Return the first rank of a role."""
        before = list(self.counts).index(role)
        return sum(list(self.counts.values())[:before])

    def of(self, rank: int) -> tuple[str, int]:
        """Return a rank's role, and its number among those of that role."""
        for role, count in self.counts.items():
            if rank < count:
                return role, rank
            rank -= count
        raise IndexError(rank)

    def strategy(self, rank: int) -> str:
        """Name TensorFlow's strategy for a rank that runs the cell; empty: the one for one rank."""
        if rank >= self.trainers or (self.ps and not self.chief):
            return ""
        if self.ps:
            return "ParameterServerStrategy"
        return "MultiWorkerMirroredStrategy" if self.trainers > 1 else ""

    def serves(self, rank: int) -> bool:
        """Say whether a rank only does what others ask of it, and does not run the cell."""
        return rank >= self.trainers and self.of(rank)[0] != EVALUATOR
