"""The kernel provisioner: what Jupyter calls to start, restart and end a kernel that is a pod.

It works under our own kernel manager, which it tells of everything that happens (:class:`Owner`),
and under Jupyter's stock ones, for kernelspecs outside our server extension.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import zmq
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerBase
from traitlets import CaselessStrEnum, Unicode

from .. import config as settings
from .. import naming
from ..errors import InvalidInput, StartFailed
from ..kube.client import KubeClient
from ..models import Profile
from . import podspec
from .cluster import Cluster, shared
from .errands import Handler, Services
from .folder import Limits
from .found import Found
from .home import Home, NoHomeError, NotebookFiles
from .life import Identity, Life
from .pod import KernelPod
from .relay import LauncherError
from .sockets import short_folder

if TYPE_CHECKING:
    from .recall import Recording

_ENDS = {"died", "launcher-restarted", "gave-up", "ended", "error", "gone", "replaced"}
_USUAL: dict[str, Any] = {
    "server": "",
    "choice": {},
    "found": None,
    "home": None,
    "services": None,
    "warm": False,
    "notes": dict,
}
"""What our own manager says besides of a kernel to be launched; the stock ones say nothing."""
_UNREACHED = 1.5  # seconds to bring files back over a link that is lost
_ORDER_TIMEOUT = 2.0  # seconds an order that cannot wait may take to get through


@runtime_checkable
class Owner(Protocol):
    """A kernel manager that wants to know what happens to its kernel."""

    def kernel_event(self, event: dict[str, Any]) -> None:
        """Hear of one event.

        ``event`` is one of :class:`.relay.Relay`'s, or ``progress`` (``state``: a
        :class:`~jupyter_kube.models.PodState`), ``launched`` once a start has succeeded, or
        ``gone`` (``reason``) when the pod of a running kernel ended.
        """


class KubeProvisioner(KernelProvisionerBase):
    """Runs a kernel in a pod of its own."""

    profile = Unicode("", help="Name of the profile. Empty: the default one.").tag(config=True)
    reach = CaselessStrEnum(
        ("auto", "port-forward", "pod-ip"),
        default_value="auto",
        help="""How the pod is reached: by a port-forward through the Kubernetes API, at the pod's
        own address, or first the one, then the other where that works (auto).""",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._life: Life | None = None
        self._folder: Path | None = None
        self._profiles: tuple[Profile, ...] = ()  # all there are
        self._files: NotebookFiles | None = None
        self._launched = False
        self._exit_code: int | None = None  # of the process Jupyter believes in
        self._collected = False  # whether Jupyter has taken note of it
        self._renewed = False  # whether a new process runs that Jupyter has not asked for yet
        self._changed = asyncio.Event()

    # --- what Jupyter asks -----------------------------------------------------------------------

    @property
    def has_process(self) -> bool:
        """Whether there is a kernel that Jupyter has not seen the end of."""
        return self._life is not None and not self._collected

    async def poll(self) -> int | None:
        """Return the kernel's exit code, None while it lives; asks nobody."""
        return self._exit_code if self._life is not None else 0

    async def wait(self) -> int | None:
        """Wait until the kernel has ended; return its exit code."""
        while (code := await self.poll()) is None:
            await self._changed.wait()
        self._collected = True
        return code

    async def send_signal(self, signum: int) -> None:
        """Signal the kernel's process group."""
        if self._life is not None and self._exit_code is None and signum:
            await self._life.relay.command("signal", signum=signum)

    async def kill(self, restart: bool = False) -> None:
        """End the kernel process; the pod stays (what becomes of it, cleanup is told)."""
        if self._life is None or self._exit_code is not None:
            return
        try:
            async with asyncio.timeout(_ORDER_TIMEOUT):
                await self._life.relay.command("kill")
        except (TimeoutError, LauncherError) as error:
            self.log.warning("The kernel in pod %s was not reached: %s", self.pod_name, error)
        self._ended(-9)

    async def terminate(self, restart: bool = False) -> None:
        """End the kernel process, as :meth:`kill` does."""
        await self.kill(restart)

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Act on the shutdown message just sent: begin a new process beside it, or delete."""
        if self._life is None:
            return
        if not restart:
            self._ended(0)
            await self._life.delete_pod()
        elif self._exit_code is None:
            await self._life.relay.command("restart")
            self._ended(0)
            self._renewed = True

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Make the kernel's keys, once for its whole life."""
        manager = self.parent
        if not isinstance(manager, AsyncKernelManager):
            raise InvalidInput(
                "Kernels on Kubernetes need an asyncio kernel manager",
                f"{type(manager).__name__} is not one: nothing would carry the kernel's messages",
                "Use jupyter_client's AsyncKernelManager.",
            )
        if found := kwargs.get("found"):
            manager.session.key = found.launch["key"].encode()
            manager.curve_publickey = found.launch["curve_publickey"].encode()
            manager.curve_secretkey = found.launch["curve_secretkey"].encode()
        elif manager.curve_publickey is None:
            manager.curve_publickey, manager.curve_secretkey = zmq.curve_keypair()
        kwargs.pop("extra_arguments", None)
        launch: dict[str, Any] = await super().pre_launch(cmd=self.kernel_spec.argv, **kwargs)
        return launch

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the pod, or a new process in it; return when the kernel accepts connections.

        Raises
        ------
        StartFailed, ClusterError, NotConfigured, InvalidInput
            If the pod cannot run, in Kubernetes' words.
        LauncherError
            If the pod runs and the kernel in it does not.

        """
        who = {name: kwargs.get(name) or usual for name, usual in _USUAL.items()}
        if self._life is not None and self._life.over:
            await self._end_life()
        if self._life is None:
            await self._start((kwargs.get("env") or {}).get("JPY_SESSION_NAME", ""), **who)
            return self.connection_info
        if not self._renewed:
            await self._life.relay.command("restart")
        await self._life.relay.ready()
        self._alive()
        return self.connection_info

    async def post_launch(self, **kwargs: Any) -> None:
        """Tell the owner that the kernel can be talked to."""
        self._tell({"event": "launched"})

    async def cleanup(self, restart: bool = False) -> None:
        """Delete the pod and all that belongs to it, unless the kernel is to be restarted."""
        if restart and self._life is not None:
            self._life.link_sockets()  # the stock manager removes them
        elif not restart:
            await self._end_life()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    # --- what our own manager asks besides -------------------------------------------------------

    @property
    def pod_name(self) -> str:
        """The pod's name, also before it exists."""
        return naming.kernel_name(self.kernel_id)

    async def restart(self, grace: float) -> None:
        """Replace the kernel process by a new one in the same pod; return when that is ready.

        Raises
        ------
        LauncherError
            If the pod's launcher cannot.

        """
        if self._life is None:
            raise LauncherError("There is no pod to restart the kernel in")
        await self._life.relay.command("restart", grace=grace)
        await self._life.relay.ready()
        self._alive()

    async def bring_back_files(self, patience: float) -> None:
        """Copy what changed in the pod back to the notebook's folder, if it came from there."""
        if self._files is not None and self._life is not None:
            lost = self._life.relay.trouble
            await self._files.bring_back(min(patience, _UNREACHED) if lost else patience)

    def hurry_files(self, patience: float) -> None:
        """Leave no more than so many seconds to files that are being brought back."""
        if self._files is not None:
            self._files.hurry(patience)

    async def detach(self) -> None:
        """Leave the kernel to the next server: cleanup will not end it."""
        await self._hang_up()
        if self._life is not None:
            await self._life.detach()

    @property
    def since(self) -> float | None:
        """Until when, by the pod's clock, a former server had all output; None without one."""
        return self._life.relay.since if self._life is not None else None

    async def recall(self, session: str) -> Recording | None:
        """Return what the kernel told a front end since the former server left.

        Raises
        ------
        TimeoutError
            If the pod's companion does not answer.
        RecallError
            If there is none, or it answers with something else.

        """
        if self._life is None or self._life.relay.since is None:
            return None
        from .recall import RecallError, recall  # seldom needed

        if self._life.relay.alone:
            raise RecallError("nothing recorded it, for which the pod's log has the reason")
        return await recall(
            self._life.relay.companion,
            key=self.parent.session.key,
            curve_publickey=self.parent.curve_publickey,
            curve_secretkey=self.parent.curve_secretkey,
            session=session,
            since=self._life.relay.since,
        )

    async def claim(self, notebook: str) -> None:
        """Take the kernel out of the warm pool, for a notebook.

        Raises
        ------
        KubeError
            If somebody else has it, or it is gone.

        """
        if self._life is None:
            raise LauncherError("There is no pod to be claimed")
        await self._life.claim({naming.NOTEBOOK: notebook} if notebook else {})

    def end_asked(self) -> None:
        """Have a pod that is still being attached to deleted if that is cancelled now."""
        if not self._launched:
            self._ended(0)

    def note(self, annotations: Mapping[str, str]) -> None:
        """Annotate the pod, now or as soon as it exists."""
        if self._life is not None:
            self._life.note(annotations)

    # --- inside ----------------------------------------------------------------------------------

    async def _start(
        self,
        notebook: str,
        *,
        server: str,
        choice: Mapping[str, Any],
        found: Found | None,
        home: Home | None,
        services: Services | None,
        warm: bool,
        notes: Callable[[], Mapping[str, str]],
    ) -> None:
        """Start the pod, or attach to one; if a start fails or is cancelled, leave nothing."""
        config = settings.KubeConfig(parent=self)
        if not self.config.KubeConfig:
            config = settings.load()
        user, folder = settings.user_name(), str(PurePosixPath(notebook).parent)
        profile = config.profile(self.profile).vary(choice)
        if not found:
            profile = profile.placed(user=user, folder=folder)
        limits = Limits(*config.files_limits())
        if home is not None:
            self._files = NotebookFiles(home, limits, copied=bool(profile.files), log=self.log)
            if not found:
                await self._files.check()
        self._profiles = tuple(config.valid_profiles().values())
        cluster = shared(config)
        cluster.hold()
        try:
            async with asyncio.timeout(None if found else profile.start_timeout):
                client = await cluster.client()
                more = services(client, config, self.pod_name) if services else {}
                if found:
                    pod = KernelPod.existing(client, found.pod, found.secret_uid, log=self.log)
                    life = self._prepare(cluster, client, pod, {})
                    self.connection_info = await life.attach()
                    life.note(notes())  # not before: the pod may be another server's
                    self._connect_files(life, more)
                else:
                    manifest = podspec.pod(
                        profile,
                        self.kernel_id,
                        namespace=client.namespace,
                        user=user,
                        notebook=notebook,
                        settings=config.settings(user=user, folder=folder),
                        kernel_name=self.parent.kernel_name,
                        server=server,
                        warm=warm,
                    )
                    most = profile.max_per_user
                    pod = KernelPod(client, manifest, most=most, log=self.log)
                    options = podspec.options(profile, _name_of(folder, home), limits)
                    life = self._prepare(cluster, client, pod, options)
                    life.note(notes())
                    self.connection_info = await life.start()
                    self._connect_files(life, more)
                    if self._files is not None:
                        await self._files.fill()
        except BaseException as error:
            why = self._life.waits_for if self._life else ""
            await asyncio.shield(self.cleanup() if self._life else cluster.release())
            if isinstance(error, TimeoutError):
                raise StartFailed(
                    f"The kernel did not start within {profile.start_timeout:.0f} s",
                    why,
                    f'The profile "{profile.name}" sets this limit (start_timeout).',
                    obj=f"pod/{self.pod_name}",
                ) from None
            raise
        self._launched = True
        self._alive()

    def _prepare(
        self, cluster: Cluster, client: KubeClient, pod: KernelPod, options: Mapping[str, Any]
    ) -> Life:
        manager = self.parent
        identity = Identity(
            kernel_id=self.kernel_id,
            kernel_name=manager.kernel_name,
            user=settings.user_name(),
            key=manager.session.key,
            curve_publickey=manager.curve_publickey,
            curve_secretkey=manager.curve_secretkey,
        )
        self._folder = self._folder or short_folder()
        self._life = Life(
            identity,
            cluster,
            client,
            pod=pod,
            way=self.reach,
            folder=self._folder,
            options=options,
            profiles=self._profiles,
            asked=lambda: self._exit_code is not None,
            tell=self._on_event,
            log=self.log,
        )
        return self._life

    def _connect_files(self, life: Life, more: Mapping[str, Handler]) -> None:
        if self._files is not None:
            manager = self.parent
            self._files.connect(
                life.relay.companion,
                key=manager.session.key,
                public=manager.curve_publickey,
                secret=manager.curve_secretkey,
                more=more,
            )

    async def _hang_up(self) -> None:
        files, self._files = self._files, None
        if files is not None:
            await files.close()

    async def _end_life(self) -> None:
        await self._hang_up()
        life, self._life, self._launched = self._life, None, False
        if life is not None:
            await life.close()

    def _on_event(self, event: dict[str, Any]) -> None:
        """Act on what happens to the pod and in it, and pass it on."""
        if not self._launched and event["event"] != "progress":
            return
        kind = event["event"]
        repaired = kind == "launcher-restarted" or (kind == "died" and event["restarting"])
        if kind in {"gave-up", "ended", "error"} and self._life is not None:
            self._life.over = True
        # The stock restarter looks every 3 s: let it find what has long been repaired.
        if kind in _ENDS and not (repaired and isinstance(self.parent, Owner)):
            self._ended(_exit_code(event))
            self._renewed = repaired
        self._tell(event)

    def _alive(self) -> None:
        """Count the current kernel process as the one Jupyter knows."""
        self._exit_code, self._collected, self._renewed = None, False, False
        self._changed.clear()

    def _ended(self, code: int) -> None:
        self._exit_code = code
        self._changed.set()

    def _tell(self, event: dict[str, Any]) -> None:
        if isinstance(self.parent, Owner):
            self.parent.kernel_event(event)
        elif "death" in event:
            self.log.warning("Kernel %s: %s", self.kernel_id, event["death"].text)


def _name_of(folder: str, home: Home | None) -> str:
    """Name a copy of the notebook's folder; the server's root has a name of its own."""
    if folder in {"", "."} and home is not None:
        with contextlib.suppress(NoHomeError):
            return home().name
    return PurePosixPath(folder).name


def _exit_code(event: dict[str, Any]) -> int:
    """Return what ``subprocess`` would: a signal as a negative number."""
    if event.get("signal"):
        return -int(event["signal"])
    return int(event.get("exit_code") or 0) or 1
