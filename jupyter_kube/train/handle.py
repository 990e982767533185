"""A training job as an object: follow it, get its result, stop it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from collections.abc import Callable, Generator
from contextlib import aclosing
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

from . import failure
from .background import Background, background
from .desk import Desk, Ticket
from .feed import Feed, Line
from .reading import gathered
from .results import open_outcome
from .runner import Outcome
from .saving import Fetched, save, text_file
from .view import JobView
from .waiting import aloud, passing_on

_GO_WITH_PODS = (
    "kube.output_dir is in each worker's pod and goes with it: no storage that outlives pods is"
    " mounted. Bring files home by %kube cp {} while it runs, or choose a --profile with a volume."
)


class Job:
    """One training job on the cluster; make it with :func:`submit` or :func:`attach`.

    ``await job`` gives the same as :meth:`result`.
    """

    def __init__(
        self,
        desk: Desk,
        ticket: Ticket,
        *,
        writes_files: bool = False,
        on: Background = background,
    ) -> None:
        self.writes_files = writes_files
        """Whether its code mentions ``kube.output_dir``, where this process submitted it."""
        self.name, self.namespace = ticket.view.name, desk.namespace
        self.feed = Feed(ticket.view)
        """What happens to it, for whoever shows it; filled while it is followed."""
        self._desk, self._key, self._on = desk, ticket.key, on
        self._following: concurrent.futures.Future[Outcome] | None = None

    def __repr__(self) -> str:
        view = self.feed.view
        return f"<Job {self.name}: {view.phase}, {view.workers} workers>"

    @property
    def warning(self) -> str:
        """What to know before it runs of files without storage; empty if there is nothing."""
        view = self.feed.view
        if view.lasting:
            return ""
        if not view.least:
            return _GO_WITH_PODS.format(self.name) if self.writes_files else ""
        return (
            "No storage that outlives pods is mounted: each worker has a kube.checkpoint_dir of its"
            " own. Rank 0's survives restarts inside its pod; when that pod goes, all begin anew."
            " Choose a --profile with a volume to keep checkpoints."
        )

    @property
    def status(self) -> JobView:
        """The job as the cluster has it now."""
        return self._on.run(self._desk.snapshot(self.name), aloud)

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the end and return the outputs: the value of one, a dictionary of several.

        Parameters
        ----------
        timeout
            Seconds to wait at most; the job goes on after that.

        Raises
        ------
        RemoteError
            If the cell raised an exception in a rank.
        JobFailed
            If it ended otherwise without its result.
        TimeoutError
            If it has not ended in time.

        """
        following = self.follow()
        done, _ = concurrent.futures.wait([following], timeout)
        if not done:
            raise TimeoutError(f"{self.name} has not ended after {timeout} s")
        return _single(following.result())

    def __await__(self) -> Generator[Any, None, Any]:
        outcome = yield from asyncio.wrap_future(self.follow()).__await__()
        return _single(outcome)

    def logs(self, rank: int | None = None, *, tail: int | None = None) -> list[Line]:
        """Return what the ranks printed, rank by rank.

        Parameters
        ----------
        rank
            One rank only.
        tail
            Lines at most for each rank, the last ones.

        Raises
        ------
        NotFound
            If none of its pods is left.

        """
        return self._on.run(gathered(self._desk.logs(self.name, self._key, rank, tail), tail))

    def save_logs(self, path: str | os.PathLike[str], rank: int | None = None) -> int:
        """Write all that the ranks printed to a file, however much; returns how many lines.

        Lines are as :meth:`logs` has them, each after its rank, as in ``[0] epoch 1``. A file that
        is there is replaced when the new one is whole.

        Raises
        ------
        NotFound
            If none of its pods is left.
        OSError
            If the file cannot be written.

        """
        with text_file(Path(path)) as file:
            return self._on.run(self._write_logs(file, rank))

    async def _write_logs(self, file: TextIO, rank: int | None) -> int:
        count = 0
        async with aclosing(self._desk.logs(self.name, self._key, rank, None)) as pieces:
            async for lines in pieces:
                file.writelines(f"[{line.rank}] {line.text}\n" for line in lines)
                count += len(lines)
        return count

    def fetch(
        self,
        path: str = "",
        to: str = ".",
        rank: int = 0,
        told: Callable[[str], object] = lambda _text: None,
    ) -> Fetched:
        """Bring files home that the cell wrote below ``kube.output_dir``.

        From the profile's volume, as long as the job is there; without one from the pod of a rank,
        as long as that runs.

        Parameters
        ----------
        path
            A file or folder there; empty: all.
        to
            Folder to write them to; of a single file also its name.
        rank
            Whose, where each pod has files of its own.
        told
            Gets in words what they wait for, where a pod is to be started that brings them.

        Raises
        ------
        NotFound
            If they are gone, or were never there.
        InvalidInput
            If they cannot be written here.

        """
        news: SimpleQueue[str | None] = SimpleQueue()
        pieces = self._desk.fetch(self.name, self._key, path, rank)
        return self._on.run(save(pieces, to, news.put), passing_on(news, told))

    def reports(self) -> Any:
        """Return all that ``kube.report`` told: a pandas DataFrame, or a list of dictionaries.

        Columns are ``rank``, ``generation``, ``time``, ``step`` and each metric's name. Warns if
        reports are missing.
        """
        heard = self.feed.reports
        if not self._followed:
            for pod, rows in self._on.run(self._desk.reports(self.name, self._key)):
                heard.add(pod, rows)
        return heard.table()

    def cancel(self) -> bool:
        """Stop the job and remove it with all it owns; False if it was gone already."""
        return self._on.run(self._desk.delete(self.name), aloud)

    def scale(self, workers: int) -> JobView:
        """Change how many workers an elastic job has at most, 1 to 1000.

        Those that come, and those that stay, start again together from their last checkpoint.

        Raises
        ------
        InvalidInput
            If its size is fixed, it is over, or it needs more workers.

        """
        return self._on.run(self._desk.scale(self.name, workers), aloud)

    def why(self) -> list[str]:
        """Say in sentences why the job waits or failed; the last one names the objects."""
        view = self.status
        raised = self.follow().result().error if view.phase == "failed" else None
        return failure.diagnosis(view, self.namespace, raised)

    @property
    def _followed(self) -> bool:
        """Whether the job is followed now, or was to its end."""
        following = self._following
        if following is None or following.cancelled():
            return False
        return not (following.done() and following.exception())

    def follow(self) -> concurrent.futures.Future[Outcome]:
        """Begin to follow the job in the background, once; the future gives its end."""
        following = self._following
        if following is None or not self._followed:
            self.feed = Feed(self.feed.view, reports=self.feed.reports)
            following = self._on.start(self._desk.follow(self.feed, self._key))
            self._following = following
        return following

    def detach(self) -> None:
        """Stop following; the job goes on."""
        if self._following is not None:
            self._following.cancel()


def _single(outcome: Outcome) -> Any:
    """Return one output as it is, several by name, none as None."""
    results = open_outcome(outcome)
    results.require(outcome.view.outputs)
    values = results.values
    if len(outcome.view.outputs) == 1:
        return values[outcome.view.outputs[0]]
    return values or None
