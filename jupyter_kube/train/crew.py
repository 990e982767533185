"""The processes of one pod in one generation: one for each rank, that begin and end together.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .process import CellProcess, Outcome

log = logging.getLogger("jupyter-kube")


class End(NamedTuple):
    """How a pod's processes ended: as the first that failed, or well."""

    local_rank: int
    outcome: Outcome


class Crew:
    """The processes of a pod's ranks, in the order of these."""

    def __init__(self, processes: Sequence[CellProcess]) -> None:
        self._processes = processes

    async def make_ready(self) -> None:
        """Start all; they wait for their places."""
        for process in self._processes:
            await process.make_ready()

    def go(self, places: Sequence[Mapping[str, Any]]) -> None:
        """Tell each its place, in order: they run the cell."""
        for process, place in zip(self._processes, places, strict=True):
            process.go(place)

    async def end(self) -> End:
        """Wait until all are done, or one has failed; a result is the first one's."""
        waiting = [asyncio.create_task(_outcome(process)) for process in self._processes]
        try:
            for nearest in asyncio.as_completed(waiting):
                if (await nearest).kind != "done":
                    break
            ended = [(n, task.result()) for n, task in enumerate(waiting) if task.done()]
            failed = (End(n, outcome) for n, outcome in ended if outcome.kind != "done")
            return next(failed, End(*ended[0]))
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def tell_over(self) -> bool:
        """Say that those who train are done, to who wants to know; false if nobody does."""
        asking = [process for process in self._processes if process.asks]
        for process in asking:
            process.tell_over()
        return bool(asking)

    async def leave(self) -> None:
        """Let processes that are done leave by themselves."""
        await asyncio.gather(*(process.leave() for process in self._processes))

    async def stop(self, grace: float) -> None:
        """End all: SIGTERM, SIGKILL after ``grace`` seconds."""
        await asyncio.gather(*(process.stop(grace) for process in self._processes))


async def _outcome(process: CellProcess) -> Outcome:
    try:
        return await process.outcome()
    except Exception:
        log.exception("the cell's process cannot be understood")
        return Outcome("died", "said what nobody understands")
