"""The cluster as a whole: start, stop, credentials, threads."""

from __future__ import annotations

import json
import socket
import stat
import tempfile
import urllib.request
from pathlib import Path

import pytest

from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.localcluster.store import NODE, POD, SERVICEACCOUNT


def test_a_cluster_in_a_thread_answers_and_ends(tmp_path: Path) -> None:
    with LocalCluster(gpus=2, cpu="3").run_in_thread() as cluster:
        (node,) = cluster.call(cluster.store.list, NODE)
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "2"
        assert node["status"]["capacity"]["cpu"] == "3"
        with urllib.request.urlopen(f"{cluster.url}/healthz") as answer:
            assert answer.read() == b"ok"
        url = cluster.url
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{url}/healthz")
    with pytest.raises(RuntimeError, match="not running"):
        cluster.call(cluster.store.list, NODE)


def test_the_kubeconfig_is_for_its_owners_eyes(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    with LocalCluster(token="secret").run_in_thread() as cluster:
        cluster.write_kubeconfig(path)
        path.chmod(0o644)
        cluster.write_kubeconfig(path)
        url = cluster.url
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = json.loads(path.read_text())
    assert content["current-context"] == "local"
    assert content["clusters"][0]["cluster"]["server"] == f"{url}/as/secret"
    assert content["users"][0]["user"] == {"token": "secret"}
    assert content["contexts"][0]["context"]["namespace"] == "default"


def test_a_file_of_somebody_else_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("precious")
    with LocalCluster().run_in_thread() as cluster:
        with pytest.raises(FileExistsError):
            cluster.write_kubeconfig(path)
        cluster.remove_kubeconfig(path)
    assert path.read_text() == "precious"


def test_a_port_that_is_taken_is_an_error_here() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(OSError, match="in use"),
            LocalCluster(port=port).run_in_thread(),
        ):
            pytest.fail("it started")


def test_nothing_is_left_when_it_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    container = {"name": "main", "image": "python:3", "command": ["sleep", "600"]}
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [container]}}
    with LocalCluster().run_in_thread() as cluster:
        cluster.call(cluster.store.create, POD, pod)
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []


def test_what_happens_in_the_body_is_raised_and_the_cluster_ends() -> None:
    cluster = LocalCluster()
    with pytest.raises(KeyError), cluster.run_in_thread():
        raise KeyError("x")
    with pytest.raises(RuntimeError):
        cluster.call(print)


def test_each_namespace_has_a_default_service_account() -> None:
    with LocalCluster().run_in_thread() as cluster:
        accounts = cluster.call(cluster.store.list, SERVICEACCOUNT)
    assert {each["metadata"]["namespace"] for each in accounts} == {"default", "kube-system"}
