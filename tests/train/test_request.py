"""Requests, and workers like the kernel that asks."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_kube.errors import InvalidInput
from jupyter_kube.models import Profile
from jupyter_kube.train.request import JobRequest, like_kernel

KERNEL_POD: dict[str, Any] = {
    "spec": {
        "nodeSelector": {"zone": "a"},
        "securityContext": {"runAsUser": 1234},
        "tolerations": [
            {"key": "gpu", "operator": "Exists"},
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists"},
        ],
        "volumes": [
            {"name": "home", "persistentVolumeClaim": {"claimName": "ann"}},
            {"name": "kube-api-access-x", "projected": {}},
            {"name": "unmounted", "emptyDir": {}},
        ],
        "containers": [
            {"name": "istio-proxy", "image": "proxy"},
            {
                "name": "kernel",
                "image": "lab:1",
                "imagePullPolicy": "Never",
                "command": ["/opt/bin/python", "-c", "boot"],
                "workingDir": "/home/ann",
                "env": [
                    {"name": "HF_HOME", "value": "/data"},
                    {"name": "JUPYTER_KUBE_SETTINGS", "value": "{}"},
                    {"name": "JPY_SESSION_NAME", "value": "a.ipynb"},
                    {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ],
                "resources": {
                    "requests": {"cpu": "500m", "memory": "1Gi"},
                    "limits": {"memory": "1Gi", "nvidia.com/gpu": "1"},
                },
                "volumeMounts": [
                    {"name": "home", "mountPath": "/home/ann"},
                    {
                        "name": "kube-api-access-x",
                        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                    },
                ],
            },
        ],
    }
}


def test_workers_are_like_the_kernels_own_pod() -> None:
    template = like_kernel(KERNEL_POD)
    assert (template.image, template.image_pull_policy) == ("lab:1", "Never")
    assert template.python == "/opt/bin/python"
    assert (template.cpu, template.memory, template.gpus) == ("500m", "1Gi", 1)
    assert template.env == {"HF_HOME": "/data"}
    assert template.env_from_secrets == {"KEY": "s/k"}
    assert [volume["name"] for volume in template.volumes] == ["home"]
    assert [mount["mountPath"] for mount in template.volume_mounts] == ["/home/ann"]
    assert [toleration["key"] for toleration in template.tolerations] == ["gpu"]
    assert template.node_selector == {"zone": "a"}
    assert (template.run_as_user, template.working_dir) == (1234, "/home/ann")


def test_a_pod_that_is_not_a_kernels_is_refused() -> None:
    with pytest.raises(InvalidInput, match="--profile"):
        like_kernel({"spec": {"containers": [{"name": "web", "image": "x"}]}})


def test_of_a_known_profile_only_what_users_vary_is_read_off_the_pod() -> None:
    known = Profile(
        "p", image="old:1", pvcs={"home": "/home"}, overlay={"spec": {"hostUsers": True}}
    )
    template = like_kernel(KERNEL_POD, known)
    assert (template.image, template.cpu, template.memory, template.gpus) == (
        "lab:1", "500m", "1Gi", 1,
    )  # fmt: skip
    assert (template.pvcs, template.overlay) == (known.pvcs, known.overlay)
    assert (template.volumes, template.env) == ((), {})


def test_the_user_may_ask_for_more_or_less() -> None:
    profile = Profile("p", cpu="2", memory="4Gi", gpus=1)
    assert profile.resize().gpus == 1
    resized = profile.resize(gpus=0, cpu="250m", memory="1Gi")
    assert (resized.gpus, resized.cpu, resized.memory) == (0, "250m", "1Gi")


def test_a_profiles_bounds_hold_for_jobs() -> None:
    profile = Profile.parse("p", {"options": {"gpus": {"max": 2}}})
    assert profile.resize(gpus=2, memory="64Gi").gpus == 2
    with pytest.raises(InvalidInput, match="gpus 3 is above what is allowed: at most 2"):
        profile.resize(gpus=3)


@pytest.mark.parametrize("wrong", [{"memory": "4GB"}, {"cpu": "ten"}, {"gpus": -1}])
def test_wrong_amounts_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Profile("p").resize(**wrong)


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"retries": -1}])
def test_wrong_numbers_are_refused(wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {"workers": 1, "retries": 0, **wrong}
    with pytest.raises(InvalidInput):
        JobRequest("n", "s", "python", profile=Profile("p"), namespace="d", **good)
