"""Jobs by this process's own credentials."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from .. import naming
from ..errors import ClusterError, InvalidInput, NotFound
from ..kube import objects
from . import again, failure, jobspec, plan, query
from .create import create
from .desk import PodReports, Ticket
from .feed import Feed
from .fetch import fetch
from .fit import fit
from .origin import Origin, find_origin
from .preview import export, preview
from .runner import Follower, Outcome
from .view import JobView, is_whole, job_view

if TYPE_CHECKING:
    from ..config import KubeConfig
    from ..kube.client import KubeClient
    from ..kube.room import Fit
    from .cell import Bundle
    from .feed import Line
    from .saving import Piece

_PATIENCE = 20.0
"""Seconds in which a job's logs are read for :meth:`OwnDesk.why`."""


class OwnDesk:
    """A :class:`.desk.Desk` that speaks to the cluster.

    Parameters
    ----------
    client
        The connection.
    settings
        The profiles there are.
    origin
        Whose jobs they are; None: this process's.

    """

    def __init__(
        self, client: KubeClient, settings: KubeConfig, origin: Origin | None = None
    ) -> None:
        self.namespace = client.namespace
        self._client, self._settings, self._origin = client, settings, origin

    async def submit(self, wish: plan.Wish, bundle: Bundle) -> Ticket:
        """Create a job."""
        planned = await self._plan(wish, bundle)
        job = await create(self._client, planned.manifests, planned.request.submission)
        return Ticket(job_view(job), planned.key)

    async def preview(self, wish: plan.Wish, bundle: Bundle) -> str:
        """Describe what :meth:`submit` would create."""
        return preview(await self._plan(wish, bundle))

    async def export(self, wish: plan.Wish, bundle: Bundle) -> str:
        """Write as YAML what :meth:`submit` would create."""
        return export(await self._plan(wish, bundle))

    async def fit(self, wish: plan.Wish) -> Fit:
        """Say how many of a wish's workers there is room for now."""
        return await fit(self._client, wish, self._settings, await self.origin())

    async def rerun(self, name: str, wanted: str = "") -> Ticket:
        """Create a job that is the same as an earlier one.

        With the same ``wanted`` again, it is the job that is there already.
        """
        job = await query.find_job(self._client, await self._whole(name))
        user = (await self.origin()).user
        about = f"{job['metadata']['uid']} {user} {wanted}"
        submission = naming.digest(about, 16) if wanted else ""
        if submission and (made := await self._made(submission)):
            return made
        own = naming.selector(job=job["metadata"]["name"])
        pods, found = await asyncio.gather(
            query.pods_of(self._client, job["metadata"]["name"]),
            objects.list_(self._client, objects.JOBS, labels=own),
        )
        secrets = await asyncio.gather(*map(self._secret, again.secrets_of(job)))
        roles = [each for each in found["items"] if not is_whole(each)]
        new = again.again(
            job,
            filter(None, secrets),
            pods,
            roles,
            user=user,
            submission=submission,
        )
        created = await create(self._client, new.manifests, new.submission)
        if submission:  # its Secret may be another request's, with another key
            return await self.find(created["metadata"]["name"])
        return Ticket(job_view(created), new.key)

    async def _made(self, submission: str) -> Ticket | None:
        """Return the job of a submission, if it is whole."""
        own = naming.selector(submission=submission)
        for job in (await objects.list_(self._client, objects.JOBS, labels=own))["items"]:
            if is_whole(job):
                with suppress(NotFound):  # its Secret is yet to come
                    return await self.find(job["metadata"]["name"])
        return None

    async def _secret(self, name: str) -> dict[str, Any] | None:
        try:  # one by one: to list Secrets is a right to read all of them
            return await objects.get(self._client, objects.SECRETS, name)
        except NotFound:
            return None

    async def find(self, name: str) -> Ticket:
        """Return what is needed to follow a job."""
        view = await self.snapshot(name)
        return Ticket(view, await self._key(view.name))

    async def _key(self, name: str) -> bytes:
        return jobspec.key_of(await objects.get(self._client, objects.SECRETS, name))

    async def snapshot(self, name: str) -> JobView:
        """Return a job as it is now."""
        return await query.snapshot(self._client, await self._whole(name))

    async def why(self, name: str) -> list[str]:
        """Say in sentences why a job is as it is; the last one names the objects.

        Of one that failed, what its pods' logs have is read as well.
        """
        view, error = await self.snapshot(name), None
        if view.phase == "failed":
            # The logs may be gone, or long: what the cluster says of it will do.
            with suppress(ClusterError, TimeoutError):
                key = await self._key(view.name)
                async with asyncio.timeout(_PATIENCE):
                    error = (await self.follow(Feed(view), key)).error
        return failure.diagnosis(view, self.namespace, error)

    async def jobs(self, *, everyone: bool = False) -> list[JobView]:
        """Return my jobs or all, newest first."""
        user = "" if everyone else (await self.origin()).user
        return await query.list_jobs(self._client, user)

    def logs(
        self, name: str, key: bytes, rank: int | None, tail: int | None
    ) -> AsyncGenerator[list[Line]]:
        """Give what ranks printed, some at a time; with ``tail``, a few lines more than that."""
        return query.read_logs(self._client, name, key, rank, tail)

    async def reports(self, name: str, key: bytes) -> list[PodReports]:
        """Return what ranks reported, as far as it is in their logs."""
        async with aclosing(self.read_reports(name, key)) as found:
            return [reports async for reports in found]

    def read_reports(self, name: str, key: bytes) -> AsyncGenerator[PodReports]:
        """Give what ranks reported, some at a time."""
        return query.read_reports(self._client, name, key)

    def fetch(self, name: str, key: bytes, path: str, rank: int) -> AsyncGenerator[Piece | str]:
        """Give files that a job has written, and in words what they wait for."""
        return fetch(self._client, name, key, path, rank)

    async def scale(self, name: str, workers: int) -> JobView:
        """Change how many workers an elastic job has at most."""
        return await query.scale_job(self._client, await self._whole(name), workers)

    async def delete(self, name: str) -> bool:
        """Stop a job and remove it with all it owns; False if it was gone."""
        return await query.delete_job(self._client, await self._whole(name))

    async def follow(self, feed: Feed, key: bytes) -> Outcome:
        """Tell a feed what happens to its job, to the end."""
        return await Follower(self._client, feed.view, key, feed).run()

    async def origin(self) -> Origin:
        """Tell whose jobs these are."""
        return self._origin or await find_origin(self._client)

    async def own(self, name: str) -> str:
        """Return the whole name of a job, if it is one of theirs whose desk this is.

        Raises
        ------
        NotFound
            If it is not, or there is none.
        InvalidInput
            If nobody knows whose desk this is.

        """
        user = (await self.origin()).user
        if not user:
            raise InvalidInput("it is not known whose jobs these are")
        whole = await query.whole_name(self._client, name, user)
        job = await query.find_job(self._client, whole, user)
        return str(job["metadata"]["name"])

    async def _whole(self, name: str) -> str:
        return await query.whole_name(self._client, name, (await self.origin()).user)

    async def _plan(self, wish: plan.Wish, bundle: Bundle) -> plan.Plan:
        origin = await self.origin()
        return plan.make(wish, bundle, self._settings, origin, self.namespace)
