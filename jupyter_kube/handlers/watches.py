"""The cluster, watched: one watch of each kind, and rows made of it for all front ends.

Watches only note what has changed. Rows are made of it ten times a second at most, some at a time,
so that neither a job of hundreds of ranks nor thousands of jobs hold up the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any
from weakref import WeakSet

from .. import naming
from ..config import KubeConfig, user_name
from ..errors import AccessDenied, ClusterError
from ..kernels.cluster import Cluster, shared
from ..kube import objects
from ..kube.client import KubeClient
from ..kube.pods import pod_state
from ..kube.watch import Reflector
from ..train.origin import find_origin
from ..train.roles import CHIEF, EVALUATOR, PS, WORKER
from ..train.slim import slim_job
from ..train.view import is_whole, job_view
from ..turns import unhurried
from . import slim
from .board import Board, View
from .health import Health
from .jobs import row
from .kernelrows import TOLD_BY, here, kernel, without_pod

log = logging.getLogger(__name__)

_PACE = 0.1  # seconds between two messages
_PATIENCE = 5.0  # seconds the first message waits for all there is
_LOOK = 1.0  # seconds after which it is looked whether the watches are still open
_REFUSALS = "involvedObject.kind=Job,reason=FailedCreate"
_PARTS = ("", *(f"-{role}" for role in (CHIEF, WORKER, PS, EVALUATOR)))
"""What the names of a job's Jobs end with."""

Object = dict[str, Any]


class Watches:
    """The open watches, and the rows made of them."""

    def __init__(
        self, settings: KubeConfig, manager: Any, cluster: Cluster, client: KubeClient, user: str
    ) -> None:
        self.board = Board()
        self.ready = asyncio.Event()
        """Set once the board has what there is."""
        self.closed = False
        self._cluster, self._client, self._manager = cluster, client, manager
        self._devices = settings.gpu_resources()
        self._user_hash = naming.user_hash(user_name())
        mine = naming.selector(component="job", user_hash=naming.user_hash(user))
        self._pods = Reflector(client, objects.PODS, keep=slim.pods(self._devices))
        self._jobs = Reflector(client, objects.JOBS, labels=mine, keep=slim_job)
        self._refusals = Reflector(client, objects.EVENTS, fields=_REFUSALS, keep=slim.event)
        self._nodes = Reflector(client, objects.NODES, keep=slim.node)
        self._open = {self._pods, self._jobs, self._refusals, self._nodes}
        self._kernels: Reflector | None = None  # the connection's own, of kernels' pods
        self._pods_of: dict[str, dict[str, Object]] = defaultdict(dict)
        self._events_of: dict[str, dict[str, Object]] = defaultdict(dict)
        self._changed_jobs: set[str] = set()
        self._changed_kernels: set[str] = set()
        self._moved = asyncio.Event()
        self._health = Health(client, self._devices, self._moved.set)
        self._news = asyncio.Condition()
        self._observed: WeakSet[Any] = WeakSet()
        self._stops: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, settings: KubeConfig, manager: Any) -> Watches:
        """Begin to watch.

        Raises
        ------
        NotConfigured
            Without credentials.

        """
        cluster = shared(settings)
        cluster.hold()
        try:
            client = await cluster.client()
            origin = await find_origin(client)
            watches = cls(settings, manager, cluster, client, origin.user)
            await watches._begin()
        except BaseException:
            await cluster.release()
            raise
        return watches

    async def wait(self, view: View) -> bool:
        """Wait until a view has something to be told; False if that will not be any more."""
        async with self._news:
            await self._news.wait_for(lambda: self.closed or view.behind)
        return not self.closed

    async def close(self) -> None:
        """Stop watching; who waits is told."""
        async with AsyncExitStack() as stack:  # the last first, each whatever others raise
            stack.push_async_callback(self._tell)
            stack.callback(self.ready.set)
            stack.callback(setattr, self, "closed", True)
            stack.push_async_callback(self._cluster.release)
            for reflector in self._open:
                stack.push_async_callback(reflector.close)
            stack.push_async_callback(self._end_tasks)
            stack.callback(self._health.close)
            for stop in self._stops:
                stack.callback(stop)

    # --- what is noted ---------------------------------------------------------------------------

    async def _begin(self) -> None:
        self._kernels = await self._cluster.watch()
        for reflector, callback in (
            (self._pods, self._pod_changed),
            (self._jobs, self._job_changed),
            (self._refusals, self._refused),
            (self._nodes, self._health.node_changed),
        ):
            self._stops.append(reflector.subscribe(callback))
            await reflector.start()
        self._stops += [self._cluster.listen(self._kernel_pod_changed), self._stop_observing]
        watchers = getattr(self._manager, "watchers", None)  # of our own manager
        if watchers is not None:
            watchers.append(self._kernel_moved)
            self._stops.append(lambda: watchers.remove(self._kernel_moved))
        for kernel_id in self._manager.list_kernel_ids():
            self._kernel_moved(kernel_id)
        self._tasks.append(asyncio.create_task(self._run()))

    def _pod_changed(self, change: str, pod: Object) -> None:
        meta = pod["metadata"]
        if job := (meta.get("labels") or {}).get(naming.JOB):
            _keep(self._pods_of, job, change, pod)
            self._job_moved(job)
        self._health.pod_changed(change, pod)

    def _job_changed(self, _change: str, job: Object) -> None:
        self._job_moved(_whole(job))

    def _refused(self, change: str, event: Object) -> None:
        """Note why pods of a job, or of one of its roles, were not made."""
        about = event["involvedObject"].get("name", "")
        _keep(self._events_of, about, change, event)
        if about in self._jobs.items:  # one that comes later asks for its events then
            self._job_moved(_whole(self._jobs.items[about]))

    def _job_moved(self, name: str) -> None:
        self._changed_jobs.add(name)
        self._moved.set()

    def _kernel_pod_changed(self, pod: Object) -> None:
        self._kernel_moved(pod["metadata"]["labels"].get(naming.KERNEL_ID, ""))

    def _kernel_moved(self, kernel_id: str) -> None:
        """Note that a kernel has come, gone or changed, here or in the cluster."""
        found = self._manager.get_kernel(kernel_id) if kernel_id in self._manager else None
        if found is not None and found not in self._observed:
            self._observed.add(found)
            found.observe(self._kernel_said, TOLD_BY)
        self._changed_kernels.add(kernel_id)
        self._moved.set()

    def _kernel_said(self, change: Any) -> None:
        self._kernel_moved(change["owner"].kernel_id)

    def _stop_observing(self) -> None:
        for found in self._observed:
            found.unobserve(self._kernel_said, TOLD_BY)

    # --- what is made of it ----------------------------------------------------------------------

    async def _run(self) -> None:
        await self._first()
        while True:
            self._moved.clear()
            await self._renew()
            self.ready.set()
            await self._tell()
            await asyncio.sleep(_PACE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._moved.wait()

    async def _first(self) -> None:
        """Wait for the first lists, for a while."""
        reflectors = [*self._open, *filter(None, [self._kernels])]
        lists = [asyncio.create_task(self._listed(reflector)) for reflector in reflectors]
        self._tasks += lists
        await asyncio.wait(lists, timeout=_PATIENCE)

    async def _listed(self, reflector: Reflector) -> None:
        """Wait for a first list; do without what may not be listed and can be done without."""
        try:
            await reflector.synced()
        except AccessDenied:
            if reflector in (self._nodes, self._refusals):
                self._open.remove(reflector)
                await reflector.close()
        except ClusterError:
            pass  # it tries again, and what there is counts as old meanwhile

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _renew(self) -> None:
        """Make those rows anew that have changed."""
        for changed, renew in (
            (self._changed_jobs, self._renew_job),
            (self._changed_kernels, self._renew_kernel),
        ):
            async for key in unhurried(_taken(changed)):
                try:
                    renew(key)
                except Exception:  # one odd object must not blind us to the others
                    log.exception("what has become of %s cannot be told", key)
        try:
            self._renew_cluster()
        except Exception:
            log.exception("how the cluster is cannot be told")

    def _renew_job(self, name: str) -> None:
        job = self._jobs.items.get(name)
        if job is None or not is_whole(job):
            self.board.drop("jobs", name)
            return
        pods = self._pods_of.get(name, {}).values()
        events = [
            event for part in _PARTS for event in self._events_of.get(f"{name}{part}", {}).values()
        ]
        view = job_view(job, pods, events, now=self._client.now())
        self.board.put("jobs", name, row(view), view.started or 0.0)

    def _renew_kernel(self, kernel_id: str) -> None:
        name = naming.kernel_name(kernel_id)
        known = here(self._manager, kernel_id)
        pod = self._kernels.items.get(name) if self._kernels else None
        if pod is not None and self._mine(pod):
            state = self._cluster.state(name, pod["metadata"]["uid"]) or pod_state(pod)
            content = kernel(pod, state, known, self._devices)
        elif pod is None and known is not None and known.ours is not None:
            content = without_pod(kernel_id, known, known.ours)
        else:
            self.board.drop("kernels", kernel_id)
            return
        self.board.put("kernels", kernel_id, content)

    def _mine(self, pod: Object) -> bool:
        labels = pod["metadata"]["labels"]
        return labels.get(naming.USER_HASH) == self._user_hash and naming.POOL not in labels

    def _renew_cluster(self) -> None:
        """Say how the cluster is, and since when there is no news of it."""
        watches = [*self._open, *filter(None, [self._kernels])]
        nodes = self._nodes if self._nodes in self._open else None
        about, since = self._health.facts(watches, nodes)
        self.board.state("cluster", about)
        self.board.state("stale_since", since)


def _taken(keys: set[str]) -> Iterator[str]:
    """Take keys out, those that come meanwhile as well."""
    while keys:
        yield keys.pop()


def _whole(job: Object) -> str:
    """Return the name of the job that a Job is, or is a role of."""
    meta = job["metadata"]
    return str((meta.get("labels") or {}).get(naming.JOB, meta["name"]))


def _keep(index: dict[str, dict[str, Object]], key: str, change: str, item: Object) -> None:
    """Keep an object under a key, or forget it."""
    name = item["metadata"]["name"]
    if change != "DELETED":
        index[key][name] = item
        return
    index[key].pop(name, None)
    if not index[key]:
        del index[key]
