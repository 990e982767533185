"""Watch over the kernel in its pod: serve the link, notice deaths, restart in place.

The container lives as long as the supervisor; kernel processes come and go under it, one
*generation* after the other, always with the same keys. This module travels into pods: standard
library only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import site
import socket
import sys
import time
from collections.abc import Coroutine
from importlib import metadata
from typing import Any
from weakref import WeakKeyDictionary

from .cgroup import oom_kills
from .launcher import Base, Kernel, leave_word
from .link import LOST, NEW, REPLACED, RESUMED, Link, LinkError, Listener
from .splice import CHANNELS, Pipe, Splice, StreamConnection, shake

log = logging.getLogger("jupyter-kube")

GRACE = 1.0
"""Seconds an old kernel process gets to leave by itself."""
HEALTHY = 10.0
"""Seconds of life after which earlier deaths are forgotten."""

_STRIKES = 20  # five deaths before the kernel was ready, or twenty soon after, end the pod
_READ_AHEAD = 256 * 1024  # bytes kept of a connection nobody reads, about
_HANDSHAKE = 5.0  # seconds a stranger has to prove itself
_STRANGERS = 16  # connections at a time that have not proven themselves
_PROBE = 0.005  # seconds between looks at a starting kernel's sockets: libzmq tells nobody
_LAST_WORDS = 30.0  # seconds to wait for somebody who hears why the pod ends


def run(base: Base, first: Kernel) -> int:
    """Supervise until the pod shall end; return the container's exit code."""
    logging.basicConfig(level=logging.INFO, format="[jupyter-kube] %(message)s")
    return asyncio.run(Supervisor(base, first).run())


class Supervisor:
    """One kernel, through all its generations, and the one server it belongs to."""

    def __init__(self, base: Base, first: Kernel) -> None:
        self._base = base
        self._kernel = first
        self._kernels: dict[int, Kernel] = {first.pid: first}
        self._gone: dict[int, asyncio.Event] = {first.pid: asyncio.Event()}
        self._born = time.monotonic()
        self._strikes = 0
        self._ready = False
        self._alive = True  # false between an ordered kill and the next restart
        self._oom_kills = oom_kills()
        self._waiting: list[Pipe] = []
        self._joined: WeakKeyDictionary[Pipe, int] = WeakKeyDictionary()  # with which generation
        self._splice: Splice | None = None
        self._strangers: list[StreamConnection] = []
        self._death: dict[str, Any] = {}  # the last one told of
        self._failure: dict[str, Any] | None = None
        self._exit: asyncio.Future[int]
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Serve until the end; return the exit code."""
        loop = asyncio.get_running_loop()
        self._exit = loop.create_future()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.add_signal_handler(signal.SIGTERM, self._terminated)
        sock = listening_socket(self._base.options["port"])
        server = await asyncio.start_server(
            lambda reader, writer: self._spawn(self._serve(reader, writer)),
            sock=sock,
            limit=_READ_AHEAD,
        )
        self._spawn(self._bring_up(self._kernel))
        self._reap()  # what died before the handler was there
        if problem := kernel_problem(self._base):
            self._fail("error", problem)
        code = await self._exit
        server.close()
        if self._splice is not None:
            self._splice.close()
        for kernel in self._kernels.values():
            kernel.signal(signal.SIGKILL)
        return code

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            log.exception("the supervisor failed")
            self._end(1)

    def _end(self, code: int) -> None:
        if not self._exit.done():
            self._exit.set_result(code)

    # the kernel's life

    async def _bring_up(self, kernel: Kernel, old: Kernel | None = None) -> None:
        """Wait until a kernel's sockets take connections and its predecessor is gone; say so."""
        while not all(accepts(kernel.socket(n + 1)) for n in range(len(CHANNELS))):
            if kernel is not self._kernel or not self._alive:
                return
            await asyncio.sleep(_PROBE)
        if old is not None:
            await self._gone[old.pid].wait()
        if kernel is self._kernel and self._alive:
            self._ready = True
            self._tell(self._state())
            waiting, self._waiting = self._waiting, []
            for pipe in waiting:
                if pipe.wanted:
                    self._spawn(self._connect(pipe))

    def _start(self, old: Kernel | None = None) -> None:
        """Start the next generation at once; an old process may still be leaving."""
        try:
            kernel = self._base.start_kernel(self._kernel.generation + 1)
        except OSError as error:
            self._fail("gave-up", f"the kernel cannot be started again: {error}")
            return
        self._kernel = kernel
        self._kernels[kernel.pid] = kernel
        self._gone[kernel.pid] = asyncio.Event()
        self._born, self._ready, self._alive = time.monotonic(), False, True
        self._tell(self._state())
        self._spawn(self._bring_up(kernel, old))

    def _reap(self) -> None:
        """Collect every process that ended: ours, and those the container's first one inherits."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if kernel := self._kernels.pop(pid, None):
                self._buried(kernel, os.waitstatus_to_exitcode(status))

    def _buried(self, kernel: Kernel, code: int) -> None:
        """Act on the end of a kernel process."""
        kernel.signal(signal.SIGKILL)  # what it started and left behind
        kernel.clean_up()
        self._gone[kernel.pid].set()
        # A stray child that inherited the sockets would keep them open.
        asyncio.get_running_loop().call_later(GRACE, self._part, kernel.generation)
        if kernel is not self._kernel:
            return
        wanted, was_ready = self._alive, self._ready
        self._ready = False
        reason = self._reason(code)
        log.info("kernel generation %d ended: %s", kernel.generation, reason)
        again = wanted and self._failure is None
        self._death = {
            "event": "died",
            "generation": kernel.generation,
            "exit_code": code if code >= 0 else None,
            "signal": -code if code < 0 else None,
            "reason": reason,
            "restarting": again,
        }
        self._tell(self._death)
        if again:
            self._strike(was_ready)
            if self._strikes < _STRIKES:
                self._start()
            else:
                self._fail("gave-up", f"the kernel keeps ending, the last time: {reason}")

    def _strike(self, was_ready: bool) -> None:
        if was_ready and time.monotonic() - self._born > HEALTHY:
            self._strikes = 0
        self._strikes += 1 if was_ready else 4

    def _reason(self, code: int) -> str:
        before, self._oom_kills = self._oom_kills, oom_kills()
        if code >= 0:
            return f"exit code {code}"
        if code != -signal.SIGKILL:
            return f"signal {-code} ({signal.strsignal(-code)})"
        if before is None or self._oom_kills is None:
            return "killed (possibly out of memory)"
        return "out of memory" if self._oom_kills > before else "killed (signal 9)"

    def _part(self, generation: int) -> None:
        for pipe in [p for p, joined in self._joined.items() if joined == generation]:
            pipe.end()

    def _fail(self, event: str, reason: str) -> None:
        """Give up for good: tell the server, leave word in the pod's status, end."""
        log.error("%s", reason)
        self._failure = {"event": event, "reason": reason}
        leave_word(reason)
        self._alive = False
        self._kernel.signal(signal.SIGKILL)
        self._tell(self._failure)
        self._spawn(self._last_words(1))

    async def _last_words(self, code: int, patience: float = _LAST_WORDS) -> None:
        """End once the server has heard everything, or nobody listens."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self._splice is not None and self._splice.link.settled:
                break
            await asyncio.sleep(0.02)
        self._end(code)

    def _terminated(self) -> None:
        """End with the pod: the kernel first, then the container."""
        self._alive = False
        self._kernel.signal(signal.SIGTERM)
        self._spawn(self._finish(self._kernel, 128 + signal.SIGTERM, GRACE))

    async def _finish(self, kernel: Kernel, code: int, grace: float) -> None:
        await self._leave(kernel, grace)
        await self._last_words(code, GRACE)

    async def _leave(self, kernel: Kernel, grace: float) -> None:
        """Give a kernel process time to leave, then end it."""
        try:
            async with asyncio.timeout(grace):
                await self._gone[kernel.pid].wait()
        except TimeoutError:
            kernel.signal(signal.SIGKILL)
            await self._gone[kernel.pid].wait()

    # the server's orders

    def _state(self) -> dict[str, Any]:
        if self._failure is not None:
            return self._failure
        kernel = self._kernel
        if kernel.pid not in self._kernels:
            return self._death
        event = "ready" if self._ready else "started"
        return {"event": event, "generation": kernel.generation, "pid": kernel.pid}

    def _tell(self, message: dict[str, Any]) -> None:
        if self._splice is not None:
            self._splice.control(message)

    def _on_control(self, message: dict[str, Any]) -> None:
        answer = self._obey(message)
        self._tell({"reply": message.get("id"), **answer})

    def _obey(self, message: dict[str, Any]) -> dict[str, Any]:
        grace = float(message.get("grace", GRACE))
        kernel = self._kernel
        if self._failure is not None:
            return {"error": self._failure["reason"]}
        match message.get("op"):
            case "restart":
                alive = not self._gone[kernel.pid].is_set()
                self._strikes = 0
                self._start(kernel if alive else None)
                if alive:
                    self._spawn(self._leave(kernel, grace))
                return {"generation": self._kernel.generation}
            case "kill":
                self._alive = False
                kernel.signal(signal.SIGKILL)
            case "signal":
                kernel.signal(int(message["signum"]))
            case "shutdown":
                self._alive = False
                self._spawn(self._finish(kernel, 0, grace))
            case other:
                return {"error": f"this pod's launcher does not know the order {other!r}"}
        return {"generation": kernel.generation}

    # the link

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: the server's, once it has proven itself."""
        peer = writer.get_extra_info("peername")
        connection = StreamConnection(reader, writer)
        try:
            handshake, rest = await self._admit(connection)
            splice = self._splice
            if splice is not None and handshake.status in {NEW, RESUMED}:
                splice.link.connection_made(handshake.keys, handshake.peer_received)
                log.info("linked with %s", peer)
                log.info("link lost: %s", await splice.carry(connection, rest))
        except (OSError, EOFError, LinkError) as error:
            log.info("turned away %s: %s", peer, error)
        finally:
            connection.close()

    async def _admit(self, connection: StreamConnection) -> tuple[Listener, bytes]:
        """Let a stranger prove itself; few at a time, each for a short while."""
        if len(self._strangers) >= _STRANGERS:
            self._strangers.pop(0).close()
        self._strangers.append(connection)
        handshake = Listener(self._base.key, self._decide)
        try:
            async with asyncio.timeout(_HANDSHAKE):
                rest = await shake(connection, handshake)
        finally:
            if connection in self._strangers:
                self._strangers.remove(connection)
        return handshake, rest

    def _decide(self, session: bytes, resuming: bool, received: int) -> tuple[int, int]:
        """Answer a server that has proven itself: its own session goes on, a new one replaces."""
        splice = self._splice
        if splice is not None and splice.link.session == session:
            if not splice.link.can_resume(received):
                raise LinkError("an outdated connection")
            splice.cut()
            return RESUMED, splice.link.received
        if resuming:
            return (LOST if splice is None else REPLACED), 0
        if splice is not None:
            splice.close()
        self._waiting.clear()
        self._splice = Splice(Link(session), on_control=self._on_control, on_open=self._on_open)
        self._tell(self._state())
        return NEW, 0

    def _on_open(self, pipe: Pipe) -> None:
        if self._ready:
            self._spawn(self._connect(pipe))
        else:
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


def listening_socket(port: int) -> socket.socket:
    """Listen on all the pod's addresses, or on its loopback address where it has just that."""
    own = os.environ.get("POD_IP", "")
    if own.startswith("127."):
        return _listen(socket.AF_INET, own, port)
    try:
        return _listen(socket.AF_INET6, "::", port)
    except OSError:  # no IPv6 here
        return _listen(socket.AF_INET, "0.0.0.0", port)


def _listen(family: int, address: str, port: int) -> socket.socket:
    # With the protocol named, or asyncio leaves Nagle's delay on for what is accepted: 40 ms a cell.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((address, port))
        sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


def kernel_problem(base: Base) -> str:
    """Say what is wrong with the image's ipykernel; empty if nothing is."""
    if "ipykernel_launcher" not in base.argv:
        return ""
    site.main()  # this interpreter was started without its packages
    try:
        version = metadata.version("ipykernel")
    except metadata.PackageNotFoundError:
        return f"the image has no ipykernel for {sys.executable}: install ipykernel>=7.3 in it"
    numbers = [int(digits) for digits in re.findall(r"\d+", version)[:2]]
    if base.launch.get("curve_secretkey") and numbers < [7, 3]:
        return (
            f"the image's ipykernel {version} cannot encrypt its connections: "
            "install ipykernel>=7.3 in it"
        )
    return ""
