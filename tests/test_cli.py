"""The command line: what it refuses and says; its work on a cluster is on a scripted one."""

from __future__ import annotations

import json
import socket
import stat
import sys

import pytest

from jupyter_kube import cli, needs

REAL = {
    "contexts": [{"name": "local"}],
    "clusters": [{"name": "local", "cluster": {"server": "https://10.0.0.1:6443"}}],
}


@pytest.fixture
def stopped(monkeypatch):
    """End ``jupyter kube local`` as soon as it runs; calls what a test puts in first."""
    first = []

    async def at_once():
        for act in first:
            act()

    monkeypatch.setattr(cli, "_until_signal", at_once)
    return first


def said(capsys):
    text = capsys.readouterr().err
    assert text.count("\n") == 1, text
    return text


def test_local_writes_a_private_kubeconfig_and_takes_it_away(tmp_path, stopped):
    path, seen = tmp_path / "kubeconfig", []
    stopped.append(lambda: seen.append((json.loads(path.read_text()), path.stat().st_mode)))
    assert cli.main(["local", "--kubeconfig", str(path)]) == 0
    content, mode = seen[0]
    assert content["current-context"] == "local"
    assert stat.S_IMODE(mode) == 0o600
    assert not path.exists()


@pytest.mark.parametrize("content", ["precious", json.dumps(REAL), "[]", ""])
def test_local_refuses_a_file_that_it_did_not_write(tmp_path, stopped, capsys, content):
    path = tmp_path / "config"
    path.write_text(content)
    assert cli.main(["local", "--kubeconfig", str(path)]) == 1
    assert "is not overwritten: it exists, and no local cluster wrote it. Name" in said(capsys)
    assert path.read_text() == content


def test_local_takes_over_what_a_killed_one_left(tmp_path, stopped):
    path, seen = tmp_path / "kubeconfig", []
    stopped.append(lambda: seen.append(path.read_text()))
    assert cli.main(["local", "--kubeconfig", str(path)]) == 0
    path.write_text(seen[0])
    assert cli.main(["local", "--kubeconfig", str(path)]) == 0
    assert len(set(seen)) == 2


def test_local_leaves_what_somebody_else_wrote_meanwhile(tmp_path, stopped):
    path = tmp_path / "kubeconfig"
    stopped.append(lambda: path.write_text("another's"))
    assert cli.main(["local", "--kubeconfig", str(path)]) == 0
    assert path.read_text() == "another's"


def test_a_busy_port_is_one_sentence(tmp_path, stopped, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        path = tmp_path / "kubeconfig"
        assert cli.main(["local", "--kubeconfig", str(path), "--port", port]) == 1
    text = said(capsys)
    assert "Address already in use" in text
    assert "Choose another --port" in text
    assert not path.exists()


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path, stopped, capsys):
    assert cli.main(["local", "--kubeconfig", str(tmp_path / "no" / "file")]) == 1
    assert "No such file" in said(capsys)


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_out_of_range_is_refused(port, capsys):
    with pytest.raises(SystemExit):
        cli.main(["local", "--port", port])
    assert "port" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["local", "demo"])
def test_elsewhere_than_on_linux_there_is_no_local_cluster(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setitem(sys.modules, "jupyter_kube.localcluster", None)  # importing it fails
    assert cli.main([command]) == 1
    assert "the local cluster runs on Linux only" in said(capsys)


def test_the_local_cluster_says_which_extra_it_lacks(monkeypatch, capsys):
    monkeypatch.setattr(needs, "find_spec", lambda name: None if name == "yaml" else object())
    assert cli.main(["local"]) == 1
    assert 'pip install "jupyter-kube[local]"' in said(capsys)
