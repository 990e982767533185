"""A submission makes all objects or leaves none."""

import asyncio

import pytest

from jupyter_kube import naming
from jupyter_kube.errors import AccessDenied, ClusterUnavailable, Conflict, from_status
from jupyter_kube.train.create import create
from jupyter_kube.train.jobspec import Manifests

from .fakecluster import FakeCluster


def manifests(name="digits-ab12", submission="s1"):
    labels = naming.labels("job", job=name, submission=submission)

    def meta(own=name):
        return {"metadata": {"name": own, "labels": labels}}

    return Manifests(meta(), meta(), (meta(), meta(f"{name}-1")))


def run(cluster, submission="s1"):
    return asyncio.run(create(cluster, manifests(submission=submission), submission))


def left(cluster):
    return {plural: sorted(found) for plural, found in cluster.objects.items() if found}


def test_the_job_comes_first_and_owns_the_rest():
    cluster = FakeCluster()
    job = run(cluster)
    assert cluster.requests[0] == ("POST", "jobs", "digits-ab12")
    assert left(cluster) == {
        "jobs": ["digits-ab12"],
        "services": ["digits-ab12"],
        "secrets": ["digits-ab12", "digits-ab12-1"],
    }
    for body in (*cluster.objects["services"].values(), *cluster.objects["secrets"].values()):
        assert body["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]


def test_f24_a_repeated_submission_is_harmless():
    cluster = FakeCluster()
    assert run(cluster)["metadata"]["uid"] == run(cluster)["metadata"]["uid"]


@pytest.mark.parametrize(
    "error", [ClusterUnavailable("down", reason="Unreachable"), from_status(403, {})]
)
def test_nothing_is_looked_for_where_nothing_was_made(error):
    async def refused(cluster, plural, body):
        cluster.faults["POST", plural] = refused
        raise error

    cluster = FakeCluster()
    cluster.faults["POST", "jobs"] = refused
    with pytest.raises(type(error)):
        run(cluster)
    assert {method for method, *_ in cluster.requests} == {"POST"}


def test_a_job_whose_answer_never_comes_is_removed():
    async def stored_but_unanswered(cluster, plural, body):
        if not cluster.objects[plural]:
            await cluster.put(plural, body)
        cluster.faults["POST", plural] = stored_but_unanswered
        raise ClusterUnavailable("connection lost", reason="Broken")

    cluster = FakeCluster()
    cluster.faults["POST", "jobs"] = stored_but_unanswered
    with pytest.raises(ClusterUnavailable):
        run(cluster)
    assert left(cluster) == {}


def test_f24_a_lost_answer_is_found_again():
    async def stored_but_unanswered(cluster, plural, body):
        await cluster.put(plural, body)
        raise ClusterUnavailable("connection lost", reason="Broken")

    cluster = FakeCluster()
    cluster.faults["POST", "jobs"] = stored_but_unanswered
    run(cluster)
    assert left(cluster)["jobs"] == ["digits-ab12"]


def test_somebody_elses_job_of_that_name_is_left_alone():
    cluster = FakeCluster()
    run(cluster, "theirs")
    with pytest.raises(Conflict):
        run(cluster, "mine")
    assert left(cluster)["jobs"] == ["digits-ab12"]


@pytest.mark.parametrize("plural", ["services", "secrets"])
def test_a_refusal_later_on_removes_the_job(plural):
    cluster = FakeCluster()
    cluster.faults["POST", plural] = from_status(403, {"message": "forbidden"}, what="create")
    with pytest.raises(AccessDenied):
        run(cluster)
    assert "jobs" not in left(cluster)


def test_cancelling_a_submission_removes_the_job():
    async def scenario():
        cluster, reached = FakeCluster(), asyncio.Event()

        async def hang(*_args):
            reached.set()
            await asyncio.Event().wait()

        cluster.faults["POST", "secrets"] = hang
        task = asyncio.create_task(create(cluster, manifests(), "s1"))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return cluster

    assert "jobs" not in left(asyncio.run(scenario()))


def test_of_several_errors_a_defect_is_told_before_a_refusal():
    async def break_when_it_is_ended(*_args):
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    cluster = FakeCluster()
    cluster.faults["POST", "secrets"] = break_when_it_is_ended
    cluster.faults["POST", "services"] = from_status(403, {})
    with pytest.raises(ZeroDivisionError):
        run(cluster)
    assert "jobs" not in left(cluster)
