"""Jupyter's sessions, kept with the kernels they belong to: the next server finds both."""

from __future__ import annotations

from typing import Any

from jupyter_server.services.sessions.sessionmanager import SessionManager

from . import adapter
from .manager import KubeMappingKernelManager

_NOTED = "id", "path", "name", "type"


class KubeSessionManager(SessionManager):
    """Jupyter Server's session manager; each change is noted at the kernel's pod."""

    async def list_sessions(self) -> list[dict[str, Any]]:
        """List all sessions, those that were there before the server, too."""
        await self._settled()
        sessions: list[dict[str, Any]] = await super().list_sessions()
        return sessions

    async def session_exists(self, path: str) -> bool:
        """Return whether there is a session for a path."""
        await self._settled()
        return bool(await super().session_exists(path))

    async def get_session(self, **kwargs: Any) -> dict[str, Any]:
        """Return a session's model."""
        await self._settled()
        model: dict[str, Any] = await super().get_session(**kwargs)
        return model

    async def save_session(
        self,
        session_id: str,
        path: str | None = None,
        name: str | None = None,
        type: str | None = None,  # noqa: A002 - Jupyter's name
        kernel_id: str | None = None,
    ) -> dict[str, Any]:
        """Save a session."""
        model: dict[str, Any] = await super().save_session(session_id, path, name, type, kernel_id)
        self._note(kernel_id)
        return model

    async def update_session(self, session_id: str, **kwargs: Any) -> None:
        """Change a session: its notebook was renamed, say, or its kernel is another one."""
        before = self._kernel_of(session_id)
        await super().update_session(session_id, **kwargs)
        for kernel_id in {before, self._kernel_of(session_id)}:
            self._note(kernel_id)

    async def delete_session(self, session_id: str) -> None:
        """End a session and its kernel."""
        kernel_id = self._kernel_of(session_id)
        await super().delete_session(session_id)
        self._note(kernel_id)

    # inside

    async def _settled(self) -> None:
        manager = self.kernel_manager
        if isinstance(manager, KubeMappingKernelManager):
            await manager.settled()

    def _kernel_of(self, session_id: str) -> str | None:
        for row in adapter.session_rows(self):
            if row["id"] == session_id:
                return str(row["kernel_id"])
        return None

    def _note(self, kernel_id: str | None) -> None:
        manager = self.kernel_manager
        if kernel_id is None or not isinstance(manager, KubeMappingKernelManager):
            return
        if kernel_id not in manager:
            return
        kernel = manager.ours(kernel_id)
        if kernel is not None:
            rows = [row for row in adapter.session_rows(self) if row["kernel_id"] == kernel_id]
            kernel.remember([{key: row[key] for key in _NOTED} for row in rows])
