"""How a container or a pod ended, in words (pure)."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import Any

Object = dict[str, Any]

_BY_STATUS = {
    "Evicted": "evicted",
    "NodeLost": "its node was lost",
    "NodeShutdown": "its node is shutting down",
    "Shutdown": "its node is shutting down",
    "Terminated": "its node is shutting down",
    "DeadlineExceeded": "its lifetime is over",
    "Preempting": "it made room for a pod that its node cannot do without",
    "UnexpectedAdmissionError": "its node refused it",
}
"""A failed pod's ``status.reason``."""

_BY_DISRUPTION = {
    "PreemptionByScheduler": "preempted by a pod with a higher priority",
    "EvictionByEvictionAPI": "evicted through the API, as when a node is drained",
    "DeletionByTaintManager": "removed from its node, which was lost or tainted",
    "DeletionByPodGC": "its node is gone",
    "TerminationByKubelet": "ended by its node",
}
"""A pod's condition ``DisruptionTarget``."""


def death(container: Object, limits: Object | None = None) -> tuple[str, str, int | None]:
    """Say how a container ended: reason, words, exit code. ``container`` is its ``terminated``."""
    code, reason = container.get("exitCode"), container.get("reason", "")
    memory = (limits or {}).get("memory", "")
    if reason == "OOMKilled":
        return reason, "ran out of memory" + (f" (limit {memory})" if memory else ""), code
    message = (container.get("message") or "").strip()
    if reason not in {"", "Completed", "Error"}:
        return reason, message or f"ended: {reason}", code
    return reason or "Error", message or exit_words(code), code


def exit_words(code: int | None) -> str:
    """Say an exit code in words."""
    if code is None:
        return "ended"
    if code > 128:
        try:
            return f"ended by {signal_words(code - 128)} (exit code {code})"
        except ValueError:
            pass
    return "ended" if code == 0 else f"ended with exit code {code}"


def signal_words(number: int) -> str:
    """Name a signal.

    Raises
    ------
    ValueError
        If there is none of this number.

    """
    name = signal.Signals(number).name
    return f"{name}, a segmentation fault" if name == "SIGSEGV" else name


def disruption(status: Object, events: Iterable[Object] = ()) -> tuple[str, str]:
    """Return why Kubernetes took a pod away: its reason and words; empty if it did not."""
    found = condition(status, "DisruptionTarget")
    if found is None or found.get("status") != "True":
        return "", ""
    reason, why = str(found.get("reason", "Disrupted")), str(found.get("message", ""))
    if reason == "PreemptionByScheduler":  # the event names the other pod
        why = next((str(e["message"]) for e in events if e.get("reason") == "Preempted"), why)
    return reason, _sentence(_BY_DISRUPTION.get(reason, reason), why)


def failure(status: Object) -> str:
    """Say a failed pod's ``status.reason``."""
    reason = status.get("reason", "")
    words = _BY_STATUS.get(reason, f"its node refused it ({reason})")
    return _sentence(words, status.get("message", ""))


def condition(status: Object, kind: str) -> Object | None:
    """Return one of a pod's conditions."""
    return next((c for c in status.get("conditions") or () if c["type"] == kind), None)


def _sentence(words: str, why: str) -> str:
    return f"{words}: {why.strip()}" if why.strip() else words
