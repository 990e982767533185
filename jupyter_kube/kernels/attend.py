"""Start the kernel's companion, keep it running, and know what it knows.

The kernel needs no companion: whatever is wrong with it is logged here and ends here. This module
travels into pods: standard library only.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from .launcher import Base, Kernel
from .splice import Pipe

log = logging.getLogger("jupyter-kube")

DELAY = 1.0
"""Seconds a companion waits with its start, so as not to slow the kernel's."""

_LIMIT = 8 * 1024 * 1024  # bytes of output it keeps
_NICE = 5
_IMPOSSIBLE = 3  # its exit code if the image has no fit pyzmq
_HEALTHY = 60.0  # seconds of life after which earlier ends are forgotten
_SLOWEST = 60.0  # seconds between two starts at most
_FILES = (5000, 64 * 1024 * 1024)  # how many, and bytes of them, may travel at once
_MODULES = ("tape", "kubeignore", "folder", "writer", "courier", "companion")

# Like the launcher, without what a user's variables or folder would put before the standard
# library; the image's packages come last. Sources and keys come over the standard input.
_BOOT = f"""\
import json, os, site, sys, types
os.nice({_NICE})
size, text = int(os.read(0, 8)), b""
while len(text) < size:
    text += os.read(0, size - len(text))
launch = json.loads(text)
launch["say"] = os.dup(1)
os.dup2(2, 1)  # whatever the image's packages print
site.main()
sys.path += filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
try:
    import zmq
    fit = zmq.has("curve") or not launch["curve_secretkey"]
except ImportError:
    fit = False
if not fit:
    sys.exit({_IMPOSSIBLE})
package = sys.modules["podside"] = types.ModuleType("podside")
package.__path__ = []
for name, source in launch["source"].items():
    module = sys.modules["podside." + name] = types.ModuleType("podside." + name)
    module.__package__ = "podside"
    exec(compile(source, "<" + name + ">", "exec"), vars(module))
module.Companion(launch).run()
"""


class Attendant:
    """The companion, seen from the supervisor."""

    def __init__(self, base: Base, on_news: Callable[[], None] = lambda: None) -> None:
        self._base, self._on_news = base, on_news
        self.busy: bool | None = None
        """Whether the kernel is at work; None while nobody knows."""
        self.idle_since = 0.0
        """When it ended its last piece of work, if it is idle."""
        self.hopeless = False
        """Whether there will be no companion."""
        self.absent = False
        """Whether there is none, and will not be one soon: nobody should wait for it."""
        self._pid = 0
        self._ended: asyncio.Future[int] | None = None
        self._orders: asyncio.WriteTransport | None = None
        self._listening = False
        self._waiting: list[Pipe] = []
        self._kernel: Kernel | None = None
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """Start the companion soon: the kernel is ready."""
        self._begun.set()

    async def keep(self) -> None:
        """Start the companion, again whenever it ends, for as long as that makes sense."""
        try:
            await self._keep()
        except Exception:
            log.exception("the kernel's companion failed in an unexpected way")
        self.hopeless = True
        self._miss()

    async def _keep(self) -> None:
        await self._begun.wait()
        pause = 0.0 if self._base.options.get("cwd") else DELAY  # its folder is to be filled
        while True:
            await asyncio.sleep(pause)
            begun = time.monotonic()
            try:
                code = await self._live()
            except OSError as error:
                log.info("the kernel's companion cannot be started: %s", error)
            else:
                if code == _IMPOSSIBLE:
                    break
                log.info("the kernel's companion ended: exit code %d", code)
            lived = time.monotonic() - begun
            pause = DELAY if lived > _HEALTHY else min(2 * max(pause, DELAY), _SLOWEST)
            if pause > 2 * DELAY:
                self._miss()
        log.warning(
            "the image's Python has no pyzmq with CURVE: output is not kept while no server is "
            "there, and with a server there the kernel never counts as idle"
        )

    def stop(self) -> None:
        """Let the companion end."""
        if self._orders is not None and not self._orders.is_closing():
            self._orders.abort()

    def reaped(self, pid: int, code: int) -> None:
        """Take note of a process that ended."""
        if pid == self._pid and self._ended is not None and not self._ended.done():
            self._ended.set_result(code)

    def follow(self, kernel: Kernel) -> None:
        """Listen to a new kernel process from now on."""
        self._kernel = kernel
        self.busy = None
        self._order({"op": "kernel", "prefix": f"{kernel.folder}/k"})

    def died(self, reason: str, last: str) -> None:
        """Close the books on a kernel process that ended unasked; it wrote ``last`` before."""
        lines = "".join(f"\n    {line}" for line in last.splitlines())
        words = f"{reason}. It wrote last:{lines}" if lines else f"{reason}."
        self._kernel, self.busy = None, False
        self.idle_since = time.monotonic()
        self._order({"op": "died", "words": words})

    def served(self, since: float) -> None:
        """Note that all the kernel had said until then has arrived at the server that went."""
        self._order({"op": "served", "since": since})

    async def connect(self, pipe: Pipe) -> None:
        """Join a stream to the companion, once it is there."""
        if self.absent:
            pipe.splice.local_end(pipe)
        elif not self._listening:
            self._waiting.append(pipe)
        elif pipe.wanted:
            try:
                loop = asyncio.get_running_loop()
                await loop.create_unix_connection(lambda: pipe, self._base.companion)
            except OSError as error:
                log.info("no connection to the companion: %s", error)
                pipe.splice.local_end(pipe)

    # inside

    def _miss(self) -> None:
        """Let nobody wait for it."""
        if not self.absent:
            self.absent = True
            self._on_news()
        waiting, self._waiting = self._waiting, []
        for pipe in waiting:
            pipe.splice.local_end(pipe)

    async def _live(self) -> int:
        """Start a companion and serve it until it ends; return its exit code."""
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        said, orders = self._spawn()
        reader = asyncio.StreamReader()
        listener, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(said, "rb")
        )
        transport, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(orders, "wb"))
        self._orders = transport
        self._orders.write(self._launch())
        if self._kernel is not None:
            self.follow(self._kernel)
        try:
            while line := await reader.readline():
                await self._hear(json.loads(line))
            return await self._ended
        finally:
            self.stop()
            listener.close()
            self._orders, self._listening, self._pid = None, False, 0
            self.busy = None

    def _spawn(self) -> tuple[int, int]:
        """Start the process; return what it is read from and written to."""
        their_orders, orders = os.pipe()
        said, their_say = os.pipe()
        try:
            self._pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-ESPc", _BOOT],
                self._base.env,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, their_orders, 0),
                    (os.POSIX_SPAWN_DUP2, their_say, 1),
                ],
                setpgroup=0,
            )
        except OSError:
            os.close(said)
            os.close(orders)
            raise
        finally:
            os.close(their_orders)
            os.close(their_say)
        return said, orders

    def _launch(self) -> bytes:
        """Return what a companion reads first: a length and a JSON object."""
        launch = self._base.launch
        start = {
            "source": {name: launch["source"][name] for name in _MODULES},
            "key": launch["key"],
            "curve_publickey": launch["curve_publickey"],
            "curve_secretkey": launch["curve_secretkey"],
            "socket": self._base.companion,
            "limit": self._base.options.get("recording_limit", _LIMIT),
            "errands": self._base.errands,
            "known": self._base.known,
            "limits": self._base.options.get("files", _FILES),
        }
        text = json.dumps(start).encode()
        return b"%8d" % len(text) + text

    def _order(self, message: dict[str, Any]) -> None:
        if self._orders is not None:
            self._orders.write(json.dumps(message).encode() + b"\n")

    async def _hear(self, message: dict[str, Any]) -> None:
        """Act on a line of the companion's."""
        if "busy" in message:
            self.busy = message["busy"]
            self.idle_since = message.get("since", 0.0)
        elif message.get("event") == "listening":
            self._listening = True
            if self.absent:
                self.absent = False
                self._on_news()
            waiting, self._waiting = self._waiting, []
            for pipe in waiting:
                await self.connect(pipe)
