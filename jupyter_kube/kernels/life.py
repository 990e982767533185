"""One kernel's life in the cluster: its pod, its Secret and the relay to it, from start to end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import naming
from ..errors import StartFailed
from ..kube.client import KubeClient
from ..models import PodState, Profile
from . import podspec
from .cluster import Cluster
from .coroner import Coroner
from .payload import launch_payload
from .pod import KernelPod
from .reach import Reach
from .relay import LauncherError, Relay

_CHANNELS = 5
_PULLING = 5.0  # seconds between two looks at a pull: how long it takes is part of its words
_FAREWELL = 1.5  # seconds a launcher may take to hear that this server leaves


@dataclass(frozen=True)
class Identity:
    """Who a kernel is: the same for its whole life."""

    kernel_id: str
    kernel_name: str
    user: str
    key: bytes
    curve_publickey: bytes
    curve_secretkey: bytes


class Life:
    """Starts one kernel, or attaches to one that runs, and looks after it.

    Parameters
    ----------
    identity
        Who the kernel is.
    cluster, client
        Where it will run. The cluster is held by the caller, and released by :meth:`close`.
    pod, way
        The pod, which need not exist yet, and how it is reached.
    folder
        From :func:`short_folder`, for the sockets; stays, so that Jupyter's connections outlive
        a pod.
    options
        The launcher's, besides its port: see :func:`.podspec.options`.
    profiles, asked
        All profiles there are, and whether the kernel's end was asked for; see :class:`.Coroner`.
    tell
        Told of ``progress`` (``state``), ``gone`` (``reason``, ``exit_code``), all that the relay
        tells, and, once the kernel runs, what the coroner adds.
    log
        A logger.

    """

    def __init__(
        self,
        identity: Identity,
        cluster: Cluster,
        client: KubeClient,
        *,
        pod: KernelPod,
        way: str,
        folder: Path,
        options: Mapping[str, Any],
        profiles: Iterable[Profile],
        asked: Callable[[], bool],
        tell: Callable[[dict[str, Any]], None],
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._identity, self._cluster, self._tell = identity, cluster, tell
        self._options, self._asked, self._log = options, asked, log
        self.state = PodState(naming.kernel_name(identity.kernel_id), "queued")
        """Where the pod stands, as last seen."""
        self._pod = pod
        self._pod.on_wait = self._progress
        self._reach = Reach(client, self._pod.name, podspec.PORT, way)
        self._folder = folder
        self.relay = Relay(
            self._reach.dial,
            identity.key,
            socket_dir=self._folder,
            on_event=self._hear,
            log=log,
        )
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running = False
        self.over = False
        """Whether the pod is gone or useless: no kernel will run in it again."""
        loop = asyncio.get_running_loop()
        self._coroner = Coroner(
            tell,
            state=lambda: self.state,
            trouble=lambda: self.relay.trouble,
            limits=pod.limits,
            profiles=profiles,
            asked=asked,
            later=loop.call_later,
        )
        self._again: asyncio.TimerHandle | None = None  # the next look at a pull
        self._unsubscribe: Callable[[], None] = lambda: None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waits_for(self) -> str:
        """What a start waits for: the pod, or once that runs, the way to it."""
        running = self.state.phase == "running"
        return (running and self.relay.trouble) or self.state.message

    async def start(self) -> dict[str, Any]:
        """Create the pod and its Secret; return the connection info once the kernel is ready.

        Raises
        ------
        ClusterError, StartFailed
            If the pod cannot run, in Kubernetes' words.
        LauncherError
            If the kernel cannot run in it.

        """
        who = self._identity
        making = asyncio.to_thread(
            launch_payload,
            key=who.key,
            kernel_id=who.kernel_id,
            kernel_name=who.kernel_name,
            username=who.user,
            curve_publickey=who.curve_publickey,
            curve_secretkey=who.curve_secretkey,
            options={"port": podspec.PORT, **self._options},
        )
        pod, launch = await asyncio.gather(self._pod.create(), making)
        secret = asyncio.create_task(self._pod.create_secret(pod, launch, who.user))
        try:
            return await self._connect(secret)
        finally:
            secret.cancel()
            await asyncio.wait([secret])

    async def attach(self) -> dict[str, Any]:
        """Go on with a kernel whose pod runs; return the connection info once it is ready.

        Unless the pod has ended or its end was asked for, it stays whatever happens here.

        Raises
        ------
        StartFailed, LauncherError
            If the kernel has ended, or another server has it.
        AccessDenied
            If all ways to the pod are forbidden.

        """
        try:
            return await self._connect()
        except (StartFailed, LauncherError):
            raise
        except BaseException:
            if not self._asked() or self.relay.held:
                self._pod.leave()
            raise

    async def detach(self) -> None:
        """Leave the kernel to the next server: it goes on, and so does its pod."""
        try:
            async with asyncio.timeout(_FAREWELL):
                await asyncio.gather(self._pod.noted(), self.relay.command("detach"))
        except (TimeoutError, LauncherError):
            pass  # the launcher will miss us
        self._pod.leave()

    async def claim(self, annotations: Mapping[str, str]) -> None:
        """Take the pod out of the warm pool; raises a ClusterError if it is not to be had."""
        await self._pod.claim(annotations)
        if path := annotations.get(naming.NOTEBOOK):
            try:
                async with asyncio.timeout(_FAREWELL):
                    await self.relay.command("notebook", path=path)
            except (TimeoutError, LauncherError) as error:
                self._log.info("pod/%s does not know its notebook: %r", self._pod.name, error)

    def note(self, annotations: Mapping[str, str]) -> None:
        """Annotate the pod, now or as soon as it exists."""
        self._pod.note(annotations)

    async def delete_pod(self) -> None:
        """Delete the pod and its Secret, once; a pod that may not be deleted ends by itself."""
        self.over = True
        if await self._pod.delete():
            await self._shut_down()

    async def close(self) -> None:
        """Delete what is in the cluster and let go of what is here."""
        self._unsubscribe()
        self._coroner.close()
        self._look_again(False)
        self._failure.cancel()
        for task in self._tasks:
            task.cancel()
        try:
            await self.delete_pod()
        finally:
            await self.relay.close()
            await self._cluster.release()

    def link_sockets(self) -> None:
        """Give Jupyter names of its own for the sockets: its stock manager deletes them."""
        for number in range(1, _CHANNELS + 1):
            link = self._folder / f"j-{number}"
            if not link.is_symlink():
                link.symlink_to(f"k-{number}")

    # inside

    async def _shut_down(self) -> None:
        """Have the launcher end the pod's container, which frees all that the pod holds."""
        name = self._pod.name
        try:
            async with asyncio.timeout(_FAREWELL):
                await self.relay.command("shutdown")
        except (TimeoutError, LauncherError) as error:
            why = str(error) or "it did not answer in time"
            self._log.error("pod/%s goes on, since it may not be deleted: %s", name, why)
        else:
            self._log.warning("pod/%s stays, ended: it may not be deleted, and runs nothing", name)

    def _hear(self, event: dict[str, Any]) -> None:
        """Pass on what the relay tells; a pod that another server took over is that one's."""
        if event["event"] == "replaced":
            self.over = True
            self._pod.leave()
        if self._running:
            self._coroner.hear(event)
        else:
            self._tell(event)

    async def _connect(self, secret: asyncio.Task[None] | None = None) -> dict[str, Any]:
        """Link with the pod, which may still be starting; return the connection info."""
        endpoints = await self.relay.start()
        await self._cluster.watch()
        self._unsubscribe = self._cluster.subscribe(self._pod.name, self._look)
        self._look()
        if secret is None and self._cluster.state(self._pod.name, self._pod.uid) is None:
            await self._pod.check()  # it may have gone before the watch began
        await self._until_ready(secret)
        self._running = True
        self._look()
        return self._connection_info(endpoints)

    async def _until_ready(self, secret: asyncio.Task[None] | None) -> None:
        """Wait for the kernel, or for the first thing that makes it impossible."""
        ready = asyncio.create_task(self.relay.ready())
        wanted: set[asyncio.Future[Any]] = {ready}
        if secret is not None:
            wanted.add(secret)
        try:
            while wanted:
                done, _ = await asyncio.wait(
                    {*wanted, self._failure}, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()
                wanted -= done
        finally:
            ready.cancel()
            await asyncio.wait([ready])

    def _connection_info(self, endpoints: dict[str, Any]) -> dict[str, Any]:
        if endpoints["transport"] == "ipc":
            self.link_sockets()
            endpoints = {**endpoints, "ip": str(self._folder / "j")}
        return {
            **endpoints,
            "key": self._identity.key,
            "signature_scheme": "hmac-sha256",
            "kernel_name": self._identity.kernel_name,
            "curve_publickey": self._identity.curve_publickey.decode(),
            "curve_secretkey": self._identity.curve_secretkey.decode(),
        }

    def _look(self) -> None:
        """Act on the pod's state in the caches."""
        state = self._cluster.state(self._pod.name, self._pod.uid)
        if state is None or self.over:
            return
        self._follow_address(state)
        self._look_again(state.phase == "pulling")
        if self._running:
            self.state = state
            self._coroner.look()
            if state.terminal:
                self.over = True
                reason = state.message or state.reason
                event = {"event": "gone", "reason": reason, "exit_code": state.exit_code}
                self._coroner.hear(event)
            return
        self._progress(state)
        if state.terminal and not self._failure.done():
            why = state.message or state.reason
            error = StartFailed("The kernel's pod cannot run", why, obj=f"pod/{self._pod.name}")
            self._failure.set_exception(error)

    def _look_again(self, wanted: bool) -> None:
        if self._again is not None:
            self._again.cancel()
        loop = asyncio.get_running_loop()
        self._again = loop.call_later(_PULLING, self._look) if wanted else None

    def _progress(self, state: PodState) -> None:
        if state != self.state:
            self.state = state
            self._tell({"event": "progress", "state": state})

    def _follow_address(self, state: PodState) -> None:
        """Use the pod's own address as soon as it is known and, where there is a choice, works."""
        if state.ip and state.ip != self._reach.address:
            self._reach.address = state.ip
            if not self._running:
                self.relay.hurry()
        if self._running and self._reach.worth_moving():
            self._begin(self._reach.move(self.relay))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
