"""One kernel's pod and Secret in the cluster: created together, deleted together."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

from .. import naming
from ..errors import ClusterError, Conflict, QuotaExceeded, StartFailed
from ..kube import objects
from ..kube.client import KubeClient
from ..models import PodState
from . import cap, podspec

_AGAIN = 3.0  # seconds between tries while a quota is full
_FORMER = 0.3  # seconds between tries while a former pod of this name is ending
_GRACE = 1  # seconds for the kernel's last words; it was asked to leave before
_PATIENCE = 10.0  # seconds a request under way may take to tell which object is ours


class KernelPod:
    """The two objects of one kernel.

    Parameters
    ----------
    client
        Speaks to the cluster.
    manifest
        From :func:`.podspec.pod`.
    on_wait
        Told while the pod cannot be created yet, and why.
    most
        How many kernels of its profile the user may have at once; 0 is any number.
    log
        A logger.

    """

    def __init__(
        self,
        client: KubeClient,
        manifest: dict[str, Any],
        *,
        on_wait: Callable[[PodState], None],
        log: logging.Logger | logging.LoggerAdapter[Any],
        most: int = 0,
    ) -> None:
        self._most = most
        self._client, self._manifest = client, manifest
        self._on_wait, self._log = on_wait, log
        self._requests: set[asyncio.Task[dict[str, Any]]] = set()
        self._uids: dict[objects.Resource, str] = {}  # of what was created here
        self._deleted = False
        self.name: str = manifest["metadata"]["name"]

    @property
    def uid(self) -> str:
        """The pod's uid, once it was created."""
        return self._uids.get(objects.PODS, "")

    async def create(self) -> dict[str, Any]:
        """Create the pod, waiting for room in the namespace's quota as long as it takes.

        Raises
        ------
        ClusterError
            If the API refuses the pod for another reason.
        StartFailed
            If somebody else's pod has this name.
        LimitReached
            If the user has as many kernels of this profile as that allows; the pod is there.

        """
        while True:
            try:
                pod = await self._request(objects.PODS, self._manifest)
                break
            except QuotaExceeded as error:
                words = f"Waiting for room in the quota: {error.why}"
                self._on_wait(PodState(self.name, "waiting", "QuotaExceeded", words))
                await asyncio.sleep(_AGAIN * random.uniform(0.7, 1.3))  # noqa: S311 - spreads load
            except Conflict as error:
                await self._await_former(error)
        await cap.check(self._client, pod, self._most)
        return pod

    async def create_secret(self, pod: dict[str, Any], launch: str, user: str) -> None:
        """Create the Secret the pod waits for, owned by the pod.

        Raises
        ------
        ClusterError
            If the API refuses it.

        """
        labels = self._manifest["metadata"]["labels"]
        body = podspec.secret(
            labels[naming.KERNEL_ID],
            launch,
            objects.owner_reference(pod),
            namespace=self._manifest["metadata"]["namespace"],
            user=user,
        )
        await self._request(objects.SECRETS, body)

    def leave(self) -> None:
        """Leave both to somebody else: they are not deleted."""
        self._uids.clear()

    async def delete(self) -> None:
        """Delete what was created here, once; log what could not be.

        Somebody else's objects of the same name stay.
        """
        if self._deleted:
            return
        self._deleted = True
        if self._requests:
            _, late = await asyncio.wait(self._requests, timeout=_PATIENCE)
            if late:
                self._log.warning("pod/%s may be left: its creation was not answered", self.name)
        await asyncio.gather(self._remove(objects.PODS, _GRACE), self._remove(objects.SECRETS))

    async def _request(self, resource: objects.Resource, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object; cancelling the caller does not cancel a request under way."""
        task = asyncio.create_task(self._create(resource, body))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _create(self, resource: objects.Resource, body: dict[str, Any]) -> dict[str, Any]:
        made = await objects.create(self._client, resource, body)
        self._uids[resource] = made["metadata"]["uid"]
        return made

    async def _await_former(self, error: Conflict) -> None:
        """Give a pod of the same name that is being deleted time to go."""
        try:
            former = await objects.get(self._client, objects.PODS, self.name)
        except ClusterError:
            former = {"metadata": {"deletionTimestamp": "gone"}}
        if "deletionTimestamp" not in former["metadata"]:
            raise StartFailed(
                "There is a kernel with this id already",
                error.why,
                f"kubectl delete pod {self.name} removes it.",
                obj=f"pod/{self.name}",
            ) from error
        words = "The former pod of this kernel is still ending."
        self._on_wait(PodState(self.name, "waiting", "Terminating", words))
        await asyncio.sleep(_FORMER)

    async def _remove(self, resource: objects.Resource, grace: int | None = None) -> None:
        uid = self._uids.get(resource)
        if uid is None:
            return
        try:
            await objects.delete(self._client, resource, self.name, grace=grace, uid=uid)
        except ClusterError as error:
            self._log.warning(
                "%s %s could not be deleted: %s. Do it by hand: kubectl delete %s %s",
                *(resource.kind, self.name, error, resource.plural, self.name),
            )
