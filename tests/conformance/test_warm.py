"""The warm pool on both clusters: claimed once, refilled, gone with its server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.session import JupyterServer, running_server

from .conftest import Target

_ALL = naming.selector(component="kernel")
_WARM = f"{_ALL},{naming.POOL}"


async def pods(client: KubeClient, labels: str) -> dict[str, Any]:
    """List pods that are not being deleted, by name."""
    found = (await objects.list_(client, objects.PODS, labels=labels))["items"]
    return {p["metadata"]["name"]: p for p in found if "deletionTimestamp" not in p["metadata"]}


async def until_warm(client: KubeClient, taken: set[str]) -> str:
    """Wait for a warm pod that runs, other than those; returns its name."""
    async with asyncio.timeout(60):
        while True:
            for name, pod in (await pods(client, _WARM)).items():
                statuses = pod["status"].get("containerStatuses") or [{}]
                if name not in taken and "running" in (statuses[0].get("state") or {}):
                    return name
            await asyncio.sleep(0.1)


async def start(server: JupyterServer, path: str, warm: str) -> str:
    """Start kernels until the warm one is ready, a little after its container, and is taken."""
    body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "kube-python"}}
    while True:
        session = await server.request("POST", "api/sessions", body)
        kernel_id = str(session["kernel"]["id"])
        if naming.kernel_name(kernel_id) == warm:
            return kernel_id
        await server.request("DELETE", f"api/sessions/{session['id']}")


@pytest.mark.timeout(180)
async def test_a_warm_kernel_is_claimed_once_and_replaced(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    profile = {"image": target.image, "cpu": "100m", "memory": "512Mi", "warm": 1}
    async with running_server(tmp_path, {"KubeConfig": target.settings(python=profile)}) as server:
        taken: set[str] = set()
        for number in range(2):
            warm = await until_warm(client, taken)
            path = f"n{number}.ipynb"
            kernel_id = await start(server, path, warm)
            claimed = (await pods(client, _ALL))[warm]["metadata"]
            assert naming.POOL not in claimed["labels"]
            assert claimed["annotations"][naming.NOTEBOOK] == path
            socket = await server.connect(kernel_id)
            code = "import os; print(os.environ['JPY_SESSION_NAME'])"
            assert (await socket.run(code, 30)).text.strip() == path
            await server.request("POST", f"api/kernels/{kernel_id}/restart")
            assert (await socket.run(code, 30)).text.strip() == path
            socket.close()
            taken.add(warm)
        await until_warm(client, taken)
    assert await pods(client, _ALL) == {}
