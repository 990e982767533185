"""Manifests: what they hold, and what they never hold."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_kube import naming
from jupyter_kube.errors import InvalidInput
from jupyter_kube.models import Profile
from jupyter_kube.train import jobspec
from jupyter_kube.train.cell import Bundle, pack
from jupyter_kube.train.jobspec import Manifests, key_of, manifests, with_owner
from jupyter_kube.train.payload import WORKER_ENV
from jupyter_kube.train.request import JobRequest

KEY = bytes(range(32))


def request(profile: Profile | None = None, **more: Any) -> JobRequest:
    defaults: dict[str, Any] = {
        "name": "digits-7f3a",
        "submission": "0123456789abcdef",
        "framework": "python",
        "workers": 2,
        "namespace": "ann",
        "user": "ann@example.org",
    }
    return JobRequest(profile=profile or Profile("gpu-small", image="i"), **{**defaults, **more})


def made(bundle: Bundle | None = None, profile: Profile | None = None, **more: Any) -> Manifests:
    return manifests(request(profile, **more), bundle or pack("x = 1", {}), KEY)


def pod_of(all_: Manifests) -> dict[str, Any]:
    spec: dict[str, Any] = all_.job["spec"]["template"]["spec"]
    return spec


def env_of(all_: Manifests) -> dict[str, Any]:
    entries = pod_of(all_)["containers"][0]["env"]
    assert len({entry["name"] for entry in entries}) == len(entries)
    return {entry["name"]: entry for entry in entries}


def test_the_job_is_indexed_and_ends_as_a_whole() -> None:
    spec = made(retries=5, timeout=90.5, keep=60).job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 2, 2)
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (5, 0)
    assert (spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (90, 60)
    first, second = spec["podFailurePolicy"]["rules"]
    assert first["onExitCodes"]["values"] == [42]
    assert (first["action"], second["action"]) == ("FailJob", "Ignore")
    assert spec["podReplacementPolicy"] == "Failed"
    assert "activeDeadlineSeconds" not in made().job["spec"]


def test_rank_0_speaks_for_an_elastic_job_and_any_pod_may_come_back() -> None:
    spec = made(workers=4, least=1).job["spec"]
    assert spec["completions"] == spec["parallelism"] == 4
    assert spec["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]}
    assert spec["backoffLimitPerIndex"] > 1000
    assert "maxFailedIndexes" not in spec
    assert "successPolicy" not in made().job["spec"]


def test_each_role_has_a_job_of_its_own_that_the_first_owns() -> None:
    profile = Profile("p", image="i", cpu="2", gpus=1)
    all_ = made(profile=profile, framework="tensorflow", chief=True, ps=3, evaluator=True, keep=60)
    jobs = (all_.job, *all_.roles)
    assert [job["metadata"]["name"] for job in jobs] == [
        "digits-7f3a", "digits-7f3a-worker", "digits-7f3a-ps", "digits-7f3a-evaluator",
    ]  # fmt: skip
    assert all(role in all_.owned for role in all_.roles)
    assert [job["spec"]["completions"] for job in jobs] == [1, 2, 3, 1]
    assert {job["spec"]["ttlSecondsAfterFinished"] for job in jobs} == {60}
    assert all_.job["spec"]["maxFailedIndexes"] == 0
    assert all(role["spec"]["backoffLimitPerIndex"] > 1000 for role in all_.roles)
    firsts, gpus = [], []
    for job, role in zip(jobs, ("chief", "worker", "ps", "evaluator"), strict=True):
        template = job["spec"]["template"]
        assert template["metadata"]["labels"][naming.ROLE] == role
        assert job["metadata"]["labels"].items() <= template["metadata"]["labels"].items()
        assert template["spec"]["subdomain"] == "digits-7f3a"
        container = template["spec"]["containers"][0]
        env = {entry["name"]: entry.get("value") for entry in container["env"]}
        first = template["metadata"]["annotations"].get(naming.FIRST_RANK, "0")
        assert env.get("JUPYTER_KUBE_FIRST_RANK", "0") == first
        assert ("JUPYTER_KUBE_REPLACED" in env) is (job is not all_.job)
        assert (env["OMP_NUM_THREADS"], env["TF_NUM_INTEROP_THREADS"]) == ("2", "8")
        firsts.append(first)
        gpus.append(container["resources"]["limits"].get("nvidia.com/gpu", "0"))
    assert firsts == ["0", "1", "3", "6"]
    assert gpus == ["0", "1", "0", "1"]


def test_a_chief_without_parameter_servers_trains_as_a_worker_does() -> None:
    all_ = made(profile=Profile("p", image="i", gpus=1), framework="tensorflow", chief=True)
    (container,) = pod_of(all_)["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_workers_find_rank_0_by_name() -> None:
    all_ = made()
    assert all_.service["metadata"]["name"] == pod_of(all_)["subdomain"] == "digits-7f3a"
    assert all_.service["spec"]["clusterIP"] == "None"
    assert all_.service["spec"]["publishNotReadyAddresses"]
    labels = all_.job["spec"]["template"]["metadata"]["labels"]
    assert all_.service["spec"]["selector"].items() <= labels.items()


def test_everything_carries_our_labels() -> None:
    all_ = made()
    for manifest in (all_.job, all_.service, *all_.secrets, all_.job["spec"]["template"]):
        labels = manifest["metadata"]["labels"]
        assert labels[naming.MANAGED_BY] == naming.MANAGER
        assert labels[naming.COMPONENT] == "job"
        assert labels[naming.JOB] == "digits-7f3a"
        assert labels[naming.USER_HASH] == naming.user_hash("ann@example.org")
        assert labels[naming.SUBMISSION] == "0123456789abcdef"
        assert labels[naming.PROFILE] == "gpu-small"


def test_those_who_attach_later_find_what_was_asked_for() -> None:
    notes = made(outputs=("history",)).job["metadata"]["annotations"]
    asked = json.loads(notes[naming.REQUEST])
    assert (asked["workers"], asked["outputs"]) == (2, ["history"])
    assert notes[naming.USER] == "ann@example.org"
    assert notes[naming.FRAMEWORK] == "python"


def test_a_small_cell_travels_in_a_variable() -> None:
    all_ = made()
    (secret,) = all_.secrets
    assert secret["immutable"]
    reference = env_of(all_)["JUPYTER_KUBE_BUNDLE"]["valueFrom"]["secretKeyRef"]
    assert secret["metadata"]["name"] == reference["name"]
    assert reference["key"] in secret["stringData"]
    assert "volumes" not in pod_of(all_)  # the first one costs a start 0.3 s


def test_a_worker_that_cannot_write_to_its_image_gets_a_volume() -> None:
    sealed = {"name": "kernel", "securityContext": {"readOnlyRootFilesystem": True}}
    all_ = made(profile=Profile(name="sealed", overlay={"spec": {"containers": [sealed]}}))
    (volume,) = pod_of(all_)["volumes"]
    (mount,) = pod_of(all_)["containers"][0]["volumeMounts"]
    assert (volume["name"], volume["emptyDir"]) == (mount["name"], {})
    assert env_of(all_)["JUPYTER_KUBE_SCRATCH"]["value"] == mount["mountPath"]


def test_a_large_cell_travels_in_the_parts_of_a_volume() -> None:
    bundle = pack("data", {"data": os.urandom(3 << 20)})
    all_ = made(bundle)
    first, *parts = all_.secrets
    assert "bundle" not in first["stringData"]
    assert b"".join(base64.b64decode(part["data"]["part"]) for part in parts) == bundle.payload
    assert all(len(base64.b64decode(part["data"]["part"])) < 2**20 for part in parts)
    (volume,) = (v for v in pod_of(all_)["volumes"] if v["name"] == "bundle")
    sources = [source["secret"]["name"] for source in volume["projected"]["sources"]]
    assert sources == [part["metadata"]["name"] for part in parts]
    assert "JUPYTER_KUBE_BUNDLE" not in env_of(all_)
    mounts = {m["name"]: m["mountPath"] for m in pod_of(all_)["containers"][0]["volumeMounts"]}
    assert env_of(all_)["JUPYTER_KUBE_BUNDLE_DIR"]["value"] == mounts["bundle"]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400_000))
def test_no_variable_is_longer_than_linux_allows(size: int) -> None:
    bundle = Bundle(os.urandom(size), (), "python", ())
    first = made(bundle).secrets[0]
    assert all(len(value) <= 120_000 for value in first["stringData"].values())


def test_the_key_is_in_the_secret_and_nowhere_else() -> None:
    all_ = made()
    data = {
        name: base64.b64encode(value.encode()).decode()
        for name, value in all_.secrets[0]["stringData"].items()
    }
    assert key_of({"data": data}) == KEY
    others = json.dumps([all_.job, all_.service, *all_.secrets[1:]])
    assert KEY.hex() not in others
    assert data["worker"] not in others


def test_the_owner_is_added_to_a_copy() -> None:
    service = made().service
    owned = with_owner(service, {"kind": "Job", "name": "x", "uid": "1"})
    assert owned["metadata"]["ownerReferences"] == [{"kind": "Job", "name": "x", "uid": "1"}]
    assert "ownerReferences" not in service["metadata"]


def test_the_pod_fits_pod_security_restricted() -> None:
    profile = Profile("p", gpus=2, service_account="powerful")
    spec = pod_of(made(profile=profile))
    container = spec["containers"][0]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert spec["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in spec
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert "cpu" not in container["resources"]["limits"]


def test_a_folder_of_the_node_is_refused() -> None:
    profile = Profile("p", image="i", volumes=({"name": "x", "hostPath": {"path": "/"}},))
    with pytest.raises(InvalidInput, match="hostPath"):
        made(profile=profile)


def test_storage_is_the_first_volume_that_lasts_and_can_be_written() -> None:
    profile = Profile(
        "p",
        image="i",
        volumes=(
            {"name": "conf", "configMap": {"name": "c"}},
            {"name": "ro", "persistentVolumeClaim": {"claimName": "a"}},
            {"name": "rw", "persistentVolumeClaim": {"claimName": "b"}},
        ),
        volume_mounts=(
            {"name": "conf", "mountPath": "/conf"},
            {"name": "ro", "mountPath": "/ro", "readOnly": True},
            {"name": "rw", "mountPath": "/rw"},
        ),
    )
    assert env_of(made(profile=profile))["JUPYTER_KUBE_STORAGE"]["value"] == "/rw"
    assert "JUPYTER_KUBE_STORAGE" not in env_of(made())


def test_libraries_start_as_many_threads_as_there_are_cpus() -> None:
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    for cpu, threads in (("100m", "1"), ("1", "1"), ("1500m", "2"), ("4", "4")):
        env = env_of(made(profile=Profile("p", image="i", cpu=cpu)))
        assert [env[name]["value"] for name in names] == [threads] * 3
    own = Profile("p", image="i", cpu="4", env={"OMP_NUM_THREADS": "2"})
    assert env_of(made(profile=own))["OMP_NUM_THREADS"]["value"] == "2"


def test_the_processes_of_a_worker_share_its_cpus_and_its_pod_says_how_many_they_are() -> None:
    for cpu, threads in (("1", "1"), ("3", "1"), ("4", "2")):
        all_ = made(profile=Profile("p", image="i", cpu=cpu, gpus=4), procs=2)
        assert env_of(all_)["OMP_NUM_THREADS"]["value"] == threads
    notes = all_.job["spec"]["template"]["metadata"]["annotations"]
    assert notes[naming.PROCS] == "2"
    assert naming.PROCS not in made().job["spec"]["template"]["metadata"]["annotations"]
    launch = base64.b64decode(all_.secrets[0]["stringData"]["worker"])
    options = json.loads(zlib.decompress(launch))["options"]
    assert (options["workers"], options["procs"], options["gpus"]) == (2, 2, 4)
    assert all_.job["spec"]["completions"] == 2


def test_workers_share_memory_as_their_profile_says() -> None:
    all_ = made(profile=Profile("p", image="i", shm_size="256Mi"))
    (volume,) = (v for v in pod_of(all_)["volumes"] if v["name"] == "shm")
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "256Mi"}
    mounts = {m["mountPath"]: m["name"] for m in pod_of(all_)["containers"][0]["volumeMounts"]}
    assert mounts["/dev/shm"] == "shm"


def test_a_profiles_environment_cannot_replace_ours() -> None:
    profile = Profile("p", image="i", env={"POD_IP": "6.6.6.6", "MINE": "1"})
    env = env_of(made(profile=profile))
    assert "valueFrom" in env["POD_IP"]
    assert env["MINE"]["value"] == "1"


def test_the_command_is_the_same_for_all_jobs() -> None:
    one, other = made(), made(pack("y = 2", {}), name="other-1111")
    assert pod_of(one)["containers"][0]["command"] == pod_of(other)["containers"][0]["command"]
    assert len(jobspec.boot_command()[-1]) < 4096


def test_the_images_path_cannot_shadow_what_the_supervisor_needs(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    env = {"PYTHONPATH": str(tmp_path), WORKER_ENV: "none"}
    command = jobspec.boot_command(sys.executable)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert "zlib.error" in done.stderr
    assert "shadowed" not in done.stderr
