"""Ways to run a training job and to read its ranks' lines: ours, kubectl, and Kubeflow's SDKs."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from bench.arms import kubeflow
from bench.arms.driver import Driver
from bench.jobs import LINES, RESOURCES, Heard, Wanted
from bench.place import READ, Place, Rights
from jupyter_kube.kube.rbac import RULES
from tests.cluster.cluster import kubectl_program

OURS, KUBECTL = "ours", "kubectl"
ARMS = (OURS, KUBECTL, *kubeflow.ARMS)
RIGHTS: dict[str, Rights] = {
    OURS: RULES,
    KUBECTL: (
        ("batch", ("jobs",), (*READ, "create", "patch")),
        ("", ("pods", "pods/log"), READ),
    ),
    **kubeflow.RIGHTS,
}


def rights(arms: Iterable[str]) -> dict[str, Rights]:
    """Return the rights of the accounts that arms need, by account."""
    return {name: RIGHTS[name] for name in RIGHTS if any(arm.startswith(name) for arm in arms)}


class Ours(Driver):
    """A ``%%kubetrain`` cell."""

    def asked(self, wanted: Wanted) -> dict[str, Any]:
        """Return the cell."""
        head = f"%%kubetrain python -w {wanted.workers} --name {wanted.name} --retries 3"
        return {"cell": f"{head}\n{wanted.code}"}


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
        made = await kubeflow.start(name, place)
    try:
        yield made
    finally:
        await made.close()
