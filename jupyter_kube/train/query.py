"""What the cluster says about jobs right now: single questions, no watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from .. import naming
from ..checks import clip, suggest
from ..errors import ClusterError, InvalidInput, NotFound
from ..kube import objects
from ..turns import unhurried
from . import reading
from .desk import PodReports
from .feed import Line
from .options import MOST_WORKERS
from .slim import slim_job, slim_pod, some
from .view import JobView, is_whole, job_view, ranks_of

if TYPE_CHECKING:
    from ..kube.client import KubeClient


async def list_jobs(client: KubeClient, user: str = "") -> list[JobView]:
    """Return all jobs of ours in the namespace, or one user's, newest first."""
    wanted = {"component": "job"} | ({"user_hash": naming.user_hash(user)} if user else {})
    jobs, pods = await asyncio.gather(
        objects.every(client, objects.JOBS, labels=naming.selector(**wanted), keep=slim_job),
        objects.every(client, objects.PODS, labels=naming.selector(component="job"), keep=slim_pod),
    )
    by_job: dict[str, list[dict[str, Any]]] = {}
    for pod in pods:
        by_job.setdefault(pod["metadata"]["labels"].get(naming.JOB, ""), []).append(pod)
    views = [
        job_view(job, by_job.get(job["metadata"]["name"], ()), now=client.now())
        async for job in unhurried(filter(is_whole, jobs))
    ]
    return sorted(views, key=lambda view: view.started or 0.0, reverse=True)


async def find_job(client: KubeClient, name: str, user: str = "") -> dict[str, Any]:
    """Return a Job of ours by name, of one user's only where one is given.

    Raises
    ------
    NotFound
        With a close name, if there is one.

    """
    if job := await _find(client, name, user):
        return job
    known = suggest(name, await _names(client, user))
    raise NotFound(
        f'there is no job "{clip(name)}" in {client.namespace}{known}',
        next="See %kube status for those there are.",
    )


async def _find(client: KubeClient, name: str, user: str) -> dict[str, Any] | None:
    wanted = {naming.MANAGED_BY: naming.MANAGER, naming.JOB: name}
    if user:
        wanted[naming.USER_HASH] = naming.user_hash(user)
    try:
        job = await objects.get(client, objects.JOBS, name)
    except NotFound:
        return None
    return job if wanted.items() <= (job["metadata"].get("labels") or {}).items() else None


async def _names(client: KubeClient, user: str) -> list[str]:
    """List the names of all jobs, or of one user's."""
    wanted = {"component": "job"} | ({"user_hash": naming.user_hash(user)} if user else {})
    labels = naming.selector(**wanted)
    jobs = await objects.every(
        client, objects.JOBS, labels=labels, keep=lambda job: some(job, "metadata")
    )
    return [job["metadata"]["name"] for job in jobs if is_whole(job)]


async def whole_name(client: KubeClient, name: str, user: str) -> str:
    """Complete the name of a user's job: without its last four letters it will do, if it is one's.

    Never somebody else's job: names without these letters are often the same.

    Raises
    ------
    NotFound
        If several of the user's jobs are called so.

    """
    if await _find(client, name, user):  # as most often; to list thousands takes a while
        return name
    short = [each for each in await _names(client, user) if each.rpartition("-")[0] == name]
    if not short:
        return name
    if len(short) > 1:
        raise NotFound(
            f'"{clip(name)}" is {len(short)} jobs in {client.namespace}',
            f"there are {', '.join(short[:5])}",
            "Name one of them in full.",
        )
    return short[0]


async def pods_of(client: KubeClient, name: str) -> list[dict[str, Any]]:
    """Return a job's pods, without what no view is made of: there may be a thousand."""
    own = naming.selector(component="job", job=name)
    return await objects.every(client, objects.PODS, labels=own, keep=slim_pod)


async def snapshot(client: KubeClient, name: str) -> JobView:
    """Return one job with its ranks and the reasons they wait.

    Raises
    ------
    NotFound
        If there is none of that name.

    """
    job = await find_job(client, name)
    pods, events = await asyncio.gather(pods_of(client, job["metadata"]["name"]), _events(client))
    return job_view(job, pods, events, now=client.now())


async def read_logs(
    client: KubeClient, name: str, key: bytes, rank: int | None = None, tail: int | None = None
) -> AsyncGenerator[list[Line]]:
    """Give the plain lines of a job's pods, rank by rank and some at a time.

    With ``tail`` they are the last so many of each rank, or some more.

    Raises
    ------
    NotFound
        If none of its pods is left.

    """
    job, found = await asyncio.gather(find_job(client, name), pods_of(client, name))
    pods: dict[range, list[str]] = {}
    for pod in found:
        ranks = ranks_of(pod)
        if ranks and (rank is None or rank in ranks):
            pods.setdefault(ranks, []).append(pod["metadata"]["name"])
    if not pods:
        which = "pods" if rank is None else f"pod of rank {rank}"
        raise NotFound(f"{name} has no {which}, so no lines")
    view = job_view(job, found)
    asked = {known.rank for known in view.ranks if rank in (None, known.rank)}
    gone = asked.difference(*pods) if view.finished else set()
    for ranks in sorted([*pods, *(range(n, n + 1) for n in gone)], key=lambda found: found[0]):
        if ranks not in pods:
            yield [Line(ranks[0], "(its lines are gone with its pod)")]
        for pod in sorted(pods.get(ranks, ())):
            opened = reading.plain_lines(client, pod, ranks, key, tail=tail, rank=rank)
            async with aclosing(opened) as pieces:
                async for piece in pieces:
                    yield [line for line in piece if rank in (None, line.rank)]


async def read_reports(client: KubeClient, name: str, key: bytes) -> AsyncGenerator[PodReports]:
    """Give the reports that a job's pods have in their logs, some at a time."""
    for pod in await pods_of(client, name):
        if not ranks_of(pod):
            continue
        async with aclosing(reading.reported(client, pod["metadata"]["name"], key)) as reported:
            async for rows in reported:
                yield PodReports(pod["metadata"]["name"], rows)


async def delete_job(client: KubeClient, name: str) -> bool:
    """Delete a Job and so all it owns; False if it was gone.

    Raises
    ------
    NotFound
        If there is none of ours by that name.

    """
    job = await find_job(client, name)
    meta = job["metadata"]
    return await objects.delete(client, objects.JOBS, meta["name"], uid=meta["uid"])


async def scale_job(client: KubeClient, name: str, workers: int) -> JobView:
    """Change how many workers an elastic job has at most; returns what it is then.

    Raises
    ------
    NotFound
        If there is none of that name.
    InvalidInput
        If its size is fixed, it is over, or it needs more workers.

    """
    view = job_view(await find_job(client, name))
    check_scale(view, workers)
    # Both at once: with fewer running than there are to be, Kubernetes takes the first away.
    spec = {"completions": workers, "parallelism": workers}
    return job_view(await objects.patch(client, objects.JOBS, view.name, {"spec": spec}))


def check_scale(view: JobView, workers: int) -> None:
    """Refuse a number of workers that a job cannot have.

    Raises
    ------
    InvalidInput
        In one sentence.

    """
    if not view.least:
        raise InvalidInput(
            f"{view.name} has a fixed size of {view.workers}",
            "submit it with the two ends of its size, as in -w 1:4",
        )
    if view.finished:
        raise InvalidInput(f"{view.name} is over: it {view.phase}")
    if workers < view.least:
        raise InvalidInput(
            f"{view.name} needs at least {view.least} workers (got {workers})",
            f"stop it with %kube kill {view.name}",
        )
    if workers > MOST_WORKERS:
        raise InvalidInput(f"{workers} workers are above the limit of {MOST_WORKERS}")


async def _events(client: KubeClient) -> list[dict[str, Any]]:
    """List events; without the right to, a job is shown without them."""
    try:
        return await objects.every(client, objects.EVENTS)
    except ClusterError:
        return []
