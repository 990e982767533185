"""A pod's status as the kubelet reports it (pure functions)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .conditions import has_condition, now, set_condition


@dataclass
class ContainerRecord:
    """What is known of one container: the container's part of the pod's status."""

    name: str
    image: str
    state: dict[str, Any] = field(
        default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}}
    )
    last_state: dict[str, Any] = field(default_factory=dict)
    restarts: int = 0
    id: str = ""

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        """The exit code of a container that has ended, else None."""
        ended = self.state.get("terminated")
        return None if ended is None else int(ended["exitCode"])

    def wait(self, reason: str, message: str = "") -> None:
        """Note why it waits; the state before it stays visible as the last one."""
        if "terminated" in self.state:
            self.last_state = self.state
        self.state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}

    def run(self, container_id: str) -> None:
        """Note that its process was started, anew if there was one before."""
        if "terminated" in self.state:
            self.last_state = self.state
        if self.last_state:
            self.restarts += 1
        self.id = container_id
        self.state = {"running": {"startedAt": now()}}

    def end(self, code: int, reason: str, message: str) -> None:
        """Note how its process ended."""
        started = self.state.get("running", {}).get("startedAt", now())
        self.state = {
            "terminated": {
                "exitCode": code,
                "reason": reason,
                **({"message": message} if message else {}),
                "startedAt": started,
                "finishedAt": now(),
                "containerID": self.id,
            }
        }

    def as_status(self) -> dict[str, Any]:
        """Give it as an entry of ``containerStatuses``."""
        return {
            "name": self.name,
            "state": self.state,
            "lastState": self.last_state,
            "ready": self.running,
            "started": self.running,
            "restartCount": self.restarts,
            "image": self.image,
            "imageID": f"local://{self.image}",
            **({"containerID": self.id} if self.id else {}),
        }


def phase_of(records: Sequence[ContainerRecord], *, final: bool) -> str:
    """Tell the phase of a pod; ``final`` once no container will be started any more."""
    if final and any(record.exit_code is not None for record in records):
        failed = any(record.exit_code != 0 for record in records)
        return "Failed" if failed else "Succeeded"
    if any("waiting" in record.state and not record.last_state for record in records):
        return "Pending"
    return "Running"


def apply_status(
    pod: dict[str, Any],
    records: Sequence[ContainerRecord],
    *,
    address: str,
    final: bool = False,
    problem: Mapping[str, str] | None = None,
) -> None:
    """Write the status into ``pod``.

    Parameters
    ----------
    pod
        The pod, changed in place.
    records
        Its containers, in order.
    address
        Its IP address.
    final
        Whether no container will be started any more.
    problem
        ``reason`` and ``message`` of a pod that the kubelet itself ended: it has failed.

    """
    status = pod.setdefault("status", {})
    status["phase"] = "Failed" if problem and final else phase_of(records, final=final)
    status |= problem or {}
    status.setdefault("startTime", now())
    status |= {"hostIP": "127.0.0.1", "hostIPs": [{"ip": "127.0.0.1"}]}
    status |= {"podIP": address, "podIPs": [{"ip": address}]}
    status["containerStatuses"] = [record.as_status() for record in records]
    _set_conditions(pod, records, status["phase"])


def _set_conditions(pod: dict[str, Any], records: Sequence[ContainerRecord], phase: str) -> None:
    set_condition(pod, "PodReadyToStartContainers", status="True")
    set_condition(pod, "Initialized", status="True")
    unready = [record.name for record in records if not record.running]
    if not has_condition(pod, "PodScheduled"):
        set_condition(pod, "PodScheduled", status="True")
    fields = {"status": "True"}
    if phase in {"Succeeded", "Failed"}:
        fields = {"status": "False", "reason": f"Pod{_ENDS[phase]}"}
    elif unready:
        fields = {
            "status": "False",
            "reason": "ContainersNotReady",
            "message": f"containers with unready status: [{' '.join(unready)}]",
        }
    set_condition(pod, "Ready", **fields)
    set_condition(pod, "ContainersReady", **fields)


_ENDS = {"Succeeded": "Completed", "Failed": "Failed"}


def restarts(policy: str, exit_code: int) -> bool:
    """Tell whether a container that ended is started again."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def with_address(pod: Mapping[str, Any], address: str) -> dict[str, Any]:
    """Give a pod as its containers see it: with its address."""
    status = {"hostIP": "127.0.0.1", "podIP": address, "podIPs": [{"ip": address}]}
    return {**pod, "status": {**(pod.get("status") or {}), **status}}
