"""What each framework wants to find in its environment (pure functions).

This module travels into pods: standard library only.
"""

from __future__ import annotations

import ipaddress
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
        A key of :data:`FRAMEWORKS`; others get what all get, which is what PyTorch wants.
    members
        All ranks in order.
    rank
        Whose variables.

    """
    common = {
        "RANK": str(rank),
        "WORLD_SIZE": str(len(members)),
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "GROUP_RANK": str(rank),
        "GROUP_WORLD_SIZE": str(len(members)),
        "MASTER_ADDR": members[0].host,
        "MASTER_PORT": str(members[0].ports[1]),
    }
    if ipaddress.ip_address(members[rank].host).is_loopback:
        common["GLOO_SOCKET_IFNAME"] = "lo"  # else it takes the address of the machine's name
    special = FRAMEWORKS.get(framework)
    return {**common, **(special(members, rank) if special else {})}


def _tensorflow(members: Sequence[Member], rank: int) -> Mapping[str, str]:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}  # of its native code; what matters is raised in Python
    if len(members) == 1:
        return quiet
    cluster = {"worker": [member.endpoint for member in members]}
    task = {"type": "worker", "index": rank}
    return {**quiet, "TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def _paddle(members: Sequence[Member], rank: int) -> Mapping[str, str]:
    return {
        "PADDLE_TRAINER_ID": str(rank),
        "PADDLE_TRAINERS_NUM": str(len(members)),
        "PADDLE_TRAINER_ENDPOINTS": ",".join(member.endpoint for member in members),
        "PADDLE_CURRENT_ENDPOINT": members[rank].endpoint,
        "PADDLE_RANK_IN_NODE": "0",
        "GLOG_minloglevel": "2",  # of its native code, as for TensorFlow
    }


FRAMEWORKS: Mapping[str, Callable[[Sequence[Member], int], Mapping[str, str]]] = {
    "tensorflow": _tensorflow,
    "paddle": _paddle,
}
"""What a framework needs beyond ``RANK``, ``WORLD_SIZE``, ``MASTER_ADDR`` and the like."""
