"""The test cluster is a Kubernetes that tests can build on, and it leaves no trace."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import Cluster, ClusterFailed, components, down, leftovers, status, up
from tests.cluster.build import module
from tests.cluster.cluster import kubectl_program
from tests.cluster.layout import BRIDGE, KUBECONFIG
from tests.cluster.process import Process, stop

pytestmark = [pytest.mark.cluster, pytest.mark.alone, pytest.mark.timeout(300)]

RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONFINED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.fixture(scope="module")
def namespace(real_cluster: Cluster) -> Iterator[str]:
    with real_cluster.namespace("harness") as name:
        yield name


def pod_spec(image: str, script: str, **container: Any) -> dict[str, Any]:
    own = {"name": "main", "image": image, "command": ["python", "-uc", script]}
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "securityContext": RESTRICTED,
        "containers": [own | {"securityContext": CONFINED} | container],
    }


def make_pod(cluster: Cluster, namespace: str, name: str, spec: dict[str, Any]) -> None:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def await_phase(cluster: Cluster, namespace: str, name: str, phase: str) -> None:
    condition = f"--for=jsonpath={{.status.phase}}={phase}"
    cluster.kubectl("wait", "-n", namespace, f"pod/{name}", condition, "--timeout=90s")


def output(cluster: Cluster, namespace: str, name: str, spec: dict[str, Any]) -> str:
    """Run a pod to its end; return what it printed."""
    make_pod(cluster, namespace, name, spec)
    await_phase(cluster, namespace, name, "Succeeded")
    return cluster.kubectl("logs", "-n", namespace, name)


@pytest.fixture
def free_machine() -> None:
    """Skip where a cluster must not be started and ended: someone's tests may be on it."""
    if os.environ.get("JUPYTER_KUBE_TEST_KUBECONFIG") or status()["running"]:
        pytest.skip("this machine's own cluster is in use, or not wanted")


@pytest.mark.usefixtures("free_machine")
def test_it_comes_and_goes_without_a_trace() -> None:
    first = up()
    make_pod(first, "default", "stays", pod_spec(first.image, "import time; time.sleep(600)"))
    await_phase(first, "default", "stays", "Running")
    assert leftovers()
    down()
    assert leftovers() == []
    second = up()
    assert "stays" not in second.kubectl("get", "pods", "-o", "name")
    down()
    assert leftovers() == []


@pytest.mark.usefixtures("free_machine")
def test_a_component_that_cannot_run_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [*components.scheduler(module("kubernetes") / "kube-scheduler", KUBECONFIG), "--no"]
    monkeypatch.setattr(components, "scheduler", lambda *_: command)
    with pytest.raises(ClusterFailed, match=r"(?s)scheduler has ended.*unknown flag: --no"):
        up()
    assert leftovers() == []


@pytest.mark.usefixtures("free_machine")
def test_a_broken_cluster_is_replaced() -> None:
    first = up()
    process = Process.of(first.processes["apiserver"])
    assert process is not None
    stop([process], grace=0)
    assert not status()["running"]
    try:
        second = up()
        assert second.processes["etcd"] != first.processes["etcd"]
        assert "node/node" in second.kubectl("get", "nodes", "-o", "name")
    finally:
        down()


def test_up_joins_the_running_cluster(real_cluster: Cluster) -> None:
    if not real_cluster.processes:
        pytest.skip("not this machine's own cluster")
    assert up().processes == real_cluster.processes
    assert status()["running"]


def test_pods_have_no_way_out(real_cluster: Cluster) -> None:
    if not real_cluster.processes:
        pytest.skip("not this machine's own cluster")
    # Asks the kernel for its decision only: nothing is sent.
    question = ["ip", "route", "get", "203.0.113.1", "from", "10.217.0.99", "iif", BRIDGE]
    answer = subprocess.run(question, check=False, capture_output=True, text=True)
    assert "Permission denied" in answer.stderr


def test_a_pod_runs_python_with_the_project(real_cluster: Cluster, namespace: str) -> None:
    script = "import jupyter_kube, ipykernel, numpy, os; print('uid', os.getuid())"
    assert output(real_cluster, namespace, "hello", pod_spec(real_cluster.image, script)) == (
        "uid 1000\n"
    )


def test_exec_and_port_forward_reach_a_pod(real_cluster: Cluster, namespace: str) -> None:
    script = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8000, bind=None)"
    spec = pod_spec(real_cluster.image, script, workingDir="/usr/share/python3")
    spec["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8000}, "periodSeconds": 1}
    make_pod(real_cluster, namespace, "web", spec)
    wait = ["--for=condition=Ready", "--timeout=60s"]
    real_cluster.kubectl("wait", "-n", namespace, "pod/web", *wait)

    said = real_cluster.kubectl("exec", "-n", namespace, "web", "--", "python", "-c", "print(6*7)")
    assert said == "42\n"

    where = ["--kubeconfig", str(real_cluster.kubeconfig), "--context", real_cluster.context]
    command = [kubectl_program(), *where, "port-forward", "-n", namespace, "pod/web", ":8000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout is not None
            match = re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())
            assert match
            with urllib.request.urlopen(f"http://127.0.0.1:{match[1]}/", timeout=10) as response:
                assert b"debpython" in response.read()
        finally:
            forward.send_signal(signal.SIGTERM)


def test_a_service_is_found_by_its_name(real_cluster: Cluster, namespace: str) -> None:
    serve = (
        "import socket; s = socket.create_server(('', 9000));\n"
        "while True: s.accept()[0].sendall(b'from the other pod')"
    )
    spec = pod_spec(real_cluster.image, serve, ports=[{"containerPort": 9000}])
    spec["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 9000}, "periodSeconds": 1}
    make_pod(real_cluster, namespace, "server", spec)
    for name, extra in (("direct", {"clusterIP": "None"}), ("virtual", {})):
        service = {"selector": {"app": "server"}, "ports": [{"port": 9000}], **extra}
        metadata = {"name": name, "namespace": namespace}
        real_cluster.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service}
        )
    wait = ["--for=condition=Ready", "--timeout=60s"]
    real_cluster.kubectl("wait", "-n", namespace, "pod/server", *wait)
    # A name may take a moment to be known, a virtual address to be routed.
    ask = (
        "import socket, sys, time\n"
        "def ask(name):\n"
        "    for _ in range(100):\n"
        "        try:\n"
        "            with socket.create_connection((name, 9000), 1) as s: return s.recv(99)\n"
        "        except OSError: time.sleep(0.1)\n"
        "print(ask('direct'), ask('virtual'))"
    )
    said = output(real_cluster, namespace, "client", pod_spec(real_cluster.image, ask))
    assert said == "b'from the other pod' b'from the other pod'\n"


def test_an_indexed_job_completes(real_cluster: Cluster, namespace: str) -> None:
    script = "import os; print('index', os.environ['JOB_COMPLETION_INDEX'])"
    template = {"spec": pod_spec(real_cluster.image, script)}
    spec = {"completionMode": "Indexed", "completions": 3, "parallelism": 3, "template": template}
    metadata = {"name": "ranks", "namespace": namespace}
    real_cluster.apply(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
    )
    wait = ["--for=condition=Complete", "--timeout=90s"]
    real_cluster.kubectl("wait", "-n", namespace, "job/ranks", *wait)
    said = real_cluster.kubectl("logs", "-n", namespace, "-l", "job-name=ranks")
    assert sorted(said.splitlines()) == ["index 0", "index 1", "index 2"]


def test_a_gpu_is_allocated(real_cluster: Cluster, namespace: str) -> None:
    if not real_cluster.gpus:
        pytest.skip("this cluster has no GPUs")
    script = "import os; print(os.environ['NVIDIA_VISIBLE_DEVICES'])"
    one = {"limits": {"nvidia.com/gpu": 1}}
    said = output(
        real_cluster, namespace, "gpu", pod_spec(real_cluster.image, script, resources=one)
    )
    assert re.fullmatch(r"GPU-\S+\n", said)


def test_more_gpus_than_there_are_stay_pending(real_cluster: Cluster, namespace: str) -> None:
    many = {"limits": {"nvidia.com/gpu": real_cluster.gpus + 1}}
    make_pod(real_cluster, namespace, "greedy", pod_spec(real_cluster.image, "", resources=many))
    condition = "--for=condition=PodScheduled=false"
    real_cluster.kubectl("wait", "-n", namespace, "pod/greedy", condition, "--timeout=30s")
    pod = json.loads(real_cluster.kubectl("get", "-n", namespace, "pod/greedy", "-o", "json"))
    messages = [condition.get("message", "") for condition in pod["status"]["conditions"]]
    assert any("Insufficient nvidia.com/gpu" in message for message in messages)


def test_frameworks_come_from_a_claim(real_cluster: Cluster, namespace: str) -> None:
    if not real_cluster.processes:
        pytest.skip("not this machine's own cluster")
    real_cluster.offer_frameworks(namespace)
    script = (
        "import pathlib, tensorflow, tf_keras, sklearn\n"
        "print(tensorflow.reduce_sum([1, 2]).numpy())\n"
        "try: pathlib.Path('/opt/frameworks/mark').touch()\n"
        "except OSError as error: print(error.strerror)"
    )
    mount = [{"name": "frameworks", "mountPath": "/opt/frameworks"}]
    spec = pod_spec(real_cluster.image, script, volumeMounts=mount)
    claim = {"claimName": real_cluster.frameworks_claim}
    spec["volumes"] = [{"name": "frameworks", "persistentVolumeClaim": claim}]
    lines = output(real_cluster, namespace, "tensorflow", spec).splitlines()
    assert lines[-2:] == ["3", "Read-only file system"]
