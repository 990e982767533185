"""The manager of all kernels of a server: ours start in the background, the others as ever."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_client.kernelspec import NoSuchKernel
from tornado.web import HTTPError
from traitlets import Bool, Float, Unicode, default

from .. import naming
from ..config import user_name
from ..errors import InvalidInput, KubeError, NotConfigured
from . import activity, adapter, specs
from .choice import read_choice
from .kernel import KubeKernelManager
from .notebooks import in_folder, notebook_of
from .pool import Pool

if TYPE_CHECKING:  # importing what talks to the cluster would delay the server
    from ..models import Profile
    from .cluster import Cluster
    from .errands import Services
    from .found import Found

_END_TIMEOUT = 2.5  # seconds for the ends of all kernels when the server stops
_PATIENCE = 8.0  # seconds the first lists may wait for kernels that were there before the server


class StartRefused(HTTPError):
    """A start that failed at once: the user sees the reason on all of Jupyter's routes."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error.status if isinstance(error, KubeError) else 500, str(error))

    def __str__(self) -> str:
        return str(self._log_message)


class KubeMappingKernelManager(adapter.ChoosingKernelManager):
    """Starts, restarts and ends kernels; what is not ours, exactly as Jupyter Server does."""

    start_patience = Float(
        5.0,
        help="""Seconds a request to start a kernel on Kubernetes is kept waiting. The start goes
        on after that, and the kernel's state says so.""",
    ).tag(config=True)

    keep_kernels = Bool(
        True,
        help="""Whether kernels on Kubernetes go on when the server ends, so that the next one
        attaches to them again. How long they wait for it is in their profile (lost_timeout).""",
    ).tag(config=True)
    server_name = Unicode(
        help="""Which server this is: it attaches again to the kernels that a server of this name
        left. Default: the hub's user and server, or else this host (outside of pods) and the root
        folder.""",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stopping = False
        """Whether the server is about to end."""
        self.attaching: asyncio.Task[None] | None = None
        """Attaches to the kernels that were there before the server."""
        self.asked = asyncio.Event()
        """Set once somebody waits for that."""
        self.services: Services | None = None
        """What kernels may ask of this server, besides files."""
        self.watchers: list[Callable[[str], None]] = []
        """Told of each kernel that comes or goes, by its id."""
        self.pool: Pool[KubeKernelManager] = Pool(self._begin_warm, self.log)
        self._settled_by: float | None = None  # the event loop's time

    @default("server_name")
    def _default_server_name(self) -> str:
        return server_name(os.environ, socket.gethostname(), self.root_dir)

    @property
    def server_hash(self) -> str:
        """The label that marks this server's kernels."""
        return naming.digest(f"{user_name()}/{self.server_name}", 16)

    # --- kernels that were there before the server ------------------------------------------------

    async def attach(self, cluster: Cluster, sessions: Any) -> bool:
        """Attach to the kernels that a server of this name left; tries until it can.

        Returns False without credentials: asking for them again might open a browser each time.

        Parameters
        ----------
        cluster
            Where they run; held by the caller.
        sessions
            Jupyter's session manager.

        """
        from .found import find_when_reached

        try:
            client = await cluster.client()
        except NotConfigured as error:
            self.log.info("No kernels on Kubernetes can be started yet: %s", error)
            self._settle()
            return False
        found = await find_when_reached(
            client, self.server_hash, self.log, known=self._has_pod, on_trouble=self._settle
        )
        for kernel in found:
            if kernel.kernel_id in self:
                continue
            if self.class_for(kernel.kernel_name) is None:
                self.log.warning(
                    "pod/%s runs a kernel of %r, which this server does not offer any more",
                    *(kernel.pod["metadata"]["name"], kernel.kernel_name),
                )
                continue
            self._take(kernel)
            for session in kernel.sessions:
                await sessions.save_session(
                    session["id"],
                    path=session["path"],
                    name=session["name"],
                    type=session["type"],
                    kernel_id=kernel.kernel_id,
                )
        return True

    def _settle(self) -> None:
        self._settled_by = 0.0  # lists need not wait for an API that is away

    def _has_pod(self, name: str) -> bool:
        kernel_ids = (*self.list_kernel_ids(), *self.pool.kernel_ids())
        return name in map(naming.kernel_name, kernel_ids)

    def _take(self, found: Found) -> None:
        kwargs = {"kernel_id": found.kernel_id}
        kernel, _, kernel_id = self.pre_start_kernel(found.kernel_name, kwargs)
        kernel.begin(kernel_id, env={"JPY_SESSION_NAME": found.notebook}, found=found)
        self._enter(kernel_id, kernel)
        self.log.info("Kernel %s goes on in pod %s", kernel_id, found.pod["metadata"]["name"])

    def left_to_another(self, kernel_id: str) -> None:
        """Forget a kernel that turned out to be with another server."""
        self.log.info("Kernel %s is with another server of this name", kernel_id)
        self._forget(kernel_id)

    async def settled(self) -> None:
        """Wait for the kernels that were there before, without which lists mislead.

        All requests together wait a moment only: the cluster may be away for hours.
        """
        attaching, now = self.attaching, asyncio.get_running_loop().time()
        if attaching is None or attaching is asyncio.current_task():
            return
        self.asked.set()
        if self._settled_by is None:
            self._settled_by = now + _PATIENCE
        if now < self._settled_by:
            await asyncio.wait([attaching], timeout=self._settled_by - now)

    async def list_kernels(self) -> list[dict[str, Any]]:
        """List all kernels, those that were there before the server, too."""
        await self.settled()
        kernels: list[dict[str, Any]] = super().list_kernels()
        return kernels

    def kernel_model(self, kernel_id: str) -> Any:
        """Describe a kernel; awaitable while it may yet be attached."""
        if kernel_id not in self and self.attaching is not None and not self.attaching.done():
            return self._late_model(kernel_id)
        return super().kernel_model(kernel_id)

    async def _late_model(self, kernel_id: str) -> Any:
        await self.settled()
        return super().kernel_model(kernel_id)

    # --- one kernel ------------------------------------------------------------------------------

    def class_for(self, kernel_name: str) -> type[Any] | None:
        """Return our kernel manager class for kernelspecs that name our provisioner."""
        try:
            spec = self.kernel_spec_manager.get_kernel_spec(kernel_name) if kernel_name else None
        except NoSuchKernel:
            return None
        if spec is None or specs.provisioner_config(spec) is None:
            return None
        return KubeKernelManager

    def ours(self, kernel_id: str) -> KubeKernelManager | None:
        """Return a kernel's manager if the kernel is one of ours.

        Raises
        ------
        HTTPError
            404 if there is no such kernel.

        """
        kernel = self.get_kernel(kernel_id)
        return kernel if isinstance(kernel, KubeKernelManager) else None

    async def start_kernel(
        self, *, kernel_id: str | None = None, path: Any = None, **kwargs: Any
    ) -> str:
        """Start a kernel; ours are in the map at once and start in the background.

        Returns when the kernel is ready, as soon as it is known to wait for something, or after
        ``start_patience``.

        Raises
        ------
        StartRefused
            If it cannot start, in Kubernetes' words.

        """
        name = kwargs.get("kernel_name") or self.default_kernel_name
        if (kernel_id is not None and kernel_id in self) or self.class_for(name) is None:
            started: str = await super().start_kernel(kernel_id=kernel_id, path=path, **kwargs)
            return started
        kwargs |= {"kernel_name": name, "env": in_folder(kwargs.get("env"), path)}
        if kernel_id is not None:
            kwargs["kernel_id"] = kernel_id
        elif warm := await self._take_warm(name, kwargs.get("env")):
            return warm
        kernel, _, kernel_id = self.pre_start_kernel(kwargs.pop("kernel_name"), kwargs)
        kernel.begin(kernel_id, env=kwargs.get("env"))
        self._enter(kernel_id, kernel)
        try:
            await kernel.first_word(self.start_patience)
        except Exception as error:
            self._forget(kernel_id)
            raise StartRefused(error) from error
        self.log.info("Kernel started: %s (%s)", kernel_id, kernel.stage)
        return kernel_id

    async def _take_warm(self, name: str, env: Mapping[str, str] | None) -> str:
        """Take a kernel from the pool, if one is ready and fits; returns its id."""
        if not self.pool.ready(name):
            return ""
        notebook = notebook_of(env, self.root_dir)
        profile = (specs.provisioner_config(self.kernel_spec_manager.get_kernel_spec(name)) or {})[
            "profile"
        ]
        contents = self.parent.contents_manager
        try:
            if await read_choice(contents, notebook, profile, log=self.log):
                return ""
        except InvalidInput:  # the start that follows says so
            return ""
        kernel = await self.pool.take(name, notebook)
        if kernel is None:
            return ""
        self._enter(kernel.kernel_id, kernel)
        adapter.watch_activity(self, kernel.kernel_id)
        self.log.info("Kernel started: %s (it was warm)", kernel.kernel_id)
        return kernel.kernel_id

    def keep_warm(self, profiles: Iterable[Profile]) -> None:
        """Keep kernels of these profiles ready, as many as each says."""
        for profile in profiles:
            if profile.warm:
                self.log.info(
                    "Kept ready: %d of profile %s, each with %s",
                    *(profile.warm, profile.name, profile.resources["requests"]),
                )
                self.pool.keep(specs.spec_name(profile.name), profile.warm)

    def _begin_warm(self, name: str) -> KubeKernelManager:
        made = self.pre_start_kernel(name, {})
        kernel: KubeKernelManager = made[0]
        kernel.begin(made[2], env=None, warm=True)
        return kernel

    def start_watching_activity(self, kernel_id: str) -> None:
        """Watch what a kernel does; ours at less cost."""
        super().start_watching_activity(kernel_id)
        if kernel := self.ours(kernel_id):
            stream = adapter.activity_stream(kernel)
            stream.on_recv(partial(activity.record, self, kernel))
            if adapter.connections(self, kernel_id):
                activity.narrow(stream)

    def notify_connect(self, kernel_id: str) -> None:
        """Notice a front end's connection."""
        super().notify_connect(kernel_id)
        if (watch := self._watch(kernel_id)) and adapter.connections(self, kernel_id) == 1:
            activity.narrow(watch)

    def notify_disconnect(self, kernel_id: str) -> None:
        """Notice the end of one."""
        super().notify_disconnect(kernel_id)
        if (watch := self._watch(kernel_id)) and adapter.connections(self, kernel_id) == 0:
            activity.widen(watch)

    def _watch(self, kernel_id: str) -> Any:
        """Return the stream on which the activity of a kernel of ours is watched, if it is."""
        kernel = self.ours(kernel_id) if kernel_id in self else None
        stream = adapter.activity_stream(kernel)
        return None if stream is None or stream.closed() else stream

    def launched(self, kernel_id: str) -> None:
        """Act on a kernel that has become ready."""
        adapter.watch_activity(self, kernel_id)

    def ended(self, kernel_id: str) -> None:
        """Act on a kernel that is dead; it stays in the map, so that its reason can be seen."""
        if kernel_id in self:
            self.stop_watching_activity(kernel_id)
        else:
            self.pool.drop(kernel_id)

    async def shutdown_kernel(
        self, kernel_id: str, now: bool = False, restart: bool = False
    ) -> None:
        """End a kernel; ours also while they start, and at once."""
        kernel = self.ours(kernel_id)
        if kernel is None:
            await super().shutdown_kernel(kernel_id, now=now, restart=restart)
            return
        self.log.info("Kernel shutdown: %s", kernel_id)
        await kernel.end(now=now)
        self._forget(kernel_id)

    async def restart_kernel(self, kernel_id: str, now: bool = False) -> Any:
        """Restart a kernel; ours in their pod, with all websockets going on."""
        kernel = self.ours(kernel_id)
        if kernel is None:
            return await super().restart_kernel(kernel_id, now=now)
        async with asyncio.timeout(self.kernel_info_timeout):
            await kernel.restart_kernel(now=now)
        self.log.info("Kernel restarted: %s", kernel_id)
        return None

    def interrupt_kernel(self, kernel_id: str) -> Any:
        """Interrupt a kernel."""
        kernel = self.ours(kernel_id)
        if kernel is not None and not kernel.up:
            raise HTTPError(409, f"The kernel is {kernel.stage}. {kernel.reason}".strip())
        return super().interrupt_kernel(kernel_id)

    async def shutdown_all(self, now: bool = False) -> None:
        """End all kernels side by side, or leave ours to the next server; within seconds."""
        self.stopping = True
        if self.attaching is not None:
            self.attaching.cancel()
            await asyncio.wait([self.attaching])
        ours = [k for k in self.list_kernel_ids() if self.ours(k) is not None]
        others = [k for k in self.list_kernel_ids() if k not in ours]
        ends = [self._end_quietly(kernel_id, now=now) for kernel_id in ours]
        await asyncio.gather(
            *ends, self._close_pool(), adapter.shut_down_stock(self, others, now=now)
        )

    async def _close_pool(self) -> None:
        try:
            async with asyncio.timeout(_END_TIMEOUT):
                await self.pool.close()
        except TimeoutError:
            self.log.error("warm kernels did not end in time; the next server removes them")

    async def _end_quietly(self, kernel_id: str, *, now: bool) -> None:
        try:
            async with asyncio.timeout(_END_TIMEOUT):
                if self.keep_kernels:
                    await self._leave(kernel_id)
                else:
                    await self.shutdown_kernel(kernel_id, now=now)
        except TimeoutError:
            kernel = self.ours(kernel_id)
            if kernel is not None:
                kernel.abandon()
            self.log.error("kernel %s did not end in time; its pod may still be there", kernel_id)
        except Exception:
            self.log.exception("kernel %s was not shut down cleanly", kernel_id)

    async def _leave(self, kernel_id: str) -> None:
        kernel = self.ours(kernel_id)
        if kernel is not None:
            await kernel.detach()
        self._forget(kernel_id)

    def _enter(self, kernel_id: str, kernel: KubeKernelManager) -> None:
        adapter.enter(self, kernel_id, kernel)
        self._tell(kernel_id)

    def _forget(self, kernel_id: str) -> None:
        adapter.leave(self, kernel_id)
        self._tell(kernel_id)

    def _tell(self, kernel_id: str) -> None:
        for watcher in list(self.watchers):
            watcher(kernel_id)


def server_name(environ: Mapping[str, str], host: str, root: str) -> str:
    """Name a Jupyter Server, the same after each of its restarts (pure)."""
    if "JUPYTERHUB_USER" in environ:
        return f"hub:{environ['JUPYTERHUB_USER']}/{environ.get('JUPYTERHUB_SERVER_NAME', '')}"
    # A pod's host name is new in each pod; the kernel's own gate keeps two servers apart.
    return f"{'pod' if 'KUBERNETES_SERVICE_HOST' in environ else host}:{root}"
