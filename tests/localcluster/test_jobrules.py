import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.localcluster.jobpods import pod_for, to_remove
from jupyter_kube.localcluster.jobrules import (
    INDEX,
    Ledger,
    PodEnd,
    Rules,
    Tally,
    format_indexes,
    judge,
    parse_indexes,
)
from jupyter_kube.localcluster.jobverdict import early_verdict

TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "w", "image": "i"}]}}
META = {"name": "j", "namespace": "ns", "uid": "u"}


def job(**spec):
    return {"metadata": META, "spec": {"template": TEMPLATE, **spec}, "status": {}}


def rules(**spec):
    return Rules.of(job(**spec))


def pod(number, *, index=None, phase="Running", code=None, deleted=False, conditions=()):
    meta = {
        "name": f"p{number}",
        "namespace": "ns",
        "uid": str(number),
        "creationTimestamp": "2026-11-24T09:00:00Z",
        "annotations": {} if index is None else {INDEX: str(index)},
    }
    if deleted:
        meta["deletionTimestamp"] = "2026-11-24T09:00:00Z"
    status = {"phase": phase, "conditions": list(conditions)}
    if code is not None:
        status["containerStatuses"] = [{"name": "w", "state": {"terminated": {"exitCode": code}}}]
    return {"metadata": meta, "spec": {"nodeName": "local"}, "status": status}


def failure(index, at=0.0, **fields):
    return PodEnd(index, False, at, **fields)


def success(index, at=0.0):
    return PodEnd(index, True, at)


def verdict(ends, now=0.0, pods=(), **spec):
    spec = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, **spec}
    return early_verdict(job(**spec), Tally(rules(**spec), ends), pods, now)


@pytest.mark.parametrize(
    ("indexes", "text"),
    [([], ""), ([0, 1], "0,1"), ([1, 3, 4, 5, 7], "1,3-5,7"), ([0, 1, 2], "0-2")],
)
def test_indexes_are_written_as_kubernetes_does(indexes, text):
    assert format_indexes(indexes) == text


@given(st.sets(st.integers(0, 200)))
def test_indexes_can_be_read_back(indexes):
    assert parse_indexes(format_indexes(indexes)) == indexes


@pytest.mark.parametrize(
    ("spec", "completions", "parallelism"),
    [({}, 1, 1), ({"parallelism": 3}, None, 3), ({"completions": 4}, 4, 1)],
)
def test_defaults_are_those_of_the_api(spec, completions, parallelism):
    read = rules(**spec)
    assert (read.completions, read.parallelism) == (completions, parallelism)
    assert read.backoff_limit == 6
    assert rules(backoffLimitPerIndex=1).backoff_limit > 10**9
    assert rules(podFailurePolicy={"rules": []}, podReplacementPolicy="Failed").only_replace_failed


def test_failures_double_the_delay_and_a_success_ends_it():
    def at(*ends):
        return Tally(rules(), ends).retry_at(1.0)

    assert at() == 0
    assert at(failure(None, 100.0)) == 110
    assert at(failure(None, 100.0), failure(None, 200.0)) == 220
    assert at(*[failure(None, 100.0)] * 20) == 700
    assert at(failure(None, 100.0), success(None, 101.0)) == 0
    assert Tally(rules(), [failure(0, 1.0), failure(1, 5.0)]).retry_at(1.0, 0) == 11


FAIL_ON_42 = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [43]}},
        {
            "action": "Count",
            "onExitCodes": {"containerName": "w", "operator": "NotIn", "values": [1]},
        },
    ]
}


def test_the_failure_policy_judges_a_pod():
    def judged(**fields):
        return judge(pod(0, phase="Failed", **fields), rules(podFailurePolicy=FAIL_ON_42), 1.0)

    assert judged(code=42).fails_job == (
        "Container w for pod ns/p0 failed with exit code 42 matching FailJob rule at index 1"
    )
    assert judged(code=43).fails_index
    assert judged(code=1).counted
    evicted = judged(code=42, conditions=[{"type": "DisruptionTarget", "status": "True"}])
    assert not evicted.counted
    assert not evicted.fails_job


def test_each_end_is_noted_once_and_what_the_controller_removed_never():
    ledger, of = Ledger(), rules()
    for _ in range(2):
        ledger.note(pod(1, phase="Failed"), of, 1.0)
        ledger.note(pod(2, phase="Succeeded"), of, 1.0)
        ledger.note(pod(3), of, 1.0)
    ledger.dropped.add("4")
    ledger.note(pod(4, deleted=True), of, 1.0)
    tally = Tally(of, ledger.valid(of))
    assert (tally.failed, tally.succeeded) == (1, 1)


def test_a_pod_being_deleted_counts_as_failed_unless_only_ended_ones_do():
    for policy, failed in ((None, 1), ("Failed", 0)):
        ledger, of = Ledger(), rules(**({"podReplacementPolicy": policy} if policy else {}))
        ledger.note(pod(1, deleted=True), of, 1.0)
        assert Tally(of, ledger.valid(of)).failed == failed


def test_a_job_ends_early_with_kubernetes_reasons():
    assert verdict([]) is None
    assert verdict([failure(0)] * 7)[1:] == (
        "BackoffLimitExceeded",
        "Job has reached the specified backoff limit",
    )
    assert verdict([failure(0, fails_job="why")])[1:] == ("PodFailurePolicy", "why")
    assert (
        verdict([failure(0), failure(0), success(1)], backoffLimitPerIndex=1)[1] == "FailedIndexes"
    )
    assert verdict([failure(0), failure(0)], backoffLimitPerIndex=1) is None
    assert (
        verdict([failure(0)], backoffLimitPerIndex=0, maxFailedIndexes=0)[1]
        == "MaxFailedIndexesExceeded"
    )


@pytest.mark.parametrize(
    ("rule", "done", "met"),
    [
        ({"succeededIndexes": "0"}, [0], True),
        ({"succeededIndexes": "0"}, [1], False),
        ({"succeededIndexes": "0-1", "succeededCount": 1}, [1], True),
        ({"succeededCount": 2}, [0], False),
        ({"succeededCount": 1}, [1], True),
    ],
)
def test_the_success_policy_ends_a_job(rule, done, met):
    seen = verdict([success(index) for index in done], successPolicy={"rules": [rule]})
    expected = ("SuccessCriteriaMet", "SuccessPolicy", "Matched rules at index 0")
    assert seen == (expected if met else None)


def test_wrong_and_double_indexes_go_first_then_the_low_ranks():
    indexed = {"completionMode": "Indexed", "completions": 3, "parallelism": 3}
    pods = [pod(0, index=0), pod(1, index=1), pod(2, index=1), pod(3, index=3)]
    names = {each["metadata"]["name"] for each in to_remove(rules(**indexed), pods, 3)}
    assert "p3" in names
    assert len(names) == 2
    four = [pod(number, index=number) for number in range(4)]
    few = rules(completionMode="Indexed", completions=4, parallelism=2)
    assert [each["metadata"]["name"] for each in to_remove(few, four, 2)] == ["p0", "p1"]


def test_a_pod_of_an_indexed_job_carries_its_index():
    built = pod_for(job(), 3, 2)
    meta, spec = built["metadata"], built["spec"]
    assert meta["generateName"] == "j-3-"
    assert meta["labels"][INDEX] == meta["annotations"][INDEX] == "3"
    assert meta["labels"]["job-name"] == meta["labels"]["batch.kubernetes.io/job-name"] == "j"
    assert meta["annotations"]["batch.kubernetes.io/job-index-failure-count"] == "2"
    assert meta["ownerReferences"][0]["controller"] is True
    assert spec["hostname"] == "j-3"
    assert spec["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
    assert "env" not in TEMPLATE["spec"]["containers"][0]


def test_the_names_of_pods_stay_short_and_keep_the_index():
    long = {"metadata": {**META, "name": "x" * 63}, "spec": {"template": TEMPLATE}}
    prefix = pod_for(long, 12, None)["metadata"]["generateName"]
    assert len(prefix) == 58
    assert prefix.endswith("x-12-")
