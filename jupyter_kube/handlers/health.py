"""How the cluster is: whether it answers, which version it has, its GPUs and who holds them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import ClusterError
from ..kube.client import KubeClient
from ..kube.watch import Reflector
from .cluster import count, gpu

_STALE = 3.0  # seconds a watch may be closed, as each is now and then, before that is said
_PAUSE = 30.0  # seconds after which the version is asked for again

Object = dict[str, Any]


class Health:
    """What front ends are told of the cluster itself.

    Parameters
    ----------
    client
        The connection.
    devices
        What profiles call their GPUs.
    moved
        Called when there may be something new to tell.

    """

    def __init__(
        self, client: KubeClient, devices: Collection[str], moved: Callable[[], None]
    ) -> None:
        self._client, self._devices, self._moved = client, devices, moved
        self._holders: dict[str, Object] = {}
        self._gpus: list[Object] | None = None  # None: to be counted anew
        self._version = ""
        self._asking: asyncio.Task[None] | None = None  # for the version
        self._since: datetime | None = None  # what there is may be old

    def pod_changed(self, change: str, pod: Object) -> None:
        """Note which pods hold devices."""
        if any(count(pod, device) for device in self._devices):
            name = pod["metadata"]["name"]
            if change == "DELETED":
                self._holders.pop(name, None)
            else:
                self._holders[name] = pod
            self.node_changed(change, pod)

    def node_changed(self, _change: str, _object: Object) -> None:
        """Note that devices may be others."""
        self._gpus = None
        self._moved()

    def facts(self, watches: Iterable[Reflector], nodes: Reflector | None) -> tuple[Object, Any]:
        """Say how the cluster is, and since when there is no news of it; None if there is.

        Parameters
        ----------
        watches
            Those that are to be open.
        nodes
            The one of nodes; None where these may not be listed.

        """
        trouble = self._trouble(watches)
        if trouble:
            self.close()  # it may come back as another version
            about: Object = {"state": "unreachable", "message": trouble}
        else:
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask_version())
            if self._gpus is None:
                there = None if nodes is None else list(nodes.items.values())
                self._gpus = [gpu(each, self._holders.values(), there) for each in self._devices]
            about = {"state": "up", "gpus": self._gpus}
            about |= {"version": self._version} if self._version else {}
        where = ("context", "namespace", "address")
        about |= {key: getattr(self._client, key) for key in where}
        return about, self._since and self._since.isoformat(timespec="seconds")

    def close(self) -> None:
        """Ask for nothing more."""
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def _trouble(self, watches: Iterable[Reflector]) -> str:
        """Say why there is no news; empty if there is."""
        worst = max(watches, key=lambda watch: watch.stale_for)
        if worst.stale_for < _STALE:
            self._since = None
            return ""
        if self._since is None:
            self._since = datetime.now(UTC) - timedelta(seconds=worst.stale_for)
        return str(worst.last_error or f"{self._client.address} does not answer")

    async def _ask_version(self) -> None:
        while True:
            with contextlib.suppress(ClusterError):
                self._version = str((await self._client.request("GET", "/version"))["gitVersion"])
                self._moved()
                return
            await asyncio.sleep(_PAUSE)
