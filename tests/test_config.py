"""Settings: where they come from, and how bad ones are refused."""

import json
import os

import pytest

from jupyter_kube import config
from jupyter_kube.errors import InvalidInput
from jupyter_kube.models import Profile


@pytest.fixture
def config_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")
    monkeypatch.delenv(config.SETTINGS_ENV, raising=False)
    return tmp_path


def test_without_settings_there_is_one_profile(config_dir):
    assert list(config.load().parsed_profiles()) == ["python"]


def test_settings_come_from_a_file(config_dir):
    (config_dir / "jupyter_kube_config.py").write_text("c.KubeConfig.namespace = 'team-a'")
    assert config.load().namespace == "team-a"


def test_the_caller_beats_the_file_and_the_file_beats_the_environment(config_dir, monkeypatch):
    inherited = {"namespace": "env", "profiles": {"gpu": {"gpus": 1}}, "default_profile": ""}
    monkeypatch.setenv(config.SETTINGS_ENV, json.dumps(inherited))
    assert config.load().namespace == "env"
    (config_dir / "jupyter_kube_config.json").write_text('{"KubeConfig": {"namespace": "file"}}')
    loaded = config.load()
    assert loaded.namespace == "file"
    assert loaded.profile().gpus == 1
    assert config.load(namespace="caller").namespace == "caller"


def test_a_broken_file_is_named(config_dir):
    (config_dir / "jupyter_kube_config.py").write_text("c.KubeConfig.namespace = ")
    with pytest.raises(InvalidInput, match=r"jupyter_kube_config\.py in .* cannot be read"):
        config.load()


def test_settings_survive_the_way_into_a_pod(config_dir, monkeypatch):
    first = config.KubeConfig(
        namespace="n", profiles={"gpu": {"gpus": 2, "volumes": [{"name": "v", "emptyDir": {}}]}}
    )
    monkeypatch.setenv(config.SETTINGS_ENV, first.settings())
    assert config.load().parsed_profiles() == first.parsed_profiles()


def test_a_profile_that_is_not_to_be_had_from_a_folder_is_no_matter_of_the_others():
    profiles = {"python": {}, "home": {"working_dir": "/home/{folder}"}}
    made = config.KubeConfig(profiles=profiles)
    assert set(json.loads(made.settings(user="ann", folder="a"))["profiles"]) == {"python", "home"}
    assert set(json.loads(made.settings(user="ann", folder="a:b"))["profiles"]) == {"python"}


def test_an_unknown_profile_lists_those_there_are():
    settings = config.KubeConfig(profiles={"small": {}, "large": {}}, default_profile="large")
    assert settings.profile().name == "large"
    with pytest.raises(InvalidInput, match='no profile "huge": there are: small, large'):
        settings.profile("huge")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"memory": "4GB"}, 'memory "4GB" is not a Kubernetes quantity; did you mean "4Gi"'),
        ({"memory": "4 gb"}, 'did you mean "4Gi"'),
        ({"memory": "-1Gi"}, "not a Kubernetes quantity"),
        ({"memory": "4m"}, "did you mean 4Mi"),
        ({"cpu": "two"}, 'cpu "two"'),
        ({"gpus": 0.5}, "gpus must be a whole number"),
        ({"gpus": -1}, "gpus must be a whole number"),
        ({"colour": "red"}, 'unknown key "colour"'),
    ],
)
def test_a_bad_profile_is_refused_in_words(values, text):
    with pytest.raises(InvalidInput) as caught:
        Profile.parse("p", values)
    assert text in str(caught.value)


@pytest.mark.parametrize("name", ["", "Big", "a_b", "-a", "a-", "x" * 41, "é"])
def test_a_bad_profile_name_is_refused(name):
    with pytest.raises(InvalidInput, match="profile name"):
        Profile.parse(name, {})


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("no username set")])
def test_a_user_without_a_name_is_known_by_number(error, monkeypatch):
    def getuser():
        raise error

    monkeypatch.setattr(config.getpass, "getuser", getuser)
    assert config.user_name({}) == f"uid-{os.getuid()}"
    assert config.user_name({"JUPYTERHUB_USER": "ann"}) == "ann"
