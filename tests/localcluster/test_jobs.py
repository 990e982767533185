import re

import pytest

from jupyter_kube.localcluster.store import JOB, POD, QUOTA

from .nodeside import NAMESPACE, condition, gpus, node_side, python_job

FOREVER = "import time; time.sleep(600)"
BY_INDEX = "import os; index = int(os.environ['JOB_COMPLETION_INDEX'])\n"
MEET = (
    BY_INDEX
    + """
import socket, time
def address(name):
    while True:
        for line in open(os.environ['JUPYTER_KUBE_HOSTS_FILE']):
            ip, *names = line.split()
            if name in names:
                return ip
        time.sleep(0.01)
host = os.environ['HOSTNAME']
job = host.rpartition('-')[0]
if index == 0:
    server = socket.create_server((address(f'{host}.{job}'), 4712))
    peer, _ = server.accept()
    print('met', peer.recv(99).decode())
else:
    while True:
        try:
            peer = socket.create_connection((address(f'{job}-0.{job}.default.svc'), 4712))
            break
        except ConnectionRefusedError:
            time.sleep(0.01)
    peer.send(host.encode())
"""
)


def indexed(count, **spec):
    return {"completionMode": "Indexed", "completions": count, "parallelism": count, **spec}


async def finished(side, name):
    """Wait for a Job's end; give (condition, reason, message)."""

    def look():
        for kind in ("Complete", "Failed"):
            if found := condition(side.job_status(name), kind):
                return kind, found.get("reason"), found.get("message")
        return None

    return await side.until(look)


def pod_of(side, job, index):
    return next(
        pod
        for pod in side.pods_of(job)
        if pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == str(index)
    )


async def test_a_plain_job_completes(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(JOB, python_job("j", "print('done')"))
        assert await finished(side, "j") == (
            "Complete",
            "CompletionsReached",
            "Reached expected number of succeeded pods",
        )
        status = side.job_status("j")
        assert status["succeeded"] == 1
        assert "active" not in status
        assert status["completionTime"] >= status["startTime"]
        (pod,) = side.pods_of("j")
        assert re.fullmatch(r"j-[a-z0-9]{5}", pod["metadata"]["name"])
        assert [reason for reason, _ in side.events("j")] == ["SuccessfulCreate", "Completed"]


async def test_workers_of_an_indexed_job_find_each_other_by_name(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(JOB, python_job("j", MEET, pod={"subdomain": "j"}, **indexed(2)))
        assert (await finished(side, "j"))[0] == "Complete"
        assert side.job_status("j")["completedIndexes"] == "0,1"
        first = pod_of(side, "j", 0)
        assert re.fullmatch(r"j-0-[a-z0-9]{5}", first["metadata"]["name"])
        assert first["spec"]["hostname"] == "j-0"
        assert side.log(first) == "met j-1\n"


async def test_failed_pods_are_replaced_until_the_limit(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(JOB, python_job("j", "raise SystemExit(1)", backoffLimit=2))
        assert await finished(side, "j") == (
            "Failed",
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        )
        status = side.job_status("j")
        assert status["failed"] == 3
        assert condition(status, "FailureTarget")["status"] == "True"
        assert "completionTime" not in status
        assert len(side.pods_of("j")) == 3


async def test_restarts_within_a_pod_count_too(tmp_path):
    async with node_side(tmp_path) as side:
        job = python_job("j", "raise SystemExit(1)", policy="OnFailure", backoffLimit=2)
        side.store.create(JOB, job)
        assert (await finished(side, "j"))[1] == "BackoffLimitExceeded"


async def test_a_deleted_pod_comes_back_under_its_index(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(JOB, python_job("j", FOREVER, **indexed(2)))
        await side.until(lambda: side.job_status("j").get("ready") == 2)
        lost = pod_of(side, "j", 1)["metadata"]
        side.store.delete(POD, NAMESPACE, lost["name"])
        await side.until(
            lambda: (
                side.job_status("j").get("ready") == 2
                and pod_of(side, "j", 1)["metadata"]["uid"] != lost["uid"]
            )
        )
        assert side.job_status("j")["failed"] == 1


FAIL_JOB_ON_42 = {
    "rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [43]}},
    ]
}


async def test_the_failure_policy_ends_the_job_and_its_other_pods(tmp_path):
    async with node_side(tmp_path) as side:
        code = BY_INDEX + f"if index == 1: raise SystemExit(42)\n{FOREVER}"
        job = python_job("j", code, podFailurePolicy=FAIL_JOB_ON_42, **indexed(3))
        side.store.create(JOB, job)
        kind, reason, message = await finished(side, "j")
        assert (kind, reason) == ("Failed", "PodFailurePolicy")
        assert re.fullmatch(
            r"Container main for pod default/j-1-\w{5} failed with exit code 42 matching FailJob "
            "rule at index 0",
            message,
        )
        assert [pod["status"]["phase"] for pod in side.pods_of("j")] == ["Failed"]
        assert "active" not in side.job_status("j")


async def test_ignored_failures_do_not_count(tmp_path):
    code = BY_INDEX + (
        "import sys; n = open(os.environ['FILE'], 'a+'); n.write('x'); n.flush(); n.seek(0)\n"
        "sys.exit(43 if len(n.read()) < 4 else 0)"
    )
    async with node_side(tmp_path / "root") as side:
        job = python_job("j", code, backoffLimit=0, podFailurePolicy=FAIL_JOB_ON_42, **indexed(1))
        container = job["spec"]["template"]["spec"]["containers"][0]
        container["env"] = [{"name": "FILE", "value": str(tmp_path / "count")}]
        side.store.create(JOB, job)
        assert (await finished(side, "j"))[0] == "Complete"
        assert "failed" not in side.job_status("j")
        assert len(side.pods_of("j")) == 4


async def test_the_success_policy_ends_the_others(tmp_path):
    policy = {"rules": [{"succeededIndexes": "0"}]}
    async with node_side(tmp_path) as side:
        code = BY_INDEX + f"if index: {FOREVER}"
        side.store.create(JOB, python_job("j", code, successPolicy=policy, **indexed(3)))
        assert await finished(side, "j") == (
            "Complete",
            "SuccessPolicy",
            "Matched rules at index 0",
        )
        status = side.job_status("j")
        assert (status["succeeded"], status["completedIndexes"]) == (1, "0")
        assert "failed" not in status
        assert len(side.pods_of("j")) == 1


async def test_each_index_has_a_limit_of_its_own(tmp_path):
    async with node_side(tmp_path) as side:
        code = BY_INDEX + "raise SystemExit(index)"
        side.store.create(JOB, python_job("j", code, backoffLimitPerIndex=1, **indexed(2)))
        assert (await finished(side, "j"))[:2] == ("Failed", "FailedIndexes")
        status = side.job_status("j")
        assert (status["completedIndexes"], status["failedIndexes"]) == ("0", "1")
        assert status["failed"] == 2


async def test_growing_and_shrinking_keeps_the_low_ranks(tmp_path):
    def resize(count):
        side.store.mutate(
            JOB,
            NAMESPACE,
            "j",
            lambda job: job["spec"].update(parallelism=count, completions=count),
        )

    def ranks():
        pods = [pod for pod in side.pods_of("j") if "deletionTimestamp" not in pod["metadata"]]
        return sorted(pod["spec"]["hostname"] for pod in pods)

    async with node_side(tmp_path) as side:
        side.store.create(JOB, python_job("j", FOREVER, **indexed(2)))
        await side.until(lambda: side.job_status("j").get("ready") == 2)
        resize(4)
        await side.until(lambda: side.job_status("j").get("ready") == 4)
        resize(1)
        await side.until(lambda: ranks() == ["j-0"] and not side.job_status("j")["terminating"])
        assert "failed" not in side.job_status("j")


async def test_a_quota_shows_as_events_until_there_is_room(tmp_path):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": NAMESPACE},
        "spec": {"hard": {"requests.nvidia.com/gpu": "1"}},
    }
    async with node_side(tmp_path) as side:
        side.store.create(QUOTA, quota)
        job = python_job("j", FOREVER, **indexed(2))
        job["spec"]["template"]["spec"]["containers"][0].update(gpus(1))
        side.store.create(JOB, job)
        messages = await side.until(
            lambda: [text for reason, text in side.events("j") if reason == "FailedCreate"]
        )
        assert re.fullmatch(
            r'Error creating: pods "j-1-\w{5}" is forbidden: exceeded quota: q, '
            "requested: requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=1, "
            "limited: requests.nvidia.com/gpu=1",
            messages[0],
        )
        assert side.job_status("j")["active"] == 1
        side.store.mutate(
            QUOTA,
            NAMESPACE,
            "q",
            lambda obj: obj["spec"]["hard"].update({"requests.nvidia.com/gpu": "2"}),
        )
        await side.until(lambda: side.job_status("j").get("ready") == 2)


async def test_a_suspended_job_has_no_pods(tmp_path):
    def suspend(value):
        side.store.mutate(JOB, NAMESPACE, "j", lambda job: job["spec"].update(suspend=value))

    async with node_side(tmp_path) as side:
        side.store.create(JOB, python_job("j", FOREVER, suspend=True))
        await side.until(lambda: condition(side.job_status("j"), "Suspended"))
        assert not side.pods_of("j")
        suspend(False)
        await side.until(lambda: side.job_status("j").get("ready") == 1)
        suspend(True)
        await side.until(lambda: not side.pods_of("j"))
        await side.until(lambda: condition(side.job_status("j"), "Suspended")["status"] == "True")
        assert "failed" not in side.job_status("j")


async def test_a_job_that_is_active_for_too_long_fails(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(JOB, python_job("j", FOREVER, activeDeadlineSeconds=1))
        assert (await finished(side, "j"))[1] == "DeadlineExceeded"
        assert not side.pods_of("j")


async def test_a_finished_job_goes_when_its_time_is_over(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(JOB, python_job("j", "", ttlSecondsAfterFinished=0))
        await side.until(lambda: not side.store.list(JOB, NAMESPACE))
        await side.until(lambda: not side.pods_of("j"))


async def test_deleting_a_job_deletes_its_pods(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(JOB, python_job("j", FOREVER, **indexed(2)))
        await side.until(lambda: side.job_status("j").get("ready") == 2)
        side.store.delete(JOB, NAMESPACE, "j")
        await side.until(lambda: not side.pods_of("j"))


@pytest.mark.parametrize(("parallelism", "completions"), [(2, 4), (3, 2)])
async def test_work_is_shared_by_as_many_pods_as_are_wanted(tmp_path, parallelism, completions):
    most = 0

    def note(*_):
        nonlocal most
        most = max(most, side.job_status("j").get("active", 0))

    async with node_side(tmp_path) as side:
        side.store.subscribe(JOB, lambda kind, *_: kind != "DELETED" and note())
        job = python_job("j", "", parallelism=parallelism, completions=completions)
        side.store.create(JOB, job)
        assert (await finished(side, "j"))[0] == "Complete"
        assert side.job_status("j")["succeeded"] == completions
        assert most == min(parallelism, completions)
