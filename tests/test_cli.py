"""The command line: what it refuses and says; its work on a cluster is on a scripted one."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import sys
from datetime import UTC, datetime, timedelta

import pytest

from jupyter_kube import cli, naming, needs
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.train.origin import USER_ENV
from tests.train import fakecluster

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
    assert 'pip install -e ".[local]"' in said(capsys)


class Cluster(fakecluster.FakeCluster):
    """A cluster in memory, with a clock."""

    def now(self):
        return datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


@pytest.fixture
def cluster(monkeypatch):
    """What the commands connect to; ann asks."""
    made = Cluster()

    async def connect(_settings):
        return made

    monkeypatch.setattr(KubeClient, "connect", connect)
    monkeypatch.setenv(USER_ENV, "ann")
    return made


def put(cluster, plural, *bodies):
    for body in bodies:
        asyncio.run(cluster.put(plural, body))


def kernel(name, user="ann", phase="Running", **status):
    labels = naming.labels("kernel", user=user, kernel_id=name, profile="small")
    about = {"name": name, "labels": labels, "annotations": {naming.USER: user}}
    running = {"name": "kernel", "state": {"running": {}}}
    return {
        "metadata": about,
        "spec": {"nodeName": "n", "containers": [{"name": "kernel"}]},
        "status": {"phase": phase, "containerStatuses": [running], **status},
    }


def refused(name, message):
    about = {"involvedObject": {"name": name}, "reason": "FailedCreate", "message": message}
    return {"metadata": {"name": f"event-{name}"}, **about}


def left(cluster):
    return sorted(name for plural in ("jobs", "pods") for name in cluster.objects[plural])


def test_ls_shows_kernels_and_jobs_with_their_workers(cluster, capsys):
    put(cluster, "pods", kernel("kernel-1"), fakecluster.pod(0), fakecluster.pod(1, message="full"))
    put(cluster, "jobs", fakecluster.job())
    assert cli.main(["ls"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["KIND", "NAME", "STATE", "PROFILE", "USER"],
        ["kernel", "kernel-1", "running", "small", "ann"],
        ["job", "digits-ab12", "waiting"],
        ["worker", "digits-ab12-0-x", "running"],
        ["worker", "digits-ab12-1-x", "waiting:", "full"],
    ]


def test_ls_shows_a_job_none_of_whose_pods_could_be_made(cluster, capsys):
    put(cluster, "jobs", fakecluster.job())
    why = 'Error creating: pods "digits-ab12-0-y" is forbidden: exceeded quota: small,\nused: 2'
    put(cluster, "events", refused("digits-ab12", why))
    assert cli.main(["ls"]) == 0
    assert "waiting: exceeded quota: small, used: 2\n" in capsys.readouterr().out


def test_ls_shows_workers_whose_job_is_gone(cluster, capsys):
    put(cluster, "pods", fakecluster.pod(0))
    assert cli.main(["ls"]) == 0
    assert "worker  digits-ab12-0-x  ending" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["kernel-1", "digits-ab12"])
def test_kill_takes_a_kernels_pod_or_a_jobs_name(name, cluster, capsys):
    put(cluster, "pods", kernel("kernel-1"))
    put(cluster, "jobs", fakecluster.job())
    assert cli.main(["kill", name]) == 0
    assert capsys.readouterr().out == f"Stopped {name}.\n"
    assert left(cluster) == sorted({"kernel-1", "digits-ab12"} - {name})


def test_kill_ends_somebody_elses_kernel_only_if_told_so(cluster, capsys):
    put(cluster, "pods", kernel("kernel-1", user="bob"))
    assert cli.main(["kill", "kernel-1"]) == 1
    assert "kernel-1 is bob's" in said(capsys)
    assert left(cluster) == ["kernel-1"]
    assert cli.main(["kill", "--all", "kernel-1"]) == 0
    assert left(cluster) == []


def test_kill_says_which_job_a_worker_belongs_to(cluster, capsys):
    put(cluster, "pods", fakecluster.pod(0))
    assert cli.main(["kill", "digits-ab12-0-x"]) == 1
    text = said(capsys)
    assert "is a part of the job digits-ab12" in text
    assert "`jupyter kube kill digits-ab12`" in text
    assert left(cluster) == ["digits-ab12-0-x"]


@pytest.mark.parametrize("name", ["none", "theirs", ""])
def test_kill_touches_nothing_that_is_not_ours(name, cluster, capsys):
    put(cluster, "pods", {"metadata": {"name": "theirs"}})
    assert cli.main(["kill", name]) == 1
    assert f'there is no kernel or job "{name}"' in said(capsys)
    assert left(cluster) == ["theirs"]


def finished(name, user="ann", keep=86400):
    job = fakecluster.job(name, user=user, **fakecluster.ended("Complete"))
    job["spec"]["ttlSecondsAfterFinished"] = keep
    return job


@pytest.fixture
def ended(cluster):
    """Finished and running jobs and kernels of two users."""
    put(cluster, "jobs", finished("done"), finished("bobs", "bob"), fakecluster.job("busy"))
    put(cluster, "pods", kernel("dead", phase="Failed"), kernel("alive"))
    put(cluster, "pods", kernel("bobs-dead", "bob", "Succeeded"))
    return cluster


def test_gc_removes_what_ended_and_is_mine(ended):
    assert cli.main(["gc"]) == 0
    assert left(ended) == ["alive", "bobs", "bobs-dead", "busy"]


def test_gc_of_all_removes_what_ended(ended):
    assert cli.main(["gc", "--all"]) == 0
    assert left(ended) == ["alive", "busy"]


def test_gc_may_only_say_what_it_would_do(ended, capsys):
    assert cli.main(["gc", "--dry-run"]) == 0
    assert capsys.readouterr().out == "Would remove done\nWould remove dead\n"
    assert len(left(ended)) == 6


def test_gc_keeps_what_its_user_wants_kept_and_says_so(cluster, capsys):
    put(cluster, "jobs", finished("kept", keep=7 * 86400), finished("kept-long-enough", keep=10))
    assert cli.main(["gc"]) == 0
    assert left(cluster) == ["kept"]
    until = datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC) + timedelta(days=7)
    shown = until.astimezone().strftime("%Y-%m-%d %H:%M")
    assert f"Keeping kept until {shown}, because of its --keep\n" in capsys.readouterr().out


def test_gc_with_nothing_to_do_says_so(cluster, capsys):
    assert cli.main(["gc"]) == 0
    assert capsys.readouterr().out == "Nothing of ann's has ended.\n"
