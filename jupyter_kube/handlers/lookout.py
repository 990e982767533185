"""The watches that all front ends share: open while anybody looks, and a little longer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ..config import KubeConfig

if TYPE_CHECKING:  # importing it would delay the server's start
    from .board import View
    from .watches import Watches

log = logging.getLogger(__name__)

_LINGER = 60.0  # seconds the watches stay open after the last front end: it may only be reloaded


class Lookout:
    """Watches the cluster while anybody looks.

    Parameters
    ----------
    settings
        Which cluster, and what profiles call their GPUs.
    manager
        The server's manager of kernels.

    """

    def __init__(self, settings: KubeConfig, manager: Any) -> None:
        self._settings, self._manager = settings, manager
        self._viewers = 0
        self._opening: asyncio.Task[Watches] | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def view(self) -> AsyncIterator[tuple[Watches, View]]:
        """Lend a view of the cluster, complete as far as the API has answered in time.

        Raises
        ------
        NotConfigured
            Without credentials.

        """
        self._viewers += 1
        self._stay()
        try:
            watches = await self._opened()
            view = watches.board.view()
            try:
                yield watches, view
            finally:
                watches.board.close(view)
        finally:
            self._viewers -= 1
            if not self._viewers:
                loop = asyncio.get_running_loop()
                self._leaving = loop.call_later(_LINGER, self._leave)

    async def close(self) -> None:
        """Stop watching, whoever looks."""
        self._leave()
        if self._ending is not None:
            await self._ending

    async def _opened(self) -> Watches:
        failed = self._opening is not None and self._opening.done() and self._opening.exception()
        if self._opening is None or failed:
            from .watches import Watches

            self._opening = asyncio.create_task(Watches.open(self._settings, self._manager))
        watches = await asyncio.shield(self._opening)
        await watches.ready.wait()
        return watches

    def _stay(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def _leave(self) -> None:
        self._stay()
        if self._opening is not None:
            opening, self._opening = self._opening, None
            self._ending = asyncio.create_task(_end(opening))


async def _end(opening: asyncio.Task[Watches]) -> None:
    with contextlib.suppress(Exception):  # who opened it was told
        watches = await opening
        try:
            await watches.close()
        except Exception:
            log.exception("the watches for front ends have not ended as they should")
