"""An event loop whose waits take no time, for tests of what happens over hours."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

_BREATH = 0.002
"""Seconds in which what comes by itself, over loopback or from a thread, has a chance to come."""


class LeapingLoop(asyncio.SelectorEventLoop):
    """While ``leaping``, the clock leaps to the next timer as soon as nothing else happens."""

    def __init__(self) -> None:
        self.leaping = False
        self.leapt = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return super().time() + self.leapt


class _Selector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]  # chosen at run time
    def __init__(self, loop: LeapingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or not self._loop.leaping:
            return super().select(timeout)
        begun = asyncio.SelectorEventLoop.time(self._loop)
        found = super().select(min(timeout, _BREATH))
        if not found:
            waited = asyncio.SelectorEventLoop.time(self._loop) - begun
            self._loop.leapt += max(0.0, timeout - waited)
        return found
