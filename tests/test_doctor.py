"""What the doctor finds, and that it shows no credential."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from jupyter_kube import config, doctor, needs
from jupyter_kube.errors import AccessDenied
from jupyter_kube.localcluster import LocalCluster

TOKEN = "hidden-token"


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory):
    path = tmp_path_factory.mktemp("doctor") / "kubeconfig"
    with LocalCluster(token=TOKEN, gpus=2).run_in_thread() as cluster:
        cluster.write_kubeconfig(path)
        yield path


@pytest.fixture(autouse=True)
def no_settings(tmp_path, monkeypatch):
    """Neither settings nor credentials but those that a test names."""
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv(config.SETTINGS_ENV, raising=False)


def look(settings, *, demanded=False):
    return asyncio.run(doctor._cluster(settings, demanded=demanded))


def texts(findings, level):
    return [finding.what for finding in findings if finding.level == level]


def test_a_cluster_is_shown_without_its_token(kubeconfig):
    found = look(config.KubeConfig(kubeconfig=str(kubeconfig)))
    assert found[0].level == "ok"
    assert "at http://127.0.0.1:" in found[0].what
    assert TOKEN not in str(found)
    assert "All rights that kernels and jobs need" in texts(found, "ok")


def test_a_cluster_that_does_not_answer_is_a_failure_without_its_token(kubeconfig, tmp_path):
    dead = json.loads(kubeconfig.read_text())
    dead["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:1/as/{TOKEN}"
    (tmp_path / "dead").write_text(json.dumps(dead))
    settings = config.KubeConfig(kubeconfig=str(tmp_path / "dead"), request_timeout=0.05)
    (finding,) = look(settings)
    assert finding.level == "failed"
    assert "http://127.0.0.1:1" in finding.what
    assert TOKEN not in str(finding)


def test_missing_rights_are_listed(kubeconfig, monkeypatch):
    from jupyter_kube.kube import objects

    async def allowed(_client, verb, _kind, **_options):
        return verb != "delete"

    monkeypatch.setattr(objects, "allowed", allowed)
    found = look(config.KubeConfig(kubeconfig=str(kubeconfig)))
    (text,) = texts(found, "failed")
    assert "delete pods" in text
    assert "create" not in text


def test_gpus_are_counted(kubeconfig):
    profiles = {"two": {"gpus": 2}, "three": {"gpus": 3}, "none": {}}
    found = look(config.KubeConfig(kubeconfig=str(kubeconfig), profiles=profiles))
    assert "Profile two asks for 2 nvidia.com/gpu; the cluster has 2" in texts(found, "ok")
    assert "Profile three asks for 3 nvidia.com/gpu; the cluster has 2" in texts(found, "warning")


def test_a_selector_that_no_node_matches_is_a_warning(kubeconfig):
    profiles = {"h200": {"node_selector": {"gpu": "h200", "zone": "a"}}, "any": {}}
    found = look(config.KubeConfig(kubeconfig=str(kubeconfig), profiles=profiles))
    said = [text for text in texts(found, "warning") if "no node" in text]
    assert said == ["Profile h200: no node has label gpu=h200, zone=a"]


def test_gpus_of_nodes_that_may_not_be_seen_are_a_warning(kubeconfig, monkeypatch):
    from jupyter_kube.kube import objects

    async def refused(*_args, **_options):
        raise AccessDenied("no")

    monkeypatch.setattr(objects, "list_", refused)
    found = look(config.KubeConfig(kubeconfig=str(kubeconfig), profiles={"gpu": {"gpus": 1}}))
    assert any("Nodes may not be listed" in text for text in texts(found, "warning"))


@pytest.mark.parametrize(
    ("platform", "missing", "level", "hint"),
    [
        ("linux", (), "warning", "`jupyter kube demo` uses the local cluster"),
        ("linux", ("yaml",), "failed", 'pip install -e ".[local]"'),
        ("darwin", (), "failed", "Linux only"),
    ],
)
def test_without_a_cluster_the_local_one_may_do(monkeypatch, platform, missing, level, hint):
    real = needs.find_spec
    monkeypatch.setattr(needs, "find_spec", lambda name: None if name in missing else real(name))
    monkeypatch.setattr(sys, "platform", platform)
    (finding,) = look(config.KubeConfig())
    assert finding.level == level
    assert hint in f"{finding.what} {finding.next}"


def test_a_context_that_was_named_must_be_there():
    (finding,) = look(config.KubeConfig(context="gone"), demanded=True)
    assert finding.level == "failed"


def test_the_exit_code_says_whether_the_main_job_can_run(monkeypatch, capsys):
    found = [doctor.Finding("warning", "a", "b")]
    monkeypatch.setattr(doctor, "examine", lambda **_options: found)
    assert doctor.run() == 0
    assert capsys.readouterr().out == "! a\n  → b\n"
    found.append(doctor.Finding("failed", "c"))
    assert doctor.run(as_json=True) == 1
    assert json.loads(capsys.readouterr().out)[1] == {"level": "failed", "what": "c", "next": ""}


def test_settings_that_cannot_be_used_are_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_jupyter_classes", lambda: iter(()))
    (tmp_path / "jupyter_kube_config.py").write_text("c.KubeConfig.profiles = {'a': {'gpus': -1}}")
    found = [each for each in doctor.examine() if each.level == "failed"]
    assert "gpus" in found[0].what
    assert found[1].what == "Profiles: none"
