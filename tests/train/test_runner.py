"""Following a job on a cluster in memory: what is shown, what comes back, when it ends."""

import asyncio
import pickle
import zlib
from datetime import timedelta

import pytest

from jupyter_kube.errors import AccessDenied, JobFailed, NotFound, RemoteError, from_status
from jupyter_kube.train import query, reading, runner
from jupyter_kube.train.feed import BEGINNING_LOST, Feed
from jupyter_kube.train.results import open_outcome
from jupyter_kube.train.runner import Follower
from jupyter_kube.train.view import JobView

from .fakecluster import KEY, FakeCluster, ended, job, pod, terminated

GRACE = timedelta(seconds=30)


def follow(scenario, **job_options):
    """Run a scenario against a follower; returns the outcome and the feed."""

    async def run():
        cluster = FakeCluster()
        feed = Feed(JobView("digits-ab12"))
        await cluster.put("jobs", job(**job_options))
        follower = Follower(cluster, feed.view, KEY, feed)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(follower.run())
            group.create_task(scenario(cluster, feed, following))
        assert not any(cluster.watching.values())
        return following.result(), feed

    return asyncio.run(run())


async def shown(feed, check):
    """Wait until the feed's view passes a check."""
    while not check(feed.view):
        await asyncio.sleep(0.001)


def test_result_lines_and_reports_of_all_ranks():
    async def scenario(cluster, feed, _following):
        for rank in (0, 1):
            await cluster.put("pods", pod(rank))
            await cluster.say(f"digits-ab12-{rank}-x", f"hello from {rank}")
        report = {"rows": [[1, 1, 1, 0.0, 2, {"loss": 1, "lr": 3}], [2, 1, 1, 1, 3, {"loss": 0.5}]]}
        await cluster.frame("digits-ab12-1-x", "report", report, rank=1)
        await shown(feed, lambda view: view.phase == "running" and view.ranks[1].metrics)
        blob = zlib.compress(pickle.dumps({"x": 42}))
        await cluster.result("digits-ab12-0-x", blob, {"missing": {}, "sizes": {"x": 5}})
        for rank in (0, 1):  # the pods still run, and nothing ends their logs but this
            await cluster.frame(f"digits-ab12-{rank}-x", "end", {"ok": True}, rank=rank)

    outcome, feed = follow(scenario, outputs=("x",))
    results = open_outcome(outcome)
    assert results.values == {"x": 42}
    assert results.sizes == {"x": 5}
    assert outcome.view.phase == "succeeded"
    assert [rank.state.phase for rank in outcome.view.ranks] == ["succeeded"] * 2
    assert outcome.view.ranks[1].metrics == {"step": 3, "loss": 0.5, "lr": 3}
    assert [(r.rank, r.step, r.metrics["loss"]) for r in feed.reports] == [(1, 2, 1), (1, 3, 0.5)]
    batch = feed.take()
    assert {(line.rank, line.text) for line in batch.lines} == {
        (0, "hello from 0"),
        (1, "hello from 1"),
    }
    assert batch.ended


def test_only_rank_0s_end_is_the_jobs():
    async def scenario(cluster, _feed, following):
        await cluster.put("pods", pod(0, phase="Failed", container=terminated(137, "OOMKilled")))
        await cluster.put("pods", pod(1, phase="Succeeded", container=terminated(0)))
        await cluster.frame("digits-ab12-1-x", "end", {"ok": True}, rank=1)
        await cluster.end_log("digits-ab12-0-x")
        await asyncio.wait({following}, timeout=1.0)
        await cluster.put("jobs", job(**ended("Failed", "FailedIndexes")))

    outcome, _feed = follow(scenario)
    assert outcome.view.phase == "failed"


def test_exception_in_a_rank_becomes_a_remote_error():
    async def scenario(cluster, _feed, _following):
        raised = {"type": "ValueError", "message": "bad", "traceback": "tb", "pod": "p"}
        for rank in (0, 1):
            code = terminated(42 if rank else 143)
            await cluster.put("pods", pod(rank, phase="Failed", container=code))
        await cluster.frame("digits-ab12-0-x", "exception", {**raised, "type": "Network"}, rank=0)
        await cluster.frame("digits-ab12-1-x", "exception", raised, rank=1)
        end = {"ok": False, "text": "rank 1 raised ValueError", "cause": 1, "about": {}}
        await cluster.frame("digits-ab12-0-x", "end", end)
        for rank in (0, 1):
            await cluster.end_log(f"digits-ab12-{rank}-x")
        await cluster.put("jobs", job(**ended("Failed", "PodFailurePolicy")))

    outcome, _feed = follow(scenario)
    with pytest.raises(RemoteError, match="rank 1 raised ValueError: bad") as caught:
        open_outcome(outcome)
    assert caught.value.rank == 1
    assert caught.value.traceback == "tb"
    assert [rank.reason for rank in outcome.view.ranks] == [
        "raised Network: bad",
        "raised ValueError: bad",
    ]
    assert caught.value.pod == "digits-ab12-1-x"


def test_an_exception_is_told_twice_and_the_second_does_where_the_first_is_gone():
    async def scenario(cluster, _feed, _following):
        raised = {"type": "ValueError", "message": "bad", "traceback": "tb", "pod": "p1"}
        await cluster.put("pods", pod(0, phase="Failed", container=terminated(42)))
        told = {"ok": False, "text": "rank 1 raised ValueError: bad", "cause": 1}
        await cluster.frame("digits-ab12-0-x", "end", {**told, "about": raised})
        await cluster.end_log("digits-ab12-0-x")
        await cluster.put("jobs", job(**ended("Failed", "PodFailurePolicy")))

    outcome, _feed = follow(scenario)
    with pytest.raises(RemoteError, match="rank 1 raised ValueError: bad") as caught:
        open_outcome(outcome)
    assert (caught.value.rank, caught.value.pod, caught.value.traceback) == (1, "p1", "tb")


def test_frames_with_a_foreign_key_are_plain_lines():
    async def scenario(cluster, _feed, _following):
        await cluster.put("pods", pod(0, phase="Succeeded", container=terminated(0)))
        blob = zlib.compress(pickle.dumps({"x": "evil"}))
        about = {"missing": {}, "sizes": {}}
        await cluster.result("digits-ab12-0-x", blob, about, key=b"somebody else's key here")
        await cluster.end_log("digits-ab12-0-x")
        await cluster.put("jobs", job(workers=1, outputs=("x",), **ended("Complete")))

    outcome, feed = follow(scenario, workers=1, outputs=("x",))
    assert outcome.result is None
    assert len(feed.take().lines) == 2
    with pytest.raises(JobFailed, match="is not in its log any more"):
        open_outcome(outcome)


def test_out_of_memory_names_rank_limit_and_what_next():
    async def scenario(cluster, _feed, _following):
        await cluster.put("pods", pod(0, phase="Failed", container=terminated(143)))
        killed = terminated(137, "OOMKilled")
        await cluster.put("pods", pod(1, phase="Failed", container=killed))
        for rank in (0, 1):
            await cluster.end_log(f"digits-ab12-{rank}-x")
        await cluster.put("jobs", job(**ended("Failed", "FailedIndexes", "Job has failed indexes")))

    outcome, _feed = follow(scenario)
    assert str(outcome.error) == ("rank 1 ran out of memory (limit 2Gi). Next: --memory 4Gi.")


def test_two_hundred_ranks_are_followed_at_once_and_asked_for_when_they_run():
    ranks = 200

    async def scenario(cluster, feed, _following):
        for rank in range(ranks):  # without a place yet
            await cluster.put("pods", pod(rank, message="0/1 nodes are available"))
        await shown(feed, lambda view: len(view.ranks) == ranks and view.ranks[-1].reason)
        assert not cluster.read
        for rank in reversed(range(ranks)):  # rank 0's end is the job's
            await cluster.put("pods", pod(rank))
            name = f"digits-ab12-{rank}-x"
            await cluster.say(name, "begun", f"{rank}\r", "done")
            await cluster.frame(name, "end", {"ok": True}, rank=rank)

    outcome, feed = follow(scenario, workers=ranks)
    assert outcome.view.phase == "succeeded"
    lines = [(line.rank, line.text) for line in feed.take().lines]
    assert sorted(lines) == sorted((r, text) for r in range(ranks) for text in ("begun", "done"))


def test_the_last_lines_of_a_rank_that_died_are_quoted():
    async def scenario(cluster, _feed, _following):
        for rank in (0, 1):
            await cluster.put("pods", pod(rank, phase="Failed", container=terminated(42)))
            lines = [f"rank {rank} step {number}" for number in range(9)]
            await cluster.say(f"digits-ab12-{rank}-x", *lines, "\x1b[31mcorrupted heap\x1b[0m")
        end = {"ok": False, "text": "rank 1 was killed (SIGSEGV)", "cause": 1, "about": {}}
        await cluster.frame("digits-ab12-0-x", "end", end)
        for rank in (0, 1):
            await cluster.end_log(f"digits-ab12-{rank}-x")
        await cluster.put("jobs", job(**ended("Failed", "PodFailurePolicy")))

    outcome, _feed = follow(scenario)
    assert str(outcome.error).splitlines() == [
        "rank 1 was killed (SIGSEGV). It printed last:",
        *(f"    rank 1 step {number}" for number in range(5, 9)),
        "    corrupted heap",
        "See what it said: %kube logs digits-ab12 -r 1.",
    ]


def test_reason_of_a_waiting_rank_is_kubernetes_own():
    async def scenario(cluster, feed, following):
        await cluster.put("pods", pod(0))
        await cluster.put("pods", pod(1, message="0/1 nodes are available: Insufficient gpu."))
        await shown(
            feed, lambda view: len(view.ranks) == 2 and "Insufficient" in view.ranks[1].reason
        )
        assert feed.view.phase == "waiting"
        await cluster.remove("jobs", "digits-ab12")
        for rank in (0, 1):
            await cluster.remove("pods", f"digits-ab12-{rank}-x")
            await cluster.end_log(f"digits-ab12-{rank}-x")

    outcome, _feed = follow(scenario)
    assert str(outcome.error) == "digits-ab12 was stopped"


def test_pods_that_quota_forbids_are_explained_by_the_jobs_events():
    async def scenario(cluster, feed, following):
        event = {
            "metadata": {"name": "e1"},
            "involvedObject": {"kind": "Job", "name": "digits-ab12"},
            "reason": "FailedCreate",
            "message": 'Error creating: pods "x-1" is forbidden: exceeded quota: compute',
        }
        await cluster.put("events", event)
        await shown(feed, lambda view: view.message == "exceeded quota: compute")
        following.cancel()

    with pytest.raises(asyncio.CancelledError):
        follow(scenario)


def test_an_image_that_cannot_be_had_ends_the_wait():
    async def scenario(cluster, _feed, _following):
        image = {"waiting": {"reason": "ErrImageNeverPull", "message": "image is not present"}}
        await cluster.put("pods", pod(0, phase="Pending", container=image))

    outcome, _feed = follow(scenario, workers=1)
    assert str(outcome.error).startswith(
        "rank 0 of digits-ab12 cannot start: an image cannot be had: "
    )


def test_progress_bars_stay_out_of_the_lines():
    async def scenario(cluster, feed, _following):
        await cluster.put("pods", pod(0))
        await cluster.say("digits-ab12-0-x", "1/9 [=>   ] loss 1\r", "5/9 [==>  ] loss 2\r")
        await shown(feed, lambda view: view.ranks and view.ranks[0].progress.startswith("5/9"))
        await cluster.say("digits-ab12-0-x", "9/9 [====] loss 3")
        await cluster.put("pods", pod(0, phase="Succeeded", container=terminated(0)))
        await cluster.end_log("digits-ab12-0-x")
        await cluster.put("jobs", job(workers=1, **ended("Complete")))

    outcome, feed = follow(scenario, workers=1)
    assert [line.text for line in feed.take().lines] == ["9/9 [====] loss 3"]
    assert outcome.view.ranks[0].progress == ""
    assert outcome.error is None


def test_state_of_the_rendezvous_is_told_and_restarts_are_lines():
    async def scenario(cluster, feed, _following):
        await cluster.put("pods", pod(0))
        await cluster.put("pods", pod(1))
        waits = {"phase": "waiting", "text": "waiting for rank 1"}
        await cluster.frame("digits-ab12-0-x", "state", waits)
        await shown(feed, lambda view: view.ranks and view.ranks[0].reason == "waiting for rank 1")
        again = {"phase": "restarting", "text": "rank 1 was killed; all ranks start again"}
        await cluster.frame("digits-ab12-0-x", "state", again)
        await cluster.frame("digits-ab12-0-x", "state", {"phase": "running", "text": ""})
        await shown(feed, lambda view: view.ranks[0].reason == "")
        for rank in (0, 1):
            await cluster.put("pods", pod(rank, phase="Succeeded", container=terminated(0)))
            await cluster.end_log(f"digits-ab12-{rank}-x")
        await cluster.put("jobs", job(**ended("Complete")))

    _outcome, feed = follow(scenario)
    assert [line.text for line in feed.take().lines] == ["rank 1 was killed; all ranks start again"]


def test_a_job_that_is_not_there_or_not_mine_to_read():
    async def run(fault):
        cluster = FakeCluster()
        feed = Feed(JobView("digits-ab12"))
        if fault is not None:
            cluster.faults["GET", "jobs"] = fault
        with pytest.raises((NotFound, AccessDenied)) as caught:
            await Follower(cluster, feed.view, KEY, feed).run()
        assert feed.take().ended
        return caught.value

    assert "there is no job" in str(asyncio.run(run(None)))
    forbidden = from_status(403, {"message": "jobs is forbidden"}, what="read Job")
    assert "forbidden" in str(asyncio.run(run(forbidden)))


def test_reports_are_read_from_the_logs_of_pods_that_have_some():
    async def run():
        cluster = FakeCluster()
        await cluster.put("jobs", job())
        for rank in (0, 1):
            await cluster.put("pods", pod(rank))
        rows = [[1, 1, 0, 0.0, 5, {"loss": 0.5}]]
        await cluster.frame("digits-ab12-0-x", "report", {"rows": rows})
        await cluster.end_log("digits-ab12-0-x")  # the other pod has not begun
        return [each async for each in query.read_reports(cluster, "digits-ab12", KEY)], rows

    found, rows = asyncio.run(run())
    assert found == [("digits-ab12-0-x", rows)]


def test_lines_that_are_gone_are_said_to_be():
    async def run():
        cluster = FakeCluster()
        await cluster.put("jobs", job(**ended("Complete")))
        await cluster.put("pods", pod(0, phase="Succeeded", container=terminated(0)))
        cluster.logs["digits-ab12-0-x"].begins = False
        await cluster.say("digits-ab12-0-x", "late")
        await cluster.frame("digits-ab12-0-x", "end", {"ok": True})
        await cluster.end_log("digits-ab12-0-x")
        feed = Feed(JobView("digits-ab12"))
        await Follower(cluster, feed.view, KEY, feed).run()
        followed = [(line.rank, line.text) for line in feed.take().lines]
        pieces = query.read_logs(cluster, "digits-ab12", KEY)
        return followed, await reading.gathered(pieces)

    followed, read = asyncio.run(run())
    assert followed == [(0, "late"), (0, BEGINNING_LOST)]  # known by the first frame
    assert [(line.rank, line.text) for line in read] == [
        (0, BEGINNING_LOST),
        (0, "late"),
        (1, "(its lines are gone with its pod)"),
    ]


NODE_LOST = {
    "metadata": {"name": "e1"},
    "involvedObject": {"kind": "Pod", "name": "digits-ab12-1-x"},
    "reason": "NodeNotReady",
}


@pytest.mark.parametrize("deleted", [False, True])
def test_f09_a_job_that_is_over_does_not_wait_for_a_pod_whose_node_has_died(monkeypatch, deleted):
    monkeypatch.setattr(runner, "_QUIET", 0.1)

    async def scenario(cluster, feed, _following):
        for rank in (0, 1):
            await cluster.put("pods", pod(rank))
        await cluster.say("digits-ab12-1-x", "begun")  # and no word more, not even of an end
        await shown(feed, lambda view: cluster.read["digits-ab12-1-x"])
        if deleted:
            await cluster.remove("pods", "digits-ab12-1-x")
        else:
            await cluster.put("events", NODE_LOST)
            lost = pod(1)
            lost["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
            await cluster.put("pods", lost)
        await cluster.frame("digits-ab12-0-x", "end", {"ok": True})

    outcome, feed = follow(scenario)
    assert outcome.view.phase == "succeeded"
    assert outcome.error is None
    lines = [(line.rank, line.text) for line in feed.take().lines]
    assert lines == [(1, "begun"), (1, runner._LEFT)]


def test_a_log_that_can_be_read_is_read_to_its_end_after_the_jobs(monkeypatch):
    """However long it says nothing before, and though its pod may be gone a moment sooner."""
    monkeypatch.setattr(runner, "_QUIET", 0.5)

    async def scenario(cluster, feed, following):
        for rank in (0, 1):
            leaving = pod(rank)
            leaving["metadata"]["deletionTimestamp"] = (cluster.now() + GRACE).isoformat()
            await cluster.put("pods", leaving)
            await cluster.say(f"digits-ab12-{rank}-x", "begun")
        await cluster.put("jobs", job(**ended("Failed", "DeadlineExceeded")))
        await shown(feed, lambda view: view.phase == "failed")
        await asyncio.wait({following}, timeout=0.2)
        for rank in (0, 1):
            await cluster.say(f"digits-ab12-{rank}-x", "saved")
            await cluster.remove("pods", f"digits-ab12-{rank}-x")
            await cluster.end_log(f"digits-ab12-{rank}-x")

    _outcome, feed = follow(scenario)
    lines = {(line.rank, line.text) for line in feed.take().lines}
    assert lines == {(rank, text) for rank in (0, 1) for text in ("begun", "saved")}
