"""Kubeflow's two SDKs, each with its operators: what they are given, and what they need."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.arms import peers
from bench.arms.driver import Driver
from bench.arms.operator import JOBSET, SOURCES, TRAINER, TRAINING
from bench.jobs import LINES, LONG, RESOURCES, Wanted
from bench.place import READ, Place, Rights
from tests.cluster import Cluster

TFJOBS, TRAINJOBS = "kubeflow-training", "kubeflow-sdk"
"""Accounts, and arms that go by the guides: of ``TFJob`` and of ``TrainJob``."""
RETRY, THREADS = f"{TFJOBS}, retried", f"{TRAINJOBS}, threads"
WAITING = f"{TRAINJOBS}, waiting"
"""Not for logs: until all ranks run."""
ARMS = (TFJOBS, RETRY, TRAINJOBS, THREADS)
GUIDED = (TFJOBS, RETRY, TRAINJOBS)
"""What their users do without programs of their own."""
_NEEDS = {TFJOBS: (TRAINING,), TRAINJOBS: (JOBSET, TRAINER)}
_KINDS = {TFJOBS: "tfjobs", TRAINJOBS: "trainjobs"}
_LOGS = ("", ("pods", "pods/log", "events"), READ)
RIGHTS: dict[str, Rights] = {
    TFJOBS: (("kubeflow.org", ("tfjobs",), (*READ, "create")), _LOGS),
    TRAINJOBS: (
        ("trainer.kubeflow.org", ("trainjobs",), (*READ, "create")),
        ("trainer.kubeflow.org", ("trainingruntimes",), READ),
        _LOGS,
    ),
}
_RUNTIME = "plain"
_FOLLOWS = {TRAINJOBS: "in turn", THREADS: "at once"}


@contextmanager
def operators(accounts: Iterable[str], cluster: Cluster, folder: Path) -> Iterator[None]:
    """Install what accounts need, until the block is left."""
    with ExitStack() as stack:
        for operator in (each for account in accounts for each in _NEEDS.get(account, ())):
            stack.enter_context(operator.installed(cluster, folder))
        yield


async def remove(place: Place) -> None:
    """Delete all jobs that a place's accounts have made, and do not wait until they are gone."""
    kinds = [_KINDS[account] for account in place.accounts if account in _KINDS]
    what = ("delete", ",".join([*kinds, "jobs"]), "--all", "-n", place.namespace, "--wait=false")
    await asyncio.to_thread(place.cluster.kubectl, *what)


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


class Trainer(Driver):
    """Kubeflow's SDK, with Trainer and JobSet."""

    def asked(self, wanted: Wanted) -> dict[str, Any]:
        """Return the job."""
        return {
            "name": wanted.name,
            "workers": wanted.workers,
            "runtime": _RUNTIME,
            "code": wanted.code,
            "follow": _FOLLOWS.get(self.name, ""),
        }


def runtime(image: str, namespace: str, **where: Any) -> dict[str, Any]:
    """Build the TrainingRuntime that an administrator would offer for plain Python.

    ``where`` is more of its pods' spec.
    """
    step = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    # With a limit of memory alone it says: unknown device type.
    resources = {"requests": RESOURCES["requests"]}
    pod = {
        "automountServiceAccountToken": False,
        "containers": [{"name": "node", "image": image, "resources": resources}],
        **where,
    }
    job = {"metadata": {"labels": step}, "spec": {"template": {"spec": pod}}}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainingRuntime",
        "metadata": {
            "name": _RUNTIME,
            "namespace": namespace,
            "labels": {"trainer.kubeflow.org/framework": _RUNTIME},
        },
        "spec": {
            "mlPolicy": {"numNodes": 1},
            "template": {"spec": {"replicatedJobs": [{"name": "node", "template": job}]}},
        },
    }


async def start(name: str, place: Place, **where: Any) -> Driver:
    """Start an arm's client, in an environment of its own that is made the first time.

    ``where`` is as for :func:`runtime`.
    """
    made: Driver
    required: tuple[str, ...]
    if name in (TRAINJOBS, THREADS, WAITING):
        made = Trainer(name, TRAINJOBS, place)
        offered = runtime(place.cluster.image, place.namespace, **where)
        await asyncio.to_thread(place.cluster.apply, offered)
        script, required = "trainjobs.py", ("kubeflow==0.5.0",)
    else:
        made = Kubeflow(name, TFJOBS, place, LINES if name == RETRY else LONG)
        script, required = "tfjobs.py", ("kubeflow-training==1.9.4", "setuptools<81")
    python = peers.software(made.account, required) / "bin/python"
    kubeconfig = place.kubeconfig(made.account)
    await made.start([python, SOURCES / "clients" / script, kubeconfig, place.namespace])
    return made
