"""Jupyter Server as a pod, with the shipped Role and service account and nothing else."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.kube import rbac
from jupyter_kube.session import JupyterServer
from tests.cluster.cluster import kubectl_program

from .conftest import SETTINGS, Site, attached, kernels, start, value

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

SERVER = "server-0"
FOLDER = "/etc/jupyter-kube"
HOME = "/home/jovyan"


def manifest(image: str, token: str) -> dict[str, Any]:
    """Build the pod of a server, as docs/operators/hub.md shows it."""
    probe = {"httpGet": {"path": "/api", "port": 8888}, "periodSeconds": 1}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": SERVER, "labels": {"app.kubernetes.io/name": "jupyter-kube-server"}},
        "spec": {
            "serviceAccountName": rbac.NAME,
            "terminationGracePeriodSeconds": 10,
            "shareProcessNamespace": True,  # else nobody inside can kill the server's process
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "fsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": [
                {"name": "home", "emptyDir": {}},
                {"name": "settings", "configMap": {"name": SETTINGS}},
            ],
            "containers": [
                {
                    "name": "server",
                    "image": image,
                    "command": ["python3", "-m", "jupyter_server"],
                    "args": ["--no-browser", "--ServerApp.ip=0.0.0.0"],
                    "workingDir": HOME,
                    "env": [
                        {"name": "HOME", "value": HOME},
                        {"name": "JUPYTER_TOKEN", "value": token},
                        {"name": "JUPYTER_CONFIG_PATH", "value": FOLDER},
                    ],
                    "volumeMounts": [
                        {"name": "home", "mountPath": HOME},
                        {"name": "settings", "mountPath": FOLDER, "readOnly": True},
                    ],
                    "ports": [{"containerPort": 8888}],
                    "readinessProbe": probe,
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


def create(site: Site, namespace: str) -> str:
    """Create the server's pod; return its token."""
    token = secrets.token_hex(16)
    body = json.dumps(manifest(site.server_image, token))
    site.cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=body)
    return token


@asynccontextmanager
async def reached(site: Site, namespace: str, token: str) -> AsyncIterator[JupyterServer]:
    """Reach the server's pod through kubectl, as its user does, once it answers."""
    kubectl = site.cluster.kubectl
    where = ["--kubeconfig", str(site.cluster.kubeconfig), "--context", site.cluster.context]
    try:
        kubectl("wait", "-n", namespace, f"pod/{SERVER}", "--for=condition=Ready", "--timeout=60s")
        forward = await asyncio.create_subprocess_exec(
            *(kubectl_program(), *where, "port-forward", "-n", namespace, f"pod/{SERVER}", ":8888"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert forward.stdout is not None
            line = (await forward.stdout.readline()).decode()
            match = re.search(r"127\.0\.0\.1:(\d+)", line)
            assert match, line
            server = JupyterServer(f"http://127.0.0.1:{match[1]}", token)
            yield server
            server.close()
        finally:
            if forward.returncode is None:
                forward.send_signal(signal.SIGTERM)
            await forward.communicate()
    except BaseException:
        print(kubectl("logs", "-n", namespace, SERVER))
        raise


async def test_a_server_in_the_cluster_works_like_one_on_a_laptop(
    site: Site, namespace: str
) -> None:
    site.prepare(namespace, python=site.base)
    token = create(site, namespace)
    async with reached(site, namespace, token) as server, site.watch(namespace) as pods:
        kernel, socket = await start(server, "python")
        name = naming.kernel_name(kernel)
        assert await value(socket, "__import__('os').environ['HOSTNAME']") == name
        uid = pods[name]["metadata"]["uid"]
        await socket.run("x = 1", 60)
        await server.request("POST", f"api/kernels/{kernel}/restart")
        assert await value(socket, "'x' in globals()") == "False"
        assert pods[name]["metadata"]["uid"] == uid
        killed = await socket.run("import os; os.kill(os.getpid(), 9)", 60)
        assert killed.status in {"aborted", "error"}
        assert await value(socket, "6 * 7") == "42"
        assert site.warnings(namespace, name) == ""
        assert site.warnings(namespace, SERVER) == ""
        socket.close()
        await server.request("DELETE", f"api/kernels/{kernel}")
        await pods.gone(name)
        assert await kernels(server) == []


async def test_a_cell_fans_out_from_a_kernel_of_a_server_in_the_cluster(
    site: Site, namespace: str
) -> None:
    site.prepare(namespace, python=site.base)
    token = create(site, namespace)
    async with reached(site, namespace, token) as server, site.watch(namespace) as pods:
        kernel, socket = await start(server, "python")
        await socket.run("%load_ext jupyter_kube", 60)
        cell = "%%kubetrain python -w 2 --name sums -o total\ntotal = 40 + kube.world_size"
        trained = await socket.run(cell, 120)
        assert trained.status == "ok", (trained.content, trained.text)
        assert await value(socket, "total") == "42"
        workers = [name for name in pods.reflector.items if name.startswith("sums-")]
        assert len(workers) == 2
        assert [site.warnings(namespace, name) for name in workers] == ["", ""]
        socket.close()
        await server.request("DELETE", f"api/kernels/{kernel}")
        await pods.gone(naming.kernel_name(kernel))


async def test_the_doctor_in_the_servers_pod_finds_nothing_missing(
    site: Site, namespace: str
) -> None:
    site.prepare(namespace, python=site.base)
    async with reached(site, namespace, create(site, namespace)):
        doctor = ["python3", "-m", "jupyter_kube.cli", "doctor", "--json"]
        said = site.cluster.kubectl("exec", "-n", namespace, SERVER, "--", *doctor)
    assert [check for check in json.loads(said) if check["level"] != "ok"] == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
async def test_f20_five_kernels_outlive_the_servers_process(
    number: signal.Signals, site: Site, namespace: str
) -> None:
    site.prepare(namespace, python=site.base)
    token = create(site, namespace)
    async with site.watch(namespace) as pods:
        async with reached(site, namespace, token) as server:
            begun = [await open_notebook(server, f"n{index}.ipynb") for index in range(5)]
            sockets = [await server.connect(session["kernel"]["id"]) for session in begun]
            for index, socket in enumerate(sockets):
                await socket.run(f"x = {index}", 60)
            uids = {name: pods[name]["metadata"]["uid"] for name in map(pod_of, begun)}
            socket = sockets[0]
            cell = socket.send_code(
                "import time\nprint('begun', flush=True)\ntime.sleep(5)\nx = 41\nprint('done')"
            )
            while (await socket.receive())["header"]["msg_type"] != "stream":
                pass
            end_process(site, namespace, number)
            for each in sockets:
                each.close()
        async with reached(site, namespace, token) as server:
            for session in begun:
                await attached(server, session["kernel"]["id"])
            found = await server.request("GET", "api/sessions")
            assert notebooks(found) == notebooks(begun)
            again = await server.connect(begun[0]["kernel"]["id"], socket.session)
            reply = await again.collect(cell, 60)
            assert (reply.status, reply.text) == ("ok", "done\n")
            assert await value(again, "x + 1") == "42"
            again.close()
            for index, session in enumerate(begun[1:], 1):
                again = await server.connect(session["kernel"]["id"])
                assert await value(again, "x") == str(index)
                again.close()
            assert {name: pods[name]["metadata"]["uid"] for name in uids} == uids
            kernel_pods = [name for name in pods.reflector.items if name.startswith("kernel-")]
            assert set(kernel_pods) == set(uids)
            for session in begun:
                await server.request("DELETE", f"api/sessions/{session['id']}")
                await pods.gone(pod_of(session))


async def open_notebook(server: JupyterServer, path: str) -> dict[str, Any]:
    """Start a kernel with a notebook, as a front end does."""
    body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "kube-python"}}
    session: dict[str, Any] = await server.request("POST", "api/sessions", body)
    return session


def pod_of(session: dict[str, Any]) -> str:
    return naming.kernel_name(session["kernel"]["id"])


def notebooks(sessions: list[dict[str, Any]]) -> dict[str, str]:
    """Return which kernel each notebook has."""
    return {session["path"]: session["kernel"]["id"] for session in sessions}


def end_process(site: Site, namespace: str, number: signal.Signals) -> None:
    """End the server's process; return when its container runs again."""
    command = f"kill -{number.value} $(pgrep -of 'jupyter_serve[r]')"  # not this shell's own line
    site.cluster.kubectl("exec", "-n", namespace, SERVER, "--", "sh", "-c", command)
    restarted = "jsonpath={.status.containerStatuses[0].restartCount}=1"
    kubectl_wait = ["wait", "-n", namespace, f"pod/{SERVER}", "--timeout=60s"]
    site.cluster.kubectl(*kubectl_wait, f"--for={restarted}")
