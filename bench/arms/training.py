"""Ways to run a training job and to read its ranks' lines: ours, kubectl, kubeflow-training."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from bench.arms import operator
from bench.jobs import LINES, LONG, Heard, Wanted
from bench.measure import Failed
from bench.place import Place, Rights
from jupyter_kube.kube.rbac import RULES
from tests.cluster.cluster import kubectl_program

RESOURCES = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
OURS, KUBECTL, KUBEFLOW = "ours", "kubectl", operator.NAME
RETRY = f"{KUBEFLOW}, retried"
ARMS = (OURS, KUBECTL, KUBEFLOW, RETRY)

_TICKS = os.sysconf("SC_CLK_TCK")
_READ = ("get", "list", "watch")
RIGHTS: dict[str, Rights] = {
    OURS: RULES,
    KUBECTL: (
        ("batch", ("jobs",), (*_READ, "create", "patch")),
        ("", ("pods", "pods/log"), _READ),
    ),
    KUBEFLOW: (
        ("kubeflow.org", ("tfjobs",), (*_READ, "create")),
        ("", ("pods", "pods/log", "events"), _READ),
    ),
}


class Driver:
    """A client that goes on from job to job in a process of its own.

    Parameters
    ----------
    name, account
        As in the tables; whose credentials it has.
    lines
        How many its jobs' ranks print.

    """

    def __init__(self, name: str, account: str, place: Place, lines: int = LINES) -> None:
        self.name, self.account, self.lines = name, account, lines
        self.place, self.follows = place, True
        self._heard = Heard()
        self._over = asyncio.Event()
        self._process: asyncio.subprocess.Process

    async def start(self, argv: Sequence[str | Path], **env: str) -> None:
        """Start the process; it must say that it is ready."""
        self._process = await asyncio.create_subprocess_exec(
            *map(str, argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **env},
            limit=2**22,
        )
        self._reading = asyncio.create_task(self._read())
        async with asyncio.timeout(60):
            await self._over.wait()
        if self._process.returncode is not None:
            raise Failed(f"{self.name} did not start")

    async def close(self) -> None:
        """End it."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            text = raw.decode(errors="replace")
            if text.startswith(("@@ready", "@@done")):
                self._over.set()
            elif text.startswith("@@failed"):
                print(self.name, text, file=sys.stderr)
            self._heard.take(text)
        await self._process.wait()
        self._over.set()

    def asked(self, wanted: Wanted) -> dict[str, Any]:
        """Return what the process is told."""
        raise NotImplementedError

    @asynccontextmanager
    async def running(self, wanted: Wanted, heard: Heard) -> AsyncIterator[asyncio.Task[None]]:
        """Submit a job and print its lines, until the block is left; yields the printing."""
        assert self._process.stdin is not None
        self._over.clear()
        self._heard = heard
        self._process.stdin.write(json.dumps(self.asked(wanted)).encode() + b"\n")
        printing = asyncio.create_task(self._until_over())
        try:
            yield printing
        finally:
            printing.cancel()
            await asyncio.gather(printing, return_exceptions=True)

    async def _until_over(self) -> None:
        await self._over.wait()

    async def rest(self) -> None:
        """Wait until it has noticed the end of its job."""
        async with asyncio.timeout(60):
            await self._over.wait()

    def cpu(self) -> float:
        """Return how many seconds of CPU it has used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


class Ours(Driver):
    """A ``%%kubetrain`` cell."""

    def asked(self, wanted: Wanted) -> dict[str, Any]:
        """Return the cell."""
        head = f"%%kubetrain python -w {wanted.workers} --name {wanted.name} --retries 3"
        return {"cell": f"{head}\n{wanted.code}"}


class Kubeflow(Driver):
    """The SDK of kubeflow-training."""

    def asked(self, wanted: Wanted) -> dict[str, Any]:
        """Return the job."""
        return {
            "name": wanted.name,
            "namespace": self.place.namespace,
            "workers": wanted.workers,
            "image": self.place.cluster.image,
            "code": wanted.code,
            "resources": RESOURCES,
            "retry": self.name == RETRY,
        }


class Kubectl:
    """``kubectl apply`` of an Indexed Job, then ``kubectl logs -f`` again until it can follow."""

    name = account = KUBECTL
    lines = LINES
    follows = False

    def __init__(self, place: Place) -> None:
        self._place = place
        self._argv = [kubectl_program(), "--kubeconfig", str(place.kubeconfig(KUBECTL))]

    @asynccontextmanager
    async def running(self, wanted: Wanted, heard: Heard) -> AsyncIterator[asyncio.Task[None]]:
        """Submit a job and print its lines, until the block is left; yields the printing."""
        printing = asyncio.create_task(self._work(wanted, heard))
        try:
            yield printing
        finally:
            printing.cancel()
            await asyncio.gather(printing, return_exceptions=True)

    async def rest(self) -> None:
        """Wait for nothing."""

    async def close(self) -> None:
        """End nothing."""

    def cpu(self) -> float:
        """Return how many seconds of CPU its programs have used so far."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    async def _work(self, wanted: Wanted, heard: Heard) -> None:
        manifest = json.dumps(manifest_of(wanted, self._place.cluster.image)).encode()
        await self._run(["apply", "-f", "-"], heard, manifest)
        heard.take("@@created")
        selector = ["-l", f"job-name={wanted.name}"]
        follow = ["logs", "-f", "--tail=-1", "--prefix", "--max-log-requests=100", *selector]
        while len({rank for rank, _, _ in heard.lines}) < wanted.workers:
            await self._run(follow, heard)
            await asyncio.sleep(0.05)

    async def _run(self, words: Sequence[str], heard: Heard, given: bytes = b"") -> None:
        process = await asyncio.create_subprocess_exec(
            *self._argv,
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(given)
            process.stdin.close()
            async for raw in process.stdout:
                heard.take(raw.decode(errors="replace"))
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


def manifest_of(wanted: Wanted, image: str) -> dict[str, Any]:
    """Build the Indexed Job that somebody would write by hand."""
    container = {
        "name": "worker",
        "image": image,
        "command": ["python3", "-u", "-c", wanted.code],
        "resources": RESOURCES,
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [container],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": wanted.name},
        "spec": {
            "completions": wanted.workers,
            "parallelism": wanted.workers,
            "completionMode": "Indexed",
            "template": {"spec": pod},
        },
    }


@asynccontextmanager
async def arm(name: str, place: Place) -> AsyncIterator[Driver | Kubectl]:
    """Make one arm ready for jobs."""
    made: Driver | Kubectl
    if name == KUBECTL:
        made = Kubectl(place)
    elif name == OURS:
        made = Ours(name, OURS, place)
        home = place.folder / "ipython"
        home.mkdir()
        profile = {"image": place.cluster.image, "cpu": "20m", "memory": "256Mi"}
        settings = {
            "kubeconfig": str(place.kubeconfig(OURS)),
            "namespace": place.namespace,
            "profiles": {"python": profile},
        }
        (home / "jupyter_kube_config.json").write_text(json.dumps({"KubeConfig": settings}))
        argv = [sys.executable, "-u", "-m", "bench.clients.cells"]
        await made.start(argv, JUPYTER_CONFIG_DIR=str(home), IPYTHONDIR=str(home))
    else:
        made = Kubeflow(name, KUBEFLOW, place, LINES if name == RETRY else LONG)
        script = operator.SOURCES / "clients" / "tfjobs.py"
        argv = [str(operator.python()), str(script)]
        await made.start([*argv, place.kubeconfig(KUBEFLOW), place.namespace])
    try:
        yield made
    finally:
        await made.close()
