"""Jobs of a kernel in a pod by its server, which has the credentials; nothing is needed here.

The other end is counter.py, and the way there kernels/podclient.py.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..errors import ClusterUnavailable, InvalidInput, KubeError
from ..kube.room import Fit
from . import wire
from .desk import PodReports, Ticket
from .feed import BEGINNING_LOST, Feed, Line
from .runner import Outcome
from .saving import Piece
from .view import JobView

if TYPE_CHECKING:
    from .cell import Bundle
    from .plan import Wish

ERRAND = "train"


class _Lost(ClusterUnavailable):
    """There is no server now, or the one that was asked is gone."""


class _Told:
    """How many lines of each rank were told: the next server begins with them.

    They are passed over as long as that is sure: rather twice than not at all.
    """

    def __init__(self) -> None:
        self._seen: Counter[int] = Counter()
        self._known: Counter[int] = Counter()
        self._pods: dict[int, str] = {}
        self._replaced: set[int] = set()

    def begin(self) -> None:
        """Another server tells everything from its beginning."""
        self._known = self._seen.copy()

    def look(self, view: JobView, *, dropped: bool) -> None:
        """Note which ranks have another pod: lines of the one before may be gone, or come again."""
        if dropped:
            self._known.clear()
        for rank in view.ranks:
            pod = rank.state.name
            if pod and self._pods.setdefault(rank.rank, pod) != pod:
                self._replaced.add(rank.rank)
                del self._seen[rank.rank], self._known[rank.rank]

    def is_new(self, line: Line) -> bool:
        """Say whether a line is to be passed on."""
        if line.text == BEGINNING_LOST:
            self._known[line.rank] = 0
        if self._known[line.rank]:
            self._known[line.rank] -= 1
            return False
        if line.rank not in self._replaced:
            self._seen[line.rank] += 1
        return True


class ServersDesk:
    """A :class:`.desk.Desk` of a kernel's server.

    Parameters
    ----------
    client
        podclient.py, as that server has it.

    """

    namespace = ""  # the server's affair

    def __init__(self, client: Any) -> None:
        self._client = client

    async def submit(self, wish: Wish, bundle: Bundle) -> Ticket:
        """Create a job."""
        return _ticket(await self._one("submit", wish=wish, bundle=bundle))

    async def preview(self, wish: Wish, bundle: Bundle) -> str:
        """Describe what :meth:`submit` would create."""
        return str((await self._one("preview", wish=wish, bundle=bundle))["text"])

    async def export(self, wish: Wish, bundle: Bundle) -> str:
        """Write as YAML what :meth:`submit` would create."""
        return str((await self._one("export", wish=wish, bundle=bundle))["text"])

    async def fit(self, wish: Wish) -> Fit:
        """Say how many of a wish's workers there is room for now."""
        return wire.decode(Fit, (await self._one("fit", wish=wish))["fit"])

    async def rerun(self, name: str) -> Ticket:
        """Create a job that is the same as an earlier one."""
        return _ticket(await self._one("rerun", name=name))

    async def find(self, name: str) -> Ticket:
        """Return what is needed to follow a job."""
        return _ticket(await self._one("find", name=name))

    async def snapshot(self, name: str) -> JobView:
        """Return a job as it is now."""
        return wire.decode(JobView, (await self._one("snapshot", name=name))["view"])

    async def jobs(self, *, everyone: bool) -> list[JobView]:
        """Return my jobs, newest first."""
        if everyone:
            raise InvalidInput("a kernel in a pod sees the jobs of its own user only")
        return [wire.decode(JobView, view) for view in (await self._one("jobs"))["views"]]

    async def logs(
        self, name: str, _key: bytes, rank: int | None, tail: int | None
    ) -> AsyncGenerator[list[Line]]:
        """Give what ranks printed, some at a time; with ``tail``, a few lines more than that."""
        async with aclosing(self._many("logs", name=name, rank=rank, tail=tail)) as answers:
            async for said in answers:
                yield [wire.decode(Line, line) for line in said["lines"]]

    async def reports(self, name: str, _key: bytes) -> list[PodReports]:
        """Return what ranks reported, as far as it is in their logs."""
        async with aclosing(self._many("reports", name=name)) as answers:
            return [PodReports(*each) async for said in answers for each in said["reports"]]

    async def fetch(
        self, name: str, _key: bytes, path: str, rank: int
    ) -> AsyncGenerator[Piece | str]:
        """Give files that a job has written, and in words what they wait for."""
        async with aclosing(self._many("fetch", name=name, path=path, rank=rank)) as answers:
            async for said in answers:
                if "waits" in said:
                    yield str(said["waits"])
                else:
                    yield wire.decode(Piece, said["piece"])

    async def scale(self, name: str, workers: int) -> JobView:
        """Change how many workers an elastic job has at most."""
        said = await self._one("scale", name=name, workers=workers)
        return wire.decode(JobView, said["view"])

    async def delete(self, name: str) -> bool:
        """Stop a job and remove it with all it owns; False if it was gone."""
        return bool((await self._one("delete", name=name))["deleted"])

    async def follow(self, feed: Feed, _key: bytes) -> Outcome:
        """Tell a feed what happens to its job, to the end; a server that is lost is replaced."""
        told = _Told()
        try:
            while True:
                try:
                    return await self._follow(feed, told)
                except _Lost:
                    continue  # the errand waits for the next server, for a while each time
        finally:
            feed.end()

    async def _follow(self, feed: Feed, told: _Told) -> Outcome:
        """Follow by one server; pass over lines that an earlier one has told."""
        told.begin()
        async with aclosing(self._ask("follow", name=feed.view.name)) as answers:
            async for said in answers:
                if "outcome" in said:
                    return wire.decode(Outcome, said["outcome"])
                view = wire.decode(JobView, said["view"])
                told.look(view, dropped=bool(said["dropped"]))
                lines = [wire.decode(Line, each) for each in said["lines"]]
                fresh = [line for line in lines if told.is_new(line)]
                for pod, rows in said["reports"]:
                    feed.reports.add(pod, rows)
                feed.pass_on(view, fresh, said["dropped"])
        raise _Lost("the Jupyter Server said nothing about the job's end")

    async def _one(self, op: str, **args: Any) -> dict[str, Any]:
        """Ask for something that has one answer."""
        async with aclosing(self._ask(op, **args)) as answers:
            async for said in answers:
                return said
        raise _Lost("the Jupyter Server gave no answer")

    async def _many(self, op: str, **args: Any) -> AsyncGenerator[dict[str, Any]]:
        """Ask for something that has any number of answers."""
        async with aclosing(self._ask(op, **args)) as answers:
            async for said in answers:
                if "over" in said:
                    return
                yield said
        raise _Lost("the Jupyter Server gave only a part of its answer")

    async def _ask(self, op: str, **args: Any) -> AsyncGenerator[dict[str, Any]]:
        asked = {"op": op, "version": __version__, **wire.encode(args)}
        rest = ""
        try:
            async with aclosing(self._client.converse(ERRAND, json.dumps(asked).encode())) as words:
                async for text in words:
                    *lines, rest = (rest + text).split("\n")
                    for line in filter(None, lines):
                        said = json.loads(line)
                        if "error" in said:
                            raise wire.decode(KubeError, said["error"])
                        yield said
        except self._client.ErrandError as error:
            kind = _Lost if error.lost else ClusterUnavailable
            raise kind("the Jupyter Server did not do it", str(error)) from None


def _ticket(said: dict[str, Any]) -> Ticket:
    return Ticket(wire.decode(JobView, said["view"]), bytes.fromhex(said["key"]))
