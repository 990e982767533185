"""Binder's environment: its scripts prepare and start it, and an example's kernel works there."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_kube.session import JupyterServer, free_port

from .test_wheel import ROOT, run

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]
EXAMPLE = "examples/00-tour.ipynb"


@pytest.fixture
def prepared(tmp_path: Path) -> dict[str, str]:
    """Environment variables of an environment that ``postBuild`` has prepared.

    What is installed here counts as installed there: TensorFlow alone would take minutes.
    """
    folder = tmp_path / "env"
    venv.create(folder, with_pip=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    here = [path for path in sys.path if path.endswith("-packages")]
    (packages / "here.pth").write_text("\n".join(here))
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent)])
    env = {
        "PATH": os.pathsep.join([path, os.environ["PATH"]]),
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
    }
    run(ROOT / "binder" / "postBuild", cwd=ROOT, **env)
    return env


@pytest.fixture
def server(prepared: dict[str, str]) -> Iterator[JupyterServer]:
    """The server as Binder starts it: by ``start``, in front of Binder's own command."""
    port, token = free_port(), secrets.token_urlsafe(16)
    command = ["jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}"]
    process = subprocess.Popen(
        [ROOT / "binder" / "start", *command],
        cwd=ROOT,
        env={**os.environ, **prepared, "JUPYTER_TOKEN": token},
        start_new_session=True,
    )
    found = JupyterServer(f"http://127.0.0.1:{port}", token)
    found.process = process
    try:
        yield found
    finally:
        found.close()
        os.killpg(process.pid, signal.SIGTERM)  # the server, and the cluster beside it
        process.wait(30)


def test_the_environment_opens_on_an_example_whose_kernel_is_a_pod(
    server: JupyterServer,
) -> None:
    async def story() -> str:
        process = server.process
        assert process is not None
        await server.wait_until_up(120, lambda: process.poll() is None)
        document = await server.request("GET", f"api/contents/{EXAMPLE}")
        spec = document["content"]["metadata"]["kernelspec"]["name"]
        session = await server.request(
            "POST",
            "api/sessions",
            {"path": EXAMPLE, "name": "", "type": "notebook", "kernel": {"name": spec}},
        )
        (kernel,) = (await server.request("GET", "jupyter-kube/kernels"))["kernels"]
        assert kernel["profile"] == "python"
        socket = await server.connect(session["kernel"]["id"])
        try:
            reply = await socket.run("print(6 * 7)", timeout=60)
        finally:
            socket.close()
        await server.request("DELETE", f"api/sessions/{session['id']}")
        return reply.stdout

    assert asyncio.run(story()) == "42\n"
