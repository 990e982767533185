"""The user's kernels, on whichever server they were started."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .. import naming
from ..errors import AccessDenied
from .base import KubeHandler, route

if TYPE_CHECKING:
    from datetime import datetime


class KernelsHandler(KubeHandler):
    """``kernels``."""

    @route
    async def get(self) -> None:
        """List them, oldest first."""
        from ..config import user_name
        from ..kube import objects

        mine = naming.selector(component="kernel", user_hash=naming.user_hash(user_name()))
        async with self.client() as client:
            pods, events = await asyncio.gather(
                objects.list_(client, objects.PODS, labels=mine), self._events(client)
            )
            now = client.now()
        manager = self.kernel_manager
        here = {
            kernel_id: manager.get_kernel(kernel_id).execution_state
            for kernel_id in manager.list_kernel_ids()
        }
        rows = [kernel(pod, events, here, now) for pod in pods["items"]]
        self.reply({"kernels": sorted(rows, key=lambda row: str(row["created"]))})

    async def _events(self, client: Any) -> list[dict[str, Any]]:
        """List events; without the right to, reasons are missing and nothing else."""
        from ..kube import objects

        try:
            return list((await objects.list_(client, objects.EVENTS))["items"])
        except AccessDenied:
            return []


def kernel(
    pod: dict[str, Any],
    events: Iterable[dict[str, Any]],
    here: Mapping[str, str],
    now: datetime,
) -> dict[str, Any]:
    """Say how a kernel is; ``here`` has the states of this server's kernels by id (pure)."""
    from ..kube.pods import pod_state

    meta = pod["metadata"]
    about = [e for e in events if e["involvedObject"].get("uid") == meta["uid"]]
    state = pod_state(pod, about, now=now)
    notes, labels = meta.get("annotations") or {}, meta["labels"]
    kernel_id = labels.get(naming.KERNEL_ID, "")
    return {
        "id": kernel_id,
        "pod": meta["name"],
        "profile": labels.get(naming.PROFILE, ""),
        "notebook": notes.get(naming.NOTEBOOK, ""),
        "phase": state.phase,
        "reason": state.reason,
        "message": state.message,
        "execution_state": here.get(kernel_id),
        "created": meta["creationTimestamp"],
    }
