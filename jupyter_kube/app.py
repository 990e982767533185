"""The server extension: wiring only."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.gateway.gateway_client import GatewayClient
from traitlets import TraitError

from .config import KubeConfig
from .errors import KubeError
from .kernels import adapter

if TYPE_CHECKING:
    from .kernels.manager import KubeMappingKernelManager

_CLASSES = {
    "kernel_manager_class": "jupyter_kube.kernels.manager.KubeMappingKernelManager",
    "kernel_websocket_connection_class": "jupyter_kube.kernels.connection.KubeWebsocketConnection",
    "session_manager_class": "jupyter_kube.kernels.sessions.KubeSessionManager",
}

_FULL_COLLECTIONS = 100
"""Collections of younger objects before a full one, at least: ten times Python's own number."""
_UNASKED = 3.0  # seconds after which kernels are attached to though nobody has asked for any


class _WordsOnly(logging.Filter):
    """Logs what the user is told without its traceback; Jupyter logs failed starts with one."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], KubeError):
            record.exc_info = None
        return True


def _services(*kernel: Any) -> Any:
    """Say what a kernel in a pod may ask of this server; imported with the first such kernel."""
    from .train.counter import handlers

    return handlers(*kernel)


class KubeExtension(ExtensionApp):
    """Kernels as pods, in any Jupyter Server."""

    name = "jupyter_kube"
    classes = [KubeConfig]

    _specs: Path | None = None
    _cluster: Any = None
    _preparing: asyncio.Task[None] | None = None

    def _config_file_name_default(self) -> str:
        return "jupyter_kube_config"

    def _link_jupyter_server_extension(self, serverapp: Any) -> None:
        """Have the server use our classes where the user's configuration names none."""
        super()._link_jupyter_server_extension(serverapp)
        if GatewayClient.instance(parent=serverapp).gateway_enabled:
            serverapp.log.info("Kernels come from a gateway: jupyter-kube's are not offered.")
            return
        if serverapp.log_level > logging.DEBUG:
            serverapp.log.addFilter(_WordsOnly())
        for trait, ours in _CLASSES.items():
            if not adapter.set_by_user(serverapp, trait):
                setattr(serverapp, trait, ours)
            serverapp.log.info("ServerApp.%s = %s", trait, getattr(serverapp, trait).__qualname__)

    def initialize_handlers(self) -> None:
        """Serve the REST API."""
        from .handlers import routes

        self.handlers.extend(routes())

    def initialize_settings(self) -> None:
        """Offer one kernelspec per profile, and its kernels what they may ask for."""
        serverapp: Any = self.serverapp
        if serverapp.gateway_config.gateway_enabled:
            return
        try:
            settings = KubeConfig(parent=self)
        except TraitError as error:
            serverapp.log.error("No kernels on Kubernetes are offered: %s", error)
            return
        for wrong in settings.wrong_profiles().values():
            serverapp.log.error("A profile is left out: %s", wrong)
        from .handlers.base import SETTINGS
        from .kernels import news, specs

        self.settings[SETTINGS] = lambda: KubeConfig(parent=self)

        for schema in news.SCHEMAS:  # front ends subscribe to what is known when they open
            serverapp.event_logger.register_event_schema(schema)
        runtime = Path(serverapp.runtime_dir)
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._specs = Path(tempfile.mkdtemp(prefix="jupyter-kube-", dir=runtime))
        specs.write(self._specs, settings.valid_profiles().values())
        serverapp.kernel_spec_manager.kernel_dirs.append(str(self._specs))
        if hasattr(serverapp.kernel_manager, "services"):  # ours
            serverapp.kernel_manager.services = _services

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Prepare in the background what the first start of a kernel would wait for."""
        if self._specs is not None:
            self._preparing = asyncio.create_task(self._prepare(serverapp))
            if hasattr(serverapp.kernel_manager, "attaching"):  # ours: lists wait for it
                serverapp.kernel_manager.attaching = self._preparing

    async def _prepare(self, serverapp: Any) -> None:
        """Attach to kernels that an earlier server left; what fails is told when it is needed.

        That is when somebody asks for kernels, or soon after: it does not hold up the start.
        """
        asked = getattr(serverapp.kernel_manager, "asked", asyncio.Event())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_UNASKED):
                await asked.wait()
        await asyncio.to_thread(import_module, "jupyter_kube.kernels.provisioner")
        # What is loaded by now stays. Were it walked again by each full collection, the first list
        # of a thousand pods would hold the loop for a quarter of a second.
        gc.freeze()
        # Nor is that list garbage: walking it once, as it grows, would hold the loop for 36 ms.
        young, middle, old = gc.get_threshold()
        gc.set_threshold(young, middle, max(old, _FULL_COLLECTIONS))
        from .kernels import sockets
        from .kernels.cluster import shared
        from .kernels.manager import KubeMappingKernelManager

        self._cluster = shared(KubeConfig(parent=self))
        self._cluster.hold()
        await asyncio.to_thread(sockets.sweep)
        manager = serverapp.kernel_manager
        if isinstance(manager, KubeMappingKernelManager):
            attached = await manager.attach(self._cluster, serverapp.session_manager)
            # The first kernel would import it in the loop.
            await asyncio.to_thread(import_module, "jupyter_kube.train.counter")
            manager.keep_warm(KubeConfig(parent=self).valid_profiles().values())
            if not attached:  # in a task of its own: lists wait for this one
                later = asyncio.create_task(self._attach_later(manager, serverapp.session_manager))
                self._preparing = manager.attaching = later

    async def _attach_later(self, manager: KubeMappingKernelManager, sessions: Any) -> None:
        """Attach once the user has logged in and something has been asked of the cluster."""
        await self._cluster.connected.wait()
        await manager.attach(self._cluster, sessions)

    async def stop_extension(self) -> None:
        """Let go of the cluster and remove the kernelspecs; kernels are ended by their manager."""
        from .handlers.live import LOOKOUT

        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.wait([self._preparing])
        if lookout := self.serverapp.web_app.settings.get(LOOKOUT):
            await lookout.close()
        if self._cluster is not None:
            await self._cluster.release()
        if self._specs is not None:
            shutil.rmtree(self._specs, ignore_errors=True)
