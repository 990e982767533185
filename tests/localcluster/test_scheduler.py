from pathlib import Path

import pytest

from jupyter_kube.localcluster.scheduler import fit, unschedulable_text
from jupyter_kube.localcluster.store import NODE, POD, PV, PVC

from .nodeside import NAMESPACE, condition, gpus, node, node_side, python_pod

HEAD = "0/1 nodes are available"
TAKEN = (
    f"{HEAD}: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, "
    f"preemption: {HEAD}: 1 No preemption victims found for incoming pod."
)
NEVER = (
    f"{HEAD}: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, "
    f"preemption: {HEAD}: 1 Preemption is not helpful for scheduling."
)


def claim(name, **spec):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            **spec,
        },
    }


def with_claim(name, claim_name):
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": claim_name}}
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/data"}]}
    code = "import os; print(os.environ['FILE']); open(os.environ['FILE'], 'a').write('x')"
    container = {**mount, "env": [{"name": "FILE", "value": "/data/file"}]}
    return python_pod(name, code, volumes=[volume], container=container)


@pytest.mark.parametrize(
    ("spec", "of_node", "reason", "hopeless"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, {}, "didn't match Pod's node affinity/selector", True),
        ({}, {"taints": [{"key": "k", "effect": "NoSchedule"}]}, "had untolerated taint(s)", True),
        ({}, {"unschedulable": True}, "were unschedulable", True),
    ],
)
def test_a_node_that_does_not_fit_says_why(spec, of_node, reason, hopeless):
    misfit = fit(python_pod("p", "", **spec), node(**of_node), [])
    assert misfit.reasons == (f"node(s) {reason}",)
    assert misfit.hopeless is hopeless


@pytest.mark.parametrize(
    "toleration",
    [
        {"operator": "Exists"},
        {"key": "k", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "k", "value": "v"},
    ],
)
def test_a_toleration_lets_a_pod_in(toleration):
    tainted = node(taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])
    assert fit(python_pod("p", "", tolerations=[toleration]), tainted, []) is None


def test_a_pod_too_many_does_not_fit():
    small = node()
    small["status"]["allocatable"] = {"pods": "1", "cpu": "1"}
    assert fit(python_pod("p", ""), small, [python_pod("q", "")]).reasons == ("Too many pods",)


def test_reasons_are_counted_over_all_nodes():
    assert unschedulable_text(3, "1 a, 2 b", hopeless=1) == (
        "0/3 nodes are available: 1 a, 2 b. no new claims to deallocate, preemption: 0/3 nodes "
        "are available: 1 Preemption is not helpful for scheduling, "
        "2 No preemption victims found for incoming pod."
    )


async def test_a_gpu_pod_waits_with_the_schedulers_words_until_there_is_room(tmp_path):
    async with node_side(tmp_path) as side:
        wait = "import time; time.sleep(600)"
        holder = python_pod("holder", wait, container=gpus(4))
        side.store.create(POD, {**holder, "spec": {**holder["spec"]}})
        await side.running("holder")
        side.store.create(POD, python_pod("waiter", "print('got it')", container=gpus(1)))
        await side.until(lambda: condition(side.status("waiter"), "PodScheduled"))
        seen = condition(side.status("waiter"), "PodScheduled")
        assert (seen["status"], seen["reason"], seen["message"]) == (
            "False",
            "Unschedulable",
            TAKEN,
        )
        assert "nodeName" not in side.pod("waiter")["spec"]
        assert ("FailedScheduling", TAKEN) in side.events("waiter")
        side.store.delete(POD, NAMESPACE, "holder", grace_seconds=1)
        assert await side.ended("waiter") == "got it\n"
        assert ("Scheduled", f"Successfully assigned {NAMESPACE}/waiter to local") in side.events(
            "waiter"
        )


async def test_a_pod_that_never_fits_says_that_waiting_for_others_is_no_use(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(POD, python_pod("p", "", container=gpus(5)))
        await side.until(lambda: condition(side.status("p"), "PodScheduled"))
        assert condition(side.status("p"), "PodScheduled")["message"] == NEVER
        side.store.delete(POD, NAMESPACE, "p")
        assert side.pod("p") is None


async def test_a_new_node_takes_waiting_pods(tmp_path):
    async with node_side(tmp_path) as side:
        pod = python_pod("p", "", nodeSelector={"kubernetes.io/hostname": "other"})
        side.store.create(POD, pod)
        await side.until(lambda: condition(side.status("p"), "PodScheduled"))
        side.store.create(NODE, node("other"))
        await side.until(lambda: side.pod("p")["spec"].get("nodeName") == "other")


async def test_a_pod_waits_for_its_claim(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(POD, with_claim("p", "data"))
        await side.until(lambda: condition(side.status("p"), "PodScheduled"))
        message = condition(side.status("p"), "PodScheduled")["message"]
        assert message.startswith(f'{HEAD}: persistentvolumeclaim "data" not found. ')
        side.store.create(PVC, claim("data"))
        await side.ended("p")
        side.store.create(POD, with_claim("again", "data"))
        path = (await side.ended("again")).strip()
        volume = side.store.get(PVC, NAMESPACE, "data")["spec"]["volumeName"]
        assert Path(path).read_text() == "xx"
        side.store.delete(PVC, NAMESPACE, "data")
        await side.until(lambda: not side.store.list(PVC, NAMESPACE))
        await side.until(lambda: volume not in str(side.store.list(PV)))


async def test_a_claim_of_an_unknown_class_stays_unbound(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(PVC, claim("slow", storageClassName="tape"))
        side.store.create(POD, with_claim("p", "slow"))
        await side.until(lambda: condition(side.status("p"), "PodScheduled"))
        message = condition(side.status("p"), "PodScheduled")["message"]
        assert "pod has unbound immediate PersistentVolumeClaims" in message


async def test_a_claim_takes_a_volume_that_is_there(tmp_path):
    async with node_side(tmp_path) as side:
        shared = tmp_path / "shared"
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "shared"},
            "spec": {
                "capacity": {"storage": "5Gi"},
                "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
                "hostPath": {"path": str(shared)},
                "storageClassName": "",
            },
        }
        side.store.create(PV, volume)
        side.store.create(PVC, claim("data", storageClassName=""))
        side.store.create(POD, with_claim("p", "data"))
        assert await side.ended("p") == f"{shared}/file\n"
        assert (shared / "file").read_text() == "x"
