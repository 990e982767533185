import pytest

from jupyter_kube.localcluster.quota import exceeded_text
from jupyter_kube.localcluster.store import POD, QUOTA, SECRET, ApiError

from .nodeside import NAMESPACE, gpus, node_side, python_pod


def quota(**hard):
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": NAMESPACE},
        "spec": {"hard": hard},
    }


def test_all_that_goes_over_is_named_in_order():
    text = exceeded_text(
        {"requests.memory": 2**30, "pods": 1, "cpu": 1},
        {"requests.memory": 2**30, "pods": 3, "cpu": 0},
        {"requests.memory": 2**30, "pods": 3, "cpu": 2},
    )
    assert text == (
        "exceeded",
        (
            ", requested: pods=1,requests.memory=1Gi"
            ", used: pods=3,requests.memory=1Gi, limited: pods=3,requests.memory=1Gi"
        ),
    )


async def test_a_pod_over_quota_is_refused_in_kubernetes_words_until_there_is_room(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(QUOTA, quota(**{"requests.nvidia.com/gpu": "4"}))
        holder = python_pod("holder", "import time; time.sleep(600)", container=gpus(4))
        side.store.create(POD, holder)
        await side.running("holder")
        with pytest.raises(ApiError) as caught:
            side.store.create(POD, python_pod("x", "", container=gpus(1)))
        assert caught.value.code == 403
        assert caught.value.message == (
            'pods "x" is forbidden: exceeded quota: q, requested: requests.nvidia.com/gpu=1, '
            "used: requests.nvidia.com/gpu=4, limited: requests.nvidia.com/gpu=4"
        )
        side.store.create(POD, python_pod("free", ""))
        side.store.delete(POD, NAMESPACE, "holder", grace_seconds=1)
        await side.until(lambda: side.pod("holder") is None)
        side.store.create(POD, python_pod("x", "print('room')", container=gpus(1)))
        assert await side.ended("x") == "room\n"


async def test_a_quotas_status_follows_what_is_used(tmp_path):
    def used():
        status = side.store.get(QUOTA, NAMESPACE, "q").get("status") or {}
        return status.get("used")

    async with node_side(tmp_path) as side:
        side.store.create(QUOTA, quota(pods="5", **{"count/secrets": "2", "limits.memory": "4Gi"}))
        limits = {"resources": {"limits": {"memory": "1Gi"}}}
        side.store.create(POD, python_pod("p", "", container=limits))
        side.store.create(SECRET, {"metadata": {"name": "s", "namespace": NAMESPACE}})
        busy = {"pods": "1", "count/secrets": "1", "limits.memory": "1Gi"}
        await side.until(lambda: used() == busy)
        await side.ended("p")
        await side.until(
            lambda: used() == {"pods": "0", "count/secrets": "1", "limits.memory": "0"}
        )
        side.store.create(SECRET, {"metadata": {"name": "t", "namespace": NAMESPACE}})
        with pytest.raises(ApiError, match='secrets "u" is forbidden: exceeded quota: q'):
            side.store.create(SECRET, {"metadata": {"name": "u", "namespace": NAMESPACE}})


async def test_a_limited_resource_must_be_specified(tmp_path):
    async with node_side(tmp_path) as side:
        side.store.create(QUOTA, quota(**{"requests.cpu": "5", "limits.memory": "4Gi"}))
        with pytest.raises(ApiError) as caught:
            side.store.create(POD, python_pod("x", ""))
        assert caught.value.message == (
            'pods "x" is forbidden: failed quota: q: '
            "must specify limits.memory for: main; requests.cpu for: main"
        )
