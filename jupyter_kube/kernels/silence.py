"""A kernel's pod that does not answer: noticed by the link, said once it is more than a hiccup."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from .link import PATIENCE
from .splice import BEAT, SILENT

_NO_HICCUP = 2.0  # seconds without a link, after it was silent: another way may have to be found
_CUT = 5.0  # the same where the link was cut: a new connection needs a moment

Later = Callable[[float, Callable[[], None]], asyncio.TimerHandle]


class Silence:
    """Tells when a pod has not answered for some seconds, and when it answers again.

    Parameters
    ----------
    lost
        Called with the moment of the last sign of life, this machine's time.
    found
        Called with the seconds a silence lasted that was told of.
    later, clock
        ``call_later`` of the event loop, and the time.

    """

    def __init__(
        self,
        lost: Callable[[datetime], None],
        found: Callable[[float], None],
        *,
        later: Later,
        clock: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._lost, self._found = lost, found
        self._later, self._clock = later, clock
        self._timer: asyncio.TimerHandle | None = None
        self.since: datetime | None = None
        """When the pod was last heard of, once that was told."""

    def begin(self, reason: str) -> None:
        """Note that the link is lost, and why."""
        silent = reason == SILENT
        last = self._clock() - timedelta(seconds=BEAT * (PATIENCE + 1) if silent else 0)
        if self.since is None and self._timer is None:
            self._timer = self._later(_NO_HICCUP if silent else _CUT, lambda: self._say(last))

    def end(self) -> None:
        """Note that the link is up."""
        self.stop()
        since, self.since = self.since, None
        if since is not None:
            self._found((self._clock() - since).total_seconds())

    def stop(self) -> None:
        """Say nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _say(self, last: datetime) -> None:
        self._timer = None
        self.since = last
        self._lost(last)
