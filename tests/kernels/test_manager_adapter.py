"""What we rely on of Jupyter's private parts; run on the lowest and the newest versions."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from jupyter_client.ioloop import AsyncIOLoopKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from jupyter_client.multikernelmanager import MultiKernelManager
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyter_server.services.sessions.sessionmanager import SessionManager
from traitlets.config import Config

from jupyter_kube.kernels import adapter


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (KernelManager, ["_connect_control_socket", "_close_control_socket", "cleanup_ipc_files"]),
        (MultiKernelManager, ["_create_kernel_manager_factory", "pre_start_kernel"]),
        (AsyncMappingKernelManager, ["start_watching_activity", "stop_watching_activity"]),
        (AsyncMappingKernelManager, ["notify_connect", "notify_disconnect", "track_message_type"]),
        (AsyncMappingKernelManager, ["stop_buffering", "get_buffer"]),
        (AsyncMappingKernelManager, ["_async_shutdown_kernel", "initialize_culler"]),
        (
            ZMQChannelsWebsocketConnection,
            ["_register_session", "_send_status_message", "_open_sockets", "create_stream"],
        ),
        (ExtensionApp, ["_link_jupyter_server_extension", "_start_jupyter_server_extension"]),
        (ServerApp, ["kernel_manager_class", "kernel_websocket_connection_class"]),
    ],
)
def test_what_we_touch_is_there(owner: type[Any], names: list[str]) -> None:
    assert [name for name in names if not hasattr(owner, name)] == []


async def test_sessions_are_in_the_table_we_read() -> None:
    sessions = SessionManager(kernel_manager=AsyncMappingKernelManager())
    row = {"id": "s", "path": "a/b.ipynb", "name": "b", "type": "notebook", "kernel_id": "k"}
    names = ["session_id", *list(row)[1:]]
    sessions.cursor.execute(
        f"INSERT INTO session ({', '.join(names)}) VALUES (?, ?, ?, ?, ?)", [*row.values()]
    )
    assert adapter.session_rows(sessions) == [row]
    sessions.close()


async def test_a_kernel_manager_has_the_attributes_we_set_and_read() -> None:
    manager = AsyncIOLoopKernelManager()
    assert manager._restarter is None
    assert manager._ready is None
    assert manager._control_socket is None


async def test_callbacks_can_be_added_before_the_start_and_are_called() -> None:
    manager = AsyncIOLoopKernelManager()
    callbacks = adapter.add_callbacks(manager)
    called: list[str] = []

    def fails() -> None:
        called.append("fails")
        raise RuntimeError("in a callback")

    manager.add_restart_callback(fails)
    manager.add_restart_callback(lambda: called.append("restart"))
    manager.add_restart_callback(lambda: called.append("dead"), "dead")
    callbacks.start()
    callbacks.fire("restart")
    assert called == ["fails", "restart"]
    callbacks.fire("dead")
    callbacks.stop()
    assert called == ["fails", "restart", "dead"]


async def test_those_who_wait_for_a_cancelled_start_are_released() -> None:
    manager = AsyncIOLoopKernelManager()
    waiting = asyncio.ensure_future(manager.ready)
    adapter.resolve_ready(manager)
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_another_class_is_used_for_chosen_kernels_only() -> None:
    class Chosen:
        def __init__(self, **kwargs: Any) -> None:
            self.kwargs = kwargs

    class Choosing(adapter.ChoosingKernelManager):
        def class_for(self, kernel_name: str) -> type[Any] | None:
            return Chosen if kernel_name == "ours" else None

    manager = Choosing(kernel_spec_manager=KernelSpecManager())
    ours, _, _ = manager.pre_start_kernel("ours", {})
    stock, _, _ = manager.pre_start_kernel("python3", {})
    assert isinstance(ours, Chosen)
    assert ours.kwargs["context"] is manager.context
    assert type(stock).__module__.startswith("jupyter_server.")
    manager.context.destroy()


async def test_a_failed_start_among_the_pending_ones_does_not_stop_a_shutdown() -> None:
    manager = AsyncMappingKernelManager(kernel_spec_manager=KernelSpecManager())

    async def failed() -> None:
        return None

    manager._pending_kernels["failed"] = asyncio.create_task(failed())
    await adapter.shut_down_stock(manager, [], now=False)
    assert manager._pending_kernels == {}
    manager.context.destroy()


def test_a_value_of_the_users_configuration_is_seen() -> None:
    app = ServerApp(
        config=Config({"ServerApp": {"kernel_manager_class": AsyncMappingKernelManager}}),
        log_level=50,
    )
    assert adapter.set_by_user(app, "kernel_manager_class")
    assert not adapter.set_by_user(app, "kernel_websocket_connection_class")


def test_the_server_stops_extensions_before_kernels() -> None:
    # Our extension lets go of the cluster first; each kernel holds it for its own deletion.
    source = inspect.getsource(ServerApp._cleanup)
    assert source.index("cleanup_extensions") < source.index("cleanup_kernels")
