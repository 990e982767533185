"""Waiting: naps that can be ended, and delays that double."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress


class Nap:
    """A sleep that others may end."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    async def sleep(self, seconds: float | None = None) -> None:
        """Sleep until woken, at most ``seconds``."""
        self._event.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()

    def wake(self) -> None:
        """End the sleep."""
        self._event.set()


class Backoff:
    """Delays of ``first``, twice that, … up to ``longest`` seconds.

    They begin anew once nothing was asked for during ``2 * longest`` seconds.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._delay, self._asked = 0.0, 0.0

    def next(self) -> float:
        """Give the next delay in seconds."""
        now = time.monotonic()
        fresh = not self._delay or now - self._asked > 2 * self._longest
        self._delay = self._first if fresh else min(2 * self._delay, self._longest)
        self._asked = now
        return self._delay
