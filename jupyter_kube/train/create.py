"""Creating a job's objects: all of them or none, however often it is tried."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from .. import naming
from ..errors import ClusterError, ClusterUnavailable, Conflict, KubeError, NotFound
from ..kube import objects
from ..kube.answers import NOT_DONE
from . import jobspec

if TYPE_CHECKING:
    from ..kube.client import KubeClient

log = logging.getLogger(__name__)

_UNDO_TIMEOUT = 20.0


async def create(
    client: KubeClient, manifests: jobspec.Manifests, submission: str
) -> dict[str, Any]:
    """Create a job and all it owns; returns the Job as the API made it.

    The Job comes first and owns the others, so that its end is theirs. If a later one cannot be
    made, or the caller is cancelled, the Job is deleted again.

    Raises
    ------
    ClusterError
        What the API said; nothing of the job is left then.

    """
    name = manifests.job["metadata"]["name"]
    try:
        job = await _create_job(client, manifests.job, submission)
        owner = objects.owner_reference(job)
        async with asyncio.TaskGroup() as group:
            for resource, body in (  # what pods wait for first: it takes the open connection
                *((objects.SECRETS, secret) for secret in manifests.secrets),
                (objects.SERVICES, manifests.service),
                *((objects.JOBS, role) for role in manifests.roles),
            ):
                group.create_task(_create_owned(client, resource, jobspec.with_owner(body, owner)))
    except ExceptionGroup as group_error:
        await _undo(client, name, submission)
        raise _worst(group_error) from None
    except ClusterError as error:  # of the Job itself: it is there only if the answer was lost
        if isinstance(error, ClusterUnavailable) and error.reason not in NOT_DONE:
            await _undo(client, name, submission)
        raise
    except BaseException:
        await _undo(client, name, submission)
        raise
    return job


def _worst(group: ExceptionGroup[Exception]) -> Exception:
    """Choose what to tell of several errors: a defect of ours rather than an answer of the API."""
    defects = (error for error in group.exceptions if not isinstance(error, KubeError))
    return next(defects, group.exceptions[0])


async def _create_job(client: KubeClient, body: dict[str, Any], submission: str) -> dict[str, Any]:
    """Create the Job; one that is there already from this submission counts as created."""
    try:
        return await objects.create(client, objects.JOBS, body)
    except Conflict:
        found = await objects.get(client, objects.JOBS, body["metadata"]["name"])
        if not _is_ours(found, submission):
            raise
        return found


async def _create_owned(
    client: KubeClient, resource: objects.Resource, body: dict[str, Any]
) -> None:
    with contextlib.suppress(Conflict):  # the name carries the submission, so it is ours
        await objects.create(client, resource, body)


async def _undo(client: KubeClient, name: str, submission: str) -> None:
    """Delete the Job of a submission that failed; the others go with it."""
    try:
        async with asyncio.timeout(_UNDO_TIMEOUT):
            found = await objects.get(client, objects.JOBS, name)
            if _is_ours(found, submission):
                uid = found["metadata"]["uid"]
                await objects.delete(client, objects.JOBS, name, uid=uid)
    except NotFound:
        return
    except (ClusterError, TimeoutError) as error:
        log.warning("Job %s may be left behind: %s", name, error)


def _is_ours(job: dict[str, Any], submission: str) -> bool:
    labels = job["metadata"].get("labels") or {}
    return bool(labels.get(naming.SUBMISSION) == submission)
