"""From what a user wishes to what will be created: checked and packed, nothing created yet."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from .. import naming
from ..checks import check_quantity
from ..config import KubeConfig, user_name
from ..errors import InvalidInput
from ..models import Profile
from . import cell, jobspec, options
from .frameworks import check_keras, check_serves
from .origin import Origin
from .python import check_python
from .request import JobRequest, like_kernel

if TYPE_CHECKING:
    from .cell import Bundle


@dataclass(frozen=True)
class Wish:
    """What a user asked for; empty and None mean the default."""

    workers: int = 1
    least: int = 0
    """Workers an elastic job needs; 0: all of them."""
    framework: str = ""
    profile: str = ""
    outputs: tuple[str, ...] = ()
    use: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    """Requirements that each worker installs before the cell."""
    name: str = ""
    gpus: int | None = None
    cpu: str | None = None
    memory: str | None = None
    procs: int = 0
    """Processes in each worker; 0: one for each GPU."""
    chief: bool = False
    ps: int = 0
    evaluator: bool = False
    retries: int = 3
    timeout: float | None = None
    keep: float = 86400.0


@dataclass(frozen=True)
class Plan:
    """A job ready to be created."""

    request: JobRequest
    bundle: Bundle
    manifests: jobspec.Manifests
    key: bytes


def check(wish: Wish, *, fewest: int = 1) -> Wish:
    """Refuse what is wrong with a wish by itself; returns it.

    Parameters
    ----------
    wish
        What was asked for.
    fewest
        How many workers there must be; 0 where the cell may run in this kernel.

    Raises
    ------
    InvalidInput
        In one sentence, for the first thing wrong.

    """
    if options.workers(wish.workers)[1] < fewest:
        raise InvalidInput("a job needs at least one worker")
    if wish.framework:
        options.framework(wish.framework)
    if wish.name:
        options.base_name(wish.name)
    if wish.gpus is not None:
        options.gpus(wish.gpus)
    for quantity, what in ((wish.cpu, "cpu"), (wish.memory, "memory")):
        if quantity is not None:
            check_quantity(quantity, what)
    options.count(wish.procs, "--procs", options.MOST_PROCS)
    if wish.procs > 1 and not wish.workers:
        raise InvalidInput("--procs needs workers", "-w 0 runs the cell in this kernel alone")
    options.count(wish.ps, "--ps", options.MOST_WORKERS)
    _check_roles(wish, wish.framework)
    options.count(wish.retries, "--retries", options.MOST_RETRIES)
    for names, option in ((wish.outputs, "--output"), (wish.use, "--use")):
        options.names(names, option)
    options.requirements(wish.pip)
    if wish.timeout is not None:
        options.duration(wish.timeout, "--timeout")
    options.duration(wish.keep, "--keep")
    return wish


def pack(wish: Wish, source: str, namespace: Mapping[str, Any], filename: str) -> Bundle:
    """Pack source and what it uses for a wish's framework.

    Raises
    ------
    InvalidInput
        If something of it cannot run in a worker or cannot travel.

    """
    bundle = cell.pack(
        source,
        namespace,
        use=wish.use,
        outputs=wish.outputs,
        pip=wish.pip,
        framework=wish.framework,
        filename=filename,
    )
    _check_roles(wish, bundle.framework)
    if bundle.framework == "tensorflow" and _several(wish):
        check_keras(source, namespace)
    if wish.ps and not wish.chief:
        check_serves(source, namespace)
    return bundle


def _several(wish: Wish) -> bool:
    """Say whether there will be several ranks, as far as the wish tells."""
    return wish.workers > 1 or wish.procs > 1 or wish.chief or wish.ps > 0


def _check_roles(wish: Wish, framework: str) -> None:
    options.roles(
        chief=wish.chief,
        ps=wish.ps,
        evaluator=wish.evaluator,
        least=wish.least,
        workers=wish.workers,
        procs=wish.procs,
        framework=framework,
    )


def make(wish: Wish, bundle: Bundle, settings: KubeConfig, origin: Origin, space: str) -> Plan:
    """Make the plan of a job.

    Parameters
    ----------
    wish, bundle
        What was asked for and what travels.
    settings
        The profiles.
    origin
        Whose job it is, and the kernel's own pod that workers are like by default.
    space
        The namespace.

    Raises
    ------
    InvalidInput
        If there is no such profile, it cannot be so, or its Python is known to be another.

    """
    profile_ = profile(wish, settings, origin)
    check_python(bundle.python, profile_)
    submission = naming.new_id()
    base = wish.name or naming.slug(origin.title, options.LONGEST_NAME) or bundle.framework
    others = wish.chief or wish.ps or wish.evaluator
    request = JobRequest(
        name=naming.job_name(base, submission),
        submission=submission,
        framework=bundle.framework,
        workers=wish.workers,
        least=wish.least,
        procs=1 if others else options.processes(wish.procs, profile_.gpus),
        chief=wish.chief,
        ps=wish.ps,
        evaluator=wish.evaluator,
        profile=profile_,
        namespace=space,
        outputs=wish.outputs,
        pip=wish.pip,
        retries=wish.retries,
        timeout=wish.timeout,
        keep=wish.keep,
        user=origin.user,
        notebook=origin.notebook,
        kernel_id=origin.kernel_id,
    )
    key = secrets.token_bytes(32)
    return Plan(request, bundle, jobspec.manifests(request, bundle, key), key)


def profile(wish: Wish, settings: KubeConfig, origin: Origin) -> Profile:
    """Choose the pods' shape: the profile named, else the kernel's own pod, else the default.

    Raises
    ------
    InvalidInput
        If there is no such profile, or it cannot be so.

    """
    place = {"user": user_name(), "folder": ""}
    if origin.pod is not None:
        place = {"user": origin.user, "folder": str(PurePosixPath(origin.notebook).parent)}
    if origin.pod is not None and not wish.profile:
        base = settings.valid_profiles().get(origin.profile)
        found = like_kernel(origin.pod, base and base.placed(**place))
    else:
        found = settings.profile(wish.profile).placed(**place)
    return found.resize(gpus=wish.gpus, cpu=wish.cpu, memory=wish.memory)
