"""A job's objects made into words."""

import json
from datetime import UTC, datetime

import pytest

from jupyter_kube import naming
from jupyter_kube.errors import InvalidInput, RemoteError
from jupyter_kube.handlers.jobs import row, shown
from jupyter_kube.train.display import detail, text, title
from jupyter_kube.train.failure import blocked, explain, reasons
from jupyter_kube.train.query import check_scale
from jupyter_kube.train.replacing import FAILURES, IGNORED
from jupyter_kube.train.view import INDEX, Told, is_whole, job_view, ranks_of

from .fakecluster import ended, job, pod, terminated


def states(view):
    return [(rank.state.phase, rank.reason) for rank in view.ranks]


def test_a_job_without_pods_waits():
    view = job_view(job())
    assert (view.phase, view.profile, view.framework) == ("waiting", "small", "python")
    assert [rank.state.phase for rank in view.ranks] == ["queued", "queued"]


def test_a_jobs_end_shows_before_the_job_knows():
    done = [pod(rank, container=terminated(0)) for rank in (0, 1)]
    view = job_view(job(), done)
    assert view.phase == "succeeded"
    assert states(view) == [("succeeded", "")] * 2


def test_of_a_ranks_pods_the_newest_counts_and_one_on_its_way_out_never():
    old, new = pod(0, container=terminated(137)), pod(0)
    old["metadata"] |= {"name": "old", "creationTimestamp": "2026-01-01T00:00:01Z"}
    new["metadata"] |= {"name": "new", "creationTimestamp": "2026-01-01T00:00:02Z"}
    for pods in ([old, new], [new, old]):
        assert job_view(job(workers=1), pods).ranks[0].state.name == "new"
    new["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:03Z"
    assert job_view(job(workers=1), [old, new]).ranks[0].state.name == "old"


def role_pod(index, role, first, **more):
    made = pod(index, **more)
    made["metadata"]["name"] = f"digits-{role}-{index}"
    made["metadata"]["labels"][naming.ROLE] = role
    made["metadata"].setdefault("annotations", {})[naming.FIRST_RANK] = str(first)
    return made


def test_the_pods_of_all_roles_are_ranks_of_one_job():
    asked = {"workers": 2, "chief": True, "ps": 1, "evaluator": True, "profile": "small"}
    whole = job(workers=1)
    whole["metadata"]["annotations"][naming.REQUEST] = json.dumps(asked)
    name = whole["metadata"]["name"]
    pods = [pod(0), *(role_pod(n, "worker", 1) for n in (0, 1)), role_pod(0, "ps", 3)]
    refused = {
        "involvedObject": {"name": f"{name}-evaluator"},
        "reason": "FailedCreate",
        "message": 'Error creating: pods "x" is forbidden: exceeded quota',
    }
    view = job_view(whole, pods, [refused])
    assert [rank.role for rank in view.ranks] == ["chief", "worker", "worker", "ps", "evaluator"]
    assert [rank.state.name for rank in view.ranks][1:4] == [
        "digits-worker-0", "digits-worker-1", "digits-ps-0",
    ]  # fmt: skip
    assert (view.phase, view.message) == ("waiting", "exceeded quota")
    assert title(view) == f"{name} · python · chief, 2 workers, ps, evaluator · small"
    lines = text(view, 0.0).splitlines()
    assert lines[2].startswith("  0  chief      running")
    assert lines[6].startswith("  4  evaluator  queued")
    assert is_whole(whole)
    assert not is_whole({"metadata": {"name": f"{name}-ps", "labels": {naming.JOB: name}}})


def test_each_process_of_a_pod_is_a_rank():
    whole = job(workers=2)
    asked = {"workers": 2, "procs": 2, "profile": "small"}
    whole["metadata"]["annotations"][naming.REQUEST] = json.dumps(asked)
    pods = [pod(0), pod(1, phase="Pending")]
    for each in pods:
        each["metadata"].setdefault("annotations", {})[naming.PROCS] = "2"
    assert [list(ranks_of(each)) for each in pods] == [[0, 1], [2, 3]]
    view = job_view(whole, pods, told=Told(metrics={3: {"loss": 0.5}}))
    names = [each["metadata"]["name"] for each in pods]
    assert [rank.state.name for rank in view.ranks] == [names[0]] * 2 + [names[1]] * 2
    assert view.ranks[3].metrics == {"loss": 0.5}
    assert "· 2 workers of 2 processes ·" in title(view)
    assert text(view, 0.0).splitlines()[3].startswith("  2  pod 1  ")


def test_a_job_of_workers_only_has_no_roles():
    view = job_view(job(), [pod(0), pod(1)])
    assert (view.roles, [rank.role for rank in view.ranks]) == ((), ["", ""])


def test_f25_a_secret_may_come_a_little_after_its_pod_by_the_clusters_clock():
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "s" not found'}
    young = pod(0, phase="Pending", container={"waiting": waiting})
    young["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    for seconds, hopeless in ((1, False), (30, True)):
        now = datetime(2026, 1, 1, 0, 0, seconds, tzinfo=UTC)
        view = job_view(job(workers=1), [young], now=now)
        assert view.ranks[0].state.terminal is hopeless


def test_last_words_of_a_supervisor_are_read_from_its_pod():
    words = {
        "rank": 1,
        "text": "rank 1 raised ValueError: bad",
        "type": "ValueError",
        "message": "bad",
        "traceback": "Traceback: bad",
        "pod": "digits-ab12-1-x",
    }
    pods = [
        pod(0, phase="Failed", container=terminated(42, message="\x1ekube1 00 {}")),
        pod(1, phase="Failed", container=terminated(42, message=json.dumps(words))),
    ]
    view = job_view(job(**ended("Failed", "PodFailurePolicy", "matching FailJob rule")), pods)
    assert states(view) == [
        ("failed", "ended with the others"),
        ("failed", "raised ValueError: bad"),
    ]
    assert view.message == ""
    assert reasons(view) == ["rank 1 raised ValueError: bad", "Traceback: bad"]


def test_last_words_about_another_rank_tell_why_the_job_failed_and_not_that_this_one_did():
    words = {"rank": 1, "text": "rank 1 was killed (SIGABRT)", "last": "one\ntwo", "pod": "p-1"}
    pods = [pod(0, phase="Failed", container=terminated(42, message=json.dumps(words)))]
    view = job_view(job(**ended("Failed", "PodFailurePolicy")), pods)
    assert states(view) == [("failed", "ended with the others"), ("gone", "")]
    assert str(explain(view)).splitlines()[:3] == [
        "rank 1 was killed (SIGABRT). It printed last:",
        "    one",
        "    two",
    ]
    others = [
        pod(r, phase="Failed", container=terminated(42, message=json.dumps(words))) for r in (2, 3)
    ]
    ranks = job_view(job(workers=4, **ended("Failed", "PodFailurePolicy")), others).ranks
    assert [rank.death is not None for rank in ranks] == [False, False, True, False]
    assert ranks[3].reason == "ended with the others"
    words |= {"text": "rank 1 raised E: bad", "type": "E", "message": "bad", "traceback": "tb"}
    pods = [pod(0, phase="Failed", container=terminated(42, message=json.dumps(words)))]
    error = explain(job_view(job(**ended("Failed", "PodFailurePolicy")), pods))
    assert isinstance(error, RemoteError)
    assert (error.rank, error.pod, error.traceback) == (1, "p-1", "tb")


def test_half_a_character_in_last_words_is_shown_as_its_number():
    words = {"rank": 0, "text": "rank 0 raised E: \ud800", "type": "E", "message": "\ud800"}
    failed = pod(0, phase="Failed", container=terminated(42, message=json.dumps(words)))
    (rank,) = job_view(job(workers=1), [failed]).ranks
    assert rank.reason == "raised E: \\ud800"
    assert rank.death["message"] == "\\ud800"


@pytest.mark.parametrize(
    "written",
    [
        '{"text": "x", "traceback": "", "rank": "abc"}',
        '{"text": "x", "traceback": "", "rank": null}',
        '{"text": "x", "traceback": [], "rank": [], "last": {}, "type": 1}',
        '{"text": [], "rank": 1}',
        '{"text": "x", "rank": ' + "9" * 5000 + "}",
        '{"text": ' + "[" * 100_000,
        '{"text": "x", "more": ' + "[" * 900 + "]" * 900 + "}",
    ],
)
def test_what_a_cell_leaves_as_last_words_hides_no_job(written):
    """Whoever runs in a pod may write its termination message."""
    pods = [pod(0, phase="Failed", container=terminated(42, message=written))]
    for whole in (job(), job(**ended("Failed", "PodFailurePolicy"))):
        view = job_view(whole, pods)
        assert view.ranks[0].state.phase == "failed"
        json.dumps(row(view) | shown(view)).encode()
    assert reasons(view)


def test_frames_are_never_shown_as_reasons():
    cut = "kube1 0123 {}\nlast line"  # as Kubernetes gives the end of a log
    view = job_view(job(workers=1), [pod(0, container=terminated(143, message=cut))])
    assert states(view) == [("failed", "ended by SIGTERM (exit code 143)")]


def test_what_a_rank_was_told_to_have_done_outlives_its_pod():
    told = Told(fates={1: "raised ValueError: bad"})
    view = job_view(job(**ended("Failed", "PodFailurePolicy")), [], told=told)
    assert states(view) == [("gone", ""), ("failed", "raised ValueError: bad")]


def test_reasons_to_wait_come_without_what_the_scheduler_tried():
    message = (
        "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate,"
        " preemption: 0/1 nodes are available: 1 No preemption victims found."
    )
    view = job_view(job(), [pod(0), pod(1, message=message)])
    assert reasons(view) == [
        "rank 1 is waiting: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu"
    ]


def test_a_reason_of_several_ranks_is_said_once():
    message = "0/1 nodes are available: 1 Insufficient cpu."
    view = job_view(job(workers=4), [pod(0), *(pod(n, message=message) for n in (1, 2, 3))])
    assert [line[:26] for line in reasons(view)] == ["ranks 1–3 are waiting: 0/1"]


def test_other_ends():
    late = job_view(job(**ended("Failed", "DeadlineExceeded", "was active longer")))
    assert "--timeout" in str(explain(late))
    lost = job_view(job(**ended("Failed", "FailedIndexes", "Job has failed indexes")))
    assert str(explain(lost)).startswith("digits-ab12 failed: Job has failed indexes")
    gone = job()
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert str(explain(job_view(gone))) == "digits-ab12 was stopped"
    assert explain(job_view(job())) is None
    assert blocked(job_view(job(), [pod(0, phase="Failed", container=terminated(1))])) is None
    running = job_view(job(workers=1), [pod(0)])
    assert reasons(running) == ["digits-ab12 is running; nothing is wrong."]


@pytest.mark.parametrize("written", ["many", "-2", "²", "9" * 30, ""])
def test_a_pod_whose_notes_are_broken_is_a_rank_all_the_same(written: str):
    notes = {naming.PROCS: written, naming.FIRST_RANK: written}
    labels = {INDEX: "3"}
    assert list(ranks_of({"metadata": {"annotations": notes, "labels": labels}})) == [3]
    assert not ranks_of({"metadata": {"labels": {**labels, INDEX: written}}})


@pytest.mark.parametrize("written", ["[1", "[" * 100_000])
def test_a_broken_annotation_is_no_trouble(written: str):
    broken = job()
    broken["metadata"]["annotations"]["jupyter-kube/request"] = written
    assert job_view(broken).outputs == ()


def elastic(least, workers):
    made = job(workers=workers)
    made["metadata"]["annotations"][naming.REQUEST] = json.dumps({"least": least})
    return made


@pytest.mark.parametrize(
    "asked",
    [
        {"procs": 100_000_000},
        {"procs": "many", "least": [], "ps": {}, "outputs": 5, "profile": 7},
        {"ps": 10**30, "procs": -3, "least": 1e300, "outputs": [1, "x"]},
        {"chief": True, "workers": 10**9},
    ],
)
def test_what_others_wrote_into_a_job_costs_little_and_hides_no_job(asked):
    """Whoever may create Jobs in the namespace may write anything into them."""
    odd = job(1)
    odd["metadata"]["annotations"][naming.REQUEST] = json.dumps(asked)
    view = job_view(odd)
    assert 1 <= len(view.ranks) <= 2000
    assert all(isinstance(name, str) for name in view.outputs)


def test_an_elastic_job_runs_once_as_many_as_it_needs_do():
    running, waiting = pod(0), pod(1, message="no room")
    assert job_view(elastic(1, 3), [running, waiting]).phase == "running"
    assert job_view(elastic(2, 3), [running, waiting]).phase != "running"
    assert job_view(elastic(1, 3), [pod(1), pod(2)]).phase == "waiting"


@pytest.mark.parametrize(
    ("least", "size", "words"),
    [(0, 2, "fixed size of 3"), (2, 1, "needs at least 2"), (1, 1001, "above the limit")],
)
def test_a_size_a_job_cannot_have_is_refused(least, size, words):
    with pytest.raises(InvalidInput, match=words):
        check_scale(job_view(elastic(least, 3)), size)


def lost(rank=0, code=143, failures=0, ignored=0):
    gone = pod(rank, container=terminated(code))
    gone["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = (
        "2026-01-01T00:00:10Z"
    )
    gone["metadata"]["annotations"] |= {FAILURES: str(failures), IGNORED: str(ignored)}
    return gone


@pytest.mark.parametrize(
    ("failures", "ignored", "delay"), [(0, 0, 10), (1, 0, 20), (1, 1, 40), (9, 0, 600)]
)
def test_a_lost_pods_replacement_is_foretold(failures, ignored, delay):
    end = datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC).timestamp()
    for view in (
        job_view(elastic(1, 2), [lost(1, failures=failures, ignored=ignored)]),
        job_view(elastic(1, 2), [], told=Told(deleted={1: lost(1, 137, failures, ignored)})),
    ):
        assert view.ranks[1].due == end + delay
        assert "Kubernetes replaces it in 7 s" in detail(view.ranks[1], end + delay - 7)


def test_what_is_not_replaced_is_not_foretold():
    fixed = job()
    fixed["spec"]["backoffLimitPerIndex"] = 1
    for given in (lost(code=42), lost(code=0), lost(failures=1), pod(0)):
        assert job_view(fixed, [given, pod(1)]).ranks[0].due is None
    over = job(**ended("Failed", "BackoffLimitExceeded"))
    assert job_view(over, [lost()]).ranks[0].due is None
