"""What of the test cluster's harness can be tested without a cluster, and without root."""

from __future__ import annotations

import hashlib
import io
import json
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.cluster import ClusterFailed, build, network, state
from tests.cluster.archive import Layer, held, layer_of, write_archive
from tests.cluster.cluster import frameworks_volume
from tests.cluster.errors import ClusterInUse
from tests.cluster.fixture import external
from tests.cluster.layout import STATE
from tests.cluster.pki import Authority
from tests.cluster.process import Process, start, stop
from tests.cluster.state import State


def read_archive(content: bytes) -> dict[str, bytes]:
    files = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for entry in archive:
            file = archive.extractfile(entry)
            assert file is not None
            files[entry.name] = file.read()
    return files


def test_an_archive_holds_what_its_manifest_names() -> None:
    layer = layer_of({"hello": b"world"})
    stream = io.BytesIO()
    write_archive(stream, "localhost/x:1", [layer], {"Cmd": ["/hello"]})
    files = read_archive(stream.getvalue())
    index = json.loads(files["index.json"])["manifests"][0]
    assert index["annotations"]["io.containerd.image.name"] == "localhost/x:1"
    manifest = json.loads(files["blobs/" + index["digest"].replace(":", "/")])
    for blob in (index, manifest["config"], *manifest["layers"]):
        content = files["blobs/" + blob["digest"].replace(":", "/")]
        assert len(content) == blob["size"]
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == blob["digest"]
    config = json.loads(files["blobs/" + manifest["config"]["digest"].replace(":", "/")])
    assert config["rootfs"]["diff_ids"] == [layer.digest]
    assert config["config"] == {"Cmd": ["/hello"]}


def test_a_layer_without_content_is_only_named() -> None:
    layer = layer_of({"hello": b"world"})
    stream = io.BytesIO()
    write_archive(stream, "localhost/x:1", [Layer(layer.digest, layer.size)], {})
    assert "blobs/" + layer.digest.replace(":", "/") not in read_archive(stream.getvalue())


def test_equal_files_make_equal_layers() -> None:
    assert layer_of({"a": b"1", "b": b"2"}) == layer_of({"b": b"2", "a": b"1"})
    assert layer_of({"a": b"1"}).digest != layer_of({"a": b"2"}).digest
    assert held(b"") != held(b"x")


def test_the_cache_makes_each_thing_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "CACHE", tmp_path / "cache")
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "program").touch()

    first = build.cached("thing", "1", make)
    assert build.cached("thing", "1", make) == first
    assert (first / "program").exists()
    assert len(made) == 1
    assert build.cached("thing", "2", make) != first


def test_an_interrupted_build_is_no_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "CACHE", tmp_path)

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise ClusterFailed("no")

    def make(folder: Path) -> None:
        (folder / "whole").touch()

    with pytest.raises(ClusterFailed):
        build.cached("thing", "1", fail)
    assert [path.name for path in build.cached("thing", "1", make).iterdir()] == ["whole"]


def test_a_failed_command_tells_its_output() -> None:
    with pytest.raises(ClusterFailed, match="why it failed"):
        build.run(["sh", "-c", "echo why it failed; exit 1"])


def test_a_stopped_process_is_ended_too() -> None:
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        sleeper.send_signal(signal.SIGSTOP)
        process = Process.of(sleeper.pid)
        assert process is not None
        stop([process])
        assert sleeper.wait() == -signal.SIGTERM


def test_what_ignores_sigterm_is_killed() -> None:
    script = "import signal; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen(["python3", "-c", script], stdin=pipe, stdout=pipe) as stubborn:
        assert stubborn.stdout is not None
        assert stubborn.stdout.readline() == b"ready\n"
        process = Process.of(stubborn.pid)
        assert process is not None
        stop([process], grace=0.1)
        assert stubborn.wait() == -signal.SIGKILL


def test_a_reused_pid_is_left_alone() -> None:
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        try:
            stop([Process(sleeper.pid, started=1)])
            assert sleeper.poll() is None
        finally:
            sleeper.kill()


def test_a_started_program_outlives_no_stop(tmp_path: Path) -> None:
    process = start(["sleep", "600"], tmp_path / "log")
    assert process.alive
    stop([process])
    assert not process.alive


def test_the_state_is_read_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "FILE", tmp_path / "state.json")
    assert State.load() is None
    written = State(4, {"net/ipv4/ip_forward": "0"}, {"etcd": Process(1, 2)}, image="localhost/x:1")
    written.save()
    assert State.load() == written
    assert written.dead == ["etcd"]


def test_a_used_cluster_is_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "USERS", tmp_path / "users.lock")
    with state.used(), state.used(), pytest.raises(ClusterInUse), state.unused():
        pytest.fail("it was in use")
    with state.unused():
        pass


def test_only_notes_on_our_pods_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "CNI_RESULTS", tmp_path)
    (tmp_path / "cni-loopback-1-lo").write_text('{"sandbox":"/var/run/netns/cni-1"}')
    ours = tmp_path / "cni-loopback-2-lo"
    ours.write_text(f'{{"sandbox":"{STATE}/containerd/netns/cni-2"}}')
    assert network.results() == [ours]


def test_a_certificate_holds_its_addresses(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    identity = authority.issue("kubelet", "/O=system:nodes/CN=system:node:x", ["IP:10.0.0.1"])
    command: list[str | Path] = ["openssl", "verify", "-CAfile", authority.certificate]
    command += ["-verify_ip", "10.0.0.1", identity.certificate]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    kubeconfig = authority.kubeconfig(tmp_path / "kubeconfig", identity)
    assert kubeconfig.stat().st_mode & 0o777 == 0o600


def test_only_rules_of_kubernetes_are_removed() -> None:
    saved = [
        "*filter",
        ":INPUT ACCEPT [0:0]",
        ":KUBE-FIREWALL - [0:0]",
        ":OTHER - [0:0]",
        "-A INPUT -j KUBE-FIREWALL",
        "-A INPUT -j OTHER",
        "-A KUBE-FIREWALL -j DROP",
        "COMMIT",
    ]
    assert network.without_kubernetes(saved) == [
        "*filter",
        ":INPUT ACCEPT [0:0]",
        ":OTHER - [0:0]",
        "-A INPUT -j OTHER",
        "COMMIT",
    ]


def test_each_namespace_has_a_volume_of_its_own() -> None:
    volume, claim = frameworks_volume("mine")
    assert volume["spec"]["claimRef"] == {"namespace": "mine", "name": "frameworks"}
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"] == "frameworks-mine"


def test_a_foreign_cluster_needs_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUPYTER_KUBE_TEST_IMAGE", raising=False)
    with pytest.raises(ClusterFailed, match="JUPYTER_KUBE_TEST_IMAGE"):
        external(Path("kubeconfig"))
