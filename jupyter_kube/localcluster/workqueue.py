"""The one way controllers do work: note a key now, handle it soon, once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Call ``handle(key)`` on the running loop, once however often the key was added before.

    The store's callbacks run in the middle of somebody else's change, so they only add keys.
    """

    def __init__(self, handle: Callable[[K], None]) -> None:
        self._handle = handle
        self._soon: dict[K, asyncio.Handle] = {}
        self._later: dict[K, asyncio.TimerHandle] = {}

    def add(self, key: K) -> None:
        """Handle the key in the loop's next turn."""
        if key not in self._soon:
            self._soon[key] = asyncio.get_running_loop().call_soon(self._run, key)

    def add_after(self, key: K, seconds: float) -> None:
        """Handle the key after ``seconds``; of several waits the shortest counts."""
        loop = asyncio.get_running_loop()
        waiting = self._later.get(key)
        if waiting is not None and waiting.when() <= loop.time() + seconds:
            return
        if waiting is not None:
            waiting.cancel()
        self._later[key] = loop.call_later(max(seconds, 0), self._due, key)

    def clear(self) -> None:
        """Forget everything that was added."""
        for handle in (*self._soon.values(), *self._later.values()):
            handle.cancel()
        self._soon.clear()
        self._later.clear()

    def _due(self, key: K) -> None:
        self._later.pop(key, None)
        self.add(key)

    def _run(self, key: K) -> None:
        self._soon.pop(key, None)
        try:
            self._handle(key)
        except Exception:
            log.exception("%s failed for %s", getattr(self._handle, "__qualname__", "work"), key)
