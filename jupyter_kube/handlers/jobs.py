"""Training jobs: those of the server's user, or all of the namespace to look at."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput
from ..turns import unhurried
from .base import KubeHandler, route

if TYPE_CHECKING:
    from ..train.view import JobView


_LONGEST_KEY = 200  # characters


class JobsHandler(KubeHandler):
    """``jobs``."""

    @route
    async def get(self) -> None:
        """List jobs without their ranks, newest first; ``?everyone=true``: not only mine."""
        everyone = self.get_query_argument("everyone", "false")
        if everyone not in ("true", "false"):
            raise InvalidInput('everyone must be "true" or "false"')
        async with self.desk() as desk:
            views = await desk.jobs(everyone=everyone == "true")
        self.reply({"jobs": [row(view) async for view in unhurried(views)]})


class JobHandler(KubeHandler):
    """``jobs/NAME``."""

    @route
    async def get(self, name: str) -> None:
        """Describe one of my jobs, with its ranks."""
        async with self.desk() as desk:
            self.reply(shown(await desk.snapshot(await desk.own(name))))

    @route
    async def patch(self, name: str) -> None:
        """Change how many workers an elastic job has at most."""
        from ..train import options

        workers = options.count(self.read(workers=int)["workers"], "workers", options.MOST_WORKERS)
        async with self.desk() as desk:
            self.reply(shown(await desk.scale(await desk.own(name), workers)))

    @route
    async def delete(self, name: str) -> None:
        """Stop a job and remove all of it."""
        async with self.desk() as desk:
            await desk.delete(await desk.own(name))
        self.set_status(204)
        self.finish()


class WhyHandler(KubeHandler):
    """``jobs/NAME/why``."""

    @route
    async def get(self, name: str) -> None:
        """Say in sentences what one of my jobs waits for, or why it ended, and what to do."""
        async with self.desk() as desk:
            self.reply({"why": await desk.why(await desk.own(name))})


class RerunHandler(KubeHandler):
    """``jobs/NAME/rerun``."""

    @route
    async def post(self, name: str) -> None:
        """Create a job that is the same as an earlier one: one for each ``Idempotency-Key``."""
        key = self.request.headers.get("Idempotency-Key", "")
        if len(key) > _LONGEST_KEY:
            raise InvalidInput(f"Idempotency-Key has more than {_LONGEST_KEY} characters")
        async with self.desk() as desk:
            own = await desk.own(name)
            if profile := (await desk.snapshot(own)).profile:
                self.kube.profile(profile)  # one that is offered no more is refused
            self.reply(shown((await desk.rerun(own, key)).view), 201)


def shown(view: JobView) -> dict[str, Any]:
    """Say how a job is (pure)."""
    from ..train import wire

    return {**row(view), "ranks": wire.encode(view.ranks)}


def row(view: JobView) -> dict[str, Any]:
    """Say how a job is, of its ranks only how many are in which phase (pure)."""
    from ..train import wire

    known = {each.name: getattr(view, each.name) for each in fields(view) if each.name != "ranks"}
    counts = Counter(rank.state.phase for rank in view.ranks)
    about = {"message": words(view), "finished": view.finished, "counts": dict(counts)}
    return {**wire.encode(known), **about}


def words(view: JobView) -> str:
    """Say in one sentence why a job waits or failed; empty if all is well (pure)."""
    from ..train import failure

    if error := failure.explain(view):
        return f"{error.what}: {error.why}" if error.why else error.what
    if view.message or view.finished:
        return view.message
    waits = [f"rank {rank.rank}: {rank.reason}" for rank in view.ranks if rank.reason]
    return waits[0] if waits else ""
