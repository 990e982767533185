"""Single questions about jobs cost what they must."""

import asyncio

import pytest

from jupyter_kube import naming
from jupyter_kube.errors import NotFound
from jupyter_kube.train import query

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
