"""Long work on the event loop, some of it at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

Item = TypeVar("Item")

_TURN = 0.005  # seconds of work before others get their turn


async def unhurried(items: Iterable[Item]) -> AsyncIterator[Item]:
    """Give one item after the other, and the event loop a turn every few milliseconds."""
    until = time.monotonic() + _TURN
    for item in items:
        if time.monotonic() > until:
            await asyncio.sleep(0)
            until = time.monotonic() + _TURN
        yield item
