"""The warm pool: kernels that are started before anybody asks for them.

A warm kernel is an ordinary one, with a pod, keys and a link of its own, that is not in the server's
map yet. It is used once, and another one is started in its place. Each holds what its profile asks
for, GPUs too: off unless a profile says ``warm``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from ..errors import KubeError

_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 300.0  # seconds before a warm start that failed is tried again


class Warm(Protocol):
    """A kernel that may be in the pool."""

    kernel_id: str
    up: bool

    async def first_word(self, patience: float | None) -> None:
        """Wait until it is ready; raise why it cannot be."""

    async def claim(self, notebook: str) -> None:
        """Make it the user's; raises a KubeError if it is not to be had."""

    async def end(self, *, now: bool) -> None:
        """End it."""


class Pool:
    """Keeps kernels ready, by kernelspec.

    Parameters
    ----------
    begin
        Starts a kernel of a kernelspec outside the map; returns it at once.
    log
        A logger.

    """

    def __init__(self, begin: Callable[[str], Warm], log: logging.Logger) -> None:
        self._begin, self._log = begin, log
        self._sizes: dict[str, int] = {}
        self._kernels: dict[str, list[Warm]] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._used = asyncio.Event()

    def keep(self, kernel_name: str, size: int) -> None:
        """Keep so many kernels of a kernelspec ready from now on."""
        self._sizes[kernel_name] = size
        self._kernels[kernel_name] = []
        self._keepers[kernel_name] = asyncio.create_task(self._keep(kernel_name))

    def warm(self, kernel_name: str) -> Iterable[Warm]:
        """Return the kernels of a kernelspec that are ready."""
        return [kernel for kernel in self._kernels.get(kernel_name, ()) if kernel.up]

    async def take(self, kernel_name: str, notebook: str) -> Warm | None:
        """Claim a kernel that is ready, for a notebook; None if there is none."""
        for kernel in self.warm(kernel_name):
            self._kernels[kernel_name].remove(kernel)
            self._used.set()
            try:
                await kernel.claim(notebook)
            except KubeError as error:
                self._log.warning("The warm kernel %s is not to be had: %s", kernel.kernel_id, error)
                await kernel.end(now=True)
            else:
                return kernel
        return None

    async def close(self) -> None:
        """End all kernels that nobody has used."""
        for keeper in self._keepers.values():
            keeper.cancel()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)
        idle = [kernel for kernels in self._kernels.values() for kernel in kernels]
        self._kernels.clear()
        await asyncio.gather(*(kernel.end(now=True) for kernel in idle))

    async def _keep(self, kernel_name: str) -> None:
        """Start one kernel after the other: a user's own start has the room first."""
        kernels, pause = self._kernels[kernel_name], _FIRST_PAUSE
        while True:
            if len(kernels) >= self._sizes[kernel_name]:
                self._used.clear()
                await self._used.wait()
                continue
            kernel = self._begin(kernel_name)
            kernels.append(kernel)
            try:
                await kernel.first_word(None)
            except Exception as error:
                self._log.warning("No kernel of %s is kept warm: %s", kernel_name, error)
                kernels.remove(kernel)
                await kernel.end(now=True)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
