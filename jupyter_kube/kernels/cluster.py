"""One connection to the cluster, and one watch on its kernel pods, for all kernels of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from .. import naming
from ..config import KubeConfig
from ..kube import objects
from ..kube.client import KubeClient
from ..kube.pods import pod_state
from ..kube.watch import Reflector
from ..models import PodState

_PODS = naming.selector(component="kernel")
_EVENTS = "involvedObject.kind=Pod"

_Key = tuple[str, str, str]
_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, Cluster]] = WeakKeyDictionary()


class Cluster:
    """A client and two reflectors, made when first needed, shared while anybody holds them."""

    def __init__(self, config: KubeConfig, forget: Callable[[], object]) -> None:
        self._config, self._forget = config, forget
        self._holders = 0
        self.connected = asyncio.Event()
        """Set once there is a client."""
        self._connecting: asyncio.Task[KubeClient] | None = None
        self._pods: Reflector | None = None
        self._events: Reflector | None = None
        self._now: Callable[[], datetime] | None = None
        self._gone: dict[str, PodState] = {}  # by uid, how pods ended that were there

    async def client(self) -> KubeClient:
        """Return the client; the first call reads the credentials.

        Raises
        ------
        NotConfigured
            With what was looked for. The next call tries again.

        """
        if self._connecting is None or (
            self._connecting.done()
            and (self._connecting.cancelled() or self._connecting.exception() is not None)
        ):
            self._connecting = asyncio.create_task(self._connect())
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> KubeClient:
        client = await KubeClient.connect(self._config)
        self.connected.set()
        return client

    async def watch(self) -> Reflector:
        """Return the reflector of kernel pods, with the one of events started beside it."""
        client = await self.client()
        if self._pods is None:
            self._now = client.now
            self._pods = Reflector(client, objects.PODS, labels=_PODS)
            self._events = Reflector(client, objects.EVENTS, fields=_EVENTS, keep=_event)
            await self._pods.start()
            await self._events.start()
        return self._pods

    def state(self, name: str, uid: str) -> PodState | None:
        """Return where a pod stands, from the caches; None where they do not know it yet."""
        pod = self._pods.items.get(name) if self._pods else None
        if pod is None or pod["metadata"]["uid"] != uid:
            return self._gone.get(uid)
        return self._state(pod)

    def _state(self, pod: dict[str, Any]) -> PodState:
        uid = pod["metadata"]["uid"]
        events = self._events.items.values() if self._events else ()
        about = [e for e in events if e["involvedObject"].get("uid") == uid]
        return pod_state(pod, about, now=self._now() if self._now else None)

    def subscribe(self, name: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Have ``callback`` called on each change of one pod or its events; returns the undo."""

        def of_pod(change: str, pod: dict[str, Any]) -> None:
            if pod["metadata"]["name"] == name:
                if change == "DELETED":
                    meta = {"deletionTimestamp": "now", **pod["metadata"]}
                    self._gone[meta["uid"]] = self._state({**pod, "metadata": meta})
                callback()

        def of_event(_change: str, event: dict[str, Any]) -> None:
            if event["involvedObject"].get("name") == name:
                callback()

        stops = [r.subscribe(f) for r, f in ((self._pods, of_pod), (self._events, of_event)) if r]

        def unsubscribe() -> None:
            while stops:
                stops.pop()()

        return unsubscribe

    def listen(self, callback: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Have ``callback`` called with each pod that is there, or that it or its events change.

        To be called once :meth:`watch` has answered; returns the undo.
        """
        pods, events = self._pods, self._events
        if pods is None or events is None:
            return lambda: None

        def of_event(_change: str, event: dict[str, Any]) -> None:
            if pod := pods.items.get(event["involvedObject"]["name"]):
                callback(pod)

        stops = [pods.subscribe(lambda _, pod: callback(pod)), events.subscribe(of_event)]

        def stop() -> None:
            for each in stops:
                each()

        return stop

    def hold(self) -> None:
        """Keep the connection until :meth:`release`."""
        self._holders += 1

    async def release(self) -> None:
        """Let go; the last holder's release closes everything."""
        self._holders -= 1
        if self._holders > 0:
            return
        self._forget()
        reflectors = [r for r in (self._pods, self._events) if r is not None]
        self._pods = self._events = None
        for reflector in reflectors:
            await reflector.close()
        if self._connecting is not None:
            connecting, self._connecting = self._connecting, None
            connecting.cancel()
            await asyncio.wait([connecting])
            if not connecting.cancelled() and connecting.exception() is None:
                await connecting.result().close()


def shared(config: KubeConfig) -> Cluster:
    """Return the cluster these settings name, the same for all who ask on this event loop."""
    clusters = _shared.setdefault(asyncio.get_running_loop(), {})
    key = (config.kubeconfig, config.context, config.namespace)
    if key not in clusters:
        clusters[key] = Cluster(config, lambda: clusters.pop(key, None))
    return clusters[key]


def _event(event: dict[str, Any]) -> dict[str, Any] | None:
    """Keep what words about kernels' pods are made of; there may be any number of others."""
    if not event["involvedObject"].get("name", "").startswith(naming.KERNEL_PREFIX):
        return None
    wanted = ("metadata", "involvedObject", "reason", "message", "type", "count", "lastTimestamp")
    return {key: event[key] for key in (*wanted, "eventTime", "series") if key in event}
