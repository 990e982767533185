"""A training job as an object: submit it, follow it, get its result, stop it."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .. import config
from ..errors import InvalidInput, NotConfigured
from . import failure, options, plan
from .background import Background, background
from .connection import find_desk
from .desk import Desk, Ticket
from .feed import Feed, Line
from .origin import in_kernel_pod, local_origin
from .preview import preview
from .results import open_outcome
from .runner import Outcome
from .view import JobView


class Job:
    """One training job on the cluster; make it with :func:`submit` or :func:`attach`.

    ``await job`` gives the same as :meth:`result`.
    """

    def __init__(self, desk: Desk, ticket: Ticket, *, on: Background = background) -> None:
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
        """What to know of an elastic job before it runs; empty if there is nothing."""
        view = self.feed.view
        if not view.least or view.lasting:
            return ""
        return (
            "No storage that outlives pods is mounted: each worker has a kube.checkpoint_dir of its"
            " own. Rank 0's survives restarts inside its pod; when that pod goes, all begin anew."
            " Choose a --profile with a volume to keep checkpoints."
        )

    @property
    def status(self) -> JobView:
        """The job as the cluster has it now."""
        return self._on.run(self._desk.snapshot(self.name))

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
        return self._on.run(self._desk.logs(self.name, self._key, rank, tail))

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
        return self._on.run(self._desk.delete(self.name))

    def scale(self, workers: int) -> JobView:
        """Change how many workers an elastic job has at most, 1 to 1000.

        Those that come, and those that stay, start again together from their last checkpoint.

        Raises
        ------
        InvalidInput
            If its size is fixed, it is over, or it needs more workers.

        """
        return self._on.run(self._desk.scale(self.name, workers))

    def why(self) -> list[str]:
        """Say in sentences why the job waits or failed; the last one names the objects."""
        view = self.status
        raised = self.follow().result().error if view.finished else None
        told = failure.reasons(view, raised)
        return told if view.phase == "succeeded" else [*told, failure.objects(view, self.namespace)]

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


def submit(
    source: str | Callable[[], Any],
    *,
    workers: int | str = 1,
    framework: str = "",
    profile: str = "",
    outputs: Sequence[str] = (),
    use: Sequence[str] = (),
    pip: Sequence[str] = (),
    name: str = "",
    gpus: int | None = None,
    cpu: str | None = None,
    memory: str | None = None,
    retries: int = 3,
    timeout: float | str | None = None,
    keep: float | str = 86400.0,
    namespace: Mapping[str, Any] | None = None,
    settings: config.KubeConfig | None = None,
) -> Job:
    """Run Python source, or a function without arguments, on several workers.

    Parameters
    ----------
    source
        What each worker runs. A function's return value in rank 0 is the job's result.
    workers
        How many pods run it, 1 to 1000; ``"1:4"`` for as many from 1 to 4 as there is room for.
    framework
        ``tensorflow``, ``pytorch``, ``paddle`` or ``python``; empty: from the imports.
    profile
        Kind of pod; empty: like this kernel's own pod, else the default one.
    outputs
        Names whose values in rank 0 are the job's result.
    use
        Names of ``namespace`` that travel although the source does not read them.
    pip
        Packages that each worker installs first, as in ``("einops>=0.8",)``.
    name
        Readable part of the job's name.
    gpus, cpu, memory
        For each worker, instead of the profile's; Kubernetes quantities.
    retries
        How often all ranks may start again after a worker's process died.
    timeout, keep
        Seconds, or texts such as ``2h``: the longest run; how long a finished job stays.
    namespace
        Where names that the source uses are looked up.
    settings
        Which cluster; None: as configured.

    Raises
    ------
    InvalidInput
        Before anything is created.
    ClusterError
        If the API refuses; nothing is left then.

    """
    least, most = options.workers(workers)
    wish = plan.Wish(
        workers=most,
        least=least,
        framework=framework,
        profile=profile,
        outputs=options.names(outputs, "outputs"),
        use=options.names(use, "use"),
        pip=options.requirements(pip),
        name=name,
        gpus=gpus,
        cpu=cpu,
        memory=memory,
        retries=retries,
        timeout=None if timeout is None else options.duration(timeout, "timeout"),
        keep=options.duration(keep, "keep"),
    )
    if not isinstance(source, str):
        if outputs:
            raise InvalidInput("a function's result is what it returns; leave outputs out")
        wish = replace(wish, outputs=("returned",))
        source, namespace = "returned = call()", {"call": source}
    return hand_in(wish, source, namespace or {}, settings or config.load())


def hand_in(
    wish: plan.Wish, source: str, namespace: Mapping[str, Any], settings: config.KubeConfig
) -> Job:
    """Pack source and what it uses of a namespace, and submit it.

    Raises
    ------
    InvalidInput
        Before anything is created.
    ClusterError
        If the API refuses; nothing is left then.

    """
    bundle = plan.pack(plan.check(wish), source, namespace, "<cell>")

    async def work() -> Job:
        desk = await find_desk(settings)
        return Job(desk, await desk.submit(wish, bundle))

    return background.run(work())


def look(
    wish: plan.Wish, source: str, namespace: Mapping[str, Any], settings: config.KubeConfig
) -> str:
    """Describe what :func:`hand_in` would send and create; without a cluster, too.

    Raises
    ------
    InvalidInput
        For the first thing that is wrong.

    """
    bundle = plan.pack(plan.check(wish), source, namespace, "<cell>")

    async def work() -> str:
        try:
            desk = await find_desk(settings)
        except NotConfigured:
            if in_kernel_pod():
                raise
            space = settings.namespace or "default"
            return preview(plan.make(wish, bundle, settings, local_origin(), space))
        return await desk.preview(wish, bundle)

    return background.run(work())


def export(
    wish: plan.Wish, source: str, namespace: Mapping[str, Any], settings: config.KubeConfig
) -> str:
    """Write as YAML what :func:`hand_in` would create; the same is raised."""
    bundle = plan.pack(plan.check(wish), source, namespace, "<cell>")

    async def work() -> str:
        return await (await find_desk(settings)).export(wish, bundle)

    return background.run(work())


def rerun(name: str, *, settings: config.KubeConfig | None = None) -> Job:
    """Run a job again: the same code, values, options and image, as a new job.

    Raises
    ------
    NotFound
        If there is none of that name.

    """

    async def work() -> Job:
        desk = await find_desk(settings or config.load())
        return Job(desk, await desk.rerun(name))

    return background.run(work())


def attach(name: str, *, settings: config.KubeConfig | None = None) -> Job:
    """Return a job by its name, from wherever it was submitted; finished ones too.

    Raises
    ------
    NotFound
        If there is none of that name.

    """

    async def find() -> Job:
        desk = await find_desk(settings or config.load())
        return Job(desk, await desk.find(name))

    return background.run(find())


def kill(name: str, *, settings: config.KubeConfig | None = None) -> bool:
    """Stop a job and remove it with all it owns; False if it was gone already.

    Raises
    ------
    NotFound
        If there is none of that name.

    """

    async def delete() -> bool:
        return await (await find_desk(settings or config.load())).delete(name)

    return background.run(delete())


def jobs(*, settings: config.KubeConfig | None = None) -> list[JobView]:
    """Return my jobs in the namespace, newest first."""

    async def find() -> list[JobView]:
        return await (await find_desk(settings or config.load())).jobs()

    return background.run(find())


def _single(outcome: Outcome) -> Any:
    """Return one output as it is, several by name, none as None."""
    results = open_outcome(outcome)
    results.require(outcome.view.outputs)
    values = results.values
    if len(outcome.view.outputs) == 1:
        return values[outcome.view.outputs[0]]
    return values or None
