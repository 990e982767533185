"""Profiles: natural values are taken, all others refused with key, words and value."""

import json
from dataclasses import fields

import pytest

from jupyter_kube.checks import check_quantity
from jupyter_kube.config import KubeConfig, load
from jupyter_kube.errors import InvalidInput
from jupyter_kube.keys import profile_keys
from jupyter_kube.models import Profile

OPTIONS = [
    {"colour": {}}, {"gpus": 4}, {"gpus": {}}, {"gpus": {"least": 1}}, {"gpus": {"max": 0.5}},
    {"gpus": {"max": "4"}}, {"gpus": {"max": True}}, {"gpus": {"min": 3, "max": 2}},
    {"gpus": {"min": 1}}, {"memory": {"max": "1Gi"}}, {"memory": {"max": "4GB"}},
    {"memory": {"max": 4}}, {"cpu": {"min": "two"}}, {"image": "lab:1"}, {"image": []},
    {"image": ["https://lab"]}, {"image": [1]}, [], "gpus",
]  # fmt: skip
OVERLAYS = [
    [], "spec", {"kind": "Pod"}, {"spec": []}, {"spec": {"volumes": "x"}},
    {"spec": {"containers": [1]}},
    {"spec": {"hostNetwork": True}}, {"spec": {"hostPID": True}}, {"spec": {"hostIPC": "yes"}},
    {"spec": {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}},
    {"spec": {"volumes": [{"name": "x", "nfs": {"server": "h", "path": "/"}}]}},
    {"spec": {"containers": [{"name": "kernel", "securityContext": {"privileged": True}}]}},
    {"spec": {"containers": [{"name": "kernel", "securityContext": {"runAsUser": 0}}]}},
    {"spec": {"containers": [{"name": "kernel", "securityContext": None}]}},
    {"spec": {"containers": [
        {"name": "kernel", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}},
    {"spec": {"containers": [{"name": "kernel", "ports": [{"containerPort": 1, "hostPort": 1}]}]}},
    {"spec": {"containers": [{"name": "kernel", "command": ["sh"]}]}},
    {"spec": {"containers": [{"name": "kernel", "args": []}]}},
    {"spec": {"containers": [{"name": "kernel", "resources": {"limits": {"memory": "1Gi"}}}]}},
    {"spec": {"containers": [{"name": "proxy", "image": "proxy:1"}]}},
    {"spec": {"initContainers": [{"name": "proxy", "image": "proxy:1"}]}},
    {"spec": {"securityContext": None}}, {"spec": {"securityContext": {"runAsNonRoot": False}}},
    {"spec": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}},
    {"spec": {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}},
    {"spec": {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}},
    {"spec": {"securityContext": "none"}}, {"spec": {"serviceAccountName": "admin"}},
    {"spec": {"automountServiceAccountToken": True}}, {"spec": {"restartPolicy": "Always"}},
    {"spec": {"activeDeadlineSeconds": 1}}, {"metadata": {"name": "x"}}, {"metadata": []},
    {"metadata": {"ownerReferences": []}}, {"metadata": {"labels": {"a": 1}}},
    {"metadata": {"labels": {"jupyter-kube/user-hash": "x"}}},
    {"metadata": {"annotations": {"jupyter-kube/user": "x"}}},
    {"metadata": {"labels": {"app.kubernetes.io/managed-by": "x"}}},
    {"spec": {"x": object()}}, {"spec": {"x": float("inf")}},
    {"spec": {1: 2}}, {"spec": {"x": {1, 2}}},
]  # fmt: skip
MOUNT = {"name": "v", "mountPath": "/v"}
CLAIM = {"persistentVolumeClaim": {"claimName": "c"}}
WRONG = {
    "display_name": [None, 1],
    "options": OPTIONS,
    "max_per_user": [-1, 1.5, "1", True, None],
    "warm": [-1, 1.5, "1", True, None],
    "image": ["", " ", None, ["a"], "https://registry.example/lab", "http:", "Lab:1", "lab:", "a b",
              "lab@sha256:1", "lab:1\n", "-lab", "a" * 500],
    "image_pull_policy": ["always", None, 1, ["Always"]],
    "pull_secrets": ["registry", ["Big"], [1], {}, None],
    "python": ["", 3.11, "py\0"],
    "working_dir": ["work", "/a/../b", None, "/a\0", 1, "..", "/{home}", "{folder}"],
    "files": ["move", None, True, 1, ["copy"]],
    "run_as_user": [0, -1, True, "1000", 1000.0, None, 2**31],
    "cpu": ["0", 0, 0.0, "0m", -1, True, None, ["1"], "", float("nan"), float("inf"), "1 ", "two"],
    "memory": ["0", "0Gi", 0, False, None, {}, "4GB", "4 gb", "4", 4, "4m", "-1Gi", "9" * 30],
    "gpus": [-1, 0.5, "1", True, None],
    "gpu_resource": ["", None, "gpu", "nvidia.com/", "/gpu", "nvidia.com/a b", "a/b/c"],
    "resource_claims": ["gpu", ["gpu"], {"GPU": "one"}, {"gpu": ""}, {"gpu": 1}],
    "shm_size": ["big", None, "0", True, "4", "3Gi"],
    "node_selector": [{"gpu": True}, [], "a=b", {"a b": "c"}, {"a": "b,c!=d"}, {"": "x"},
                      {"gpu": "x" * 64}],
    "tolerations": [{"key": "a"}, ["a"], [{"keys": "a"}], [{"key": "a", "operator": "Is"}],
                    [{"key": "a", "effect": "Never"}], [{}], [{"operator": ["Exists"]}],
                    [{"key": "a", "operator": {}}], [{1: 2, "key": "a"}],
                    [{"key": "a", "tolerationSeconds": float("nan")}]],
    "affinity": [[], "zone", {"zoneAffinity": {}}],
    "priority_class": [None, 1, "High", "a/b"],
    "env": [{"A": 1}, {"A": True}, {"A": None}, {1: "a"}, ["A=1"], "A=1", None, {"A B": "1"},
            {"": "1"}, {"1A": "1"}, {"A=B": "1"}, {"A": "\0"}, {"RANK": "0"}, {"MASTER_ADDR": "h"},
            {"TF_CONFIG": "{}"}, {"POD_IP": "6.6.6.6"}, {"JUPYTER_KUBE_LAUNCH": "x"}],
    "env_from_secrets": [{"A": "secret"}, {"A": "secret/"}, {"A": "/key"}, {"A": "S/k"},
                         {"A B": "s/k"},
                         {"RANK": "s/k"}, ["s/k"], {"A": "s/k/l"}, {"A": 1}],
    "pvcs": [{"Home": "/home"}, {"home": "home"}, {"home": "/"}, {"home": "/a/../b"}, ["/home"],
             {"home": "/home:rw"}, {"home": 1}, {"home": "/var/run/secrets/kubernetes.io/x"}],
    "volumes": [{"name": "v"}, "v", ["v"], None, [{"name": "v"}], [{"name": "V", **CLAIM}],
                [{"name": "v", "hostPath": {"path": "/"}}], [{"name": "v", "nfs": {}}],
                [{"name": "v", "emptyDir": {}, **CLAIM}], [{"name": "shm", "emptyDir": {}}],
                [{"name": "v", **CLAIM}, {"name": "v", **CLAIM}], [CLAIM]],
    "volume_mounts": [[None], {}, [{"mountPath": "/v"}], [{"name": "v"}], [MOUNT],
                      [{"name": "v", "mountPath": "v"}], [{"name": "v", "mountPath": "/../v"}]],
    "service_account": [None, True, 1, "Admin", "a/b"],
    "start_timeout": [0, -1, True, "600", None, float("nan"), float("inf"), "0s", "31d", "1e99h"],
    "idle_timeout": [-1, True, "600", None, float("nan"), float("inf"), "-1s", "31d", "soon"],
    "lost_timeout": [-1, "600", None, 1e99],
    "lost_busy_timeout": [-1, "600", None],
    "lifetime": [-1, "600", None],
    "overlay": OVERLAYS,
}  # fmt: skip
RIGHT = {
    "cpu": [(2, "2"), (0.5, "0.5"), ("500m", "500m"), ("1.5", "1.5")],
    "memory": [(4 * 2**30, "4294967296"), ("4Gi", "4Gi"), ("2.5G", "2.5G")],
    "shm_size": [("", ""), ("1Gi", "1Gi"), ("2Gi", "2Gi")],
    "gpus": [(0, 0), (8, 8)],
    "gpu_resource": [("nvidia.com/mig-1g.5gb", "nvidia.com/mig-1g.5gb")],
    "image": [(i, i) for i in (
        "python", "python:3", "localhost:5000/a/b_c:X_1", "registry.example/a/lab",
        "lab@sha256:" + "0" * 64,
    )],
    "run_as_user": [(1, 1)],
    "start_timeout": [(1, 1.0), (0.5, 0.5), ("20m", 1200.0), ("1.5h", 5400.0)],
    "idle_timeout": [(0, 0.0), ("30m", 1800.0), ("0s", 0.0), ("2d", 172800.0)],
    "env": [({}, {}), ({"A": ""}, {"A": ""}), ({"LD_PRELOAD": "x.so"}, {"LD_PRELOAD": "x.so"})],
    "volumes": [([{"name": "v", "emptyDir": {}}], ({"name": "v", "emptyDir": {}},)), ((), ())],
    "tolerations": [([{"operator": "Exists"}], ({"operator": "Exists"},))],
    "node_selector": [({"example.com/pool": ""}, {"example.com/pool": ""})],
    "options": [
        ({"gpus": {"min": 0}, "cpu": {"max": 8}}, {"gpus": {"min": 0}, "cpu": {"max": "8"}}),
        ({"image": ["a:1", "b"]}, {"image": ("a:1", "b")}),
    ],
    "display_name": [("", "")],
    "image_pull_policy": [("Always", "Always")],
    "overlay": [
        (o, o)
        for o in (
            {"spec": {"runtimeClassName": "nvidia"}},
            {"metadata": {"labels": {"team": "a"}}},
            {"spec": {"containers": [{"name": "kernel", "resources": {"limits": {"cpu": "4"}}}]}},
        )
    ],
}  # fmt: skip


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, vs in WRONG.items() for v in vs])
def test_a_wrong_value_is_refused_by_profile_and_key(key, value):
    with pytest.raises(InvalidInput) as caught:
        Profile.parse("p", {key: value})
    text = str(caught.value)
    assert text.startswith((f'profile "p": {key} ', f'profile "p": {key}: ')), text
    assert text.isprintable(), text
    assert len(text) < 330


@pytest.mark.parametrize(
    ("key", "value", "kept"), [(k, v, kept) for k, vs in RIGHT.items() for v, kept in vs]
)
def test_a_natural_value_is_kept(key, value, kept):
    got = getattr(Profile.parse("p", {key: value}), key)
    assert got == kept
    assert type(got) is type(kept)


def test_every_key_is_explained_and_its_default_and_its_example_keep_its_rule():
    keys = list(profile_keys())
    assert {key.name for key in keys} == {f.name for f in fields(Profile)} - {"name"} == set(WRONG)
    assert Profile.parse("p", Profile("p").to_json()) == Profile("p")
    for key in keys:
        assert key.meaning.endswith(".")
        key.rule.check(key.name, key.default)
        assert key.rule.check(key.name, key.example) != key.default


def test_a_profile_survives_json():
    values = {"cpu": 0.5, "env": {"A": "1"}, "tolerations": [{"key": "gpu"}], "start_timeout": 5}
    profile = Profile.parse("p", values)
    assert Profile.parse("p", json.loads(json.dumps(profile.to_json()))) == profile


def test_a_long_value_is_clipped():
    with pytest.raises(InvalidInput) as caught:
        Profile.parse("p", {"env": ["x" * 10_000]})
    assert len(str(caught.value)) < 250


def test_memory_in_bytes_is_meant_only_if_it_is_much():
    assert check_quantity(str(2**20), "memory") == "1048576"
    with pytest.raises(InvalidInput, match="did you mean 4Gi"):
        check_quantity("4", "memory")


@pytest.mark.parametrize("text", ["c.KubeConfig.profiles = {'a': 5}", "c.KubeConfig.context = 1"])
def test_a_setting_of_the_wrong_type_is_refused_in_words(text, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")
    (tmp_path / "jupyter_kube_config.py").write_text(text)
    with pytest.raises(InvalidInput, match="the settings cannot be used"):
        load()


def test_the_settings_refuse_what_the_profile_refuses():
    with pytest.raises(InvalidInput, match='profile "gpu": env must be'):
        KubeConfig(profiles={"gpu": {"env": {"N": 4}}}).parsed_profiles()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"memroy": "1Gi"}, 'profile "p" has an unknown key "memroy"; did you mean memory?'),
        ({"env": {"A": "1"}, "env_from_secrets": {"A": "s/k"}}, "A is in env and in env_from"),
        ({"shm_size": "3Gi"}, "shm_size 3Gi is above memory 2Gi: what is in /dev/shm counts"),
        (
            {"shm_size": "1Gi", "pvcs": {"a": "/dev/shm"}},
            "two volumes are mounted at /dev/shm",
        ),
        ({"pvcs": {"a": "/data", "b": "/data/:ro"}}, "two volumes are mounted at /data"),
        ({"options": {"gpus": {"min": 1}}}, "options: its own gpus 0 is below"),
        (
            {"overlay": {"spec": {"containers": [
                {"name": "kernel", "resources": {"requests": {"memory": "8Gi"}}}]}}},
            "memory request 8Gi is above its limit 2Gi",
        ),
        (
            {"overlay": {"spec": {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}}},
            'Pod Security "restricted" does not permit it: restricted volume types (volume "x"',
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(values, words):
    with pytest.raises(InvalidInput) as caught:
        Profile.parse("p", values)
    assert words in str(caught.value)


OFFER = {
    "gpus": 1,
    "shm_size": "1Gi",
    "image": "a:1",
    "options": {
        "gpus": {"min": 0, "max": 4},
        "memory": {"max": "32Gi"},
        "image": ["b:1", "registry.example/c:1"],
    },
}


def test_a_user_varies_what_is_offered():
    profile = Profile.parse("p", OFFER)
    varied = profile.vary({"gpus": 4, "memory": "32Gi", "image": "b:1"})
    assert (varied.gpus, varied.memory, varied.image, varied.cpu) == (4, "32Gi", "b:1", "1")
    assert profile.vary({"image": "a:1"}) == profile.vary({}) == profile


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"gpus": 5}, 'profile "p": gpus 5 is above what is allowed: from 0 to 4'),
        ({"gpus": -1}, "gpus must be a whole number (got -1)"),
        ({"gpus": 0.5}, "GPUs are whole devices (got 0.5). For a share of one ask"),
        ({"gpus": "0.5"}, "GPUs are whole devices"),
        ({"gpus": "2"}, "gpus must be a whole number (got '2')"),
        ({"gpus": None}, "gpus must be a whole number (got None)"),
        ({"gpus": True}, "gpus must be a whole number (got True)"),
        ({"memory": "33Gi"}, "memory 33Gi is above what is allowed: at most 32Gi"),
        ({"memory": "4GB"}, 'memory "4GB" is not a Kubernetes quantity; did you mean "4Gi"?'),
        ({"memory": "4m"}, "did you mean 4Mi?"),
        ({"memory": []}, "memory must be a quantity"),
        ({"memory": "512Mi"}, "shm_size 1Gi is above memory 512Mi"),
        ({"cpu": "2"}, '"cpu" cannot be chosen'),
        (
            {"gpu": 2},
            '"gpu" cannot be chosen; did you mean gpus?: you may choose gpus, memory, image',
        ),
        (
            {"image": "evil:1"},
            'image "evil:1" is not offered: there are a:1, b:1, registry.example/c:1',
        ),
        ({"image": "https://x"}, 'image "https://x" is not an image'),
        ({"image": ["b:1"]}, "image must be"),
        ({"volumes": []}, '"volumes" cannot be chosen'),
        ({"overlay": {"spec": {}}}, '"overlay" cannot be chosen'),
        ({"name": "x"}, '"name" cannot be chosen'),
        ({"\u202e\x1b[31m": 1}, "cannot be chosen"),
    ],
)
def test_what_is_not_offered_is_refused(choice, words):
    with pytest.raises(InvalidInput) as caught:
        Profile.parse("p", OFFER).vary(choice)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_profile_without_options_says_so():
    with pytest.raises(InvalidInput, match='"gpus" cannot be chosen: it leaves nothing to choose'):
        Profile("p").vary({"gpus": 1})
