"""One kernel of ours as Jupyter Server sees it: its state, from its start to its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from jupyter_server.services.kernels.kernelmanager import (
    ServerKernelManager,
    emit_kernel_action_event,
)
from traitlets import default, validate

from .. import naming
from ..errors import KubeError
from ..models import PodState
from . import activity, adapter, news, specs
from .advice import Death
from .choice import read_choice
from .ledger import Ledger
from .notebooks import notebook_of
from .relay import HeldElsewhere

if TYPE_CHECKING:  # importing it, and with it what talks to the cluster, would delay the server
    from .found import Found
    from .provisioner import KubeProvisioner
    from .recall import Recording

_WAITING = {"waiting", "pulling"}  # phases that a cell is told of
_OPEN_END = "waiting"  # the phase in which nobody should be kept waiting for an answer
_FILES = 20.0  # seconds for bringing files back before a kernel is ended
_LAST_FILES = 1.5  # the same when the server itself ends
_GRACE = 1.0  # seconds an old kernel process gets to leave
_EXPLAINED = 5.0  # seconds for the cause of a container's end, which Kubernetes knows
_LAST_WORDS = 0.05  # seconds for the last messages of a process that ended to get through


Stage = Literal["starting", "up", "restarting", "dead", "ending"]


class Listener(Protocol):
    """A front end's connection, which is told what happens to the kernel."""

    ledger: Ledger

    def kernel_waits(self) -> None:
        """Hear that there is news of the start."""

    def kernel_says(self, words: str) -> None:
        """Write something under the cell that is at work."""

    def kernel_reached(self) -> None:
        """Expect what piled up while the pod was out of reach."""

    def kernel_down(self) -> None:
        """Send nothing more to the kernel until it is up again."""

    def kernel_settled(self, why: str, *, final: bool = False) -> None:
        """Answer what the process that ended has taken along; ``why`` is empty after a restart."""

    def kernel_up(self) -> None:
        """Connect to the kernel process that is ready now."""


class KubeKernelManager(ServerKernelManager):
    """Manages one kernel that is a pod.

    ``execution_state`` is what the kernel says while it is up, else the :attr:`stage`; ``reason``
    tells why.
    """

    stage: Stage = "starting"
    """Where the kernel stands in its life."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.listeners: list[Listener] = []
        """Open connections of front ends."""
        self.ledgers: dict[str, Ledger] = {}
        """By session, for front ends that lose their connection and come back."""
        self.waits_for = ""
        """What a start is known to wait for, in words."""
        self.silence = ""
        """That the pod does not answer, in words; empty while it does."""
        self.process = 0
        """Counts the kernel processes there were."""
        self.states = 0
        """Counts what the kernel has said of its state."""
        self.attached = False
        """Whether the kernel ran before this server did."""
        self.begun: datetime | None = None
        """When its start began here."""
        self.joined: datetime | None = None
        """When this server's session with the pod began: before that it was not idle."""
        self.warm = False
        """Whether nobody has asked for it yet."""
        self.caught_up: set[str] = set()
        """Sessions that have been given what an attached kernel said before."""
        self._unreached = False  # since the link was lost
        self._cut_off = False  # dead here, while the pod goes on
        self._callbacks = adapter.add_callbacks(self)
        self._starting: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._word: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settling: asyncio.TimerHandle | None = None
        self._why = ""
        self._notebook = ""
        self._notes: dict[str, str] = {}  # annotations, of each pod this kernel has
        self._learning: asyncio.Task[None] | None = None

    @default("extra_event_schema_paths")
    def _default_extra_event_schema_paths(self) -> list[Path]:
        return list(news.SCHEMAS)

    @property
    def up(self) -> bool:
        """Whether the kernel can be talked to."""
        return self.stage == "up"

    @validate("execution_state")
    def _check_execution_state(self, proposal: Any) -> Any:
        """Let no message of the kernel, however late or early, say what only the stage can."""
        if self.stage != "up":
            return self.stage
        self.states += 1
        return "idle" if proposal["value"] == "starting" else proposal["value"]

    def _enter(self, stage: Stage, reason: str = "") -> None:
        self.stage = stage
        self.execution_state, self.reason = "idle", reason

    # --- starting --------------------------------------------------------------------------------

    def begin(
        self,
        kernel_id: str,
        env: dict[str, str] | None,
        found: Found | None = None,
        *,
        warm: bool = False,
    ) -> None:
        """Start in the background, attach to a kernel that was found, or start one in advance."""
        self.kernel_id, self.warm, self.begun = kernel_id, warm, datetime.now(UTC)
        self._enter("starting", "The server is attaching to the kernel again." if found else "")
        self.attached = found is not None
        self.last_activity = datetime.now(UTC)
        self._word = asyncio.get_running_loop().create_future()
        self._starting = asyncio.create_task(self._start(kernel_id, env, found))

    @property
    def behind(self) -> bool:
        """Whether there is output of a time in which no server was attached."""
        return self.attached and self.provisioner is not None and self.provisioner.since is not None

    async def recall(self, session: str) -> Recording | None:
        """Return what was said to a front end while no server was there; None if there was one.

        Raises
        ------
        TimeoutError, RecallError
            If nobody knows.

        """
        recording: Recording | None = await self.provisioner.recall(session)
        return recording

    async def claim(self, notebook: str) -> None:
        """Take a kernel that was started in advance for a notebook.

        Raises
        ------
        KubeError
            If it is not to be had.

        """
        await self.provisioner.claim(notebook)
        self.warm, self._notebook, self.last_activity = False, notebook, datetime.now(UTC)

    async def first_word(self, patience: float | None) -> None:
        """Return when the kernel is ready or known to wait; raise why it cannot start."""
        await asyncio.wait([self._word], timeout=patience)
        if self._word.done():
            self._word.result()
        else:
            self._word.cancel()

    async def _start(self, kernel_id: str, env: dict[str, str] | None, found: Found | None) -> None:
        self._notebook = notebook = notebook_of(env, self.parent.root_dir) or self._notebook
        try:
            await self.start_kernel(
                kernel_id=kernel_id,
                env={"JPY_SESSION_NAME": notebook},
                server=self.parent.server_hash,
                choice={} if found else await self._read_choice(notebook),
                found=found,
                home=self.home,
                services=self.parent.services,
                warm=self.warm,
                notes=self.notes,
            )
        except Exception as error:
            known = adapter.take_start_error(self) is error or isinstance(error, KubeError)
            if not known:
                self.log.exception("Kernel %s cannot be started", kernel_id)
            self._dead(Death("start", str(error)))
            self._say_first(error)
            if isinstance(error, HeldElsewhere) and found:
                self.parent.left_to_another(kernel_id)

    @property
    def notebook(self) -> str:
        """Path of the notebook it belongs to; empty if there is none."""
        return self._notebook

    @property
    def profile(self) -> str:
        """The name of its profile."""
        return str((specs.provisioner_config(self.kernel_spec) or {}).get("profile", ""))

    def home(self) -> Path:
        """Return the notebook's folder.

        Raises
        ------
        NoHomeError
            If there is none that this server can read.

        """
        from .home import home_of  # with what talks to pods

        return home_of(self.parent.parent.contents_manager, self._notebook)

    async def _read_choice(self, notebook: str) -> Mapping[str, Any]:
        """Return what the notebook's user chose of the profile's options."""
        contents = self.parent.parent.contents_manager
        return await read_choice(contents, notebook, self.profile, log=self.log)

    def remember(self, sessions: Sequence[Mapping[str, Any]]) -> None:
        """Keep Jupyter's sessions with this kernel where the next server will find them."""
        self._notes[naming.SESSIONS] = json.dumps(sessions)
        if sessions and sessions[0]["type"] == "notebook":
            self._notes[naming.NOTEBOOK] = self._notebook = sessions[0]["path"]
        if self.provisioner is not None:
            self.provisioner.note(self._notes)

    def notes(self) -> Mapping[str, str]:
        """Return the annotations for a pod that is made now."""
        return self._notes

    def _say_first(self, error: Exception | None = None) -> None:
        if self._word.done():
            return
        if error is None:
            self._word.set_result(None)
        else:
            self._word.set_exception(error)
            self._word.exception()  # seen: nobody waits for the first word of an attached kernel

    def start_restarter(self) -> None:
        """Do nothing: the pod's launcher notices deaths and repairs them."""

    def stop_restarter(self) -> None:
        """Do nothing."""

    def cleanup_ipc_files(self) -> None:
        """Leave the relay's sockets alone."""

    # --- what the provisioner tells --------------------------------------------------------------

    def kernel_event(self, event: dict[str, Any]) -> None:
        """Hear of one event; see :class:`.provisioner.Owner`."""
        match event["event"]:
            case "progress":
                self._progress(event["state"])
            case "launched":
                self._launched()
            case "died" if event.get("restarting"):
                self._died(event["death"], _LAST_WORDS)
                self.emit(**news.end(self.kernel_id, "restarting", event["death"]))
            case "launcher-restarted":
                self._died(event["death"], _EXPLAINED)
            case "explained" if self.stage == "restarting":
                self._explained(event["death"])
            case "ready" if self.stage == "restarting":
                self._up()
            case "died" | "gave-up" | "ended" | "error" | "gone" | "replaced":
                self._dead(event["death"])
            case "fault":
                self._dead(event["death"], pod_goes_on=not self.warm)
            case "silent" if self.up:
                self._silent(event["words"])
            case "heard" if self.up:
                self._heard(event["seconds"])
            case "link-lost" if self.up:
                self.reason = "The connection to the pod was lost and is being restored."
                self._unreached = True
            case "link-up" if self.up:
                self.reason = ""
                if self._unreached:  # and not moved to a better way
                    self._unreached = False
                    for listener in list(self.listeners):
                        listener.kernel_reached()

    def _progress(self, state: PodState) -> None:
        self.reason = state.message
        self.emit(**news.start(self.kernel_id, state.phase, state.reason, state.message))
        if state.phase in _WAITING and not state.terminal:
            self.waits_for = state.message
            if state.phase == _OPEN_END:
                self._say_first()
        for listener in list(self.listeners):
            listener.kernel_waits()

    def _launched(self) -> None:
        self.joined = datetime.now(UTC)
        self.emit(**news.start(self.kernel_id, "ready"))
        if not self.warm:
            self.parent.launched(self.kernel_id)
        self._up()
        self._say_first()
        if self.behind:
            self._learning = asyncio.create_task(activity.learn(self))

    def _up(self) -> None:
        """Let the front ends talk to the kernel process that is ready now."""
        self._settle()
        if self.up:
            return
        self._enter("up")
        self.process += 1
        self.waits_for = ""
        for listener in list(self.listeners):
            listener.kernel_up()

    def _died(self, death: Death, patience: float) -> None:
        """Act on a death that is being repaired; its last messages or its cause may be to come."""
        self.log.warning("Kernel %s: %s", self.kernel_id, death.words)
        self._down("restarting", death.text)
        loop = asyncio.get_running_loop()
        self._settling = loop.call_later(patience, self._settle)

    def _explained(self, death: Death) -> None:
        """Tell the cause of a container's end."""
        self.log.warning("Kernel %s: %s", self.kernel_id, death.words)
        self.reason = self._why = death.text
        self.emit(**news.end(self.kernel_id, "restarting", death))
        self._settle()

    def _silent(self, words: str) -> None:
        """Say that the pod does not answer; whatever becomes of it, the kernel is not replaced."""
        self.log.warning("Kernel %s: %s", self.kernel_id, words)
        self.reason = self.silence = words
        self.emit(**news.end(self.kernel_id, "lost", Death("silence", words)))
        for listener in list(self.listeners):
            listener.kernel_says(words)

    def _heard(self, seconds: float) -> None:
        """Say that the pod answers again."""
        words = f"The kernel's pod answers again, after {seconds:.0f} s. Nothing was lost."
        self.log.warning("Kernel %s: %s", self.kernel_id, words)
        self.reason = self.silence = ""
        self.emit(**news.end(self.kernel_id, "found", Death("silence", words)))
        for listener in list(self.listeners):
            listener.kernel_says(words)

    def _down(self, stage: Stage, why: str) -> None:
        self._settle()
        self._enter(stage, why)
        self._why, self.silence = why, ""
        self.last_activity = datetime.now(UTC)
        for listener in list(self.listeners):
            listener.kernel_down()

    def _settle(self) -> None:
        """Answer for the process that ended, then tell everybody."""
        if self._settling is None:
            return
        self._settling.cancel()
        self._settling = None
        self._answer(self._why)
        self._callbacks.fire("restart")

    def _answer(self, why: str, *, final: bool = False) -> None:
        adapter.drop_control_socket(self)
        for listener in list(self.listeners):
            listener.kernel_settled(why, final=final)

    def _dead(self, death: Death, *, pod_goes_on: bool = False) -> None:
        """Act on an end that nobody repairs: answer all, and let the pod go.

        A pod that goes on is kept until its user ends or restarts the kernel, or the next server
        attaches to it.
        """
        if (self.stage == "dead" and not self._cut_off) or self._ending is not None:
            return
        self.log.error("Kernel %s is dead: %s", self.kernel_id, death.words)
        if self.stage == "starting":
            self.emit(**news.start(self.kernel_id, "failed", message=death.words))
        self._down("dead", death.text)
        self.emit(**news.end(self.kernel_id, "dead", death))
        self._answer(death.text, final=True)
        self._callbacks.fire("dead")
        self.parent.ended(self.kernel_id)
        self._cut_off = pod_goes_on
        if not pod_goes_on:
            self._leaving = asyncio.create_task(self._let_go())

    # --- restarting and ending -------------------------------------------------------------------

    @emit_kernel_action_event(success_msg="Kernel {kernel_id} was restarted.")  # type: ignore[untyped-decorator]  # no types
    async def restart_kernel(self, now: bool = False, newports: bool = False, **kw: Any) -> None:
        """Replace the kernel process in its pod.

        A dead kernel gets a new pod; one that is starting goes on with that.

        Raises
        ------
        LauncherError
            If the pod's launcher cannot.

        """
        if self.stage == "dead":
            await self._start_again()
            return
        if not self.up:
            return
        if not now:
            adapter.ask_to_leave(self, restart=True)
        self._down("restarting", "")
        self._answer("")
        provisioner: KubeProvisioner = self.provisioner
        await provisioner.restart(0.0 if now else _GRACE)
        self._up()

    async def _start_again(self) -> None:
        if self._cut_off:
            self._cut_off, self._leaving = False, asyncio.create_task(self._let_go())
        if self._leaving is not None:
            await asyncio.wait([self._leaving])
        self.begin(self.kernel_id, None)
        await self.first_word(self.parent.start_patience)

    async def detach(self) -> None:
        """Leave the kernel to the next server; one that still starts or is being ended is ended."""
        goes_on = self.attached or self._cut_off or self.stage in {"up", "restarting"}
        if not goes_on or self._ending is not None:
            await self.end(now=True)
            return
        self._settle_now()
        self.stage = "ending"
        for listener in list(self.listeners):
            listener.kernel_down()
        await self._stop_starting()
        if self.provisioner is not None:
            await self.provisioner.bring_back_files(_LAST_FILES)
            await self.provisioner.detach()
        await self._let_go()

    def abandon(self) -> None:
        """Stop ending: there is no time left."""
        for task in (self._starting, self._leaving, self._ending):
            if task is not None:
                task.cancel()

    async def end(self, *, now: bool) -> None:
        """End the kernel, whatever state it is in; a second call waits for the first one's end."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(now=now))
        elif self.parent.stopping and self.provisioner is not None:
            self.provisioner.hurry_files(_LAST_FILES)  # there is time for either these or the pod
        await asyncio.shield(self._ending)

    async def _end(self, *, now: bool) -> None:
        was_up, self.stage = self.up, "ending"
        self._settle_now()
        if self.provisioner is not None and not self.parent.stopping:
            self.provisioner.end_asked()
        await self._stop_starting()
        if self._leaving is not None:
            await asyncio.wait([self._leaving])
        for listener in list(self.listeners):
            listener.kernel_down()
        if was_up:
            patience = _LAST_FILES if self.parent.stopping else _FILES
            await self.provisioner.bring_back_files(patience)
            await self.shutdown_kernel(now=now)
        else:
            await self._let_go()

    def _settle_now(self) -> None:
        if self._learning is not None:
            self._learning.cancel()
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None

    async def _stop_starting(self) -> None:
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait([self._starting])
            adapter.resolve_ready(self)

    async def _let_go(self) -> None:
        """Remove the pod and what is held for it here."""
        try:
            await self.cleanup_resources(restart=False)
        except Exception:
            self.log.exception("kernel %s was not cleaned up", self.kernel_id)
