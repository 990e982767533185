"""What of ours is on a cluster, across servers and notebooks: shown, ended, cleared away."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from . import naming
from .errors import ClusterError, KubeError, NotFound
from .kube import objects
from .kube.pods import forsaken, pod_state
from .train.request import JobRequest
from .train.view import JobView, is_whole, job_view

if TYPE_CHECKING:
    from .kube.client import KubeClient

Object = dict[str, Any]

_LONGEST = 160  # characters of a state: more does not help in a table


class Row(NamedTuple):
    """One line of the list."""

    kind: str
    name: str
    state: str
    profile: str = ""
    user: str = ""


@dataclass(frozen=True)
class Ended:
    """A finished job, or a kernel that ended or can never start."""

    resource: objects.Resource
    name: str
    uid: str
    kept_until: float | None = None
    """Seconds since 1970 until which its user wants it kept, if that is still to come."""


async def rows(client: KubeClient) -> list[Row]:
    """List kernels, then jobs, each with its workers below it."""
    pods, jobs, events = await asyncio.gather(
        objects.list_(client, objects.PODS, labels=naming.SELECTOR),
        objects.list_(client, objects.JOBS, labels=naming.SELECTOR),
        _events(client),
    )
    about: dict[str, list[Object]] = defaultdict(list)
    for event in events:
        about[(event.get("involvedObject") or {}).get("name", "")].append(event)
    kernels, workers = [], defaultdict(list)
    for pod in pods["items"]:
        if job := pod["metadata"]["labels"].get(naming.JOB):
            workers[job].append(pod)
        else:
            state = pod_state(pod, about[pod["metadata"]["name"]], now=client.now())
            kernels.append(_row("kernel", pod, _words(state.phase, state.message)))
    out = kernels
    for job in filter(is_whole, jobs["items"]):
        view = job_view(job, workers.pop(job["metadata"]["name"], ()), events)
        out += [_row("job", job, _words(view.phase, view.message)), *_ranks(view)]
    for pod in (pod for left in workers.values() for pod in left):  # their job is gone already
        out.append(_row("worker", pod, "ending"))
    return out


async def stop(client: KubeClient, name: str, user: str = "") -> None:
    """End the kernel of this pod, or the job of this name; only one of ``user``'s, if given.

    Raises
    ------
    KubeError
        If it is somebody else's, or a part of a job, which its job would only replace.
    NotFound
        If there is neither.

    """
    for resource in (objects.JOBS, objects.PODS):
        found = await _ours(client, resource, name)
        if found is None:
            continue
        job = found["metadata"]["labels"].get(naming.JOB)
        if job not in (None, name):
            raise KubeError(
                f"{name} is a part of the job {job}",
                "alone it would be replaced",
                f"End the whole job with `jupyter kube kill {job}`.",
            )
        whose = (found["metadata"].get("annotations") or {}).get(naming.USER, "")
        if user and whose not in ("", user):
            raise KubeError(
                f"{name} is {whose}'s",
                f"you are {user}",
                "`jupyter kube kill --all` ends it all the same.",
            )
        await objects.delete(client, resource, name, uid=found["metadata"]["uid"])
        return
    raise NotFound(
        f'there is no kernel or job "{name[:80]}" in {client.namespace}',
        next="See `jupyter kube ls`.",
    )


async def ended(client: KubeClient, user: str = "") -> list[Ended]:
    """List finished jobs and kernels that ended or can never start, of one user or of all.

    A job whose user gave it a ``--keep`` of its own is kept for so long. The default is nobody's
    wish, only the time after which Kubernetes clears up itself.
    """
    mine = {"user_hash": naming.user_hash(user)} if user else {}
    jobs, kernels = await asyncio.gather(
        objects.list_(client, objects.JOBS, labels=naming.selector(**mine)),
        objects.list_(client, objects.PODS, labels=naming.selector(component="kernel", **mine)),
    )
    now = client.now()
    return [
        *_finished(jobs["items"], now.timestamp()),
        *(
            Ended(objects.PODS, pod["metadata"]["name"], pod["metadata"]["uid"])
            for pod in kernels["items"]
            if pod_state(pod).phase in ("succeeded", "failed") or forsaken(pod, now=now)
        ),
    ]


def _finished(jobs: Iterable[Object], now: float) -> Iterator[Ended]:
    for job in filter(is_whole, jobs):
        view, meta = job_view(job), job["metadata"]
        if view.finished and not meta.get("deletionTimestamp"):
            keep = job["spec"].get("ttlSecondsAfterFinished")
            wanted = keep is not None and keep != JobRequest.keep
            until = (view.ended or now) + keep if wanted else 0.0
            yield Ended(objects.JOBS, meta["name"], meta["uid"], until if until > now else None)


async def _ours(client: KubeClient, resource: objects.Resource, name: str) -> Object | None:
    try:
        found = await objects.get(client, resource, name)
    except NotFound:
        return None
    labels = (found.get("metadata") or {}).get("labels") or {}
    return found if labels.get(naming.MANAGED_BY) == naming.MANAGER else None


async def _events(client: KubeClient) -> list[Object]:
    """List events; without the right to, reasons are missing and nothing else."""
    try:
        return list((await objects.list_(client, objects.EVENTS))["items"])
    except ClusterError:
        return []


def _row(kind: str, item: Mapping[str, Any], state: str) -> Row:
    meta = item["metadata"]
    profile = meta["labels"].get(naming.PROFILE, "")
    user = (meta.get("annotations") or {}).get(naming.USER, "")
    return Row(kind, meta["name"], state, profile, user)


def _ranks(view: JobView) -> list[Row]:
    """List a job's workers that there are."""
    return [
        Row(f"  {rank.role or 'worker'}", rank.state.name, _words(rank.state.phase, rank.reason))
        for rank in view.ranks
        if rank.state.name
    ]


def _words(phase: str, message: str) -> str:
    text = " ".join(f"{phase}: {message}".split()) if message else phase
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
