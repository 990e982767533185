"""What a former server left in the cluster: its kernels, found again by one list."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .. import naming
from ..errors import ClusterError, ClusterUnavailable, KubeError, NotFound
from ..kube import objects
from ..kube.client import KubeClient
from ..kube.pods import pod_state
from . import podspec
from .payload import open_payload
from .pod import KernelPod

_YOUNG = 60.0  # seconds a pod may be without its Secret: a server is just starting that kernel
_PAUSES = 1.0, 2.0, 5.0, 10.0, 30.0  # seconds between tries to find any, the last one repeated
_AGAIN = 30.0  # seconds between looks for that Secret while the API is away

_pause = asyncio.sleep
_SESSION = ("id", "path", "name", "type")


@dataclass(frozen=True)
class Found:
    """One kernel that goes on without a server."""

    pod: Mapping[str, Any]
    """The pod as the API gives it."""
    secret_uid: str
    launch: Mapping[str, Any]
    """The opened start variable: the kernel's keys, among others."""

    @property
    def kernel_id(self) -> str:
        """Jupyter's id of the kernel."""
        return str(self.launch["kernel_id"])

    @property
    def kernel_name(self) -> str:
        """The kernelspec's name."""
        return str(self.launch["kernel_name"])

    @property
    def notebook(self) -> str:
        """Path of the notebook it was started for."""
        return str(self._annotations.get(naming.NOTEBOOK, ""))

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """Jupyter's sessions with it: ``id``, ``path``, ``name``, ``type`` of each."""
        try:
            sessions = json.loads(self._annotations.get(naming.SESSIONS, "[]"))
            return [dict(s) for s in sessions if all(_is_text(s[key]) for key in _SESSION)]
        except (KeyError, TypeError, ValueError):  # somebody edited it
            return []

    @property
    def _annotations(self) -> Mapping[str, str]:
        return self.pod["metadata"].get("annotations") or {}


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


async def find_when_reached(
    client: KubeClient,
    server: str,
    log: logging.Logger,
    *,
    known: Callable[[str], bool],
    on_trouble: Callable[[], None],
) -> list[Found]:
    """Return what :func:`find` does; tries until it can, and calls ``on_trouble`` where it cannot.

    It is tried again after a pause, and as soon as an API that was away answers anybody else.
    """
    trouble, pauses = "", itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1]))
    while True:
        try:
            return await find(client, server, log, known)
        except KubeError as error:
            if str(error) != trouble:  # an outage must not fill the log
                trouble = str(error)
                log.warning("Kernels of an earlier server are not attached yet: %s", error)
        on_trouble()
        seconds = next(pauses)
        if client.reached.is_set():  # it is not away: what has failed would fail again
            await asyncio.sleep(seconds)
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await client.reached.wait()


async def find(
    client: KubeClient,
    server: str,
    log: logging.Logger,
    known: Callable[[str], bool] = lambda pod: False,
) -> list[Found]:
    """Return the kernels of a server that live; remove those that ended, and log why.

    Pods that are ``known`` by their names are this process's own: it has started them meanwhile.

    Raises
    ------
    ClusterError
        If the pods cannot be listed, or their keys not be read now.

    """
    labels = naming.selector(component="kernel", server=server)
    pods = (await objects.list_(client, objects.PODS, labels=labels))["items"]
    left = [pod for pod in pods if not known(pod["metadata"]["name"])]
    found = await asyncio.gather(*(_look_at(client, pod, log) for pod in left))
    return [kernel for kernel in found if kernel is not None]


async def _look_at(client: KubeClient, pod: Mapping[str, Any], log: logging.Logger) -> Found | None:
    meta = pod["metadata"]
    if meta.get("deletionTimestamp"):
        return None
    state = pod_state(dict(pod), now=client.now())
    if not state.terminal and naming.POOL in meta["labels"]:
        await _remove_warm(KernelPod.existing(client, pod, log=log), log)
        return None
    try:
        if state.terminal:
            why = state.message or state.reason
        else:
            secret = await objects.get(client, objects.SECRETS, meta["name"])
            launch = open_payload(base64.b64decode(secret["data"][podspec.SECRET_KEY]).decode())
            return Found(pod, secret["metadata"]["uid"], launch)
    except NotFound:
        born = datetime.fromisoformat(meta["creationTimestamp"])
        left = _YOUNG - (client.now() - born).total_seconds()
        if left > 0:
            client.errand(_await_keys(client, pod, left, log))
            return None
        why = "its keys are gone"
    except ClusterUnavailable:
        raise
    except (ClusterError, KeyError, ValueError) as error:
        log.error("The kernel in pod %s is not attached again: %s", meta["name"], error)
        return None
    notebook = (meta.get("annotations") or {}).get(naming.NOTEBOOK) or "no notebook"
    log.warning("The kernel of %s ended without a server: %s", notebook, why)
    await KernelPod.existing(client, pod, log=log).delete()
    return None


async def _await_keys(
    client: KubeClient, pod: Mapping[str, Any], seconds: float, log: logging.Logger
) -> None:
    """Remove a pod whose Secret does not come in time: a server died between the two.

    Its container cannot start without, and Kubernetes keeps room, and devices, for it forever.
    """
    name = pod["metadata"]["name"]
    while True:
        await _pause(seconds)
        try:
            await objects.get(client, objects.SECRETS, name)
        except NotFound:
            log.warning("pod/%s is removed: its server ended before it had made its Secret", name)
            await KernelPod.existing(client, pod, log=log).delete()
        except ClusterUnavailable:
            seconds = _AGAIN
            continue
        except ClusterError as error:
            log.error("pod/%s may never start, and is left alone: %s", name, error)
        return


async def _remove_warm(pod: KernelPod, log: logging.Logger) -> None:
    """Remove a kernel that nobody has used; one that is claimed at this moment stays."""
    try:
        await pod.claim({})
    except ClusterError as error:
        log.info("The warm kernel in pod %s is left alone: %s", pod.name, error)
        return
    log.info("The warm kernel in pod %s is removed: nobody has used it", pod.name)
    await pod.delete()
