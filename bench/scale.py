"""What a thousand kernel pods cost a server: how long its event loop is held up.

    python -m bench.scale                    # on the local cluster
    python -m bench.scale --cluster          # on this machine's test cluster, the pods being kwok's

The pods are there before the server's first kernel, so that it lists them; then they all go, and
come anew, while it watches. Each phase's longest stalls are printed beside those of a server that
has nothing to do, which is what the machine does by itself, and of another server's first kernel
where there are no pods: what pods cost is what comes on top of that.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_kube.config import KubeConfig
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.session import JupyterServer, running_server
from tests.cluster import up, used
from tests.cluster.kwok import fake_node
from tests.faults.pods import PODS, many_pods

REST = 5.0  # seconds of a phase in which nothing happens


@contextmanager
def place(real: bool, folder: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Give a kubeconfig, a namespace, an image and a node that runs nothing."""
    if not real:
        with LocalCluster().run_in_thread() as local:
            local.write_kubeconfig(folder / "kubeconfig")
            yield folder / "kubeconfig", "default", "python:3", "nobody"
        return
    with used():
        cluster = up()
        with cluster.namespace("bench-scale") as namespace, fake_node(cluster, folder) as node:
            yield cluster.kubeconfig, namespace, cluster.image, node


async def measure(kubeconfig: Path, namespace: str, image: str, node: str, folder: Path) -> None:
    """Go through the phases and print their stalls."""
    config = KubeConfig(kubeconfig=str(kubeconfig), namespace=namespace)
    client = await KubeClient.connect(config)
    profile = {"image": image, "cpu": "10m", "memory": "256Mi"}
    settings = {
        "KubeConfig": {
            "kubeconfig": str(kubeconfig),
            "namespace": namespace,
            "profiles": {"python": profile},
        },
        "ServerApp": {"jpserver_extensions": {"bench.stalls": True, "jupyter_kube": True}},
    }
    print("| phase | beats | longest stalls, ms |\n| --- | --- | --- |")
    (folder / "alone").mkdir()
    async with running_server(folder / "alone", settings) as server:
        await asyncio.sleep(REST)
        await _take(server)
        kernel, socket = await _kernel(server)
        _show("first kernel beside none", await _take(server))
        await _end(server, kernel, socket)
    (folder / "beside").mkdir()
    async with running_server(folder / "beside", settings) as server:
        await _take(server)
        await asyncio.sleep(REST)
        _show("nothing to do", await _take(server))
        async with many_pods(client, node, image):
            await _take(server)
            kernel, socket = await _kernel(server)
            _show(f"first kernel beside {PODS} pods", await _take(server))
            await asyncio.sleep(REST)
            _show("idle kernel beside them", await _take(server))
        _show("all of them go", await _take(server))
        async with many_pods(client, node, image):
            _show("all of them come", await _take(server))
            other, beside = await _kernel(server)
            _show("another kernel", await _take(server))
        await _end(server, kernel, socket)
        await _end(server, other, beside)
    await client.close()


async def _kernel(server: JupyterServer) -> tuple[str, Any]:
    model = await server.start_kernel("kube-python")
    socket = await server.connect(model["id"])
    reply = await socket.run("1", 120)
    if reply.status != "ok":
        raise RuntimeError(f"the cell ended {reply.status}: {reply.content}")
    return model["id"], socket


async def _end(server: JupyterServer, kernel: str, socket: Any) -> None:
    socket.close()
    await server.request("DELETE", f"api/kernels/{kernel}")


async def _take(server: JupyterServer) -> dict[str, Any]:
    taken: dict[str, Any] = await server.request("GET", "bench/stalls")
    return taken


def _show(phase: str, taken: dict[str, Any]) -> None:
    longest = ", ".join(f"{late:.1f}" for late in taken["longest"][:5])
    print(f"| {phase} | {taken['beats']} | {longest} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--cluster", action="store_true", help="this machine's test cluster")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="jk-scale-") as name,
        place(given.cluster, Path(name)) as where,
    ):
        asyncio.run(measure(*where, Path(name)))
