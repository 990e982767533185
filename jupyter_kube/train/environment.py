"""What each framework wants to find in its environment (pure functions).

This module travels into pods: standard library only.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .roles import EVALUATOR, PS, Roles


@dataclass(frozen=True)
class Member:
    """Where the ranks of one pod can be reached: a port for each, and a last one for all."""

    host: str
    ports: Sequence[int]

    @property
    def endpoints(self) -> list[str]:
        """Address and port of each rank's framework."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return [f"{host}:{port}" for port in self.ports[:-1]]


@dataclass(frozen=True)
class Place:
    """One rank's place among all."""

    members: Sequence[Member]
    """The pods in order."""
    rank: int
    roles: Roles

    @property
    def procs(self) -> int:
        """How many ranks there are in each pod."""
        return len(self.members[0].ports) - 1

    @property
    def pod(self) -> int:
        """The number of the rank's pod."""
        return self.rank // self.procs

    @property
    def local_rank(self) -> int:
        """The rank's number in its pod."""
        return self.rank % self.procs

    @property
    def endpoints(self) -> list[str]:
        """Address and port of each rank's framework."""
        return [endpoint for member in self.members for endpoint in member.endpoints]


def ports_for(procs: int) -> int:
    """Return how many free ports a pod offers: one a rank, and one that ``MASTER_PORT`` may be."""
    return procs + 1


def environment(framework: str, place: Place, *, gpus: int = 0) -> dict[str, str]:
    """Build the variables of one rank.

    Parameters
    ----------
    framework
        A key of :data:`FRAMEWORKS`; others get what all get, which is what PyTorch wants.
    place
        Whose variables.
    gpus
        Of its pod. Several ranks divide them, as ``CUDA_VISIBLE_DEVICES`` says. PyTorch's ranks
        see all of them, as by its own launcher: what is written for that chooses by LOCAL_RANK.

    """
    members, endpoints = place.members, place.endpoints
    common = {
        "RANK": str(place.rank),
        "WORLD_SIZE": str(len(endpoints)),
        "LOCAL_RANK": str(place.local_rank),
        "LOCAL_WORLD_SIZE": str(place.procs),
        "GROUP_RANK": str(place.pod),
        "GROUP_WORLD_SIZE": str(len(members)),
        "MASTER_ADDR": members[0].host,
        "MASTER_PORT": str(members[0].ports[-1]),
    }
    if ipaddress.ip_address(members[place.pod].host).is_loopback:
        common["GLOO_SOCKET_IFNAME"] = "lo"  # else it takes the address of the machine's name
    if place.procs > 1 and gpus and framework != "pytorch":
        common["CUDA_VISIBLE_DEVICES"] = _share(gpus, place)
    special = FRAMEWORKS.get(framework)
    return {**common, **(special(place) if special else {})}


def _share(gpus: int, place: Place) -> str:
    each = gpus // place.procs
    first = place.local_rank * each
    return ",".join(str(device) for device in range(first, first + each))


def _tensorflow(place: Place) -> Mapping[str, str]:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}  # of its native code; what matters is raised in Python
    if len(place.endpoints) == 1:
        return quiet
    cluster, rest = {}, place.endpoints
    for role, count in place.roles.counts.items():
        cluster[role], rest = rest[:count], rest[count:]
    cluster.pop(EVALUATOR, None)  # TensorFlow's rule: nobody speaks to it
    role, index = place.roles.of(place.rank)
    config = {"cluster": cluster, "task": {"type": role, "index": index}}
    patient = {"GRPC_FAIL_FAST": "use_caller"} if PS in cluster else {}
    return {**quiet, **patient, "TF_CONFIG": json.dumps(config)}


def _paddle(place: Place) -> Mapping[str, str]:
    return {
        "PADDLE_TRAINER_ID": str(place.rank),
        "PADDLE_TRAINERS_NUM": str(len(place.endpoints)),
        "PADDLE_TRAINER_ENDPOINTS": ",".join(place.endpoints),
        "PADDLE_CURRENT_ENDPOINT": place.endpoints[place.rank],
        "PADDLE_RANK_IN_NODE": str(place.local_rank),
        "GLOG_minloglevel": "2",  # of its native code, as for TensorFlow
    }


FRAMEWORKS: Mapping[str, Callable[[Place], Mapping[str, str]]] = {
    "tensorflow": _tensorflow,
    "paddle": _paddle,
}
"""What a framework needs beyond ``RANK``, ``WORLD_SIZE``, ``MASTER_ADDR`` and the like."""
