"""What people type, with the unmodified kubectl."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kubectl import Kubectl

from .apiclient import pod

SERVE = (
    "import os, socket\n"
    "s = socket.create_server((os.environ['IP'], 8080))\n"
    "print('up', flush=True)\n"
    "while True:\n"
    "    c, _ = s.accept()\n"
    "    c.sendall(c.recv(9).upper()); c.close()"
)


@pytest.fixture(autouse=True)
def _empty(kubectl: Kubectl) -> Iterator[None]:
    """Leave nothing to the next test."""
    yield
    kubectl("delete", "jobs,pods,secrets,configmaps,services,quota", "--all", "--now")


def manifest(name: str, code: str = "print('hello')", **spec: Any) -> str:
    body = pod(name, code, **spec)
    address = {"fieldRef": {"fieldPath": "status.podIP"}}
    body["spec"]["containers"][0]["env"] = [{"name": "IP", "valueFrom": address}]
    return json.dumps({"apiVersion": "v1", "kind": "Pod", **body})


def running(kubectl: Kubectl, code: str) -> None:
    kubectl("apply", "-f", "-", stdin=manifest("p", code))
    kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=30s")


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    process.wait(30)


def test_a_pod_is_applied_waited_for_read_and_deleted(kubectl: Kubectl) -> None:
    assert kubectl("apply", "-f", "-", stdin=manifest("p")) == "pod/p created\n"
    assert kubectl("apply", "-f", "-", stdin=manifest("p")) == "pod/p unchanged\n"
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/p", "--timeout=30s")
    assert kubectl("logs", "p") == "hello\n"
    assert kubectl("delete", "pod", "p") == 'pod "p" deleted from default namespace\n'
    gone = kubectl.run("get", "pod", "p")
    assert (gone.code, gone.err) == (1, 'Error from server (NotFound): pods "p" not found\n')


def test_get_shows_pods_in_all_its_ways(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=manifest("p"))
    kubectl("label", "pod", "p", "x=1")
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/p", "--timeout=30s")
    lines = kubectl("get", "pods").splitlines()
    assert lines[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert lines[1].split()[:4] == ["p", "0/1", "Completed", "0"]
    wide = kubectl("get", "pods", "-o", "wide").splitlines()
    assert wide[0].split()[-2:] == ["IP", "NODE"]
    assert wide[1].split()[-1] == "local"
    assert json.loads(kubectl("get", "pod", "p", "-o", "json"))["kind"] == "Pod"
    assert "phase: Succeeded" in kubectl("get", "pod", "p", "-o", "yaml")
    assert kubectl("get", "pods", "-A", "-l", "x=1", "-o", "name") == "pod/p\n"
    assert kubectl("get", "pods", "-l", "x=2", "-o", "name") == ""
    assert "pod/p" in kubectl("get", "all")


def test_get_w_shows_changes(kubectl: Kubectl) -> None:
    with kubectl.start("get", "pods", "-w", "-o", "name") as watching:
        assert watching.stdout is not None
        kubectl("apply", "-f", "-", stdin=manifest("p"))
        assert watching.stdout.readline() == "pod/p\n"
        assert watching.stdout.readline() == "pod/p\n"
        end(watching)


def test_patches_and_server_side_apply(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=b")
    kubectl("patch", "configmap", "c", "--type=merge", "-p", '{"data":{"a":null,"c":"d"}}')
    kubectl("patch", "configmap", "c", "-p", '{"data":{"e":"f"}}')
    json_patch = '[{"op":"remove","path":"/data/e"}]'
    kubectl("patch", "configmap", "c", "--type=json", "-p", json_patch)
    assert kubectl("get", "configmap", "c", "-o", "jsonpath={.data}") == '{"c":"d"}'
    applied = kubectl("apply", "--server-side", "-f", "-", stdin=manifest("p"))
    assert applied == "pod/p serverside-applied\n"


def test_apply_changes_what_was_applied(kubectl: Kubectl) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    kubectl("apply", "-f", "-", stdin=json.dumps({**body, "data": {"a": "1", "b": "2"}}))
    changed = kubectl("apply", "-f", "-", stdin=json.dumps({**body, "data": {"a": "3"}}))
    assert changed == "configmap/c configured\n"
    assert kubectl("get", "configmap", "c", "-o", "jsonpath={.data}") == '{"a":"3"}'


def test_logs_f_follows_to_the_end(kubectl: Kubectl) -> None:
    running(kubectl, "import time\nfor i in range(5): print(i, flush=True); time.sleep(0.1)")
    assert kubectl("logs", "-f", "p") == "0\n1\n2\n3\n4\n"
    assert kubectl("logs", "p", "--tail=1", "--timestamps").endswith("Z 4\n")


def test_exec_runs_commands(kubectl: Kubectl) -> None:
    running(kubectl, "import time; time.sleep(600)")
    assert kubectl("exec", "p", "--", "echo", "hi") == "hi\n"
    assert kubectl("exec", "-i", "p", "--", "cat", stdin="in\n") == "in\n"
    failed = kubectl.run("exec", "p", "--", "sh", "-c", "echo no >&2; exit 3")
    assert failed.code == 3
    assert failed.err == "no\ncommand terminated with exit code 3\n"


def test_port_forward_carries_several_connections(kubectl: Kubectl) -> None:
    running(kubectl, SERVE)
    assert "up" in kubectl("exec", "p", "--", "echo", "up")
    with kubectl.start("port-forward", "p", ":8080") as forwarding:
        assert forwarding.stdout is not None
        port = int(forwarding.stdout.readline().split("127.0.0.1:")[1].split()[0])
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"hello")
                assert connection.recv(9) == b"HELLO"
                assert connection.recv(9) == b""
        end(forwarding)


def test_a_job_runs_to_its_end(kubectl: Kubectl) -> None:
    template = json.loads(manifest("x", "import os; print(os.environ['JOB_COMPLETION_INDEX'])"))
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {
            "completions": 2,
            "parallelism": 2,
            "completionMode": "Indexed",
            "template": {"spec": template["spec"]},
        },
    }
    kubectl("create", "-f", "-", stdin=json.dumps(job))
    kubectl("wait", "--for=condition=complete", "job/j", "--timeout=30s")
    assert sorted(kubectl("logs", "-l", "job-name=j").split()) == ["0", "1"]
    assert kubectl("get", "job", "j").splitlines()[1].split()[:3] == ["j", "Complete", "2/2"]
    assert "Completed" in kubectl("describe", "job", "j")
    kubectl("delete", "job", "j")
    assert kubectl("get", "pods", "-o", "name") == ""


def test_describe_tells_why_a_pod_waits(kubectl: Kubectl) -> None:
    body = json.loads(manifest("p"))
    body["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "9"}}
    kubectl("create", "-f", "-", stdin=json.dumps(body))
    kubectl("wait", "--for=condition=PodScheduled=false", "pod/p", "--timeout=30s")
    assert "Insufficient nvidia.com/gpu" in kubectl("describe", "pod", "p")


@pytest.mark.parametrize(
    "command",
    [
        ("create", "secret", "generic", "s", "--from-literal=a=b"),
        ("create", "configmap", "c", "--from-literal=a=b"),
        ("create", "quota", "q", "--hard=pods=9,requests.nvidia.com/gpu=2"),
        ("create", "service", "clusterip", "v", "--tcp=80:8080"),
        ("create", "job", "j", "--image=python", "--", "true"),
        ("run", "r", "--image=python", "--restart=Never", "--", "true"),
    ],
)
def test_things_are_made_by_commands(kubectl: Kubectl, command: tuple[str, ...]) -> None:
    assert kubectl(*command).endswith("created\n")


def test_a_namespace_comes_and_goes_with_all_that_is_in_it(kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "n")
    kubectl("create", "-n", "n", "-f", "-", stdin=manifest("p", "import time; time.sleep(600)"))
    kubectl("wait", "-n", "n", "--for=condition=Ready", "pod/p", "--timeout=30s")
    kubectl("delete", "namespace", "n")
    assert kubectl("get", "pods", "-A", "-o", "name") == ""
    refused = kubectl.run("create", "-n", "n", "-f", "-", stdin=manifest("p"))
    assert 'namespaces "n" not found' in refused.err


def test_invalid_input_is_refused_in_the_servers_words(kubectl: Kubectl) -> None:
    bad = json.loads(manifest("p"))
    bad["spec"]["containers"][0]["name"] = "Not Allowed"
    refused = kubectl.run("apply", "-f", "-", stdin=json.dumps(bad))
    assert 'The Pod "p" is invalid: spec.containers[0].name: Invalid value' in refused.err


def test_the_cluster_describes_itself(kubectl: Kubectl) -> None:
    assert "v1.35.4" in kubectl("version")
    assert "jobs" in kubectl("api-resources", "--api-group=batch")
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert "kubernetes-admin" in kubectl("auth", "whoami")
    assert kubectl("get", "nodes").splitlines()[1].split()[:2] == ["local", "Ready"]


def test_a_dry_run_prints_and_makes_nothing(kubectl: Kubectl) -> None:
    arguments = ("run", "r", "--image=python", "--dry-run=server", "-o", "yaml")
    assert "phase: Pending" in kubectl(*arguments)
    assert kubectl("get", "pods", "-o", "name") == ""
