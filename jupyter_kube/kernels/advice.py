"""Why a kernel ended, in words, and what its user can do about it (pure)."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..models import PodState, Profile
from ..quantity import amount

_OUT_OF_MEMORY = "out of memory"  # the supervisor's words
_GONE = {
    "OOMKilled": "oom",
    "Evicted": "evicted",
    "EvictionByEvictionAPI": "evicted",
    "TerminationByKubelet": "evicted",
    "PreemptionByScheduler": "preempted",
    "Preempting": "preempted",
    "DeletionByTaintManager": "node-lost",
    "DeletionByPodGC": "node-lost",
    "NodeLost": "node-lost",
    "NodeShutdown": "node-lost",
    "Shutdown": "node-lost",
    "Terminated": "node-lost",
    "DeadlineExceeded": "deadline",
    "Deleted": "deleted",
}
"""Kubernetes' reason for a pod's end to our cause."""
_NEW_PROCESS = "Variables are gone; the next cell runs in a new process in the same pod."
_NEW_POD = "Variables are gone. Restart the kernel to get a new pod."
_STILL_THERE = (
    "The pod goes on, with all variables: restart the Jupyter Server to connect to it again. "
    "Restarting the kernel begins anew in another pod."
)
_CAUSES = {
    "gave-up": "crash-loop",
    "error": "launcher",
    "replaced": "replaced",
    "ended": "ended",
    "fault": "fault",
}
CAUSES = frozenset(
    {"oom", "segfault", "signal", "exit", "container", *_GONE.values(), *_CAUSES.values()}
)
"""All causes of a death."""


@dataclass(frozen=True)
class Death:
    """How a kernel process, or a whole kernel, ended.

    ``cause`` is one of the schema kernel_end/v1; ``words`` say what happened, ``next`` what to do.
    """

    cause: str
    words: str
    next: str = ""
    exit_code: int | None = None
    signal: int | None = None
    last: str = ""
    """Lines that its process wrote before it crashed."""

    @property
    def text(self) -> str:
        """What is written under the cell."""
        if not self.last:
            return f"{self.words} {self.next}".strip()
        lines = "".join(f"\n    {line}" for line in self.last.splitlines())
        return f"{self.words} It wrote last:{lines}\n{self.next}".strip()


def explain(
    event: Mapping[str, Any],
    state: PodState,
    *,
    limits: Mapping[str, str],
    profiles: Iterable[Profile],
) -> Death:
    """Explain an event that ends a kernel's process.

    Parameters
    ----------
    event
        As the relay or :class:`.life.Life` tells it.
    state
        Where the kernel's pod stands.
    limits
        What the kernel's container may use, by resource.
    profiles
        All there are, in the configuration's order.

    """
    kind, reason = event["event"], event.get("reason", "")
    if kind == "died" and reason == _OUT_OF_MEMORY:
        return _out_of_memory(limits, profiles, _NEW_PROCESS, signum=int(signal.SIGKILL))
    if kind == "died":
        return _died(event, state)
    if kind in {"launcher-restarted", "explained"}:
        if state.reason == "OOMKilled":
            return _out_of_memory(limits, profiles, _NEW_PROCESS)
        how = state.message.removeprefix("restarted: ")
        words = f"its container was restarted: {how}" if how else "its container was restarted"
        return Death("container", f"The kernel died: {words}.", _NEW_PROCESS)
    if kind == "gone":
        if state.reason == "OOMKilled":
            return _out_of_memory(limits, profiles, _NEW_POD)
        cause = _GONE.get(state.reason, "exit" if state.exit_code is not None else "deleted")
        words = f"The kernel's pod is gone: {reason}".rstrip(".")
        return Death(cause, f"{words}.", _NEW_POD, exit_code=state.exit_code)
    then = {"gave-up": _NEW_POD, "fault": _STILL_THERE}.get(kind, "")
    return Death(_CAUSES.get(kind, kind), reason, then)


def silence(since: datetime, state: PodState, trouble: str) -> str:
    """Say that a kernel's pod does not answer; ``trouble`` is why it was not reached."""
    node = f" {state.node}" if state.node else ""
    guess = f"its node{node} may be lost, or the way to it"
    if state.reason == "NodeNotReady":
        guess = f"its node{node} does not answer Kubernetes either"
    why = f" ({trouble})" if trouble else ""
    return (
        f"No answer from the kernel's pod since {since:%H:%M:%S}{why}; {guess}. "
        "If it comes back, the kernel goes on where it was; nothing is restarted unless you ask."
    )


def bigger(limits: Mapping[str, str], profiles: Iterable[Profile]) -> Profile | None:
    """Return the profile with the least memory above a container's that has its devices, too."""
    devices = {name: n for name, n in limits.items() if "/" in name}
    able = [
        profile
        for profile in profiles
        if amount(profile.memory) > amount(limits["memory"])
        and all(profile.gpu_resource == name for name in devices)
        and all(amount(n) <= profile.gpus for n in devices.values())
    ]
    return min(able, key=lambda profile: (amount(profile.memory), profile.gpus), default=None)


def _out_of_memory(
    limits: Mapping[str, str], profiles: Iterable[Profile], then: str, *, signum: int | None = None
) -> Death:
    limit = f" (limit {limits['memory']})" if "memory" in limits else ""
    advice = _more_memory(limits, tuple(profiles)) if limit else "Load less at once."
    return Death("oom", f"Kernel ran out of memory{limit}.", f"{advice} {then}", signal=signum)


def _more_memory(limits: Mapping[str, str], profiles: tuple[Profile, ...]) -> str:
    """Say which profile has more memory, or may have more where its user asks for it."""
    if better := bigger(limits, profiles):
        name = better.display_name or better.name
        return f"The profile “{name}” has {better.memory}: Kernel > Change Kernel > {better.title}."
    if better := bigger(limits, map(_stretched, profiles)):
        name = better.display_name or better.name
        options = f'"jupyter_kube": {{"options": {{"memory": "{better.memory}"}}}}'
        return (
            f"The profile “{name}” may have up to {better.memory}: write {options} into the "
            "notebook's metadata and start the kernel anew."
        )
    return "No profile has more memory: load less at once, or ask for a bigger profile."


def _stretched(profile: Profile) -> Profile:
    """Return a profile with all the memory and devices that its options allow."""
    options = {name: profile.options.get(name, {}).get("max") for name in ("memory", "gpus")}
    return profile.vary({name: most for name, most in options.items() if most is not None})


def _died(event: Mapping[str, Any], state: PodState) -> Death:
    """Explain the end of a kernel process that was not about memory."""
    then = _NEW_PROCESS if event.get("restarting") else _NEW_POD
    number, code, last = event.get("signal"), event.get("exit_code"), str(event.get("last") or "")
    if number == signal.SIGSEGV:
        words = f"segmentation fault (signal {int(number)}), in compiled code"
        return Death("segfault", f"The kernel died: {words}.", then, signal=number, last=last)
    cause = "signal" if number else "exit"
    return Death(cause, f"The kernel died: {event['reason']}.", then, code, number, last)
