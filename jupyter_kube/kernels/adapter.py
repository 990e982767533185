"""The one place that touches private parts of Jupyter; each has a contract test.

What it relies on was read in jupyter_client 8.9.1 to 8.10 and jupyter_server 2.20 to 2.21.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from jupyter_client.ioloop.restarter import AsyncIOLoopKernelRestarter
from jupyter_server.prometheus.metrics import KERNEL_CURRENTLY_RUNNING_TOTAL
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

# --- one kernel's manager ------------------------------------------------------------------------


class Callbacks(AsyncIOLoopKernelRestarter):
    """A restarter that restarts nothing: it keeps the callbacks that Jupyter registers with it."""

    def start(self) -> None:
        """Do nothing: the pod's launcher notices deaths and repairs them."""

    def stop(self) -> None:
        """Do nothing."""

    def fire(self, event: str) -> None:
        """Call what was registered for ``restart`` or ``dead``."""
        for callback in list(self.callbacks[event]):
            try:
                callback()
            except Exception:
                self.log.exception("a callback for %r failed", event)


def add_callbacks(manager: Any) -> Callbacks:
    """Give a kernel manager a restarter from the beginning, so that callbacks can be added."""
    callbacks = Callbacks(kernel_manager=manager, parent=manager, log=manager.log)
    manager._restarter = callbacks
    return callbacks


def ask_to_leave(manager: Any, *, restart: bool) -> None:
    """Send the kernel a shutdown request; wait for nothing."""
    manager._connect_control_socket()
    content = {"restart": restart}
    manager.session.send(
        manager._control_socket, manager.session.msg("shutdown_request", content=content)
    )


def drop_control_socket(manager: Any) -> None:
    """Forget the connection to a kernel process that is gone; the next use makes a new one."""
    manager._close_control_socket()


def resolve_ready(manager: Any) -> None:
    """End the wait of those who wait for a start that was cancelled."""
    future = manager._ready
    if future is not None and not future.done():
        future.cancel()


def take_start_error(manager: Any) -> BaseException | None:
    """Return the error of a failed start, which is then marked as seen; Jupyter has logged it."""
    future = manager._ready
    if future is not None and future.done() and not future.cancelled():
        error: BaseException | None = future.exception()
        return error
    return None


# --- the manager of all kernels ------------------------------------------------------------------


class ChoosingKernelManager(AsyncMappingKernelManager):
    """A manager of kernels that can use another class for some kernels than for the others."""

    def class_for(self, kernel_name: str) -> type[Any] | None:
        """Return the kernel manager class for a kernelspec's name, None for the configured one."""
        raise NotImplementedError

    def _create_kernel_manager_factory(self) -> Callable[..., Any]:
        stock = super()._create_kernel_manager_factory()

        def create(*args: Any, **kwargs: Any) -> Any:
            chosen = self.class_for(kwargs.get("kernel_name", ""))
            if chosen is None:
                return stock(*args, **kwargs)
            if self.shared_context:
                kwargs.setdefault("context", self.context)
            return chosen(*args, **kwargs)

        return create


def enter(manager: Any, kernel_id: str, kernel: Any) -> None:
    """Put a kernel that begins to start into the map, and count it."""
    manager._kernels[kernel_id] = kernel
    manager._kernel_connections[kernel_id] = 0
    KERNEL_CURRENTLY_RUNNING_TOTAL.labels(type=kernel.kernel_name).inc()
    if not manager._initialized_culler:
        manager.initialize_culler()


def watch_activity(manager: Any, kernel_id: str) -> None:
    """Have a running kernel's activity recorded, and its channels remembered."""
    manager._kernel_ports[kernel_id] = manager._kernels[kernel_id].ports
    manager.start_watching_activity(kernel_id)


def activity_stream(kernel: Any) -> Any:
    """Return the stream on which a kernel's activity is watched; None without one."""
    return getattr(kernel, "_activity_stream", None)


def connections(manager: Any, kernel_id: str) -> int:
    """Return how many front ends are connected to a kernel."""
    return int(manager._kernel_connections.get(kernel_id, 0))


def leave(manager: Any, kernel_id: str) -> None:
    """Take a kernel out of the map and stop what was done for it; harmless when it is not there."""
    kernel = manager._kernels.get(kernel_id)
    if kernel is None:
        return
    manager.stop_watching_activity(kernel_id)
    manager.stop_buffering(kernel_id)
    KERNEL_CURRENTLY_RUNNING_TOTAL.labels(type=kernel.kernel_name).dec()
    for table in (manager._kernels, manager._kernel_connections, manager._kernel_ports):
        table.pop(kernel_id, None)


async def shut_down_stock(manager: Any, kernel_ids: list[str], *, now: bool) -> None:
    """Shut down kernels that are not ours; unlike the stock manager, survive failed starts.

    jupyter_server 2.21 leaves a failed start among the pending ones; its shutdown then fails with
    404, and the server does not end.
    """

    async def one(kernel_id: str) -> None:
        pending = manager._pending_kernels.get(kernel_id)
        if kernel_id not in manager and pending is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await pending
        if kernel_id not in manager:
            manager._pending_kernels.pop(kernel_id, None)
            return
        try:
            await type(manager)._async_shutdown_kernel(manager, kernel_id, now=now)
        except Exception:
            manager.log.exception("kernel %s was not shut down cleanly", kernel_id)

    await asyncio.gather(
        *(one(kernel_id) for kernel_id in {*kernel_ids, *manager._pending_kernels})
    )


# --- websockets ----------------------------------------------------------------------------------


def open_sockets(connection: Any) -> Any:
    """Return the registry of open websocket connections, which closing relies on."""
    return type(connection)._open_sockets


# --- sessions ------------------------------------------------------------------------------------


def session_rows(sessions: Any) -> list[dict[str, str]]:
    """Return what Jupyter has noted of each session: id, path, name, type, kernel_id.

    From its table: its own list leaves out, and forgets, those whose kernel is not there.
    """
    rows = sessions.cursor.execute("SELECT session_id, path, name, type, kernel_id FROM session")
    names = "id", "path", "name", "type", "kernel_id"
    return [dict(zip(names, tuple(row), strict=True)) for row in rows.fetchall()]


# --- the server ----------------------------------------------------------------------------------


def set_by_user(app: Any, trait: str) -> bool:
    """Return whether the user's configuration names a value for a trait of the server."""
    return any(trait in app.config.get(cls.__name__, {}) for cls in type(app).mro())
