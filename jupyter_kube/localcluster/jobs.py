"""The Job controller: keeps as many pods as each Job wants, and tells how far it is."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import jobrules as rules_of
from .backoff import Backoff
from .conditions import has_condition, now, seconds, set_condition
from .jobrules import Ledger, Pod, Rules, Tally, Verdict
from .store import JOB, POD, ApiError, Store
from .workqueue import WorkQueue

_Key = tuple[str, str]
_TERMINAL = {"SuccessCriteriaMet": "Complete", "FailureTarget": "Failed"}
_FIRST_RETRY, _LONGEST_RETRY = 1.0, 60.0
_COMPONENT = "job-controller"


@dataclass
class _Memory:
    """What the controller remembers of one Job."""

    uid: str
    retry: Backoff
    ledger: Ledger = field(default_factory=Ledger)
    create_after: float = 0.0
    """After a refused creation: when to try again."""


class JobController:
    """Run all Jobs.

    Parameters
    ----------
    store
        Where the Jobs are.
    backoff_scale
        Factor on all back-off delays (10, 20, 40 … s after failures), for tests.
    clock
        Gives seconds since the epoch.

    """

    def __init__(
        self,
        store: Store,
        *,
        backoff_scale: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._scale, self._clock = store, backoff_scale, clock
        self._queue: WorkQueue[_Key] = WorkQueue(self._sync)
        self._memory: dict[_Key, _Memory] = {}
        self._unsubscribe: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Begin to run Jobs."""
        self._unsubscribe = [
            self._store.subscribe(JOB, self._job_changed),
            self._store.subscribe(POD, self._pod_changed),
        ]
        for job in self._store.list(JOB):
            self._queue.add(_key(job))

    async def stop(self) -> None:
        """Run no more Jobs."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe = []
        self._queue.clear()

    def _job_changed(self, _change: str, job: dict[str, Any], _old: object) -> None:
        self._queue.add(_key(job))

    def _pod_changed(self, change: str, pod: dict[str, Any], _old: object) -> None:
        owner = _controlling_job(pod)
        if owner is None:
            return
        key = pod["metadata"]["namespace"], owner["name"]
        memory = self._memory.get(key)
        if change == "DELETED" and memory is not None and memory.uid == owner["uid"]:
            job = self._find(key)
            if job is not None:
                memory.ledger.note(pod, Rules.of(job), self._clock(), failed=True)
        self._queue.add(key)

    def _find(self, key: _Key) -> dict[str, Any] | None:
        try:
            return self._store.get(JOB, *key)
        except ApiError:
            return None

    # -- one turn for one Job

    def _sync(self, key: _Key) -> None:
        job = self._find(key)
        if job is None:
            self._memory.pop(key, None)
            return
        if has_condition(job, "Complete") or has_condition(job, "Failed"):
            self._expire(job)
            return
        if job["metadata"].get("deletionTimestamp"):
            return
        memory = self._memory_of(job)
        turn = _Turn(self._store, self._queue, job, memory, scale=self._scale, clock=self._clock)
        turn.take()

    def _memory_of(self, job: dict[str, Any]) -> _Memory:
        uid = job["metadata"]["uid"]
        memory = self._memory.get(_key(job))
        if memory is None or memory.uid != uid:
            retry = Backoff(_FIRST_RETRY * self._scale, _LONGEST_RETRY * self._scale)
            memory = self._memory[_key(job)] = _Memory(uid, retry)
        return memory

    def _expire(self, job: dict[str, Any]) -> None:
        keep = job["spec"].get("ttlSecondsAfterFinished")
        if keep is None:
            return
        ended = next(
            each["lastTransitionTime"]
            for each in job["status"]["conditions"]
            if each["type"] in _TERMINAL.values() and each["status"] == "True"
        )
        left = seconds(ended) + keep - self._clock()
        if left > 0:
            self._queue.add_after(_key(job), left)
        else:
            self._store.delete(JOB, *_key(job), propagation="Background")


class _Turn:
    """One look at one Job: count, judge, create or remove pods, write the status."""

    def __init__(
        self,
        store: Store,
        queue: WorkQueue[_Key],
        job: dict[str, Any],
        memory: _Memory,
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
        verdict = rules_of.standing_verdict(job) or rules_of.early_verdict(
            job, self._tally(), self._pods(), self._now
        )
        if verdict is None:
            self._manage()
            self._note_suspension()
            if rules_of.is_complete(self._tally(), len(self._active())):
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
        selector = f"{rules_of.CONTROLLER_UID}={meta['uid']}"
        return self._store.list(POD, meta["namespace"], label_selector=selector)

    def _active(self) -> list[dict[str, Any]]:
        return [pod for pod in self._pods() if rules_of.is_active(pod)]

    # -- pods

    def _manage(self) -> None:
        active = self._active()
        tally = self._tally()
        wanted = 0 if self._rules.suspended else rules_of.wanted_active(tally, len(active))
        surplus = rules_of.to_remove(self._rules, active, wanted)
        if surplus:
            for pod in surplus:
                self._memory.ledger.dropped.add(pod["metadata"]["uid"])
                self._delete(pod)
            return
        if self._rules.only_replace_failed:
            wanted -= sum(rules_of.is_terminating(pod) for pod in self._pods())
        missing = wanted - len(active)
        if missing > 0 and self._may_create_at() <= self._now:
            self._create(tally, missing)

    def _may_create_at(self) -> float:
        """Tell when pods may be created, and come back then if that is not now."""
        at = self._memory.create_after
        if self._rules.per_index_limit is None:
            at = max(at, self._tally().retry_at(self._scale))
        if at > self._now:
            self._queue.add_after(_key(self._job), at - self._now)
        return at

    def _create(self, tally: Tally, missing: int) -> None:
        indexes: Sequence[int | None] = [None] * missing
        if self._rules.indexed:
            indexes = rules_of.pending_indexes(tally, self._pods(), missing)
        for index in indexes:
            failures = None
            if index is not None and self._rules.per_index_limit is not None:
                failures = tally.index_failures(index)
                at = tally.retry_at(self._scale, index)
                if at > self._now:
                    self._queue.add_after(_key(self._job), at - self._now)
                    continue
            if not self._create_one(index, failures):
                return

    def _create_one(self, index: int | None, failures: int | None) -> bool:
        namespace = self._job["metadata"]["namespace"]
        pod = rules_of.pod_for(self._job, index, failures)
        try:
            created = self._store.create(POD, pod, namespace=namespace)
        except ApiError as refusal:
            delay = self._memory.retry.next()
            self._memory.create_after = self._now + delay
            self._queue.add_after(_key(self._job), delay)
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
        if any(rules_of.is_terminating(pod) for pod in self._pods()):
            return
        self._condition(_TERMINAL[kind], reason, message)
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
        active = [pod for pod in pods if rules_of.is_active(pod)]
        counts = {
            "active": len(active),
            "succeeded": tally.succeeded,
            "failed": tally.failed,
        }
        for name, count in counts.items():
            status.pop(name, None)
            if count:
                status[name] = count
        status["ready"] = sum(rules_of.is_ready(pod) for pod in active)
        status["terminating"] = sum(rules_of.is_terminating(pod) for pod in pods)
        status["uncountedTerminatedPods"] = {}
        if self._rules.indexed:
            status["completedIndexes"] = rules_of.format_indexes(tally.succeeded_indexes)
            if not status["completedIndexes"]:
                del status["completedIndexes"]
        if self._rules.per_index_limit is not None:
            status["failedIndexes"] = rules_of.format_indexes(tally.failed_indexes)

    def _write(self, status: dict[str, Any]) -> None:
        namespace, name = _key(self._job)
        self._store.mutate(
            JOB, namespace, name, lambda job: job.update(status=status), subresource="status"
        )
        for reason, message, kind in self._events:
            self._event(reason, message, kind)

    def _wake_at_deadline(self) -> None:
        left = rules_of.seconds_left(self._job, self._rules, self._now)
        if 0 < left < float("inf"):
            self._queue.add_after(_key(self._job), left)

    def _condition(self, kind: str, reason: str, message: str, *, status: str = "True") -> None:
        set_condition(self._job, kind, status=status, reason=reason, message=message)

    def _event(self, reason: str, message: str, kind: str = "Normal") -> None:
        self._store.event(self._job, reason, message, type=kind, component=_COMPONENT)


def _key(job: Pod) -> _Key:
    return job["metadata"]["namespace"], job["metadata"]["name"]


def _controlling_job(pod: Pod) -> dict[str, Any] | None:
    for owner in pod["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner["kind"] == "Job":
            return dict(owner)
    return None
