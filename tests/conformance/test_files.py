"""The notebook's files in a kernel's pod: copied there and back, or the same storage."""

from __future__ import annotations

import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import places
from jupyter_kube.config import user_name
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.session import JupyterServer, KernelSocket, running_server

from .conftest import Target

BARE = "import sys; sys.meta_path.insert(0, sys.meta_path.pop())"
"""As in an image without jupyter-kube: what stands in for the package is found first."""
VOLUMES = objects.Resource("v1", "persistentvolumes", "PersistentVolume", namespaced=False)
CLAIMS = objects.Resource("v1", "persistentvolumeclaims", "PersistentVolumeClaim")


def config(target: Target, **profile: Any) -> dict[str, Any]:
    usual = {"image": target.image, "cpu": "100m", "memory": "512Mi"}
    return {
        "KubeConfig": target.settings(python={**usual, **profile}),
        "KubeMappingKernelManager": {"keep_kernels": True},
    }


async def open_notebook(server: JupyterServer, path: str) -> tuple[str, KernelSocket]:
    body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "kube-python"}}
    session = await server.request("POST", "api/sessions", body)
    return session["id"], await server.connect(session["kernel"]["id"])


async def run(socket: KernelSocket, code: str) -> str:
    reply = await socket.run(code, 60)
    assert reply.status == "ok", (reply.content, reply.text)
    return reply.text


@pytest.mark.timeout(180)
async def test_a_folder_is_copied_there_and_back_whatever_the_server_does(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    home = tmp_path / "notebooks" / "work"
    (home / "data").mkdir(parents=True)
    (home / "data" / "in.csv").write_text("1\n")
    (home / "tool.sh").write_text("#!/bin/sh\necho from the tool\n")
    (home / "tool.sh").chmod(0o755)
    async with running_server(tmp_path, config(target, files="copy")) as server:
        assert server.process is not None
        _, socket = await open_notebook(server, "work/n.ipynb")
        assert await run(socket, "print(open('data/in.csv').read(), end='')") == "1\n"
        assert "from the tool" in await run(socket, "!./tool.sh")
        await run(socket, "open('data/in.csv', 'a').write('2\\n')\n" + BARE)
        await run(socket, "%load_ext jupyter_kube")
        assert "Brought 1 file (4 B)" in await run(socket, "%kube pull")
        assert (home / "data" / "in.csv").read_text() == "1\n2\n"
        await run(socket, "open('data/in.csv', 'a').write('3\\n'); open('b.txt', 'w').write('b')")
        server.process.send_signal(signal.SIGKILL)
        socket.close()

    (home / "data" / "in.csv").write_text("mine\n")  # while nobody can know
    async with running_server(tmp_path, config(target, files="copy")) as server:
        (session,) = await server.request("GET", "api/sessions")
        socket = await server.connect(session["kernel"]["id"])
        assert "Changed on both sides: data/in.csv." in await run(socket, "%kube files")
        assert "Brought 2 files" in await run(socket, "%kube pull")
        assert (home / "data" / "in.csv").read_text() == "mine\n"
        assert (home / "data" / "in.from-kernel.csv").read_text() == "1\n2\n3\n"
        assert (home / "b.txt").read_text() == "b"
        await run(socket, "open('last.txt', 'w').write('last')")
        socket.close()
        await server.request("DELETE", f"api/sessions/{session['id']}")
        assert (home / "last.txt").read_text() == "last"


@asynccontextmanager
async def claim_on(folder: Path, client: KubeClient, claim: str) -> AsyncIterator[None]:
    """Offer a folder of this machine as a claim."""
    name, size = f"{client.namespace}-{secrets.token_hex(3)}", {"storage": "1Mi"}
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    reference = {"namespace": client.namespace, "name": claim}
    volume = {"capacity": size, "hostPath": {"path": str(folder)}, "claimRef": reference}
    kept = {"persistentVolumeReclaimPolicy": "Retain"}
    await objects.create(
        client, VOLUMES, {"metadata": {"name": name}, "spec": common | volume | kept}
    )
    wanted = {"volumeName": name, "resources": {"requests": size}}
    await objects.create(client, CLAIMS, {"metadata": {"name": claim}, "spec": common | wanted})
    try:
        yield
    finally:
        await objects.delete(client, CLAIMS, claim)
        await objects.delete(client, VOLUMES, name)


@pytest.mark.timeout(120)
async def test_the_same_storage_is_the_same_folder(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    """A hub's home claim: the kernel starts in the notebook's folder, and nothing is copied."""
    home = tmp_path / "notebooks"
    (home / "deep" / "work").mkdir(parents=True)
    for folder in (home, home / "deep", home / "deep" / "work"):
        folder.chmod(0o777)
    claim = f"claim-{places.user_slug(user_name())}"
    storage = {"pvcs": {"claim-{user}": "/home/jovyan"}, "working_dir": "/home/jovyan/{folder}"}
    async with (
        claim_on(home, client, claim),
        running_server(tmp_path, config(target, **storage)) as server,
    ):
        session, socket = await open_notebook(server, "deep/work/n.ipynb")
        where = await run(socket, "import os; print(os.getcwd()); open('x', 'w').write('there')")
        assert target.name == "local" or where == "/home/jovyan/deep/work\n"
        assert (home / "deep" / "work" / "x").read_text() == "there"
        (home / "deep" / "work" / "y").write_text("here")
        assert await run(socket, "print(open('y').read())") == "here\n"
        await run(socket, "%load_ext jupyter_kube")
        assert "Both have the same files." in await run(socket, "%kube files")
        assert "has it all" in await run(socket, "%kube pull")
        socket.close()
        await server.request("DELETE", f"api/sessions/{session}")
