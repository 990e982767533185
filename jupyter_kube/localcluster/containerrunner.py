"""One container of a pod: started, restarted, logged and ended."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import containers, images
from .backoff import Backoff, Nap
from .environment import Fetch, MissingReference, command_line, declared, relocate
from .logfile import Pulse, copy_to_log, tail_text
from .podstatus import ContainerRecord, restarts

log = logging.getLogger(__name__)

GRACE_FOR_REFERENCES = 0.3
"""Seconds a Secret may come after its pod before that shows as CreateContainerConfigError."""

_FIRST_BACKOFF, _LONGEST_BACKOFF = 10.0, 300.0
_PULL_SHOWN = 1.0
_LONGEST_MESSAGE = 4096
_LOG_LINES, _LOG_BYTES = 80, 2048
_DEFAULT_MESSAGE_PATH = "/dev/termination-log"


@dataclass(frozen=True)
class Surroundings:
    """What a container is given by its pod."""

    pod: Callable[[], Mapping[str, Any]]
    """The pod as it is now, with its address."""
    folder: Path
    env: Mapping[str, str]
    mounts: Mapping[str, str]
    fetch: Fetch
    event: Callable[[str, str, str], None]
    """``event(reason, message, type)`` on the pod."""
    changed: Callable[[], None]
    """To be called after each change of the container's record."""
    images_missing: Collection[str] = ()
    backoff_scale: float = 1.0


class ContainerRunner:
    """Run one container until it has ended for good."""

    def __init__(self, spec: Mapping[str, Any], policy: str, logs: Path) -> None:
        self.record = ContainerRecord(spec["name"], spec["image"])
        self.log_changed = Pulse()
        self._out_of_memory = False
        self._spec, self._policy, self._logs = spec, policy, logs
        self._nap = Nap()
        self._stop_wanted = False
        self._process: containers.Process | None = None
        self._execs: set[containers.Process] = set()
        self._env: Mapping[str, str] = {}
        self._cwd = logs
        self._paths: Mapping[str, str] = {}

    def log_path(self, restart: int) -> Path:
        """Give the log file of the container's ``restart``-th process."""
        return self._logs / f"{self.record.name}-{restart}.log"

    def poke(self) -> None:
        """Look again at what was missing."""
        self._nap.wake()

    def terminate(self) -> None:
        """Ask it to end, and start it no more."""
        self._stop_wanted = True
        self._nap.wake()
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._stop_wanted = True
        self._nap.wake()
        for process in (self._process, *self._execs):
            if process is not None:
                process.kill()

    def kill_as_out_of_memory(self) -> None:
        """End its process as the kernel does for lack of memory; it may be restarted."""
        if self._process is not None:
            self._out_of_memory = True
            self._process.kill()

    async def exec(
        self, argv: list[str], *, stdin: bool = False, tty: bool = False
    ) -> containers.Process:
        """Start a further command beside the container's own; it ends with the container.

        Raises
        ------
        CannotStart
            If the container does not run, or there is no such command.

        """
        if not self._runs():
            msg = f'container not found ("{self.record.name}")'
            raise containers.CannotStart(msg)
        process = await containers.start(
            argv, self._env, self._cwd, stdin=stdin, split=not tty, tty=tty
        )
        self._execs.add(process)
        if not self._runs():  # it ended meanwhile
            process.kill()
        return process

    def _runs(self) -> bool:
        return self._process is not None

    def _stopping(self) -> bool:
        return self._stop_wanted

    async def run(self, around: Surroundings) -> None:
        """Run it, again and again as its restart policy says."""
        backoff = Backoff(_FIRST_BACKOFF, _LONGEST_BACKOFF)
        code = await self._run_once(around)
        again = False
        while code is not None and restarts(self._policy, code) and not self._stopping():
            if again:  # the first restart is at once
                await self._back_off(around, backoff.next())
            again = True
            code = await self._run_once(around)

    async def _back_off(self, around: Surroundings, delay: float) -> None:
        pod = around.pod()["metadata"]
        where = f"{pod['name']}_{pod['namespace']}({pod['uid']})"
        name = self.record.name
        self.record.wait(
            "CrashLoopBackOff",
            f"back-off {_duration(delay)} restarting failed container={name} pod={where}",
        )
        around.changed()
        around.event(
            "BackOff", f"Back-off restarting failed container {name} in pod {where}", "Warning"
        )
        await self._pause(delay * around.backoff_scale)

    async def _pause(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self._stopping() and (left := until - loop.time()) > 0:
            await self._nap.sleep(left)

    async def _run_once(self, around: Surroundings) -> int | None:
        if not await self._image_is_there(around):
            return None
        known = await self._references(around)
        if known is None or self._stopping():
            return None
        message_file = self._prepare(around, known)
        try:
            process = await containers.start(
                [relocate(word, self._paths) for word in command_line(self._spec, known)],
                self._env,
                self._cwd,
            )
        except containers.CannotStart as problem:
            return self._not_started(around, str(problem))
        self._process = process
        self.record.run(f"local://{secrets.token_hex(32)}")
        if self._stopping():
            process.kill()
        around.changed()
        around.event("Created", "Container created", "Normal")
        around.event("Started", "Container started", "Normal")
        code = await self._follow(process)
        self._note_end(code, message_file)
        around.changed()
        self.log_changed.fire()
        return code

    async def _follow(self, process: containers.Process) -> int:
        try:
            if process.stdout is not None:
                await copy_to_log(
                    process.stdout, self.log_path(self.record.restarts), self.log_changed
                )
            return await process.wait()
        finally:
            self._process = None
            for each in self._execs:
                each.kill()
            self._execs.clear()

    async def _image_is_there(self, around: Surroundings) -> bool:
        image, policy = self._spec["image"], self._spec.get("imagePullPolicy", "IfNotPresent")
        backoff = Backoff(_FIRST_BACKOFF, _LONGEST_BACKOFF)
        while not self._stopping():
            try:
                images.check(image, policy, around.images_missing)
            except images.ImageProblem as problem:
                await self._no_image(around, problem, backoff)
            else:
                present = f'Container image "{image}" already present on machine'
                around.event("Pulled", f"{present} and can be accessed by the pod", "Normal")
                return True
        return False

    async def _no_image(
        self, around: Surroundings, problem: images.ImageProblem, backoff: Backoff
    ) -> None:
        image = self._spec["image"]
        self.record.wait(problem.reason, str(problem))
        around.changed()
        if not problem.retry:
            around.event("Failed", f"Error: {problem.reason}", "Warning")
            await self._nap.sleep()
            return
        around.event("Pulling", f'Pulling image "{image}"', "Normal")
        around.event("Failed", f'Failed to pull image "{image}": {problem}', "Warning")
        around.event("Failed", f"Error: {problem.reason}", "Warning")
        await self._pause(_PULL_SHOWN * around.backoff_scale)
        if self._stopping():
            return
        back_off = f'Back-off pulling image "{image}"'
        self.record.wait("ImagePullBackOff", f"{back_off}: ErrImagePull: {problem}")
        around.changed()
        around.event("BackOff", back_off, "Normal")
        around.event("Failed", "Error: ImagePullBackOff", "Warning")
        await self._pause(backoff.next() * around.backoff_scale)

    async def _references(self, around: Surroundings) -> dict[str, str] | None:
        """Resolve the environment, waiting for the Secrets and ConfigMaps it needs."""
        loop = asyncio.get_running_loop()
        shown_at = loop.time() + GRACE_FOR_REFERENCES
        shown = ""
        while not self._stopping():
            try:
                return declared(self._spec, around.pod(), around.fetch)
            except MissingReference as missing:
                problem = str(missing)
            if problem != shown and loop.time() >= shown_at:
                shown = problem
                self.record.wait("CreateContainerConfigError", problem)
                around.changed()
                around.event("Failed", f"Error: {problem}", "Warning")
            await self._nap.sleep(None if shown else max(shown_at - loop.time(), 0))
        return None

    def _prepare(self, around: Surroundings, known: Mapping[str, str]) -> Path:
        written = self._spec.get("terminationMessagePath") or _DEFAULT_MESSAGE_PATH
        message_file = self._logs / f"{self.record.name}-message"
        message_file.write_bytes(b"")
        self._paths = {**around.mounts, written: str(message_file)}
        moved = {name: relocate(value, self._paths) for name, value in known.items()}
        self._env = {**around.env, **moved}
        folder = self._spec.get("workingDir")
        self._cwd = Path(relocate(folder, self._paths)) if folder else around.folder
        return message_file

    def _not_started(self, around: Surroundings, problem: str) -> int:
        self.record.run(f"local://{secrets.token_hex(32)}")
        self.log_path(self.record.restarts).touch()
        self.record.end(containers.CANNOT_START, "StartError", problem)
        around.changed()
        around.event("Failed", f"Error: {problem}", "Warning")
        self.log_changed.fire()
        return containers.CANNOT_START

    def _note_end(self, code: int, message_file: Path) -> None:
        reason = "OOMKilled" if self._out_of_memory else "Error" if code else "Completed"
        self._out_of_memory = False
        message = message_file.read_bytes()[:_LONGEST_MESSAGE].decode(errors="replace")
        policy = self._spec.get("terminationMessagePolicy")
        if not message and code and policy == "FallbackToLogsOnError":
            message = tail_text(self.log_path(self.record.restarts), _LOG_LINES, _LOG_BYTES)
        self.record.end(code, reason, message)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
