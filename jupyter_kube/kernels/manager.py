"""The manager of all kernels of a server: ours start in the background, the others as ever."""

from __future__ import annotations

import asyncio
from typing import Any

from jupyter_client.kernelspec import NoSuchKernel
from tornado.web import HTTPError
from traitlets import Float

from ..errors import KubeError
from . import adapter, specs
from .kernel import KubeKernelManager

_END_TIMEOUT = 4.0  # seconds for the ends of all kernels when the server stops


class StartRefused(HTTPError):
    """A start that failed at once: the user sees the reason on all of Jupyter's routes."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error.status if isinstance(error, KubeError) else 500, str(error))

    def __str__(self) -> str:
        return str(self._log_message)


class KubeMappingKernelManager(adapter.ChoosingKernelManager):
    """Starts, restarts and ends kernels; what is not ours, exactly as Jupyter Server does."""

    start_patience = Float(
        5.0,
        help="""Seconds a request to start a kernel on Kubernetes is kept waiting. The start goes
        on after that, and the kernel's state says so.""",
    ).tag(config=True)

    def class_for(self, kernel_name: str) -> type[Any] | None:
        """Return our kernel manager class for kernelspecs that name our provisioner."""
        try:
            spec = self.kernel_spec_manager.get_kernel_spec(kernel_name) if kernel_name else None
        except NoSuchKernel:
            return None
        if spec is None or specs.provisioner_config(spec) is None:
            return None
        return KubeKernelManager

    def ours(self, kernel_id: str) -> KubeKernelManager | None:
        """Return a kernel's manager if the kernel is one of ours.

        Raises
        ------
        HTTPError
            404 if there is no such kernel.

        """
        kernel = self.get_kernel(kernel_id)
        return kernel if isinstance(kernel, KubeKernelManager) else None

    async def start_kernel(
        self, *, kernel_id: str | None = None, path: Any = None, **kwargs: Any
    ) -> str:
        """Start a kernel; ours are in the map at once and start in the background.

        Returns when the kernel is ready, as soon as it is known to wait for something, or after
        ``start_patience``.

        Raises
        ------
        StartRefused
            If it cannot start, in Kubernetes' words.

        """
        name = kwargs.get("kernel_name") or self.default_kernel_name
        if (kernel_id is not None and kernel_id in self) or self.class_for(name) is None:
            started: str = await super().start_kernel(kernel_id=kernel_id, path=path, **kwargs)
            return started
        kwargs["kernel_name"] = name
        if kernel_id is not None:
            kwargs["kernel_id"] = kernel_id
        kernel, _, kernel_id = self.pre_start_kernel(kwargs.pop("kernel_name"), kwargs)
        adapter.enter(self, kernel_id, kernel)
        kernel.begin(kernel_id, env=kwargs.get("env"))
        try:
            await kernel.first_word(self.start_patience)
        except Exception as error:
            self._forget(kernel_id)
            raise StartRefused(error) from error
        self.log.info("Kernel started: %s (%s)", kernel_id, kernel.stage)
        return kernel_id

    def launched(self, kernel_id: str) -> None:
        """Act on a kernel that has become ready."""
        adapter.watch_activity(self, kernel_id)

    def ended(self, kernel_id: str) -> None:
        """Act on a kernel that is dead; it stays in the map, so that its reason can be seen."""
        if kernel_id in self:
            self.stop_watching_activity(kernel_id)

    async def shutdown_kernel(
        self, kernel_id: str, now: bool = False, restart: bool = False
    ) -> None:
        """End a kernel; ours also while they start, and at once."""
        kernel = self.ours(kernel_id)
        if kernel is None:
            await super().shutdown_kernel(kernel_id, now=now, restart=restart)
            return
        self.log.info("Kernel shutdown: %s", kernel_id)
        await kernel.end(now=now)
        self._forget(kernel_id)

    async def restart_kernel(self, kernel_id: str, now: bool = False) -> Any:
        """Restart a kernel; ours in their pod, with all websockets going on."""
        kernel = self.ours(kernel_id)
        if kernel is None:
            return await super().restart_kernel(kernel_id, now=now)
        async with asyncio.timeout(self.kernel_info_timeout):
            await kernel.restart_kernel(now=now)
        self.log.info("Kernel restarted: %s", kernel_id)
        return None

    def interrupt_kernel(self, kernel_id: str) -> Any:
        """Interrupt a kernel."""
        kernel = self.ours(kernel_id)
        if kernel is not None and not kernel.up:
            raise HTTPError(409, f"The kernel is {kernel.stage}. {kernel.reason}".strip())
        return super().interrupt_kernel(kernel_id)

    async def shutdown_all(self, now: bool = False) -> None:
        """End all kernels side by side, within seconds; what fails is logged."""
        ours = [k for k in self.list_kernel_ids() if self.ours(k) is not None]
        others = [k for k in self.list_kernel_ids() if k not in ours]
        ends = [self._end_quietly(kernel_id, now=now) for kernel_id in ours]
        await asyncio.gather(*ends, adapter.shut_down_stock(self, others, now=now))

    async def _end_quietly(self, kernel_id: str, *, now: bool) -> None:
        try:
            async with asyncio.timeout(_END_TIMEOUT):
                await self.shutdown_kernel(kernel_id, now=now)
        except TimeoutError:
            kernel = self.ours(kernel_id)
            if kernel is not None:
                kernel.abandon()
            self.log.error("kernel %s did not end in time; its pod may still be there", kernel_id)
        except Exception:
            self.log.exception("kernel %s was not shut down cleanly", kernel_id)

    def _forget(self, kernel_id: str) -> None:
        adapter.leave(self, kernel_id)
