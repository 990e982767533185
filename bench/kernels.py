"""Kernels side by side, in one run, interleaved and with jittered starts.

Arms: ``floor`` (a bare pod with ipykernel on fixed ports, reached by its address, no Jupyter
Server), ``auto``, ``pod-ip`` and ``port-forward`` (ours), ``local`` (a stock kernel of a stock server),
``local-nodelay`` (a local kernel of a server with our websocket).

    python -m bench.kernels --kubeconfig FILE --image IMAGE [-n 12] [--json OUT]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import secrets
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient

from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import NotFound
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.session import JupyterServer, KernelSocket, running_server

from .report import Samples

CELLS = 100


async def main(options: argparse.Namespace) -> Samples:
    """Take all samples."""
    samples = Samples()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jk-bench-")))
        config = KubeConfig(kubeconfig=options.kubeconfig, namespace=options.namespace)
        client = await KubeClient.connect(config)
        stack.push_async_callback(client.close)

        async def server(name: str, **choice: Any) -> JupyterServer:
            (folder / name).mkdir()
            running = running_server(folder / name, _settings(options, **choice))
            return await stack.enter_async_context(running)

        servers = {
            "auto": (await server("auto"), "kube-python"),
            "pod-ip": (await server("pod-ip", reach="pod-ip"), "kube-python"),
            "port-forward": (await server("port-forward", reach="port-forward"), "kube-python"),
            "local": (await server("local", stock=True), "python3"),
        }
        servers["local-nodelay"] = (servers["pod-ip"][0], "python3")
        for turn in range(options.n + 1):
            arms = ["floor", *servers]
            random.shuffle(arms)
            for arm in arms:
                await asyncio.sleep(random.uniform(0.1, 1.1))
                if arm == "floor":
                    taken = {"start": await _floor(client, options)}
                else:
                    taken = await _kernel(*servers[arm])
                if turn:  # the first round only warms up
                    for measure, seconds in taken.items():
                        samples.add(measure, arm, seconds)
            print(f"round {turn} of {options.n}", file=sys.stderr, flush=True)
    return samples


async def _kernel(server: JupyterServer, spec: str) -> dict[str, float]:
    """Measure one kernel's life: start, round trips, restart, crash, end."""
    taken = {}
    begun = time.perf_counter()
    model = await server.start_kernel(spec)
    taken["create call"] = time.perf_counter() - begun
    socket = await server.connect(model["id"])
    await _run(socket, "1+1")
    taken["start"] = time.perf_counter() - begun
    taken["round trip"] = await _round_trips(socket)
    begun = time.perf_counter()
    await server.request("POST", f"api/kernels/{model['id']}/restart")
    try:
        await _run(socket, "1+1", 5)
        taken["restart"] = time.perf_counter() - begun
    except TimeoutError:  # seen with stock servers only: they can lose a message at a restart
        print(f"{spec}: a cell sent after a restart got no answer", file=sys.stderr)
        await _run(socket, "1+1")
    if spec.startswith("kube-"):
        begun = time.perf_counter()
        await socket.run("import os; os.kill(os.getpid(), 9)", 30)
        await _run(socket, "1+1")
        taken["crash"] = time.perf_counter() - begun
    socket.close()
    begun = time.perf_counter()
    await server.request("DELETE", f"api/kernels/{model['id']}")
    taken["delete call"] = time.perf_counter() - begun
    return taken


async def _run(socket: KernelSocket, code: str, seconds: float = 60) -> None:
    reply = await socket.run(code, seconds)
    if reply.status != "ok":
        raise RuntimeError(f"the cell ended {reply.status}: {reply.content}")


async def _round_trips(socket: KernelSocket) -> float:
    """Send cells back to back; returns the median of their times."""
    times = []
    for _ in range(CELLS):
        begun = time.perf_counter()
        await socket.run("1", 30)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


async def _floor(client: KubeClient, options: argparse.Namespace) -> float:
    """Time a bare pod from its creation to the first reply over its address."""
    name = f"bench-{secrets.token_hex(4)}"
    ports = {
        f"{c}_port": 50000 + i for i, c in enumerate(("shell", "iopub", "stdin", "control", "hb"))
    }
    connection = {
        **ports,
        "ip": "0.0.0.0",
        "key": secrets.token_hex(16),
        "transport": "tcp",
        "signature_scheme": "hmac-sha256",
        "kernel_name": "",
    }
    begun = time.perf_counter()
    pod = await objects.create(client, objects.PODS, _bare_pod(name, options.image))
    await objects.create(client, objects.SECRETS, _connection_secret(pod, connection))
    try:
        address = await _address(client, name)
        kernel = AsyncKernelClient()
        kernel.load_connection_info(
            {**connection, "ip": address, "key": connection["key"].encode()}
        )
        kernel.start_channels(shell=True, iopub=False, stdin=False, hb=False, control=False)
        try:
            await kernel.execute("1+1", reply=True, timeout=60)
        finally:
            kernel.stop_channels()
        return time.perf_counter() - begun
    finally:
        await objects.delete(client, objects.PODS, name, grace=0)


async def _address(client: KubeClient, name: str) -> str:
    """Wait for a pod's address by a watch of its own."""
    query = {"fieldSelector": f"metadata.name={name}", "watch": "true"}
    path = objects.PODS.path(client.namespace)
    buffer = b""
    async with client.stream(path, query=query) as content:
        async for chunk in content:
            buffer += chunk
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                if address := json.loads(line)["object"].get("status", {}).get("podIP"):
                    return str(address)
    raise NotFound(f"pod {name} went away")


def _bare_pod(name: str, image: str) -> dict[str, Any]:
    boot = (
        "import os; open('/tmp/c.json','w').write(os.environ['CONNECTION']);"
        "from ipykernel.kernelapp import launch_new_instance as run;"
        "run(argv=['-f','/tmp/c.json'])"
    )
    secret = {"valueFrom": {"secretKeyRef": {"name": name, "key": "connection"}}}
    return {
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "kernel",
                    "image": image,
                    "command": ["python3", "-c", boot],
                    "env": [{"name": "CONNECTION", **secret}, {"name": "HOME", "value": "/tmp"}],
                }
            ],
        },
    }


def _connection_secret(pod: dict[str, Any], connection: dict[str, Any]) -> dict[str, Any]:
    name = pod["metadata"]["name"]
    return {
        "metadata": {"name": name, "ownerReferences": [objects.owner_reference(pod)]},
        "stringData": {"connection": json.dumps(connection)},
    }


def _settings(options: argparse.Namespace, *, stock: bool = False, reach: str = "auto") -> Any:
    """Configure a server: ``stock`` leaves our extension out, ``reach`` says how to reach pods."""
    return {
        "ServerApp": {"jpserver_extensions": {"jupyter_kube": not stock}},
        "KubeConfig": {
            "kubeconfig": options.kubeconfig,
            "namespace": options.namespace,
            "profiles": {"python": {"image": options.image, "cpu": "100m"}},
        },
        "KubeProvisioner": {"reach": reach},
        "ZMQChannelsWebsocketConnection": {"limit_rate": False},
    }


def _verdicts(samples: Samples) -> str:
    """Say how ours compares with what it is measured against."""
    wanted = (
        ("start", "auto", "floor", 1.25),
        ("start", "pod-ip", "floor", 1.25),
        ("start", "port-forward", "floor", 1.25),
        ("restart", "auto", "local", 1.0),
        ("round trip", "auto", "local-nodelay", 1.5),
        ("round trip", "auto", "local", 0.2),
    )
    lines = ["", "| measure | ratio | 95 % interval | aim |", "| --- | --- | --- | --- |"]
    for measure, arm, base, aim in wanted:
        ratio, low, high = samples.ratio(measure, arm, base)
        lines.append(
            f"| {measure}: {arm} / {base} | {ratio:.2f} | {low:.2f}–{high:.2f} | ≤ {aim} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--namespace", default="default")
    parser.add_argument("-n", type=int, default=12, help="samples per arm")
    parser.add_argument("--json", default="", help="file for all samples")
    given = parser.parse_args()
    result = asyncio.run(main(given))
    print(result.markdown())
    print(_verdicts(result))
    if given.json:
        result.write(Path(given.json))
