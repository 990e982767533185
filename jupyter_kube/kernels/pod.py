"""One kernel's pod and Secret in the cluster: created together, deleted together."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from .. import naming
from ..errors import (
    ClusterError,
    ClusterUnavailable,
    Conflict,
    NotFound,
    QuotaExceeded,
    StartFailed,
)
from ..kube import objects
from ..kube.client import KubeClient
from ..kube.quota import quota_words
from ..models import PodState
from . import cap, podspec

_AGAIN = 3.0  # seconds between tries while a quota is full
_FORMER = 0.3  # seconds between tries while a former pod of this name is ending
_GRACE = 1  # seconds for the kernel's last words; it was asked to leave before
_PROMPT = 5.0  # seconds for which a deletion is waited for
_LONGEST_PAUSE = 30.0  # seconds between tries to delete what could not be deleted at once
_WORTH_A_WORD = 3.0  # seconds after which trouble with the API is told
_BUSY = 10.0  # the same where the API only asks for patience
_NOTE_AGAIN = 5.0  # seconds between tries to annotate a pod while the API is away
_FORGOTTEN = 15.0  # seconds without trouble after which the next is another
_PATIENCE = 10.0  # seconds a request under way may take to tell which object is ours


class KernelPod:
    """The two objects of one kernel.

    Parameters
    ----------
    client
        Speaks to the cluster.
    manifest
        From :func:`.podspec.pod`.
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
        most: int = 0,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._most = most
        self._client, self._manifest, self._log = client, manifest, log
        self.on_wait: Callable[[PodState], None] = lambda _state: None
        """Told while the pod cannot be created yet, and why."""
        self._requests: set[asyncio.Task[dict[str, Any]]] = set()
        self._uids: dict[objects.Resource, str] = {}  # of what was created here
        self._deleted = False
        self._trouble_began = self._troubled_at = -math.inf
        self.name: str = manifest["metadata"]["name"]
        self._notes: dict[str, str] = {}  # annotations that are not in the cluster yet
        self._noting: asyncio.Task[None] | None = None

    @classmethod
    def existing(
        cls,
        client: KubeClient,
        pod: Mapping[str, Any],
        secret_uid: str = "",
        *,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> KernelPod:
        """Take over a pod that is in the cluster, with its Secret where that is known."""
        taken = cls(client, dict(pod), log=log)
        taken._uids[objects.PODS] = pod["metadata"]["uid"]
        if secret_uid:
            taken._uids[objects.SECRETS] = secret_uid
        return taken

    @property
    def limits(self) -> dict[str, str]:
        """What the kernel's container may use, by resource."""
        containers = self._manifest["spec"]["containers"]  # a webhook may have added some
        container = next(c for c in containers if c["name"] == podspec.CONTAINER)
        return dict((container.get("resources") or {}).get("limits") or {})

    @property
    def uid(self) -> str:
        """The pod's uid, once it was created."""
        return self._uids.get(objects.PODS, "")

    async def create(self) -> dict[str, Any]:
        """Create the pod, waiting for the API and for room in the quota as long as it takes.

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
                needs = quota_words(error.why, self._client.namespace)
                words = f"Waiting for room in the quota: {needs}"
                self.on_wait(PodState(self.name, "waiting", "QuotaExceeded", words))
                await asyncio.sleep(_AGAIN * random.uniform(0.7, 1.3))  # noqa: S311 - spreads load
            except Conflict as error:
                await self._await_former(error)
        if naming.POOL not in pod["metadata"]["labels"]:  # a warm one is nobody's yet
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

    async def check(self) -> None:
        """Ask whether the pod is there.

        Raises
        ------
        StartFailed
            If it is not.
        ClusterError
            If the API does not say.

        """
        try:
            pod = await objects.get(self._client, objects.PODS, self.name)
        except NotFound as error:
            raise StartFailed("The kernel's pod is gone", obj=f"pod/{self.name}") from error
        if pod["metadata"]["uid"] != self.uid:
            raise StartFailed("The kernel's pod was replaced", obj=f"pod/{self.name}")

    def leave(self) -> None:
        """Leave both to somebody else: they are not deleted."""
        self._deleted = True
        self._stop_noting()

    def note(self, annotations: Mapping[str, str]) -> None:
        """Annotate the pod, now or as soon as it exists; what fails is logged."""
        self._notes.update(annotations)
        if self.uid and not self._deleted and self._noting is None:
            self._noting = asyncio.create_task(self._write_notes())

    async def claim(self, annotations: Mapping[str, str]) -> None:
        """Take the pod out of the warm pool, in one request that succeeds once.

        Raises
        ------
        ClusterError
            If somebody else was quicker, or the pod is gone.
        LimitReached
            If the user has as many kernels of this profile as that allows.

        """
        label = "/metadata/labels/" + naming.POOL.replace("/", "~1")
        notes = [
            {"op": "add", "path": f"/metadata/annotations/{key.replace('/', '~1')}", "value": value}
            for key, value in annotations.items()
        ]
        body = [
            {"op": "test", "path": "/metadata/uid", "value": self.uid},
            {"op": "test", "path": label, "value": podspec.WARM},
            {"op": "remove", "path": label},
            *notes,
        ]
        pod = await objects.patch(self._client, objects.PODS, self.name, body)
        await cap.check(self._client, pod, self._most)

    async def noted(self) -> None:
        """Wait until all notes are written."""
        if self._noting is not None:
            await asyncio.wait([self._noting])

    def _stop_noting(self) -> None:
        if self._noting is not None:
            self._noting.cancel()

    async def _write_notes(self) -> None:
        while self._notes and not self._deleted:
            notes, self._notes = self._notes, {}
            body = {"metadata": {"uid": self.uid, "annotations": notes}}
            try:
                await objects.patch(self._client, objects.PODS, self.name, body)
            except NotFound:
                break
            except ClusterUnavailable as error:
                self._log.warning("pod/%s is not annotated yet: %s", self.name, error)
                self._notes = {**notes, **self._notes}
                await asyncio.sleep(_NOTE_AGAIN)
            except ClusterError as error:
                self._log.warning("pod/%s could not be annotated: %s", self.name, error)
        self._noting = None

    async def delete(self) -> bool:
        """Delete what was created here, once; return whether the API refuses to delete the pod.

        What could not be deleted is logged. Somebody else's objects of the same name stay.
        """
        if self._deleted:
            return False
        self._deleted = True
        self._stop_noting()
        if self._requests:
            _, late = await asyncio.wait(self._requests, timeout=_PATIENCE)
            for task in late:
                task.cancel()
            if late:
                self._log.warning("pod/%s may be left: its creation was not answered", self.name)
        refused, _ = await asyncio.gather(
            self._remove(objects.PODS, _GRACE), self._remove(objects.SECRETS)
        )
        return refused

    async def _request(self, resource: objects.Resource, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object; cancelling the caller does not cancel a request under way."""
        task = asyncio.create_task(self._create(resource, body))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _create(self, resource: objects.Resource, body: dict[str, Any]) -> dict[str, Any]:
        made = await objects.create(
            self._client, resource, body, timeout=math.inf, on_trouble=self._tell_of_trouble
        )
        self._uids[resource] = made["metadata"]["uid"]
        if self._notes and resource is objects.PODS:
            self.note({})
        return made

    def _tell_of_trouble(self, error: ClusterUnavailable) -> None:
        """Say what a start waits for; what is over at once is not worth a word."""
        now = time.monotonic()
        if now > self._troubled_at + _FORGOTTEN:
            self._trouble_began = now
        self._troubled_at = now
        if now - self._trouble_began > (_BUSY if error.retry_after else _WORTH_A_WORD):
            words = f"Waiting for the Kubernetes API: {error.what}: {error.why}"
            self.on_wait(PodState(self.name, "waiting", "Unavailable", words))

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
                "Another server may be using it: start a new kernel instead, which gets an id of "
                f"its own. If nobody does, kubectl delete pod {self.name} removes it.",
                obj=f"pod/{self.name}",
            ) from error
        words = "The former pod of this kernel is still ending."
        self.on_wait(PodState(self.name, "waiting", "Terminating", words))
        await asyncio.sleep(_FORMER)

    async def _remove(self, resource: objects.Resource, grace: int | None = None) -> bool:
        """Delete an object; return whether the API refuses.

        Where the API is away for longer, this goes on in the background.
        """
        uid = self._uids.get(resource)
        if uid is None:
            return False

        async def remove(timeout: float | None) -> None:
            await objects.delete(
                self._client, resource, self.name, grace=grace, uid=uid, timeout=timeout
            )

        try:
            await remove(_PROMPT)
        except ClusterUnavailable as error:
            self._log.warning("%s %s is still to be deleted: %s", resource.kind, self.name, error)
            self._client.errand(self._remove_later(resource, remove))
        except ClusterError as error:
            self._give_up(resource, error)
            return True
        return False

    async def _remove_later(
        self, resource: objects.Resource, remove: Callable[[float | None], Awaitable[None]]
    ) -> None:
        pause = _PROMPT
        while True:
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load
            pause = min(pause * 2, _LONGEST_PAUSE)
            try:
                await remove(None)
            except ClusterUnavailable:
                continue
            except ClusterError as error:
                self._give_up(resource, error)
            else:
                self._log.info("%s %s is deleted", resource.kind, self.name)
            return

    def _give_up(self, resource: objects.Resource, error: ClusterError) -> None:
        self._log.warning(
            "%s %s could not be deleted: %s. Do it by hand: kubectl delete %s %s",
            *(resource.kind, self.name, error, resource.plural, self.name),
        )
