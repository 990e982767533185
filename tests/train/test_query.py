"""Single questions about jobs cost what they must."""

import asyncio
import base64

import pytest

from jupyter_kube import naming
from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import NotFound
from jupyter_kube.kube import objects
from jupyter_kube.train import owndesk, query
from jupyter_kube.train.background import Background
from jupyter_kube.train.desk import Ticket
from jupyter_kube.train.handle import Job
from jupyter_kube.train.origin import Origin
from jupyter_kube.train.owndesk import OwnDesk

from . import fakecluster
from .fakecluster import FakeCluster


def asked_for(name, *jobs):
    """Complete a name; returns it, and what was asked of the cluster."""

    async def work():
        cluster = FakeCluster()
        for user, job in jobs:
            labels = naming.labels("job", user=user, job=job)
            await cluster.put("jobs", {"metadata": {"name": job, "labels": labels}})
        return await query.whole_name(cluster, name, "ann"), cluster.requests

    return asyncio.run(work())


def test_a_job_that_is_named_in_full_is_found_without_a_list():
    mine = [("ann", f"digits-{number:04}") for number in range(3)]
    assert asked_for("digits-0001", *mine) == ("digits-0001", [("GET", "jobs", "digits-0001")])


def test_a_short_name_is_completed_from_ones_own_jobs_only():
    name, asked = asked_for("digits", ("ann", "digits-0001"), ("bob", "digits-0002"))
    assert name == "digits-0001"
    assert asked == [("GET", "jobs", "digits"), ("GET", "jobs", None)]
    assert asked_for("other", ("ann", "digits-0001"))[0] == "other"
    with pytest.raises(NotFound, match="there are digits-0001, digits-0002"):
        asked_for("digits", ("ann", "digits-0001"), ("ann", "digits-0002"))


def answer(ask, *, workers, **status):
    """Ask something about a job and its pods; returns the answer and what that asked for."""

    async def work():
        cluster = FakeCluster()
        job = fakecluster.job(workers=workers, **status)
        await cluster.put("jobs", job)
        labels = job["metadata"]["labels"]
        key = {"key": base64.b64encode(fakecluster.KEY.hex().encode()).decode()}
        named = {"name": job["metadata"]["name"], "labels": labels}
        await cluster.put("secrets", {"metadata": named, "data": key})
        for rank in range(workers):
            await cluster.put("pods", fakecluster.pod(rank))
        return await ask(cluster, named["name"]), cluster.requests

    return asyncio.run(work())


async def told(pieces):
    return [piece async for piece in pieces]


@pytest.mark.parametrize(
    "ask",
    [
        query.snapshot,
        lambda cluster, name: told(query.read_logs(cluster, name, fakecluster.KEY, tail=1)),
        lambda cluster, name: told(query.read_reports(cluster, name, fakecluster.KEY)),
    ],
)
def test_the_pods_of_a_large_job_are_read_some_at_a_time(ask):
    _, asked = answer(ask, workers=2 * objects.PAGE + 1)
    assert asked.count(("GET", "pods", None)) == 3


def test_of_a_pod_only_that_is_kept_which_is_shown():
    pods, _ = answer(query.pods_of, workers=1)
    (pod,) = pods
    assert pod["spec"]["nodeName"] == "n1"
    assert [container["name"] for container in pod["spec"]["containers"]] == ["worker"]


def test_why_a_job_failed_is_looked_up_in_the_cluster_once(monkeypatch):
    monkeypatch.setattr(owndesk, "_PATIENCE", 0.1)  # its logs say nothing here

    async def why(cluster, name):
        return await OwnDesk(cluster, KubeConfig(), Origin("ann")).why(name)

    said, asked = answer(why, workers=1, **fakecluster.ended("Failed", "BackoffLimitExceeded"))
    assert "failed" in said[0]
    before_it_is_followed = asked[: asked.index(("GET", "secrets", "digits-ab12"))]
    assert before_it_is_followed.count(("GET", "pods", None)) == 1


def test_of_a_job_that_succeeded_no_logs_are_read_to_say_so():
    async def why(cluster, name):
        await cluster.frame("digits-ab12-0-x", "end", {"ok": True})
        desk = OwnDesk(cluster, KubeConfig(), Origin("ann"))
        ticket, beside = Ticket(await query.snapshot(cluster, name), fakecluster.KEY), Background()
        try:
            said = await asyncio.to_thread(Job(desk, ticket, on=beside).why)
        finally:
            beside.close()
        return said, dict(cluster.read)

    answered, _asked = answer(why, workers=1, **fakecluster.ended("Complete"))
    assert answered == (["digits-ab12 succeeded."], {})
