"""Training jobs from Python: what users and the magics call."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .. import config
from ..errors import InvalidInput, NotConfigured
from ..kube.room import Fit
from . import options, plan
from .background import background
from .connection import find_desk
from .frameworks import mentions
from .handle import Job
from .origin import in_kernel_pod, local_origin
from .preview import preview
from .view import JobView
from .waiting import aloud


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
    procs: int = 0,
    chief: bool = False,
    ps: int = 0,
    evaluator: bool = False,
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
    procs
        Processes in each worker, each of them a rank; 0: one for each GPU, at least one.
    chief, ps, evaluator
        Who is there beside workers, for TensorFlow: a chief, parameter servers, an evaluator.
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
        procs=procs,
        chief=chief,
        ps=ps,
        evaluator=evaluator,
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
    return background.run(handing_in(wish, source, namespace, settings), aloud)


def handing_in(
    wish: plan.Wish, source: str, namespace: Mapping[str, Any], settings: config.KubeConfig
) -> Coroutine[Any, Any, Job]:
    """Pack as :func:`hand_in` does, and return what submits it; for the background loop."""
    bundle = plan.pack(plan.check(wish), source, namespace, "<cell>")
    files = mentions(source, namespace, "output_dir")

    async def work() -> Job:
        desk = await find_desk(settings)
        return Job(desk, await desk.submit(wish, bundle), writes_files=files)

    return work()


def fits(
    workers: int | str = 1,
    *,
    profile: str = "",
    gpus: int | None = None,
    cpu: str | None = None,
    memory: str | None = None,
    settings: config.KubeConfig | None = None,
) -> Fit:
    """Say how many workers there is room for now; parameters are those of :func:`submit`.

    Raises
    ------
    InvalidInput
        If no worker can be so.

    """
    least, most = options.workers(workers)
    wish = plan.Wish(workers=most, least=least, profile=profile, gpus=gpus, cpu=cpu, memory=memory)

    async def work() -> Fit:
        return await (await find_desk(settings or config.load())).fit(wish)

    return background.run(work(), aloud)


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

    return background.run(work(), aloud)


def export(
    wish: plan.Wish, source: str, namespace: Mapping[str, Any], settings: config.KubeConfig
) -> str:
    """Write as YAML what :func:`hand_in` would create; the same is raised."""
    bundle = plan.pack(plan.check(wish), source, namespace, "<cell>")

    async def work() -> str:
        return await (await find_desk(settings)).export(wish, bundle)

    return background.run(work(), aloud)


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

    return background.run(work(), aloud)


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

    return background.run(find(), aloud)


def kill(name: str, *, settings: config.KubeConfig | None = None) -> bool:
    """Stop a job and remove it with all it owns; False if it was gone already.

    Raises
    ------
    NotFound
        If there is none of that name.

    """

    async def delete() -> bool:
        return await (await find_desk(settings or config.load())).delete(name)

    return background.run(delete(), aloud)


def jobs(*, everyone: bool = False, settings: config.KubeConfig | None = None) -> list[JobView]:
    """Return my jobs in the namespace, or everyone's, newest first."""

    async def find() -> list[JobView]:
        return await (await find_desk(settings or config.load())).jobs(everyone=everyone)

    return background.run(find(), aloud)
