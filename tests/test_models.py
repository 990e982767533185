"""Profiles: natural values are taken, all others refused with key, words and value."""

import json
from dataclasses import fields

import pytest

from jupyter_kube import models
from jupyter_kube.config import KubeConfig, load
from jupyter_kube.errors import InvalidInput
from jupyter_kube.models import Profile, check_quantity

WRONG = {
    "display_name": [None, 1],
    "image": ["", " ", None, ["a"]],
    "image_pull_policy": ["always", None, 1, ["Always"]],
    "python": ["", 3.11],
    "cpu": ["0", 0, 0.0, "0m", -1, True, None, ["1"], "", float("nan"), float("inf"), "1 ", "two"],
    "memory": ["0", "0Gi", 0, False, None, {}, "4GB", "4", 4, "4m", "-1Gi"],
    "gpus": [-1, 0.5, "1", True, None],
    "gpu_resource": ["", None],
    "env": [{"A": 1}, {"A": True}, {"A": None}, {1: "a"}, ["A=1"], "A=1", None],
    "volumes": [{"name": "v"}, "v", ["v"], None],
    "volume_mounts": [[None], {}],
    "service_account": [None, True, 1],
    "node_selector": [{"gpu": True}, [], "a=b"],
    "tolerations": [{"key": "a"}, ["a"]],
    "run_as_user": [0, -1, True, "1000", 1000.0, None],
    "start_timeout": [0, -1, True, "600", None, float("nan"), float("inf")],
}
RIGHT = {
    "cpu": [(2, "2"), (0.5, "0.5"), ("500m", "500m"), ("1.5", "1.5")],
    "memory": [(4 * 2**30, "4294967296"), ("4Gi", "4Gi"), ("2.5G", "2.5G")],
    "gpus": [(0, 0), (8, 8)],
    "run_as_user": [(1, 1)],
    "start_timeout": [(1, 1), (0.5, 0.5)],
    "env": [({}, {}), ({"A": ""}, {"A": ""})],
    "volumes": [([{"name": "v"}], ({"name": "v"},)), ((), ())],
    "display_name": [("", "")],
    "image_pull_policy": [("Always", "Always")],
}


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, vs in WRONG.items() for v in vs])
def test_a_wrong_value_is_refused_by_profile_and_key(key, value):
    with pytest.raises(InvalidInput) as caught:
        Profile.parse("p", {key: value})
    assert str(caught.value).startswith(f'profile "p": {key} ')


@pytest.mark.parametrize(
    ("key", "value", "kept"), [(k, v, kept) for k, vs in RIGHT.items() for v, kept in vs]
)
def test_a_natural_value_is_kept(key, value, kept):
    got = getattr(Profile.parse("p", {key: value}), key)
    assert got == kept
    assert type(got) is type(kept)


def test_every_key_has_its_rule_and_every_default_keeps_it():
    assert set(models._ALLOWED) == {f.name for f in fields(Profile)} - {"name"} == set(WRONG)
    assert Profile.parse("p", Profile("p").to_json()) == Profile("p")


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
