"""The user's kernels, on whichever server they were started.

Those that this server holds are stopped through Jupyter's own API, which knows of their sessions.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .. import naming
from ..checks import clip
from ..config import user_name
from ..errors import AccessDenied, Conflict, NotFound
from .base import KubeHandler, route
from .kernelrows import here, kernel, without_pod

if TYPE_CHECKING:
    from ..kube.client import KubeClient

_GRACE = 1  # seconds for a kernel's last words: nobody here hears them


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
                objects.every(client, objects.PODS, labels=mine), self._events(client)
            )
            now = client.now()
        devices, rows = self.kube.gpu_resources(), []
        seen = {pod["metadata"]["labels"].get(naming.KERNEL_ID, ""): pod for pod in pods}
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
            return await objects.every(client, objects.EVENTS)
        except AccessDenied:
            return []


class KernelHandler(KubeHandler):
    """``kernels/ID``."""

    @route
    async def delete(self, kernel_id: str) -> None:
        """End one of my kernels that another server started."""
        from ..kube import objects

        if kernel_id in self.kernel_manager:
            raise Conflict(
                "this server holds the kernel",
                "its notebooks would not be told",
                f"Stop it through Jupyter: DELETE /api/kernels/{kernel_id}.",
            )
        async with self.client() as client:
            meta = (await _mine(client, kernel_id))["metadata"]
            await objects.delete(client, objects.PODS, meta["name"], grace=_GRACE, uid=meta["uid"])
        self.set_status(204)
        self.finish()


async def _mine(client: KubeClient, kernel_id: str) -> dict[str, Any]:
    """Return the pod of one of the user's kernels; what it owns goes with it.

    Raises
    ------
    NotFound
        If there is none, it is somebody else's, or nobody's yet.

    """
    from ..kube import objects

    unknown = NotFound(
        f'you have no kernel "{clip(kernel_id)}" in {client.namespace}',
        next="It may have ended: look again at those there are.",
    )
    try:
        pod = await objects.get(client, objects.PODS, naming.kernel_name(kernel_id))
    except NotFound:
        raise unknown from None
    labels = pod["metadata"].get("labels") or {}
    wanted = naming.labels("kernel", user=user_name(), kernel_id=kernel_id)
    if naming.POOL in labels or not wanted.items() <= labels.items():
        raise unknown
    return pod
