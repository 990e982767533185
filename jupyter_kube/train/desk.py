"""Where jobs are handed in and asked about: by own credentials, or by a kernel's server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from ..kube.room import Fit
    from .cell import Bundle
    from .feed import Feed, Line
    from .plan import Wish
    from .runner import Outcome
    from .saving import Piece
    from .series import Row
    from .view import JobView


class Ticket(NamedTuple):
    """What is needed to follow a job."""

    view: JobView
    key: bytes
    """The job's own: what its workers say is signed with it."""


class PodReports(NamedTuple):
    """What was reported in one pod."""

    pod: str
    rows: list[Row]


class Desk(Protocol):
    """What can be asked about jobs. All raise ClusterError, and NotFound for unknown names."""

    namespace: str

    async def submit(self, wish: Wish, bundle: Bundle) -> Ticket:
        """Create a job; nothing is left if that fails."""

    async def preview(self, wish: Wish, bundle: Bundle) -> str:
        """Describe what :meth:`submit` would create."""

    async def export(self, wish: Wish, bundle: Bundle) -> str:
        """Write as YAML what :meth:`submit` would create."""

    async def fit(self, wish: Wish) -> Fit:
        """Say how many of a wish's workers there is room for now."""

    async def rerun(self, name: str) -> Ticket:
        """Create a job that is the same as an earlier one."""

    async def find(self, name: str) -> Ticket:
        """Return what is needed to follow a job."""

    async def snapshot(self, name: str) -> JobView:
        """Return a job as it is now."""

    async def jobs(self, *, everyone: bool) -> list[JobView]:
        """Return my jobs or all, newest first; InvalidInput if others' are not to be seen."""

    def logs(
        self, name: str, key: bytes, rank: int | None, tail: int | None
    ) -> AsyncGenerator[list[Line]]:
        """Give what ranks printed, rank by rank and some at a time; ``tail``: a few lines more."""

    async def reports(self, name: str, key: bytes) -> list[PodReports]:
        """Return what ranks reported, as far as it is in their logs."""

    def fetch(self, name: str, key: bytes, path: str, rank: int) -> AsyncGenerator[Piece | str]:
        """Give files of a job, and in words what they wait for; NotFound if they are gone."""

    async def scale(self, name: str, workers: int) -> JobView:
        """Change how many workers an elastic job has at most; InvalidInput if it cannot."""

    async def delete(self, name: str) -> bool:
        """Stop a job and remove it with all it owns; False if it was gone."""

    async def follow(self, feed: Feed, key: bytes) -> Outcome:
        """Tell a feed what happens to its job, to the end."""
