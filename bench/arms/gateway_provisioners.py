"""gateway-provisioners 0.5.0, in a stock Jupyter Server."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.arms import peers
from bench.arms.arm import Arm, serving
from bench.place import Place
from tests.cluster import build

NAME = "gateway-provisioners"
_RELEASE = "gateway-provisioners[k8s]==0.5.0"
_SERVER = (_RELEASE, "jupyter_server==2.21.1", "jupyter_client==8.10.0", "ipykernel==7.4.0")
_IMAGE = ("ipykernel==7.4.0", "gateway-provisioners==0.5.0", "pycryptodomex")
_INSTALL = (
    "from gateway_provisioners.cli.k8s_specapp import K8sProvisionerApp;"
    "K8sProvisionerApp.launch_instance()"
)
_SPEC = "k8s_python"


@asynccontextmanager
async def gateway_provisioners(place: Place, folder: Path) -> AsyncIterator[Arm]:
    """Run a server whose kernels are its pods."""
    python = prepare() / "bin/python"
    _install_kernelspec(python, folder)
    port, token = peers.free_port(), secrets.token_urlsafe(16)
    command: list[str | Path] = [
        *(python, "-m", "jupyter_server", "--allow-root", "--no-browser"),
        *(f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1", "--ServerApp.log_level=WARN"),
        *("--ServerApp.jpserver_extensions={}", f"--ServerApp.root_dir={folder}"),
        "--ZMQChannelsWebsocketConnection.limit_rate=False",
    ]
    # All of this gets into the pods, where the path has to be the image's.
    env = {
        "HOME": str(folder / "home"),
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "JUPYTER_TOKEN": token,
        "JUPYTER_PATH": str(folder / "share/jupyter"),
        "KUBECONFIG": str(place.kubeconfig(NAME)),
        "GP_USE_INCLUSTER_CONFIG": "False",
        "GP_NAMESPACE": place.namespace,
        "GP_RESPONSE_IP": peers.own_address(place),
        "KERNEL_USERNAME": "bench",  # it refuses root
    }
    (folder / "home").mkdir()
    async with serving(command, env, port, token, folder / "log") as server:
        yield Arm(NAME, server, {"name": _SPEC}, keeps_socket=False)


def prepare() -> Path:
    """Install it; minutes the first time."""
    return peers.software(NAME, _SERVER)


def _install_kernelspec(python: Path, folder: Path) -> None:
    """Let its own command do it, and name the Python, which is not on the server's path."""
    spec = ["install", f"--prefix={folder}", f"--kernel-name={_SPEC}", f"--image-name={_image()}"]
    build.run([python, "-c", _INSTALL, *spec], HOME=str(folder))
    path = folder / "share/jupyter/kernels" / _SPEC / "kernel.json"
    said = json.loads(path.read_text())
    said["argv"][0] = str(python)
    path.write_text(json.dumps(said))


def _image() -> str:
    (package,) = prepare().glob("lib/python*/site-packages/gateway_provisioners")

    def fill_in(script: str) -> str:  # as its image-bootstrap command does
        return string.Template(script).safe_substitute(install_dir=peers.LAUNCHERS)

    return peers.image(NAME, _IMAGE, peers.scripts(package / "kernel-launchers", fill_in))
