"""A cluster in memory: enough of the API for a job's objects, with faults on demand."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from jupyter_kube import naming
from jupyter_kube.errors import from_status
from jupyter_kube.train import frames

KEY = bytes(range(32))


class FakeCluster:
    """Stands in for a KubeClient; all of it runs on one event loop."""

    namespace, context, server, timeout = "default", "fake", "https://fake", 0.5

    def __init__(self):
        self.objects = defaultdict(dict)
        self.history = defaultdict(list)
        self.requests = []
        self.faults = {}
        self.logs = defaultdict(FakeLog)
        self.watching, self.read = defaultdict(int), defaultdict(int)
        self._version = 0
        self._news = asyncio.Condition()

    async def put(self, plural, body, kind="MODIFIED"):
        """Create or replace an object, and tell those who watch."""
        self._version += 1
        meta = body["metadata"]
        meta["resourceVersion"] = str(self._version)
        meta.setdefault("uid", f"uid-{meta['name']}")
        meta.setdefault("creationTimestamp", datetime.now(UTC).isoformat())
        known = meta["name"] in self.objects[plural]
        self.objects[plural][meta["name"]] = body
        await self._tell(plural, kind if known else "ADDED", body)

    async def remove(self, plural, name):
        self._version += 1
        body = self.objects[plural].pop(name)
        body["metadata"]["resourceVersion"] = str(self._version)
        await self._tell(plural, "DELETED", body)

    async def _tell(self, plural, kind, body):
        event = json.dumps({"type": kind, "object": body}).encode() + b"\n"
        async with self._news:
            self.history[plural].append((self._version, event))
            self._news.notify_all()

    def now(self):
        return datetime.now(UTC)

    async def request(self, method, path, *, query=None, body=None, what="", **_options):
        parts = path.partition("/namespaces/default/")[2].split("/")
        plural, name = parts[0], parts[1] if len(parts) > 1 else ""
        self.requests.append((method, plural, name or (body or {}).get("metadata", {}).get("name")))
        fault = self.faults.pop((method, plural), None)
        if callable(fault):
            await fault(self, plural, body)
        elif fault is not None:
            raise fault
        if method == "POST":
            if body["metadata"]["name"] in self.objects[plural]:
                raise from_status(409, {"message": "already exists"}, what=what)
            await self.put(plural, json.loads(json.dumps(body)))
            return self.objects[plural][body["metadata"]["name"]]
        if not name:
            wanted = (query or {}).get("labelSelector", "")
            items = [o for o in self.objects[plural].values() if _selected(o, wanted)]
            return _page(items, query or {}, self._version)
        if name not in self.objects[plural]:
            raise from_status(404, {"message": f"{plural} {name} not found"}, what=what)
        if method == "DELETE":
            await self.remove(plural, name)
            return {}
        return self.objects[plural][name]

    @asynccontextmanager
    async def stream(self, path, *, query=None, **_options):
        parts = path.partition("/namespaces/default/")[2].split("/")
        if parts[-1] == "log":
            self.read[parts[1]] += 1
            tail = int(query["tailLines"]) if "tailLines" in query else None
            yield self._log(parts[1], follow="follow" in query, tail=tail)
            return
        self.watching[parts[0]] += 1
        try:
            yield self._watch(parts[0], int(query["resourceVersion"]))
        finally:
            self.watching[parts[0]] -= 1

    async def _watch(self, plural, after):
        while True:
            async with self._news:
                fresh = [e for e in self.history[plural] if e[0] > after]
                if not fresh:
                    await self._news.wait()
            for version, event in fresh:
                after = version
                yield event

    async def _log(self, pod, *, follow, tail):
        if pod not in self.logs:
            raise from_status(400, {"message": "waiting to start"})
        log = self.logs[pod]
        at = 0 if tail is None else max(0, len(log.lines) - tail)
        while True:
            async with log.news:
                while follow and at == len(log.lines) and not log.ended:
                    await log.news.wait()
            if at == len(log.lines):
                return
            yield log.lines[at]
            at += 1

    async def say(self, pod, *texts):
        for text in texts:
            await self.logs[pod].add(text)

    async def frame(self, pod, kind, data, rank=0, key=KEY):
        await self.say(pod, frames.encode(kind, data, key, rank=rank).decode().removesuffix("\n"))

    async def result(self, pod, blob, data, key=KEY):
        for line in frames.encode_parts("result", blob, data, key, rank=0):
            await self.say(pod, line.decode().removesuffix("\n"))

    async def end_log(self, pod):
        await self.logs[pod].end()

    async def close(self):
        pass


class FakeLog:
    def __init__(self):
        self.lines, self.ended, self.news = [], False, asyncio.Condition()
        self.begins = True

    async def add(self, text):
        if not self.lines and self.begins:
            self.begins = False
            await self.add(frames.encode("begin", {}, KEY, rank=0).decode().removesuffix("\n"))
        async with self.news:
            stamp = f"2026-01-01T00:00:00.{len(self.lines):09}Z"
            self.lines.append(f"{stamp} {text}\n".encode())
            self.news.notify_all()

    async def end(self):
        async with self.news:
            self.ended = True
            self.news.notify_all()


def _page(items, query, version):
    begin = int(query.get("continue") or 0)
    end = begin + int(query.get("limit") or len(items))
    more = str(end) if end < len(items) else ""
    return {
        "metadata": {"resourceVersion": str(version), "continue": more},
        "items": items[begin:end],
    }


def _selected(body, selector):
    labels = body["metadata"].get("labels") or {}
    pairs = [part.split("=") for part in selector.split(",") if part]
    return all(labels.get(key) == value for key, value in pairs)


def job(name="digits-ab12", workers=2, outputs=(), user="ann", **status):
    labels = naming.labels("job", user=user, job=name, submission="s1")
    asked = {"outputs": list(outputs), "profile": "small"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": labels,
            "annotations": {naming.FRAMEWORK: "python", naming.REQUEST: json.dumps(asked)},
        },
        "spec": {"completions": workers, "parallelism": workers},
        "status": status,
    }


def ended(kind, reason="", message=""):
    when = "2026-01-01T00:00:10Z"
    condition = {"type": kind, "status": "True", "reason": reason, "message": message}
    return {"conditions": [{**condition, "lastTransitionTime": when}]}


def pod(rank=0, name="digits-ab12", phase="Running", container=None, message=""):
    state = container or {"running": {}}
    status = {"phase": phase, "containerStatuses": [{"name": "worker", "state": state}]}
    spec = {
        "nodeName": "n1",
        "containers": [{"name": "worker", "resources": {"limits": {"memory": "2Gi"}}}],
    }
    if message:
        unscheduled = {"type": "PodScheduled", "status": "False", "message": message}
        status, spec = {"phase": "Pending", "conditions": [unscheduled]}, {"containers": []}
    return {
        "metadata": {
            "name": f"{name}-{rank}-x",
            "labels": naming.labels("job", job=name),
            "annotations": {"batch.kubernetes.io/job-completion-index": str(rank)},
        },
        "spec": spec,
        "status": status,
    }


def terminated(code, reason="Error", message=""):
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}
