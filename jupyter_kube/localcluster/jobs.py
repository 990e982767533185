"""The Job controller: keeps as many pods as each Job wants, and tells how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .backoff import Backoff
from .conditions import has_condition, seconds
from .jobrules import Pod, Rules
from .jobturn import TERMINAL, Key, Memory, Turn, key_of
from .store import JOB, POD, ApiError, Store
from .workqueue import WorkQueue

_FIRST_RETRY, _LONGEST_RETRY = 1.0, 60.0


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
        self._queue: WorkQueue[Key] = WorkQueue(self._sync)
        self._memory: dict[Key, Memory] = {}
        self._unsubscribe: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Begin to run Jobs."""
        self._unsubscribe = [
            self._store.subscribe(JOB, self._job_changed),
            self._store.subscribe(POD, self._pod_changed),
        ]
        for job in self._store.list(JOB):
            self._queue.add(key_of(job))

    async def stop(self) -> None:
        """Run no more Jobs."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe = []
        self._queue.clear()

    def _job_changed(self, _change: str, job: dict[str, Any], _old: object) -> None:
        self._queue.add(key_of(job))

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

    def _find(self, key: Key) -> dict[str, Any] | None:
        try:
            return self._store.get(JOB, *key)
        except ApiError:
            return None

    # -- one turn for one Job

    def _sync(self, key: Key) -> None:
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
        turn = Turn(self._store, self._queue, job, memory, scale=self._scale, clock=self._clock)
        turn.take()

    def _memory_of(self, job: dict[str, Any]) -> Memory:
        uid = job["metadata"]["uid"]
        memory = self._memory.get(key_of(job))
        if memory is None or memory.uid != uid:
            retry = Backoff(_FIRST_RETRY * self._scale, _LONGEST_RETRY * self._scale)
            memory = self._memory[key_of(job)] = Memory(uid, retry)
        return memory

    def _expire(self, job: dict[str, Any]) -> None:
        keep = job["spec"].get("ttlSecondsAfterFinished")
        if keep is None:
            return
        ended = next(
            each["lastTransitionTime"]
            for each in job["status"]["conditions"]
            if each["type"] in TERMINAL.values() and each["status"] == "True"
        )
        left = seconds(ended) + keep - self._clock()
        if left > 0:
            self._queue.add_after(key_of(job), left)
        else:
            self._store.delete(JOB, *key_of(job), propagation="Background")


def _controlling_job(pod: Pod) -> dict[str, Any] | None:
    for owner in pod["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner["kind"] == "Job":
            return dict(owner)
    return None
