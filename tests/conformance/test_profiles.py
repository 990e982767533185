"""Profiles on a real Kubernetes: all that one can say at once, and what the API says of it."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.errors import AccessDenied, LimitReached
from jupyter_kube.kernels import podspec
from jupyter_kube.kernels.pod import KernelPod
from jupyter_kube.kube import objects, rbac
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.models import Profile
from jupyter_kube.session import running_server
from jupyter_kube.train import jobspec
from jupyter_kube.train.cell import pack
from jupyter_kube.train.request import JobRequest
from tests.cluster import Cluster
from tests.test_podspec import EVERYTHING

from .conftest import Target

pytestmark = pytest.mark.cluster

CLAIM, SECRET, REGISTRY = "profile-home", "profile-database", "profile-registry"

LOOK = """
import json, os, shutil
from pathlib import Path
Path("/home/ann/seen").write_text("by the kernel")
print(json.dumps({
    "cwd": os.getcwd(),
    "uid": os.getuid(),
    "groups": os.getgroups(),
    "password": os.environ["DB_PASSWORD"],
    "home": os.environ["HF_HOME"],
    "node": os.environ["NODE"],
    "shm": shutil.disk_usage("/dev/shm").total,
    "tmp": os.access("/scratch-of-overlay", os.W_OK),
    "read_only": not os.access("/data", os.W_OK),
}))
"""


@pytest.fixture(scope="module")
def around(
    real_cluster: Cluster, real_target: Target, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """What a profile refers to, made for this module; yields the priority class's name."""
    namespace = real_target.namespace
    folder = tmp_path_factory.mktemp("volume")
    folder.chmod(0o777)  # a folder of the node belongs to no group of the pod's
    name = f"profile-{namespace}"
    real_cluster.apply(*_objects(namespace, folder, name))
    yield name
    for kind in ("pvc", "secret"):
        names = (CLAIM,) if kind == "pvc" else (SECRET, REGISTRY)
        real_cluster.kubectl("delete", kind, *names, "-n", namespace)
    real_cluster.kubectl("delete", "priorityclass,pv", name)


def _objects(namespace: str, folder: Path, name: str) -> list[dict[str, Any]]:
    size = {"storage": "1Gi"}
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    claim_ref = {"namespace": namespace, "name": CLAIM}
    volume = {**common, "capacity": size, "hostPath": {"path": str(folder)}, "claimRef": claim_ref}
    claim = {**common, "volumeName": name, "resources": {"requests": size}}
    login = base64.b64encode(json.dumps({"auths": {}}).encode()).decode()
    of = {"namespace": namespace}
    return [
        {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": volume | {"persistentVolumeReclaimPolicy": "Retain"},
        },
        {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM, **of}, "spec": claim,
        },
        {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET, **of},
            "stringData": {"password": "of the database"},
        },
        {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": REGISTRY, **of},
            "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": login},
        },
        {
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": {"name": name}, "value": 100,
        },
    ]  # fmt: skip


def _everything(target: Target, priority: str) -> dict[str, Any]:
    """A profile that says all that this cluster can do."""
    node = {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    scratch = {"name": "more", "mountPath": "/scratch-of-overlay"}
    ours = {"name": "kernel", "env": [node], "volumeMounts": [scratch]}
    sidecar = {
        "name": "helper",
        "image": target.image,
        "restartPolicy": "Always",
        "command": ["python3", "-c", "import time; time.sleep(3600)"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "display_name": "Everything",
        "image": target.image,
        "image_pull_policy": "Never",
        "pull_secrets": [REGISTRY],
        "python": "python3",
        "working_dir": "/home/ann",
        "run_as_user": 1234,
        "cpu": "100m",
        "memory": "1Gi",
        "gpus": 1,
        "shm_size": "256Mi",
        "node_selector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"podAntiAffinity": {}},
        "priority_class": priority,
        "env": {"HF_HOME": "/home/ann/hf"},
        "env_from_secrets": {"DB_PASSWORD": f"{SECRET}/password"},
        "pvcs": {CLAIM: "/home/ann"},
        "volumes": [{"name": "conf", "secret": {"secretName": SECRET}}],
        "volume_mounts": [{"name": "conf", "mountPath": "/data", "readOnly": True}],
        "service_account": rbac.NAME,
        "idle_timeout": "2h",
        "lifetime": "1h",
        "max_per_user": 1,
        "overlay": {
            "metadata": {"labels": {"team": "a"}},
            "spec": {
                "volumes": [{"name": "more", "emptyDir": {}}],
                "containers": [ours],
                "initContainers": [sidecar],
            },
        },
    }


async def test_a_pod_with_everything_set_runs(
    real_target: Target, around: str, tmp_path: Path
) -> None:
    settings = real_target.settings(everything=_everything(real_target, around))
    client = await real_target.connect()
    try:
        async with running_server(tmp_path, {"KubeConfig": settings}) as server:
            model = await server.start_kernel("kube-everything")
            socket = await server.connect(model["id"])
            pod = await objects.get(client, objects.PODS, naming.kernel_name(model["id"]))
            reply = await socket.run(LOOK, 60)
            assert reply.status == "ok", reply.content
            seen = json.loads(reply.text)
            again = await socket.run("print(open('/home/ann/seen').read())", 60)
            socket.close()
            await server.request("DELETE", f"api/kernels/{model['id']}")
    finally:
        await client.close()
    assert again.text.strip() == "by the kernel"
    assert (seen["cwd"], seen["uid"], 1234 in seen["groups"]) == ("/home/ann", 1234, True)
    assert (seen["password"], seen["home"]) == ("of the database", "/home/ann/hf")
    assert seen["node"] == pod["spec"]["nodeName"]
    assert seen["shm"] == 256 * 2**20
    assert seen["tmp"]
    assert seen["read_only"]
    assert pod["spec"]["priority"] == 100
    assert {"name": REGISTRY} in pod["spec"]["imagePullSecrets"]
    assert pod["spec"]["activeDeadlineSeconds"] == 3600
    assert pod["metadata"]["labels"]["team"] == "a"


@pytest.mark.parametrize("kind", ["kernel", "job"])
def test_pod_security_restricted_has_nothing_to_warn_of(
    kind: str, real_cluster: Cluster, real_target: Target, around: str
) -> None:
    values = copy.deepcopy(EVERYTHING)
    values |= {"service_account": rbac.NAME, "priority_class": around}
    del values["overlay"]["spec"]["runtimeClassName"]  # this cluster has no such class
    profile = Profile.parse("everything", values)
    if kind == "kernel":
        manifest = podspec.pod(profile, "a-kernel", namespace=real_target.namespace, user="ann")
    else:
        request = JobRequest(
            name="a-job", submission="0", framework="python", workers=2, profile=profile,
            namespace=real_target.namespace,
        )  # fmt: skip
        manifest = jobspec.manifests(request, pack("x = 1", {}), bytes(32)).job
    real_cluster.kubectl(
        *("create", "--dry-run=server", "--warnings-as-errors", "--validate=strict", "-f", "-"),
        stdin=json.dumps(manifest),
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"service_account": "nobody"}, 'serviceaccount "nobody" not found'),
        ({"priority_class": "no-such"}, "no PriorityClass with name no-such was found"),
    ],
)
async def test_what_a_profile_names_and_is_not_there_is_refused_in_kubernetes_words(
    values: dict[str, str], words: str, real_target: Target
) -> None:
    profile = Profile.parse("p", {"image": real_target.image, **values})
    client = await real_target.connect()
    try:
        manifest = podspec.pod(profile, "a-kernel", namespace=client.namespace)
        with pytest.raises(AccessDenied) as caught:
            await KernelPod(client, manifest, log=logging.getLogger("tests")).create()
    finally:
        await client.close()
    assert words in str(caught.value)


async def test_a_cap_holds_for_two_servers_that_start_many_at_once(real_target: Target) -> None:
    nowhere = {"no": "such-node"}
    profile = Profile("small", image=real_target.image, node_selector=nowhere, max_per_user=3)
    clients = [await real_target.connect() for _ in range(2)]

    async def start(number: int) -> KernelPod | None:
        client: KubeClient = clients[number % 2]
        manifest = podspec.pod(profile, f"k-{number}", namespace=client.namespace, user="ann")
        pod = KernelPod(client, manifest, most=3, log=logging.getLogger("tests"))
        made.append(pod)
        try:
            await pod.create()
        except LimitReached:
            await pod.delete()
            return None
        return pod

    made: list[KernelPod] = []
    try:
        started = await asyncio.gather(*map(start, range(12)))
        assert len([pod for pod in started if pod]) == 3
    finally:
        await asyncio.gather(*(pod.delete() for pod in made))
        await asyncio.gather(*(client.close() for client in clients))
