"""What the coordinator knows of each member, and how ranks are named in words (pure).

This module travels into pods: standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_AWAY = 5.0  # seconds a member without connection may be gone before it counts as lost
_SILENT = 15.0  # seconds a connected member may be silent: a starved machine is no lost one
_AHEAD = 0.3  # seconds a death goes before what others raise
_NAMED = 8  # ranks named in one sentence


@dataclass
class Member:
    """One supervisor, as the coordinator sees it."""

    boot: str
    """The supervisor's id: another one means another pod."""
    host: str
    connected: bool = True
    seen: float = 0.0
    ports: list[int] | None = None
    outcome: Mapping[str, Any] | None = None
    """What it said of its child's end in this generation."""
    ended: float = 0.0
    ponged: int = 0
    busy: bool = False
    """Whether it needs longer than others to end: it evaluates what has come out."""
    left: bool = False
    """Whether it said goodbye after the verdict."""

    @property
    def failed(self) -> bool:
        """Whether its child ended otherwise than well."""
        return self.outcome is not None and self.outcome["outcome"] != "done"

    @property
    def killed(self) -> bool:
        """Whether its child was killed from outside: no other rank's end causes that."""
        return bool(self.outcome and self.outcome.get("killed"))

    @property
    def order(self) -> tuple[bool, float]:
        """Where it stands among those that failed: the first of them is the cause.

        A process that dies cuts its connections before its end is known, and others raise of that.
        One that raises is kept with its own, so that nobody dies of it at once.
        """
        died = bool(self.outcome and self.outcome["outcome"] == "died")
        return not self.killed, self.ended - _AHEAD * died

    def is_lost(self, now: float) -> bool:
        """Say whether it was away or silent for too long."""
        return now - self.seen > (_SILENT if self.connected else _AWAY)


def ranks(indexes: Sequence[int], procs: int = 1) -> str:
    """Name the ranks of pods in words, a few of them; there are ``procs`` in each pod."""
    indexes = [index * procs + local for index in indexes for local in range(procs)]
    if len(indexes) == 1:
        return f"rank {indexes[0]}"
    shown = [str(index) for index in indexes[:_NAMED]]
    if len(indexes) > _NAMED:
        return f"ranks {', '.join(shown)} and {len(indexes) - _NAMED} more"
    return f"ranks {', '.join(shown[:-1])} and {shown[-1]}"


def one(indexes: Sequence[int], procs: int = 1) -> bool:
    """Say whether :func:`ranks` names one only."""
    return len(indexes) * procs == 1
