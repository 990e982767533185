"""The supervisor in a worker's pod: it runs the cell in a child process, together with the others.

It outlives its children: when a process dies, all ranks start again inside their pods. It ends with
0 after a verified end of all ranks, with 42 when the job has failed and must not be tried again,
with 143 when it was told to go, with 1 when it could not find the others.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import secrets
import signal
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from . import frames
from .crew import Crew, End
from .environment import Member, Place, environment, ports_for
from .gather import Gathering
from .host import (
    LONGEST_WORD,
    fitting,
    free_ports,
    leave_word,
    look_up,
    place_in_job,
    surroundings,
)
from .launch import Options
from .messages import LONGEST, Channel, NotOurs
from .output import Output
from .process import CellProcess
from .rendezvous import BEAT, Coordinator

log = logging.getLogger("jupyter-kube")

TERMINATED = 128 + signal.SIGTERM
NOBODY_THERE = 1

_GRACE = 2.0  # seconds from SIGTERM to SIGKILL
_CONNECT = 5.0  # seconds one attempt to reach the coordinator may take
_RETRY = (0.04, 0.001, 2.0)  # seconds between attempts: at first, more for each worker, at most
_QUIET = 0.5  # seconds in which nobody is told that it is looked for
_EARLY = 3.0  # seconds in which pods that start together find each other, without longer pauses
_LAST_ROUND = 600.0  # seconds an evaluator has for what came out last
_UNHEARD = 15_000  # ms in which a coordinator's machine has to confirm what was sent


class Supervisor:
    """One worker's supervisor: a member of the job, of index 0 also its coordinator."""

    def __init__(self, launch: Mapping[str, Any], bundle: bytes) -> None:
        self._options = Options(**launch["options"])
        self._key = bytes.fromhex(launch["key"])
        self._boot = launch["child"]
        self._sources = launch["source"]
        self._bundle = bundle
        self._index = place_in_job(os.environ)
        self._host = os.environ.get("POD_IP") or "127.0.0.1"
        self._id = secrets.token_hex(8)
        self._generation = self._failures = self._running = 0
        self._ports: list[int] = []
        self._ready: asyncio.Task[Crew] | None = None
        self._crew: Crew | None = None
        self._watching: asyncio.Task[None] | None = None
        self._end: End | None = None
        self._channel: Channel | None = None
        self._gathering: Gathering | None = None
        self._output: Output
        self._joining = ""

    async def run(self) -> int:
        """Take part until the end; return the exit code."""
        loop = asyncio.get_running_loop()
        procs = self._options.procs
        first = self._index * procs
        self._output = Output(1, self._key, first, procs=procs, later=loop.call_later)
        self._output.frame("begin")
        work = loop.create_task(self._work())
        loop.add_signal_handler(signal.SIGTERM, work.cancel)
        try:
            return await work
        except asyncio.CancelledError:
            return TERMINATED
        finally:
            await self._stop()
            if self._ready is not None:
                await (await self._ready).stop(0)  # it has never begun
            self._output.finish()
            if self._gathering is not None:
                await self._gathering.close()

    async def _work(self) -> int:
        options = self._options
        self._make_ready()
        if self._index == 0:
            coordinator = Coordinator(
                options.workers,
                options.retries,
                options.least,
                options.patience,
                options.procs,
                enders=0 if options.least else options.roles(options.workers).trainers,
            )
            self._gathering = Gathering(coordinator, self._key, self._note)
            await self._gathering.start(self._host, options.port)
        while (channel := await self._connect()) is not None:
            self._channel = channel
            try:
                code = await self._take_part(channel)
            except NotOurs:
                code = None
            except asyncio.CancelledError:
                channel.send("leave")
                raise
            finally:
                self._channel = None
                await channel.close()
            if code is not None:
                return code
        leave_word({"text": f"rank 0 was not there for {options.stay:.0f} seconds"})
        return NOBODY_THERE

    def _note(self, phase: str, text: str = "", **more: Any) -> None:
        self._output.frame("state", phase=phase, text=text, **more)

    # finding the coordinator

    async def _connect(self) -> Channel | None:
        """Reach the coordinator, however often it takes; None when patience is over."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        deadline = begun + self._options.stay
        wait = _RETRY[0] + _RETRY[1] * self._options.workers
        while loop.time() < deadline:
            try:
                async with asyncio.timeout(_CONNECT):
                    address = await self._coordinator_address()
                    reader, writer = await asyncio.open_connection(
                        address, self._options.port, limit=LONGEST
                    )
                    writer.get_extra_info("socket").setsockopt(
                        socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNHEARD
                    )
                    return await Channel.open(reader, writer, self._key, "M")
            except socket.gaierror:
                why = f"its name {self._options.coordinator} is not known yet"
            except (OSError, NotOurs):
                why = f"it does not answer yet at {self._options.coordinator}"
            if loop.time() > begun + _QUIET and why != self._joining:
                self._joining = why
                self._note("joining", f"waiting for rank 0: {why}", missing=[0])
            await asyncio.sleep(wait * random.uniform(0.7, 1.3))  # noqa: S311 - not a secret
            if loop.time() > begun + _EARLY:
                wait = min(wait * 1.5, _RETRY[2])
        return None

    async def _coordinator_address(self) -> str:
        if self._index == 0:
            return self._host
        name = self._options.coordinator
        if hosts := os.environ.get("JUPYTER_KUBE_HOSTS_FILE"):
            return look_up(Path(hosts), name)
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
        return str(found[0][4][0])

    # being a member

    async def _take_part(self, channel: Channel) -> int | None:
        """Do what the coordinator says; None if the connection ends, else the exit code."""
        channel.send(
            "hello",
            index=self._index,
            boot=self._id,
            host=self._host,
            generation=self._generation,
            failures=self._failures,
            running=self._running,
            replaced=int(os.environ.get("JUPYTER_KUBE_REPLACED") or 0),
        )
        self._tell_end()
        beating = asyncio.ensure_future(_beat(channel))
        try:
            while (message := await channel.receive()) is not None:
                code = await self._obey(channel, message)
                if code is not None:
                    return code
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        return None

    async def _obey(self, channel: Channel, message: Mapping[str, Any]) -> int | None:
        kind = message["kind"]
        if kind == "prepare":
            await self._stop()
            self._make_ready()
            self._generation, self._failures = message["generation"], message["failures"]
            self._output.generation = self._generation
            self._ports = free_ports(ports_for(self._options.procs))
            channel.send("offer", generation=self._generation, ports=self._ports)
        elif kind == "start":
            members = [Member(**member) for member in message["members"]]
            await self._start(message["generation"], members, message["indexes"])
        elif kind == "ping":
            channel.send("pong", number=message["number"])
        elif kind == "stop":
            await self._stop()
        elif kind == "finish":
            return await self._finish(channel)
        elif kind == "abort":
            return await self._abort(channel, message)
        return None

    async def _start(self, generation: int, members: list[Member], indexes: list[int]) -> None:
        """Start the cell's processes for a generation.

        Ranks are dense: where pods are missing, a pod's rank is lower than its index.
        """
        self._joining = ""
        procs = self._options.procs
        first, size = indexes.index(self._index) * procs, len(members) * procs
        roles = self._options.roles(size)
        crew = await asyncio.shield(self._make_ready())
        self._crew, self._ready = crew, None
        crew.go([self._about(Place(members, first + n, roles)) for n in range(procs)])
        self._running = generation
        self._note("running", world_size=size)
        self._watching = asyncio.ensure_future(self._watch(crew))

    def _make_ready(self) -> asyncio.Task[Crew]:
        """Start the next generation's processes, which takes longer than to find the others."""
        if self._ready is None:
            self._ready = asyncio.create_task(self._next_crew())
        return self._ready

    async def _next_crew(self) -> Crew:
        crew = Crew([self._process(local) for local in range(self._options.procs)])
        await crew.make_ready()
        return crew

    def _process(self, local: int) -> CellProcess:
        return CellProcess(
            self._boot,
            json.dumps(self._sources).encode() + b"\n" + self._bundle,
            surroundings(os.environ),
            on_output=partial(self._output.feed, local=local),
            on_report=partial(self._output.report, local=local),
            on_display=partial(self._output.display, local=local),
        )

    def _about(self, place: Place) -> dict[str, Any]:
        """Describe a rank's place to its process."""
        rank, local, roles = place.rank, place.local_rank, place.roles
        identity = {
            "job": self._options.job,
            "rank": rank,
            "world_size": roles.trainers,
            "local_rank": local,
            "role": roles.of(rank)[0],
            "generation": self._generation,
        }
        return {
            "identity": identity,
            "serves": roles.serves(rank),
            "strategy": roles.strategy(rank),
            "env": environment(self._options.framework, place, gpus=self._options.gpus),
        }

    async def _watch(self, crew: Crew) -> None:
        self._end = await crew.end()
        if self._end.outcome.kind == "done":
            self._note("done", "waiting for the other ranks")
        self._tell_end()

    def _tell_end(self) -> None:
        if self._channel is None or self._end is None:
            return
        local, outcome = self._end
        self._channel.send(
            "ended",
            generation=self._running,
            outcome=outcome.kind,
            local=local,
            text=outcome.text,
            killed=outcome.killed,
            about=fitting(self._details(), LONGEST_WORD),
        )

    async def _stop(self, grace: float = _GRACE) -> None:
        """End the cell's processes, if there are any."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        crew, self._crew = self._crew, None
        self._watching = self._end = None
        self._running = 0
        if crew is not None:
            await crew.stop(grace)
            self._output.finish()

    # the end

    async def _finish(self, channel: Channel) -> int:
        """All ranks are done: end in order, the result last."""
        if self._end is None and self._crew is not None and self._crew.tell_over():
            await self._last_round(channel)
        # The end is verified: to go now would have Kubernetes start this rank again, alone.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)
        end = self._end
        if end is None:  # a server, or an evaluator: it ends because the others are done
            await self._stop()
        elif self._crew is not None:
            await self._crew.leave()
            self._crew = None
        self._output.finish()
        channel.send("bye")
        if self._gathering is not None:
            await self._gathering.over.wait()
            if end is not None and end.outcome.details:
                self._output.result(end.outcome.blob, **end.outcome.details)
        self._output.frame("end", ok=True)
        return 0

    async def _last_round(self, channel: Channel) -> None:
        """Let an evaluator come to its end; what goes wrong does not undo that of the others."""
        channel.send("busy")
        self._note("finishing", "the others are done; this is its last round")
        if self._watching is not None:
            await asyncio.wait({self._watching}, timeout=_LAST_ROUND)
        if self._end is not None and self._end.outcome.kind != "done":
            local, outcome = self._end
            text = outcome.details.get("traceback") or f"the last round {outcome.text}"
            self._output.feed(f"{text.rstrip()}\n".encode(errors="replace"), local)

    async def _abort(self, channel: Channel, verdict: Mapping[str, Any]) -> int:
        """The job has failed: the rank that is the cause says why, all tell of it and end.

        All, because Kubernetes removes those that it finds running when it sees one's end.
        """
        if self._crew is not None:
            self._output.finish()
        rank, about = verdict["rank"], verdict["about"]
        index, local = divmod(rank, self._options.procs)
        text = fitting({"text": verdict["text"]}, LONGEST_WORD // 2)["text"]
        if index == self._index and (known := self._details()):
            about = known
            if "traceback" in about:
                self._output.frame("exception", local, **fitting(about, frames.LONGEST - 200))
        leave_word({"rank": rank, "text": text, **about})
        channel.send("bye")
        await self._stop(0)
        about = fitting(about, LONGEST_WORD)
        self._output.frame("end", ok=False, text=text, cause=rank, about=about)
        if self._gathering is not None:
            await self._gathering.over.wait()
        return frames.FAIL_JOB

    def _details(self) -> dict[str, Any]:
        """Return what is known of an exception or a death; empty if there is none."""
        if self._end is None or self._end.outcome.kind == "done":
            return {}
        return {**self._end.outcome.details, "pod": os.environ.get("POD_NAME", "")}


async def _beat(channel: Channel) -> None:
    while True:
        await asyncio.sleep(BEAT)
        channel.send("beat")
