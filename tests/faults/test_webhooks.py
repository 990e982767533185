"""A webhook that changes pods as they are made, as service meshes and platform teams have it."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector
from jupyter_kube.train import submit
from tests.cluster import Cluster, layout
from tests.cluster.pki import Authority
from tests.conformance.conftest import Target
from tests.conformance.test_elastic import settings
from tests.conformance.test_kernels import end, start, value

from .serving import gone, serving

MARK = "example.com/cost-centre"


def patch(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """Add a sidecar, a variable, a label and a toleration."""
    container = pod["spec"]["containers"][0]
    sidecar = {
        "name": "mesh",
        "image": container["image"],
        "command": ["sleep", "600"],
        "restartPolicy": "Always",
        "securityContext": container["securityContext"],
    }
    variable = {"name": "MESH", "value": "on"}
    toleration = {"key": "example.com/spot", "operator": "Exists"}
    tolerations = [*pod["spec"].get("tolerations", ()), toleration]
    return [
        {"op": "add", "path": "/spec/initContainers", "value": [sidecar]},
        {"op": "add", "path": "/spec/containers/0/env/-", "value": variable},
        {"op": "add", "path": f"/metadata/labels/{MARK.replace('/', '~1')}", "value": "7"},
        {"op": "add", "path": "/spec/tolerations", "value": tolerations},
    ]


class Webhook(BaseHTTPRequestHandler):
    """Answers the API server's reviews."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        changes = base64.b64encode(json.dumps(patch(asked["request"]["object"])).encode())
        answer = {"uid": asked["request"]["uid"], "allowed": True, "patchType": "JSONPatch"}
        asked = {**asked, "response": answer | {"patch": changes.decode()}}
        body = json.dumps({key: asked[key] for key in ("apiVersion", "kind", "response")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def changing(cluster: Cluster, namespace: str, folder: Path) -> Iterator[None]:
    """Have a webhook change the pods of a namespace."""
    authority = Authority(folder / "pki")
    identity = authority.issue("hook", "/CN=hook", [f"IP:{layout.HOST}"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    server = ThreadingHTTPServer((layout.HOST, 0), Webhook)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    bundle = base64.b64encode(authority.certificate.read_bytes()).decode()
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
    hook = {
        "name": "mesh.example.com",
        "clientConfig": {
            "url": f"https://{layout.HOST}:{server.server_port}/",
            "caBundle": bundle,
        },
        "rules": [{**rule, "resources": ["pods"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    cluster.apply(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": namespace},
            "webhooks": [hook],
        }
    )
    try:
        yield
    finally:
        cluster.kubectl("delete", "MutatingWebhookConfiguration", namespace)
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("target", [pytest.param("real", marks=pytest.mark.cluster)], indirect=True)
async def test_f31_kernels_and_jobs_work_in_pods_that_a_webhook_has_changed(
    target: Target, real_cluster: Cluster, client: KubeClient, pods: Reflector, tmp_path: Path
) -> None:
    if not real_cluster.processes:
        pytest.skip("a foreign cluster does not reach this machine")
    look = "__import__('os').environ.get('MESH')"
    with changing(real_cluster, target.namespace, tmp_path):
        async with serving(target, target.kubeconfig, tmp_path) as server:
            while True:  # a new webhook is asked some moments later
                kernel, socket = await start(server)
                if await value(socket, look) == "on":
                    break
                await end(server, kernel, socket)
            pod = pods.items[naming.kernel_name(kernel)]
            assert pod["metadata"]["labels"][MARK] == "7"
            assert [c["name"] for c in pod["spec"]["initContainers"]] == ["mesh"]
            assert (await socket.run("import os; os._exit(1)", 60)).status == "aborted"
            assert await value(socket, look) == "on"  # in the same pod
            await end(server, kernel, socket)
        await gone(client)
        job = await asyncio.to_thread(
            submit,
            "import os\nmesh = os.environ['MESH'], kube.world_size",
            workers=2,
            outputs=("mesh",),
            settings=settings(target),
        )
        assert await asyncio.to_thread(job.result, 100) == ("on", 2)
        await asyncio.to_thread(job.cancel)
