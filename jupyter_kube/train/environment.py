"""What each framework wants to find in its environment (pure functions).

This module travels into pods: standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

PORTS = 2
"""Free ports that each member offers: one for the framework, one for ``MASTER_PORT``."""


@dataclass(frozen=True)
class Member:
    """Where one rank can be reached."""

    host: str
    ports: Sequence[int]

    @property
    def endpoint(self) -> str:
        """Address and port of the framework's own server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.ports[0]}"


def environment(framework: str, members: Sequence[Member], rank: int) -> dict[str, str]:
    """Build the variables of one rank.

    Parameters
    ----------
    framework
        A key of :data:`FRAMEWORKS`; others get what all get.
    members
        All ranks in order.
    rank
        Whose variables.

    """
    common = {
        "RANK": str(rank),
        "WORLD_SIZE": str(len(members)),
        "LOCAL_RANK": "0",
        "MASTER_ADDR": members[0].host,
        "MASTER_PORT": str(members[0].ports[1]),
    }
    special = FRAMEWORKS.get(framework)
    return {**common, **(special(members, rank) if special else {})}


def _tensorflow(members: Sequence[Member], rank: int) -> Mapping[str, str]:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}  # of its native code; what matters is raised in Python
    if len(members) == 1:
        return quiet
    cluster = {"worker": [member.endpoint for member in members]}
    task = {"type": "worker", "index": rank}
    return {**quiet, "TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


FRAMEWORKS: Mapping[str, Callable[[Sequence[Member], int], Mapping[str, str]]] = {
    "tensorflow": _tensorflow,
}
"""What a framework needs beyond ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK`` and ``MASTER_*``."""
