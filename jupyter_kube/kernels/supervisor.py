"""Watch over the kernel in its pod: notice its death, start it anew in place, obey the server.

The container lives as long as the supervisor; kernel processes come and go under it, one
*generation* after the other, always with the same keys. This module travels into pods: standard
library only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

from .attend import Attendant
from .cgroup import oom_kills
from .gate import Gate
from .image import ipykernel_problem
from .launcher import Base, Kernel, leave_word
from .retire import Limits, Use, verdict
from .splice import CHANNELS, COMPANION, Pipe
from .stderr import Lending

log = logging.getLogger("jupyter-kube")

GRACE = 1.0
"""Seconds an old kernel process gets to leave by itself."""
HEALTHY = 10.0
"""Seconds of life after which earlier deaths are forgotten."""

CRASHES = {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}
"""Signals by which compiled code ends a process; what it wrote before may tell why."""

_STRIKES = 20  # five deaths before the kernel was ready, or twenty soon after, end the pod
_PROBE = 0.005  # seconds between looks at a starting kernel's sockets: libzmq tells nobody
_LAST_WORDS = 30.0  # seconds to wait for somebody to hear why the pod ends


def run(base: Base, first: Kernel) -> int:
    """Supervise until the pod shall end; return the container's exit code."""
    logging.basicConfig(level=logging.INFO, format="[jupyter-kube] %(message)s")
    return asyncio.run(Supervisor(base, first).run())


class Supervisor:
    """One kernel, through all its generations."""

    def __init__(self, base: Base, first: Kernel) -> None:
        self._base = base
        self._kernel = first
        self._running: dict[int, Kernel] = {first.pid: first}
        self._gone: dict[int, asyncio.Event] = {first.generation: asyncio.Event()}
        self._born = time.monotonic()
        self._ready = False
        self._wanted = True  # false from an order to end the kernel to the next restart
        self._strikes = 0
        self._oom_kills = oom_kills()
        self._death: dict[str, Any] = {}  # the last one told of
        self._failure: dict[str, Any] | None = None
        self._waiting: list[Pipe] = []  # streams for a kernel that is not ready yet
        self._joined: WeakKeyDictionary[Pipe, int] = WeakKeyDictionary()  # with which generation
        self._attendant = Attendant(base, self._tell_of_companion)
        self._gate = Gate(
            base.key,
            greeting=self._state,
            on_served=self._attendant.served,
            on_control=self._on_control,
            on_open=self._on_open,
        )
        self._lending = Lending(self._running)
        self._limits = Limits.of(base.options)
        self._first_start = self._born
        self._exit: asyncio.Future[int]
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Serve until the end; return the exit code."""
        loop = asyncio.get_running_loop()
        self._exit = loop.create_future()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.add_signal_handler(signal.SIGTERM, self._terminated)
        self._lending.open(self._base.lending)
        await self._gate.listen(self._base.options["port"])
        self._spawn(self._bring_up, self._kernel)
        self._spawn(self._watch_use)
        self._attendant.follow(self._kernel)
        self._spawn(self._attendant.keep)
        if self._base.options.get("cwd"):
            self._attendant.begin()
        self._reap()  # what died before the handler was there
        if "ipykernel_launcher" in self._base.argv:
            encrypted = bool(self._base.launch.get("curve_secretkey"))
            if problem := ipykernel_problem(encrypted=encrypted):
                self._fail("error", problem)
        code = await self._exit
        self._gate.close()
        self._attendant.stop()
        self._lending.close()
        for kernel in self._running.values():
            kernel.signal(signal.SIGKILL)
        self._base.clean_up()
        return code

    def _spawn(self, work: Callable[..., Awaitable[None]], *args: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._guard(work, *args))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Callable[..., Awaitable[None]], *args: Any) -> None:
        try:
            await work(*args)
        except Exception:
            log.exception("the supervisor failed")
            self._end(1)

    # a kernel's life

    def _start(self, old: Kernel | None = None) -> None:
        """Start the next generation at once; an old process may still be leaving."""
        try:
            kernel = self._base.start_kernel(self._kernel.generation + 1)
        except OSError as error:
            self._fail("gave-up", f"the kernel cannot be started again: {error}")
            return
        self._kernel = self._running[kernel.pid] = kernel
        self._gone[kernel.generation] = asyncio.Event()
        self._born, self._ready, self._wanted = time.monotonic(), False, True
        self._attendant.follow(kernel)
        self._gate.tell(self._state())
        self._spawn(self._bring_up, kernel, old)

    async def _bring_up(self, kernel: Kernel, old: Kernel | None = None) -> None:
        """Wait until a kernel's sockets take connections and its predecessor is gone; say so."""
        while not all(accepts(kernel.socket(n)) for n in range(len(CHANNELS), 0, -1)):
            if kernel is not self._kernel or kernel.pid not in self._running:
                return
            await asyncio.sleep(_PROBE)
        if old is not None:
            await self._gone[old.generation].wait()
        if kernel is self._kernel and kernel.pid in self._running:
            self._ready = True
            self._attendant.begin()
            self._gate.tell(self._state())
            waiting, self._waiting = self._waiting, []
            for pipe in waiting:
                if pipe.wanted:
                    self._spawn(self._connect, pipe)

    async def _leave(self, kernel: Kernel, grace: float) -> None:
        """Give a kernel process time to leave, then end it."""
        gone = self._gone[kernel.generation]
        try:
            async with asyncio.timeout(grace):
                await gone.wait()
        except TimeoutError:
            kernel.signal(signal.SIGKILL)
            await gone.wait()

    def _reap(self) -> None:
        """Collect every process that ended: ours, and those the container's first one inherits."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            if kernel := self._running.get(pid):
                self._spawn(self._bury, kernel, code)
            else:
                self._attendant.reaped(pid, code)

    async def _bury(self, kernel: Kernel, code: int) -> None:
        """Act on the end of a kernel process, once all it said has been read."""
        kernel.signal(signal.SIGKILL)  # what it started and left behind
        kernel.clean_up()
        await self._part(kernel.generation)
        del self._running[kernel.pid]
        self._gone[kernel.generation].set()
        last = self._lending.last_words(kernel.pid)
        if kernel is self._kernel:
            self._replace(kernel, code, last if code > 0 or -code in CRASHES else "")

    def _replace(self, kernel: Kernel, code: int, last: str) -> None:
        """Tell of a death, and start the next generation unless the end was wanted."""
        reason = self._reason(code)
        again = self._wanted and self._failure is None
        self._death = {
            "event": "died",
            "generation": kernel.generation,
            "exit_code": code if code >= 0 else None,
            "signal": -code if code < 0 else None,
            "reason": reason,
            "last": last,
            "restarting": again,
        }
        log.info("kernel generation %d ended: %s", kernel.generation, reason)
        self._attendant.died(reason, last)
        was_ready, self._ready = self._ready, False
        self._gate.tell(self._death)
        if not again:
            return
        if time.monotonic() - self._born > HEALTHY:
            self._strikes = 0
        self._strikes += 1 if was_ready else _STRIKES // 5
        if self._strikes < _STRIKES:
            self._start()
        else:
            why = f"the kernel keeps ending, the last time: {reason} (more in the pod's log)"
            self._fail("gave-up", why)

    def _reason(self, code: int) -> str:
        before, self._oom_kills = self._oom_kills, oom_kills()
        if code >= 0:
            return f"exit code {code}"
        if code != -signal.SIGKILL:
            return f"signal {-code} ({signal.strsignal(-code)})"
        if before is None or self._oom_kills is None:
            return "killed (possibly out of memory)"
        return "out of memory" if self._oom_kills > before else "killed (signal 9)"

    async def _part(self, generation: int) -> None:
        """See the streams to a process end; a stray child that has the sockets gets little time."""
        pipes = [p for p, joined in self._joined.items() if joined == generation]
        try:
            async with asyncio.timeout(GRACE):
                for pipe in pipes:
                    await pipe.ended.wait()
        except TimeoutError:
            for pipe in pipes:
                pipe.abort()

    # the end

    def _fail(self, event: str, reason: str) -> None:
        """Give up for good: tell the server, leave word in the pod's status, end."""
        log.error("%s", reason)
        leave_word(reason)
        self._failure = {"event": event, "reason": reason}
        self._kernel.signal(signal.SIGKILL)
        self._gate.tell(self._failure)
        self._spawn(self._last_words, 1, _LAST_WORDS)

    async def _watch_use(self) -> None:
        """End the pod once it has gone unused for too long."""
        if not self._limits.look_every:
            return
        reason = ""
        while not reason:
            await asyncio.sleep(self._limits.look_every)
            reason = verdict(self._limits, self._use(), time.monotonic())
        if self._failure is not None:
            return  # it ends anyway
        log.info("%s", reason)
        leave_word(reason)
        self._failure = {"event": "ended", "reason": reason}
        self._gate.tell(self._failure)
        self._kernel.signal(signal.SIGTERM)
        await self._finish(0, GRACE)

    def _use(self) -> Use:
        gate, attendant = self._gate, self._attendant
        return Use(
            attached=gate.attached,
            begun=gate.begun or self._first_start,
            left=gate.left or self._first_start,
            busy=attendant.busy,
            idle_since=attendant.idle_since,
        )

    def _terminated(self) -> None:
        """End with the pod."""
        self._wanted = False
        self._kernel.signal(signal.SIGTERM)
        self._spawn(self._finish, 128 + signal.SIGTERM, GRACE)

    async def _finish(self, code: int, grace: float) -> None:
        await self._leave(self._kernel, grace)
        await self._last_words(code, GRACE)

    async def _last_words(self, code: int, patience: float) -> None:
        """End once the server has heard everything, or nobody listens."""
        try:
            async with asyncio.timeout(patience):
                await self._gate.heard()
        except TimeoutError:
            log.info("nobody heard how this ended")
        self._end(code)

    def _end(self, code: int) -> None:
        if not self._exit.done():
            self._exit.set_result(code)

    # the server's orders

    def _state(self) -> dict[str, Any]:
        """Return the event that says how things are now."""
        if self._failure is not None:
            return self._failure
        if self._kernel.pid not in self._running:
            return self._death
        event = "ready" if self._ready else "started"
        return {
            "event": event,
            "generation": self._kernel.generation,
            "pid": self._kernel.pid,
            "companion": not self._attendant.absent,
        }

    def _tell_of_companion(self) -> None:
        self._gate.tell({"event": "companion", "companion": not self._attendant.absent})

    def _on_control(self, message: dict[str, Any]) -> None:
        try:
            answer = self._obey(message)
        except (KeyError, TypeError, ValueError, OSError) as error:
            answer = {"error": f"the order cannot be followed: {error!r}"}
        self._gate.tell({"reply": message.get("id"), **answer})

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        if order.get("op") == "detach":
            self._gate.detach()
            return {"generation": self._kernel.generation}
        if self._failure is not None:
            return {"error": self._failure["reason"]}
        grace = float(order.get("grace", GRACE))
        match order.get("op"):
            case "restart":
                self._restart(grace)
            case "kill":
                self._wanted = False
                self._kernel.signal(signal.SIGKILL)
            case "signal":
                self._kernel.signal(int(order["signum"]))
            case "notebook":
                self._base.name_notebook(str(order["path"]))
            case "shutdown":
                self._wanted = False
                self._spawn(self._finish, 0, grace)
            case other:
                return {"error": f"this pod's launcher does not know the order {other!r}"}
        return {"generation": self._kernel.generation}

    def _restart(self, grace: float) -> None:
        self._strikes = 0
        old = self._kernel
        if old.pid in self._running:
            self._start(old)
            self._spawn(self._leave, old, grace)
        else:
            self._start()

    # the streams

    def _on_open(self, pipe: Pipe) -> None:
        if pipe.channel == COMPANION:
            self._spawn(self._attendant.connect, pipe)
        elif self._ready:
            self._spawn(self._connect, pipe)
        else:
            self._waiting = [p for p in self._waiting if p.wanted]
            self._waiting.append(pipe)

    async def _connect(self, pipe: Pipe) -> None:
        """Join a stream to the kernel; if that fails, Jupyter's side connects anew."""
        kernel = self._kernel
        try:
            path = kernel.socket(CHANNELS.index(pipe.channel) + 1)
            await asyncio.get_running_loop().create_unix_connection(lambda: pipe, path)
        except (OSError, ValueError) as error:
            log.info("no connection to the kernel's %s socket: %s", pipe.channel, error)
            pipe.splice.local_end(pipe)
            return
        self._joined[pipe] = kernel.generation
        if not pipe.wanted:
            pipe.end()


def accepts(path: str) -> bool:
    """Return whether something listens at a unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) == 0
