"""Following a job: one watch each on the Job, its pods and events, one log follow per pod."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .. import naming
from ..errors import ClusterError, KubeError, NotFound
from ..kube import logs, objects
from ..kube.logblocks import texts
from ..kube.pods import out_of_reach
from ..kube.transport import make_room
from ..kube.watch import Reflector
from . import failure, frames, mime, query, reading
from .feed import BEGINNING_LOST, Feed, line_of
from .reports import newest
from .view import JobView, Told, job_view, ranks_of

if TYPE_CHECKING:
    from ..kube.client import KubeClient

log = logging.getLogger(__name__)

_LAST, _QUOTED = 4000, 5
"""Bytes of a rank's newest lines that are kept, and lines of them quoted when it dies."""

_PAUSE, _PAUSE_PER_RANK = 0.02, 0.0002
"""Seconds in which changes gather before the view is made anew: it costs some 50 µs a rank."""

_AT_ONCE = 10
"""Logs that are opened in one turn of the event loop: each costs some 1.5 ms there."""

_QUIET = 3.0
"""Seconds of silence after which, once the job is over, a log is left whose pod is out of reach."""
_LEFT = "(its last lines may be missing: its pod is gone, or its node does not answer)"


@dataclass
class Outcome:
    """How a job ended: the last view, the frame with rank 0's outputs, or what went wrong."""

    view: JobView
    result: frames.Frame | None = None
    error: KubeError | None = None


@dataclass
class _Heard:
    """What the frames of all ranks said."""

    told: Told = field(default_factory=Told)
    raised: list[failure.Raised] = field(default_factory=list)
    cause: failure.Cause | None = None
    restarts: set[tuple[int, str]] = field(default_factory=set)
    verified: bool = False
    """Whether all ranks are known to have ended well."""
    result: frames.Frame | None = None


@dataclass
class _Reader:
    """Who reads one pod's log, since when that pod is out of reach, and when it said something."""

    rank: int
    task: asyncio.Task[None]
    heard_at: float = 0.0
    lost_at: float | None = None


class Follower:
    """Follows one job until nothing of it can change any more.

    Parameters
    ----------
    client
        The connection to the cluster.
    view
        The job as known when following begins.
    key
        The job's key: frames that do not hold it are shown as plain lines.
    feed
        Gets views and lines.

    """

    def __init__(self, client: KubeClient, view: JobView, key: bytes, feed: Feed) -> None:
        self._client, self._key, self._feed = client, key, feed
        self._view = view
        self._heard = _Heard()
        self._reading: dict[str, _Reader] = {}  # by pod
        self._over_at: float | None = None  # when the outcome was sure
        self._changed = asyncio.Event()
        self._pod_changed: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._last: dict[int, tuple[int, bytes]] = {}  # by first rank: how many, and lines
        selector = naming.selector(job=view.name)
        self._jobs = Reflector(client, objects.JOBS, labels=selector)
        self._pods = Reflector(client, objects.PODS, labels=selector)
        self._events = Reflector(client, objects.EVENTS, keep=self._keep_event)

    async def run(self) -> Outcome:
        """Follow to the end; cancelling this only stops the following.

        Raises
        ------
        ClusterError
            If the job is not there or may not be read.

        """
        watches = (self._jobs, self._pods, self._events)
        try:
            # A watch never gives up; asking once tells of rights that are missing.
            self._view = await query.snapshot(self._client, self._view.name)
            self._feed.show(self._view)
            for watch in watches:
                await watch.start()
                watch.subscribe(self._note)
            self._pods.subscribe(self._remember)
            await asyncio.gather(self._jobs.synced(), self._pods.synced())
            while True:
                self._changed.clear()
                self._refresh()
                await self._begin_to_read()
                if self._nothing_more():
                    break
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if self._over_at is None else _QUIET):
                        await self._changed.wait()
                await asyncio.sleep(_PAUSE + _PAUSE_PER_RANK * self._view.workers)
            return self._outcome()
        finally:
            await self._stop_reading()
            for watch in watches:
                await watch.close()
            self._feed.end()

    def _note(self, _kind: str, _object: dict[str, Any]) -> None:
        self._changed.set()

    def _remember(self, kind: str, pod: dict[str, Any]) -> None:
        """Tell a pod's reader, and keep a deleted one in mind: it says when it will be replaced."""
        self._pod_changed[pod["metadata"]["name"]].set()
        ranks = ranks_of(pod)
        if kind == "DELETED" and ranks:
            self._heard.told.deleted[ranks[0]] = pod

    def _keep_event(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Keep the events about this job."""
        name = (event.get("involvedObject") or {}).get("name", "")
        if name == self._view.name or name.startswith(f"{self._view.name}-"):
            return event
        return None

    async def _begin_to_read(self) -> None:
        """Begin to read new pods' logs, of many a few at a time: watches have their turns, too."""
        for name, pod in list(self._pods.items.items()):
            ranks = ranks_of(pod)
            placed = pod["spec"].get("nodeName")  # before that there is no log
            if name not in self._reading and ranks and placed:
                task = asyncio.create_task(self._read(name, ranks))
                self._reading[name] = _Reader(ranks[0], task)
                make_room(len(self._reading))
                if len(self._reading) % _AT_ONCE == 0:
                    await asyncio.sleep(0)

    def _refresh(self) -> None:
        """Renew the view."""
        job = self._jobs.items.get(self._view.name)
        if job is None:
            if not self._view.finished:  # a finished one goes when its time to be kept is over
                self._view = replace(self._view, phase="stopped", reason="Deleted")
        else:
            self._view = job_view(
                job,
                self._pods.items.values(),
                self._events.items.values(),
                self._heard.told,
                now=self._client.now(),
            )
        self._feed.show(self._view)

    def _nothing_more(self) -> bool:
        if failure.blocked(self._view):
            return True
        if not (self._view.finished or self._heard.verified):
            return False
        self._leave_those_out_of_reach()
        return all(reader.task.done() for reader in self._reading.values())

    def _leave_those_out_of_reach(self) -> None:
        """Wait no longer, now that the job is over, for logs that nothing more comes from."""
        now = asyncio.get_running_loop().time()
        self._over_at = self._over_at or now
        for pod, reader in self._reading.items():
            if reader.task.done() or reader.task.cancelling():
                continue
            if not self._is_out_of_reach(pod):
                reader.lost_at = None
                continue
            reader.lost_at = reader.lost_at or now
            if now - max(reader.heard_at, reader.lost_at, self._over_at) >= _QUIET:
                reader.task.cancel()
                self._feed.line(reader.rank, _LEFT)

    def _is_out_of_reach(self, pod: str) -> bool:
        events = (
            event
            for event in self._events.items.values()
            if (event.get("involvedObject") or {}).get("name") == pod
        )
        return out_of_reach(self._pods.items.get(pod), events, now=self._client.now())

    async def _read(self, pod: str, ranks: range) -> None:
        """Follow one pod's log to its end."""
        parser, told = frames.Parser(self._key), False
        rank, procs, progress = ranks[0], len(ranks), self._heard.told.progress
        try:
            opened = logs.follow_blocks(self._client, pod, changed=self._pod_changed[pod])
            async with aclosing(opened) as blocks:
                async for block in blocks:
                    self._reading[pod].heard_at = asyncio.get_running_loop().time()
                    if block.gap:
                        self._feed.line(rank, "(lines are missing here: the node dropped them)")
                    for data, text in reading.runs(block.data):
                        if text is None:
                            for each in ranks:
                                progress.pop(each, None)
                            self._feed.lines(rank, data, procs)
                            before = self._last.get(rank, (procs, b""))[1]
                            self._last[rank] = procs, (before + data[-_LAST:])[-_LAST:]
                            continue
                        said = parser.feed(text)
                        if parser.cut and not told:
                            self._feed.line(rank, BEGINNING_LOST)
                        told = parser.cut
                        self._hear(ranks, pod, said)
                        if isinstance(said, frames.Frame) and said.kind == "end":
                            return  # a supervisor's last line; its pod takes a second more to end
        except NotFound:
            pass
        except ClusterError as error:
            self._feed.line(rank, f"(its lines cannot be read: {error})")
        except Exception:
            log.exception("reading the log of %s", pod)
            self._feed.line(rank, "(its lines cannot be read: see this kernel's own log)")
        finally:
            self._changed.set()

    async def _stop_reading(self) -> None:
        tasks = [reader.task for reader in self._reading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _hear(self, ranks: range, pod: str, said: frames.Frame | str) -> None:
        """Take in one line of a log: a plain one for the reader, or a frame."""
        if isinstance(said, frames.Frame):
            self._take(said, pod)
            self._changed.set()
            return
        line = line_of(ranks[0], len(ranks), said)
        if said.endswith("\r"):
            self._heard.told.progress[line.rank] = line.text.rstrip("\r").rpartition("\r")[2]
            self._changed.set()
        else:
            self._heard.told.progress.pop(line.rank, None)
            self._feed.line(line.rank, line.text)

    def _take(self, frame: frames.Frame, pod: str) -> None:
        heard, data, rank = self._heard, frame.data, frame.rank
        if frame.kind == "report":
            if self._feed.reports.add(pod, data["rows"]):
                heard.told.metrics |= newest(data["rows"])
        elif frame.kind == "state":
            settled = data["phase"] in ("running", "done")
            heard.told.says[rank] = "" if settled else str(data["text"])
            about = (frame.generation, str(data["text"]))
            if data["phase"] == "restarting" and about not in heard.restarts:
                heard.restarts.add(about)
                self._feed.line(rank, str(data["text"]))
        elif frame.kind == "exception":
            how = f"raised {data['type']}" if data["type"] else "cannot run the cell"
            heard.told.fates[rank] = f"{how}: {data['message']}"
            heard.raised.append(failure.read_raised(data, rank, pod))
        elif frame.kind == "display":
            self._feed.display(rank, mime.unpack(frame.blob))
        elif frame.kind == "result":
            heard.result = frame
        elif frame.kind == "end" and data["ok"]:
            heard.verified = heard.verified or rank == 0
        elif frame.kind == "end":
            said = {**data.get("about", {}), "rank": data["cause"], "text": data["text"]}
            heard.cause = failure.read_cause(said)
            if heard.cause.rank is not None:
                text = heard.cause.text.removeprefix(f"rank {heard.cause.rank} ")
                heard.told.fates.setdefault(heard.cause.rank, text)

    def _outcome(self) -> Outcome:
        heard = self._heard
        if heard.verified and not self._view.finished:
            self._view = self._view.succeeded()
            self._feed.show(self._view)
        error = failure.explain(self._view, heard.raised, heard.cause, self._last_lines())
        return Outcome(self._view, heard.result, error)

    def _last_lines(self) -> dict[int, list[str]]:
        """Return the last lines of each rank."""
        found: dict[int, list[str]] = {}
        for first, (procs, data) in self._last.items():
            for text in texts(data, _QUOTED * procs):
                line = line_of(first, procs, text)
                found.setdefault(line.rank, []).append(line.text)
        return {rank: lines[-_QUOTED:] for rank, lines in found.items()}
