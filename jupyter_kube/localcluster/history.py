"""The recent changes, which watches begin from."""

from __future__ import annotations

from collections import deque
from typing import Any

from .kinds import ApiError, Kind

Object = dict[str, Any]
Change = tuple[str, Object, Object | None]
"""ADDED, MODIFIED or DELETED; the object; the object before."""

LONGEST = 5000


class History:
    """The last changes of all kinds, by resourceVersion."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._changes: deque[tuple[int, Kind, Change]] = deque(maxlen=longest)
        self._forgotten = 1  # the newest version that nothing is known of any more

    def add(self, version: int, kind: Kind, change: Change) -> None:
        """Remember a change; the oldest one is forgotten when there are too many."""
        if len(self._changes) == self._changes.maxlen:
            self._forgotten = self._changes[0][0]
        self._changes.append((version, kind, change))

    def since(self, kind: Kind, version: int) -> list[Change]:
        """List a kind's changes after a version, oldest first.

        Raises
        ------
        ApiError
            410 if not all of them are known any more.

        """
        if version < self._forgotten or (version == self._forgotten == 1 and self._changes):
            text = f"too old resource version: {version} ({self._forgotten + 1})"
            raise ApiError(410, "Expired", text)
        return [change for at, of, change in self._changes if of is kind and at > version]
