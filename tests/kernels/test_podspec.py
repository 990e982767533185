"""The pod's manifest: restricted whatever the input, and nothing of the server's in it."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube import naming
from jupyter_kube.config import SETTINGS_ENV
from jupyter_kube.errors import InvalidInput
from jupyter_kube.kernels import podspec
from jupyter_kube.kernels.payload import LAUNCH_ENV
from jupyter_kube.models import Profile

_ID = "3f0c1a52-0000-4000-8000-000000000001"


def env_of(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in pod["spec"]["containers"][0]["env"]}


def test_a_pod_names_its_kernel_its_user_and_its_notebook() -> None:
    pod = podspec.pod(Profile("p"), _ID, namespace="n", user="Ünal", notebook="a/b.ipynb")
    meta = pod["metadata"]
    assert meta["name"] == naming.kernel_name(_ID)
    assert meta["labels"][naming.KERNEL_ID] == _ID
    assert meta["labels"][naming.PROFILE] == "p"
    assert meta["labels"][naming.USER_HASH] == naming.user_hash("Ünal")
    assert meta["annotations"][naming.USER] == "Ünal"
    assert meta["annotations"][naming.NOTEBOOK] == "a/b.ipynb"
    assert env_of(pod)["JPY_SESSION_NAME"]["value"] == "a/b.ipynb"


def test_the_start_variable_comes_from_the_secret_and_from_nowhere_else() -> None:
    profile = Profile("p", env={LAUNCH_ENV: "stolen", "A": "1"})
    entries = podspec.pod(profile, _ID, namespace="n")["spec"]["containers"][0]["env"]
    launch = [e for e in entries if e["name"] == LAUNCH_ENV]
    assert [set(e) for e in launch] == [{"name", "valueFrom"}]
    secret = podspec.secret(_ID, "keys", {"uid": "u"}, namespace="n")
    wanted = launch[0]["valueFrom"]["secretKeyRef"]
    assert secret["metadata"]["name"] == wanted["name"]
    assert secret["stringData"] == {wanted["key"]: "keys"}
    assert secret["metadata"]["ownerReferences"] == [{"uid": "u"}]
    assert secret["immutable"]


def test_settings_and_a_token_are_there_with_a_service_account_only() -> None:
    plain = podspec.pod(Profile("p"), _ID, namespace="n", settings="{}")
    assert plain["spec"]["automountServiceAccountToken"] is False
    assert SETTINGS_ENV not in env_of(plain)
    profile = Profile("p", service_account="jobs")
    pod = podspec.pod(profile, _ID, namespace="n", settings="{}")
    assert pod["spec"]["automountServiceAccountToken"] is True
    assert pod["spec"]["serviceAccountName"] == "jobs"
    assert env_of(pod)[SETTINGS_ENV]["value"] == "{}"


def test_gpus_and_memory_are_limits_and_cpu_is_not() -> None:
    pod = podspec.pod(Profile("p", gpus=2, memory="3Gi", cpu="500m"), _ID, namespace="n")
    resources = pod["spec"]["containers"][0]["resources"]
    assert resources["limits"] == {"memory": "3Gi", "nvidia.com/gpu": "2"}
    assert resources["requests"] == {"cpu": "500m", "memory": "3Gi", "nvidia.com/gpu": "2"}


def test_no_variable_of_the_server_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_NAME", "canary-value")
    text = json.dumps(podspec.pod(Profile("p"), _ID, namespace="n"))
    assert "CANARY_NAME" in os.environ
    assert "canary" not in text.lower()


def test_volumes_come_from_the_profile_only() -> None:
    assert "volumes" not in podspec.pod(Profile("p"), _ID, namespace="n")["spec"]
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "c"}}
    mount = {"name": "data", "mountPath": "/data"}
    profile = Profile("p", volumes=(volume,), volume_mounts=(mount,))
    spec = podspec.pod(profile, _ID, namespace="n")["spec"]
    assert spec["volumes"] == [volume]
    assert spec["containers"][0]["volumeMounts"] == [mount]


def test_a_folder_of_the_node_is_refused() -> None:
    profile = Profile("p", volumes=({"name": "x", "hostPath": {"path": "/"}},))
    with pytest.raises(InvalidInput, match="hostPath"):
        podspec.pod(profile, _ID, namespace="n")


@pytest.mark.parametrize("kernel_id", ["", "a,b=c", "x" * 64, "-a", "a\n"])
def test_a_kernel_id_that_is_no_label_is_refused(kernel_id: str) -> None:
    with pytest.raises(InvalidInput, match="kernel id"):
        podspec.pod(Profile("p"), kernel_id, namespace="n")


_TEXT = st.text(max_size=60)
_IDS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", fullmatch=True)


@given(
    kernel_id=_IDS,
    user=_TEXT,
    notebook=_TEXT,
    settings=_TEXT,
    env=st.dictionaries(_TEXT, _TEXT, max_size=4),
    account=st.sampled_from(["", "jobs"]),
)
def test_no_input_makes_a_pod_that_pod_security_restricted_refuses(
    kernel_id: str, user: str, notebook: str, settings: str, env: dict[str, str], account: str
) -> None:
    profile = Profile("p", env=env, service_account=account)
    pod = podspec.pod(
        profile, kernel_id, namespace="n", user=user, notebook=notebook, settings=settings
    )
    json.dumps(pod)
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes", "initContainers"} & set(spec)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all("hostPort" not in port for port in container["ports"])
    assert pod["metadata"]["labels"][naming.MANAGED_BY] == naming.MANAGER
    assert len({entry["name"] for entry in container["env"]}) == len(container["env"])
