"""One turn of the Job controller for one Job."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import jobpods, jobrules, jobverdict
from .backoff import Backoff
from .conditions import has_condition, now, set_condition
from .jobrules import Ledger, Pod, Rules, Tally
from .jobverdict import Verdict
from .store import JOB, POD, ApiError, Store
from .workqueue import WorkQueue

Key = tuple[str, str]
"""Namespace and name of a Job."""
TERMINAL = {"SuccessCriteriaMet": "Complete", "FailureTarget": "Failed"}
"""The condition that ends a Job once no pod is left, by the condition that announces it."""
_COMPONENT = "job-controller"


@dataclass
class Memory:
    """What the controller remembers of one Job."""

    uid: str
    retry: Backoff
    ledger: Ledger = field(default_factory=Ledger)
    create_after: float = 0.0
    """After a refused creation: when to try again."""


class Turn:
    """One look at one Job: count, judge, create or remove pods, write the status."""

    def __init__(
        self,
        store: Store,
        queue: WorkQueue[Key],
        job: dict[str, Any],
        memory: Memory,
        *,
        scale: float,
        clock: Callable[[], float],
    ) -> None:
        self._store, self._queue, self._job, self._memory = store, queue, job, memory
        self._scale, self._now = scale, clock()
        self._rules = Rules.of(job)
        self._events: list[tuple[str, str, str]] = []

    def take(self) -> None:
        """Take the turn."""
        job = self._job
        before = copy.deepcopy(job.get("status") or {})
        status = job.setdefault("status", {})
        if not status.get("startTime") and not self._rules.suspended:
            status["startTime"] = now()
        for pod in self._pods():
            self._memory.ledger.note(pod, self._rules, self._now)
        verdict = jobverdict.standing_verdict(job) or jobverdict.early_verdict(
            job, self._tally(), self._pods(), self._now
        )
        if verdict is None:
            self._manage()
            self._note_suspension()
            if jobverdict.is_complete(self._tally(), len(self._active())):
                message = "Reached expected number of succeeded pods"
                verdict = "SuccessCriteriaMet", "CompletionsReached", message
        if verdict is not None:
            self._finish(verdict)
        self._count()
        if status != before:
            self._write(status)
        self._wake_at_deadline()

    def _tally(self) -> Tally:
        return Tally(self._rules, self._memory.ledger.valid(self._rules))

    def _pods(self) -> list[dict[str, Any]]:
        meta = self._job["metadata"]
        selector = f"{jobrules.CONTROLLER_UID}={meta['uid']}"
        return self._store.list(POD, meta["namespace"], label_selector=selector)

    def _active(self) -> list[dict[str, Any]]:
        return [pod for pod in self._pods() if jobrules.is_active(pod)]

    # -- pods

    def _manage(self) -> None:
        active = self._active()
        tally = self._tally()
        wanted = 0 if self._rules.suspended else jobpods.wanted_active(tally, len(active))
        surplus = jobpods.to_remove(self._rules, active, wanted)
        if surplus:
            for pod in surplus:
                self._memory.ledger.dropped.add(pod["metadata"]["uid"])
                self._delete(pod)
            return
        if self._rules.only_replace_failed:
            wanted -= sum(jobrules.is_terminating(pod) for pod in self._pods())
        missing = wanted - len(active)
        if missing > 0 and self._may_create_at() <= self._now:
            self._create(tally, missing)

    def _may_create_at(self) -> float:
        """Tell when pods may be created, and come back then if that is not now."""
        at = self._memory.create_after
        if self._rules.per_index_limit is None:
            at = max(at, self._tally().retry_at(self._scale))
        if at > self._now:
            self._queue.add_after(key_of(self._job), at - self._now)
        return at

    def _create(self, tally: Tally, missing: int) -> None:
        indexes: Sequence[int | None] = [None] * missing
        if self._rules.indexed:
            indexes = jobpods.pending_indexes(tally, self._pods(), missing)
        for index in indexes:
            failures = None
            if index is not None and self._rules.per_index_limit is not None:
                failures = tally.index_failures(index)
                at = tally.retry_at(self._scale, index)
                if at > self._now:
                    self._queue.add_after(key_of(self._job), at - self._now)
                    continue
            if not self._create_one(index, failures):
                return

    def _create_one(self, index: int | None, failures: int | None) -> bool:
        namespace = self._job["metadata"]["namespace"]
        pod = jobpods.pod_for(self._job, index, failures)
        try:
            created = self._store.create(POD, pod, namespace=namespace)
        except ApiError as refusal:
            delay = self._memory.retry.next()
            self._memory.create_after = self._now + delay
            self._queue.add_after(key_of(self._job), delay)
            self._event("FailedCreate", f"Error creating: {refusal.message}", "Warning")
            return False
        self._event("SuccessfulCreate", f"Created pod: {created['metadata']['name']}")
        return True

    def _delete(self, pod: Pod) -> None:
        meta = pod["metadata"]
        self._store.delete(POD, meta["namespace"], meta["name"])
        self._event("SuccessfulDelete", f"Deleted pod: {meta['name']}")

    # -- status

    def _finish(self, verdict: Verdict) -> None:
        kind, reason, message = verdict
        for pod in self._active():
            if kind == "FailureTarget":
                self._memory.ledger.note(pod, self._rules, self._now, failed=True)
            else:
                self._memory.ledger.dropped.add(pod["metadata"]["uid"])
            self._delete(pod)
        self._condition(kind, reason, message)
        if any(jobrules.is_terminating(pod) for pod in self._pods()):
            return
        self._condition(TERMINAL[kind], reason, message)
        if kind == "FailureTarget":
            self._events.append((reason, message, "Warning"))
        else:
            self._job["status"]["completionTime"] = now()
            self._events.append(("Completed", "Job completed", "Normal"))

    def _note_suspension(self) -> None:
        suspended = self._rules.suspended
        if suspended == has_condition(self._job, "Suspended"):
            return
        reason = "JobSuspended" if suspended else "JobResumed"
        message = "Job suspended" if suspended else "Job resumed"
        self._condition("Suspended", reason, message, status="True" if suspended else "False")
        self._events.append((message.split()[1].capitalize(), message, "Normal"))
        if not suspended:
            self._job["status"]["startTime"] = now()

    def _count(self) -> None:
        status, tally, pods = self._job["status"], self._tally(), self._pods()
        active = [pod for pod in pods if jobrules.is_active(pod)]
        counts = {
            "active": len(active),
            "succeeded": tally.succeeded,
            "failed": tally.failed,
        }
        for name, count in counts.items():
            status.pop(name, None)
            if count:
                status[name] = count
        status["ready"] = sum(jobrules.is_ready(pod) for pod in active)
        status["terminating"] = sum(jobrules.is_terminating(pod) for pod in pods)
        status["uncountedTerminatedPods"] = {}
        if self._rules.indexed:
            status["completedIndexes"] = jobrules.format_indexes(tally.succeeded_indexes)
            if not status["completedIndexes"]:
                del status["completedIndexes"]
        if self._rules.per_index_limit is not None:
            status["failedIndexes"] = jobrules.format_indexes(tally.failed_indexes)

    def _write(self, status: dict[str, Any]) -> None:
        namespace, name = key_of(self._job)
        self._store.mutate(
            JOB, namespace, name, lambda job: job.update(status=status), subresource="status"
        )
        for reason, message, kind in self._events:
            self._event(reason, message, kind)

    def _wake_at_deadline(self) -> None:
        left = jobverdict.seconds_left(self._job, self._rules, self._now)
        if 0 < left < float("inf"):
            self._queue.add_after(key_of(self._job), left)

    def _condition(self, kind: str, reason: str, message: str, *, status: str = "True") -> None:
        set_condition(self._job, kind, status=status, reason=reason, message=message)

    def _event(self, reason: str, message: str, kind: str = "Normal") -> None:
        self._store.event(self._job, reason, message, type=kind, component=_COMPONENT)


def key_of(job: Pod) -> Key:
    """Name a Job."""
    return job["metadata"]["namespace"], job["metadata"]["name"]
