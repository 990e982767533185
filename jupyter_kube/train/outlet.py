"""What a server keeps of a job for a kernel in a pod, until that takes it: little."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .feed import Feed
from .reports import Reports

if TYPE_CHECKING:
    from .desk import Desk, Ticket
    from .feed import Batch
    from .runner import Outcome
    from .view import JobView

Reported = list[tuple[str, list[Any]]]
"""New reports, by pod."""

LINES = 2000
"""Lines that wait for a kernel at most."""
_ROOM = 2 * 2**20  # bytes of them
_FRAMES = 2000  # frames of reports that wait at most, of up to 6 kB
_REPORTS = 2000  # reports kept, to know new ones
_ALIVE = 15.0  # seconds between signs of life
_PAUSE, _PAUSE_PER_RANK = 0.05, 0.001  # seconds between two batches


async def pass_on(
    desk: Desk, ticket: Ticket, tell: Callable[[Batch | None, Reported], Awaitable[None]]
) -> Outcome:
    """Follow a job for somebody else, to its end; None for a batch is a sign of life."""
    feed = Outlet(ticket.view)
    following = asyncio.create_task(desk.follow(feed, ticket.key))
    try:
        ended = False
        while not ended:
            if not await feed.within(_ALIVE):
                await tell(None, [])
                continue
            batch = feed.take()
            ended = batch.ended
            await tell(batch, feed.take_reported())
            await asyncio.sleep(_PAUSE + _PAUSE_PER_RANK * batch.view.workers)
        return await following
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


class Outlet(Feed):
    """A feed that is read on the event loop it is filled on; smaller than a notebook's own."""

    def __init__(self, view: JobView) -> None:
        self._reported: list[tuple[str, list[Any]]] = []
        self.news = asyncio.Event()
        self.news.set()
        super().__init__(view, capacity=LINES, room=_ROOM, reports=_Reports(self._report))

    def take_reported(self) -> list[tuple[str, list[Any]]]:
        """Take the new reports, by pod."""
        taken, self._reported = self._reported, []
        return taken

    async def within(self, seconds: float) -> bool:
        """Wait for news; returns whether there are any."""
        try:
            async with asyncio.timeout(seconds):
                await self.news.wait()
        except TimeoutError:
            return False
        self.news.clear()
        return True

    def _report(self, pod: str, rows: list[Any]) -> None:
        self._reported.append((pod, rows))
        del self._reported[:-_FRAMES]  # the kernel counts what is missing
        self.news.set()

    def _wake(self) -> None:
        super()._wake()
        self.news.set()


class _Reports(Reports):
    """Reports that are passed on; the kernel keeps them, and here only a few are."""

    def __init__(self, tell: Callable[[str, list[Any]], None]) -> None:
        super().__init__(_REPORTS)
        self._tell = tell

    def add(self, pod: str, rows: Iterable[Sequence[Any]]) -> bool:
        """Take in a frame's rows; returns whether the newest of them is new."""
        told = list(rows)
        self._tell(pod, told)
        return super().add(pod, told)
