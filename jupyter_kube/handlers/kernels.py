"""The user's kernels, on whichever server they were started."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .. import naming
from ..config import user_name
from ..errors import AccessDenied
from .base import KubeHandler, route
from .kernelrows import here, kernel, without_pod

if TYPE_CHECKING:
    from ..kube.client import KubeClient


class KernelsHandler(KubeHandler):
    """``kernels``."""

    @route
    async def get(self) -> None:
        """List them, oldest first."""
        from ..kube import objects
        from ..kube.pods import pod_state

        mine = naming.selector(component="kernel", user_hash=naming.user_hash(user_name()))
        async with self.client() as client:
            pods, events = await asyncio.gather(
                objects.list_(client, objects.PODS, labels=mine), self._events(client)
            )
            now = client.now()
        devices, rows = self.kube.gpu_resources(), []
        seen = {pod["metadata"]["labels"].get(naming.KERNEL_ID, ""): pod for pod in pods["items"]}
        for kernel_id, pod in seen.items():
            if naming.POOL not in pod["metadata"]["labels"]:  # else it is nobody's yet
                uid = pod["metadata"]["uid"]
                about = [e for e in events if e["involvedObject"].get("uid") == uid]
                known = here(self.kernel_manager, kernel_id)
                rows.append(kernel(pod, pod_state(pod, about, now=now), known, devices))
        for kernel_id in self.kernel_manager.list_kernel_ids():
            known = here(self.kernel_manager, kernel_id)
            if known and known.ours and kernel_id not in seen:
                rows.append(without_pod(kernel_id, known, known.ours))
        self.reply({"kernels": sorted(rows, key=lambda row: str(row["created"]))})

    async def _events(self, client: KubeClient) -> list[dict[str, Any]]:
        """List events; without the right to, reasons are missing and nothing else."""
        from ..kube import objects

        try:
            return list((await objects.list_(client, objects.EVENTS))["items"])
        except AccessDenied:
            return []
