"""Pods from profiles: what was decided is in them, and nothing a user writes is harmful in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jupyter_kube import naming
from jupyter_kube.errors import InvalidInput
from jupyter_kube.kernels import podspec as kernels
from jupyter_kube.kernels.choice import choice_of
from jupyter_kube.models import Profile
from jupyter_kube.places import user_slug
from jupyter_kube.podspec import build, mounts, volumes
from jupyter_kube.train import jobspec
from jupyter_kube.train.cell import pack
from jupyter_kube.train.request import JobRequest

ID = "3f0c1a52-0000-4000-8000-000000000001"
NODE = {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
EVERYTHING: dict[str, Any] = {
    "display_name": "Everything",
    "options": {"gpus": {"max": 4}, "memory": {"max": "32Gi"}, "image": ["lab:2"]},
    "max_per_user": 2,
    "image": "registry.example/lab:1",
    "image_pull_policy": "Always",
    "pull_secrets": ["registry"],
    "python": "/opt/conda/bin/python",
    "working_dir": "/home/jovyan",
    "run_as_user": 1234,
    "cpu": 2,
    "memory": "8Gi",
    "gpus": 1,
    "gpu_resource": "nvidia.com/mig-1g.5gb",
    "resource_claims": {"net": "fast-nic"},
    "shm_size": "1Gi",
    "node_selector": {"pool": "gpu"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "priority_class": "interactive",
    "env": {"HF_HOME": "/data"},
    "env_from_secrets": {"DB_PASSWORD": "database/password"},
    "pvcs": {"home.ann": "/home/jovyan", "datasets": "/data:ro"},
    "volumes": [{"name": "conf", "configMap": {"name": "lab"}}],
    "volume_mounts": [{"name": "conf", "mountPath": "/etc/lab"}],
    "service_account": "jobs",
    "start_timeout": "20m",
    "idle_timeout": "2h",
    "lost_timeout": "30m",
    "lost_busy_timeout": 0,
    "lifetime": "1d",
    "overlay": {
        "metadata": {"labels": {"team": "a"}, "annotations": {"sidecar.istio.io/inject": "true"}},
        "spec": {
            "runtimeClassName": "nvidia",
            "tolerations": [{"operator": "Exists"}],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "containers": [
                {
                    "name": "kernel",
                    "resources": {"limits": {"cpu": "4"}},
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
"env": [NODE],
                }
            ],
        },
    },
}  # fmt: skip


def everything() -> Profile:
    return Profile.parse("everything", EVERYTHING)


def kernel_pod(profile: Profile, **more: Any) -> dict[str, Any]:
    return kernels.pod(profile, more.pop("kernel_id", ID), namespace="n", **more)


def request(profile: Profile, **more: Any) -> JobRequest:
    values = {"name": "j-1", "submission": "0123", "framework": "python", "workers": 2, **more}
    return JobRequest(profile=profile, namespace="n", **values)


BUNDLE = pack("x = 1", {})


def job(profile: Profile) -> dict[str, Any]:
    made: dict[str, Any] = jobspec.manifests(request(profile), BUNDLE, bytes(32)).job
    return made


def test_every_key_has_a_value_here() -> None:
    assert all(getattr(everything(), k) != getattr(Profile("x"), k) for k in EVERYTHING)
    assert set(EVERYTHING) == set(everything().to_json())


def test_a_kernels_pod_is_what_was_decided() -> None:
    pod = kernel_pod(everything(), settings="{}")
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    assert (container["image"], container["imagePullPolicy"]) == (
        "registry.example/lab:1",
        "Always",
    )
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert container["command"][0] == "/opt/conda/bin/python"
    assert container["workingDir"] == "/home/jovyan"
    assert {spec["securityContext"][f] for f in ("runAsUser", "runAsGroup", "fsGroup")} == {1234}
    amounts = {"memory": "8Gi", "nvidia.com/mig-1g.5gb": "1"}
    assert container["resources"]["requests"] == {"cpu": "2", **amounts}
    assert container["resources"]["limits"] == {"cpu": "4", **amounts}
    assert container["resources"]["claims"] == [{"name": "net"}]
    assert spec["resourceClaims"] == [{"name": "net", "resourceClaimTemplateName": "fast-nic"}]
    assert spec["nodeSelector"] == {"pool": "gpu"}
    assert spec["affinity"] == {"podAntiAffinity": {}}
    assert spec["priorityClassName"] == "interactive"
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("jobs", True)
    assert spec["activeDeadlineSeconds"] == 86400
    env = {entry["name"]: entry for entry in container["env"]}
    assert env["HF_HOME"]["value"] == "/data"
    source = env["DB_PASSWORD"]["valueFrom"]["secretKeyRef"]
    assert source == {"name": "database", "key": "password"}
    times = {"idle_timeout": 7200.0, "lost_timeout": 1800.0, "lost_busy_timeout": 0.0}
    assert times.items() <= kernels.options(everything()).items()


def test_claims_and_shared_memory_are_volumes_with_their_mounts() -> None:
    spec = kernel_pod(everything())["spec"]
    sources = {volume["name"]: volume for volume in spec["volumes"]}
    found = {m["mountPath"]: (sources[m["name"]], m) for m in spec["containers"][0]["volumeMounts"]}
    assert set(found) == {"/home/jovyan", "/data", "/etc/lab", "/dev/shm", "/tmp"}
    home, data = found["/home/jovyan"], found["/data"]
    assert home[0]["persistentVolumeClaim"] == {"claimName": "home.ann"}
    assert "readOnly" not in home[1]
    assert data[0]["persistentVolumeClaim"] == {"claimName": "datasets", "readOnly": True}
    assert data[1]["readOnly"] is True
    assert found["/dev/shm"][0]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
    assert len(volumes(everything())) == len(mounts(everything())) == 4


def test_the_overlay_is_laid_over_last() -> None:
    pod = kernel_pod(everything())
    assert pod["metadata"]["labels"]["team"] == "a"
    assert pod["metadata"]["labels"][naming.PROFILE] == "everything"
    assert pod["metadata"]["annotations"]["sidecar.istio.io/inject"] == "true"
    assert pod["spec"]["runtimeClassName"] == "nvidia"
    assert pod["spec"]["tolerations"] == [{"operator": "Exists"}], "they have no names"
    (container,) = pod["spec"]["containers"]
    names = [entry["name"] for entry in container["env"]]
    assert {"NODE", "JUPYTER_KUBE_LAUNCH", "HF_HOME"} <= set(names)
    assert len(names) == len(set(names))


def test_workers_are_built_from_the_same_profile() -> None:
    template = job(everything())["spec"]["template"]
    spec, (container,) = template["spec"], template["spec"]["containers"]
    assert container["name"] == "worker", "an overlay's kernel is our container, whatever its name"
    assert container["resources"]["limits"]["cpu"] == "4"
    assert spec["runtimeClassName"] == "nvidia"
    assert spec["priorityClassName"] == "interactive"
    paths = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/home/jovyan", "/data", "/dev/shm", "/tmp"} < paths
    env = {entry["name"]: entry for entry in container["env"]}
    assert env["JUPYTER_KUBE_STORAGE"]["value"] == "/home/jovyan"
    assert env["DB_PASSWORD"]["valueFrom"]["secretKeyRef"]["name"] == "database"
    assert spec["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in spec
    assert "activeDeadlineSeconds" not in spec, "a kernel's lifetime is none of a job's"


def test_ours_wins_over_the_profiles_environment() -> None:
    profile = Profile("p", env={"A": "theirs", "B": "1"}, env_from_secrets={"C": "s/k"})
    container = {"name": "c", "env": [{"name": "A", "value": "ours"}]}
    made = build(profile, container, metadata={}, spec={})["spec"]["containers"][0]["env"]
    assert [(e["name"], e.get("value")) for e in made] == [("B", "1"), ("C", None), ("A", "ours")]


@pytest.mark.parametrize(
    "profile",
    [
        Profile("p", volumes=({"name": "x", "hostPath": {"path": "/"}},)),
        Profile("p", overlay={"spec": {"hostNetwork": True}}),
        Profile("p", run_as_user=0),
    ],
)
def test_a_profile_that_was_never_checked_makes_no_forbidden_pod(profile: Profile) -> None:
    for make in (kernel_pod, job):
        with pytest.raises(InvalidInput, match='profile "p": Pod Security "restricted"'):
            make(profile)


# --- whatever is typed ---------------------------------------------------------------------------

NASTY = [
    "hostPath", "hostNetwork", "privileged", "../../etc/passwd", "a,b=c,c!=d", "{{x}}", "$(id)",
    "\0", "\u202e", "\n---\nkind: Pod", "hostPID", "jupyter-kube/user", "kube-system", "admin",
]  # fmt: skip
TEXT = st.text(max_size=40) | st.sampled_from(NASTY)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
CHOICES = st.dictionaries(
    st.sampled_from(["gpus", "memory", "cpu", "image", "env", "volumes", "overlay", "name"]) | TEXT,
    st.sampled_from([0, 2, 4, "16Gi", "lab:2", "4GB", "evil:1"]) | JSON,
    max_size=4,
)
IDS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", fullmatch=True) | TEXT
STORAGE = {"pvcs": {"claim-{user}": "/home/{folder}", "data": "/{folder}:ro"}, "files": "copy"}
PROFILES = st.sampled_from(
    [
        Profile("p"),
        everything(),
        Profile("q", service_account="jobs"),
        Profile.parse("s", {**STORAGE, "working_dir": "/home/{folder}"}),
    ]
)


FREE = {"labels", "annotations", "nodeSelector", "env"}
"""Parts of a pod in which any word is only a word."""


def parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Walk through all keys with their values."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key, inner
            yield from parts(None if key in FREE else inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from parts(inner)


NEVER = {"hostPath", "ownerReferences", "hostPort", "finalizers", "ephemeralContainers"}
OFF = {"hostNetwork", "hostPID", "hostIPC", "privileged", "procMount"}


def assert_harmless(manifest: dict[str, Any], spec: dict[str, Any], account: str) -> None:
    json.dumps(manifest)
    assert manifest["metadata"]["namespace"] == "n"
    assert manifest["metadata"]["labels"][naming.MANAGED_BY] == naming.MANAGER
    for key, value in parts(manifest):
        assert key not in NEVER
        assert key not in OFF or not value
        assert key not in {"serviceAccountName", "serviceAccount"} or value == account
        assert key != "allowPrivilegeEscalation" or value is False
        assert key not in {"runAsUser", "runAsGroup", "fsGroup"} or value > 0
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is bool(account)
    dropped = [each["securityContext"]["capabilities"] for each in spec["containers"]]
    assert dropped == [{"drop": ["ALL"]}]


def assert_only_its_own_storage(spec: dict[str, Any], user: str) -> None:
    sources = [volume.get("persistentVolumeClaim") for volume in spec.get("volumes", ())]
    claims = {source["claimName"] for source in sources if source}
    assert claims <= {f"claim-{user_slug(user)}", "data", "home.ann", "datasets"}
    for mount in spec["containers"][0].get("volumeMounts", ()):
        path = mount["mountPath"]
        assert path.startswith("/")
        assert ".." not in path.split("/")
        assert path.strip("/")


@settings(deadline=None)
@given(profile=PROFILES, choice=CHOICES, kernel_id=IDS, user=TEXT, notebook=TEXT, settings_=TEXT)
def test_no_input_of_a_user_makes_a_kernels_pod_harmful(
    profile: Profile, choice: Any, kernel_id: str, user: str, notebook: str, settings_: str
) -> None:
    with suppress(InvalidInput):
        varied = profile.vary(choice_of({"jupyter_kube": {"options": choice}}))
        assert {k for k in EVERYTHING if getattr(varied, k) != getattr(profile, k)} <= {
            "gpus", "memory", "image",
        }  # fmt: skip
        placed = varied.placed(user=user, folder=str(PurePosixPath(notebook).parent))
        pod = kernel_pod(
            placed, kernel_id=kernel_id, user=user, notebook=notebook, settings=settings_
        )
        assert_harmless(pod, pod["spec"], profile.service_account)
        assert_only_its_own_storage(pod["spec"], user)


@settings(deadline=None)
@given(profile=PROFILES, choice=CHOICES, user=TEXT, notebook=TEXT)
def test_no_input_of_a_user_makes_a_workers_pod_harmful(
    profile: Profile, choice: Any, user: str, notebook: str
) -> None:
    wanted = {name: choice.get(name) for name in ("gpus", "cpu", "memory")}
    with suppress(InvalidInput):
        asked = request(profile.resize(**wanted), user=user, notebook=notebook)
        template = jobspec.pod_template(asked, BUNDLE)
        assert_harmless(
            {**template, "metadata": {**template["metadata"], **jobspec.metadata(asked)}},
            template["spec"],
            "",
        )


FIELDS = st.sampled_from(
    ["hostNetwork", "hostPID", "hostIPC", "volumes", "containers", "initContainers", "nodeName",
     "securityContext", "serviceAccountName", "ephemeralContainers", "runtimeClassName"]
)  # fmt: skip
OBJECT_FIELDS = st.sampled_from(
    ["name", "image", "hostPath", "emptyDir", "securityContext", "privileged", "ports", "hostPort",
     "runAsUser", "capabilities", "add", "command", "volumeMounts"]
)  # fmt: skip
VALUES = st.sampled_from(
    ["kernel", "x", 0, True, {"path": "/"}, {"privileged": True}, {"add": ["ALL"]}, None,
     [{"containerPort": 1, "hostPort": 1}], {"runAsUser": 0},
     {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}]
)  # fmt: skip
OBJECTS = st.dictionaries(OBJECT_FIELDS, VALUES | JSON, max_size=4)
SPECS = st.dictionaries(FIELDS | TEXT, JSON | OBJECTS | st.lists(OBJECTS, max_size=2), max_size=3)
METADATA = st.dictionaries(
    st.sampled_from(["labels", "annotations", "ownerReferences", "namespace", "finalizers"]),
    st.dictionaries(TEXT, TEXT, max_size=2) | JSON,
    max_size=2,
)
OVERLAYS = st.fixed_dictionaries({}, optional={"spec": SPECS | JSON, "metadata": METADATA})
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip


@settings(deadline=None)
@example({"spec": {"hostNetwork": [{"name": {"path": "/"}}]}})
@given(overlay=OVERLAYS)
def test_no_overlay_makes_a_pod_harmful(overlay: dict[str, Any]) -> None:
    with suppress(InvalidInput):
        pod = kernel_pod(Profile.parse("p", {"overlay": overlay}))
        spec = pod["spec"]
        assert set(pod["metadata"]) == {"name", "namespace", "labels", "annotations"}
        assert not any(spec.get(field) for field in ("hostNetwork", "hostPID", "hostIPC"))
        assert not {"serviceAccountName", "ephemeralContainers"} & set(spec)
        assert all(set(volume) - {"name"} <= VOLUMES for volume in spec.get("volumes", ()))
        assert len(spec["containers"]) == 1
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            context = container["securityContext"]
            assert not context.get("privileged")
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"]["drop"] == ["ALL"]
            assert "ALL" not in (context["capabilities"].get("add") or ())
            assert context.get("runAsUser", spec["securityContext"].get("runAsUser")) != 0
            assert context.get("runAsNonRoot", spec["securityContext"].get("runAsNonRoot")) is True
            assert not any(port.get("hostPort") for port in container.get("ports") or ())


# --- secrets -------------------------------------------------------------------------------------


def test_neither_keys_nor_the_servers_environment_are_in_a_manifest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CANARY_VARIABLE", "canary-in-the-environment")
    key = b"canary-key-0123456789abcdefghijkl"[:32]
    made = jobspec.manifests(request(everything()), BUNDLE, key)
    texts = json.dumps([kernel_pod(everything(), settings="{}"), made.job, made.service]).lower()
    for canary in ("canary", key.hex(), "canary_variable"):
        assert canary not in texts
