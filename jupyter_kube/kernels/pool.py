"""The warm pool: kernels that are started before anybody asks for them.

A warm kernel is an ordinary one, with a pod, keys and a link of its own, that is not in the
server's map yet. It is used once, and another one is started in its place. Each holds what its
profile asks for, GPUs too: off unless a profile says ``warm``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from ..errors import KubeError

_REST = 2.0  # seconds for which a kernel just taken has the server and its node to itself
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 300.0  # seconds before a warm start that failed is tried again


class Warm(Protocol):
    """A kernel that may be in the pool."""

    kernel_id: str

    @property
    def up(self) -> bool:
        """Whether it can be used."""

    async def first_word(self, patience: float | None) -> None:
        """Wait until it is ready; raise why it cannot be."""

    async def claim(self, notebook: str) -> None:
        """Take it for a notebook; raises a KubeError if it is not to be had."""

    async def end(self, *, now: bool) -> None:
        """End it."""


Kernel = TypeVar("Kernel", bound=Warm)


class Pool(Generic[Kernel]):
    """Keeps kernels ready, by kernelspec.

    Parameters
    ----------
    begin
        Starts a kernel of a kernelspec outside the map; returns it at once.
    log
        A logger.

    """

    def __init__(self, begin: Callable[[str], Kernel], log: logging.Logger) -> None:
        self._begin, self._log = begin, log
        self._kernels: dict[str, list[Kernel]] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._keepers: list[asyncio.Task[None]] = []

    def keep(self, kernel_name: str, size: int) -> None:
        """Keep so many kernels of a kernelspec ready from now on."""
        self._kernels[kernel_name] = []
        self._changed[kernel_name] = asyncio.Event()
        self._keepers.append(asyncio.create_task(self._keep(kernel_name, size)))

    def ready(self, kernel_name: str) -> list[Kernel]:
        """Return the kernels of a kernelspec that can be had at once."""
        return [kernel for kernel in self._kernels.get(kernel_name, ()) if kernel.up]

    def kernel_ids(self) -> list[str]:
        """List the kernels that are ready or getting so."""
        return [kernel.kernel_id for kernels in self._kernels.values() for kernel in kernels]

    async def take(self, kernel_name: str, notebook: str) -> Kernel | None:
        """Take a kernel that is ready, for a notebook; None if there is none."""
        for kernel in self.ready(kernel_name):
            self._remove(kernel_name, kernel)
            try:
                await kernel.claim(notebook)
            except KubeError as error:
                self._log.warning("A warm kernel is not to be had: %s", error)
                await kernel.end(now=True)
            except BaseException:  # it is nobody's now
                await asyncio.shield(kernel.end(now=True))
                raise
            else:
                return kernel
        return None

    def drop(self, kernel_id: str) -> None:
        """Forget a kernel that is dead."""
        for kernel_name, kernels in self._kernels.items():
            for kernel in [k for k in kernels if k.kernel_id == kernel_id]:
                self._remove(kernel_name, kernel)

    async def close(self) -> None:
        """End all kernels that nobody has used."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        unused = [kernel for kernels in self._kernels.values() for kernel in kernels]
        self._kernels.clear()
        await asyncio.gather(*(kernel.end(now=True) for kernel in unused))

    def _remove(self, kernel_name: str, kernel: Kernel) -> None:
        if kernel in self._kernels[kernel_name]:
            self._kernels[kernel_name].remove(kernel)
            self._changed[kernel_name].set()

    async def _keep(self, kernel_name: str, size: int) -> None:
        """Start one kernel after the other, and wait where one cannot start."""
        kernels, changed, pause = self._kernels[kernel_name], self._changed[kernel_name], 0.0
        said = ""
        while True:
            changed.clear()
            if len(kernels) >= size:
                await changed.wait()
                pause = _REST
                continue
            await asyncio.sleep(pause)
            try:
                await self._start(kernel_name)
            except Exception as error:  # said, and tried again: nobody waits for this kernel
                if (why := repr(error)) != said:  # once: it may go on for weeks
                    self._warn(kernel_name, error)
                    said = why
                pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            else:
                pause, said = 0.0, ""

    async def _start(self, kernel_name: str) -> None:
        """Start a kernel and wait until it is ready; one that cannot be is ended."""
        kernel = self._begin(kernel_name)
        self._kernels[kernel_name].append(kernel)
        try:
            await kernel.first_word(None)
        except Exception:
            self._remove(kernel_name, kernel)
            await kernel.end(now=True)
            raise

    def _warn(self, kernel_name: str, error: Exception) -> None:
        """Say why a kernel has not started; of what is no error of ours, also where."""
        where = None if isinstance(error, KubeError) else error
        self._log.warning("No kernel of %s is kept warm: %s", kernel_name, error, exc_info=where)
