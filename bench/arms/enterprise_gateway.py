"""Jupyter Enterprise Gateway 3.3.0, asked directly, without a Jupyter Server in front of it."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench.arms import peers
from bench.arms.arm import Arm, serving
from bench.place import Place
from tests.cluster.errors import ClusterFailed

NAME = "enterprise-gateway"
_RELEASE = "jupyter-enterprise-gateway==3.3.0"
_SERVER = (_RELEASE, "ipykernel==6.29.5")
_IMAGE = ("ipykernel==6.29.5", "jupyter_client<9", "pyzmq<28", "pycryptodomex", "future")
_SPEC = "python_kubernetes"

# It insists on the files that pods find there.
_AS_IN_A_POD = """
set -e
mount -t tmpfs none /run
mkdir -p /run/secrets/kubernetes.io
cp -r "$1" /run/secrets/kubernetes.io/serviceaccount
shift
exec "$@"
"""


@asynccontextmanager
async def enterprise_gateway(place: Place, folder: Path) -> AsyncIterator[Arm]:
    """Run the gateway, which thinks that it runs in the cluster."""
    if os.geteuid() != 0:
        raise ClusterFailed("Enterprise Gateway needs root here, for a /run of its own.")
    software = prepare()
    _write_kernelspec(software, folder)
    api = urlsplit(place.api["server"])
    port, token = peers.free_port(), secrets.token_urlsafe(16)
    command: list[str | Path] = [
        *("unshare", "--mount", "sh", "-c", _AS_IN_A_POD, "sh", _write_account(place, folder)),
        *(software / "bin/python", "-m", "enterprise_gateway", "--ip=127.0.0.1", f"--port={port}"),
    ]
    env = {
        "HOME": str(folder / "home"),
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "JUPYTER_PATH": str(folder),
        "KUBERNETES_SERVICE_HOST": str(api.hostname),
        "KUBERNETES_SERVICE_PORT": str(api.port or 443),
        "EG_AUTH_TOKEN": token,
        "EG_SHARED_NAMESPACE": "True",
        "EG_NAMESPACE": place.namespace,
        "EG_RESPONSE_IP": peers.own_address(place),
        "EG_INHERITED_ENVS": "",
    }
    (folder / "home").mkdir()
    body = {"name": _SPEC, "env": {"KERNEL_USERNAME": "bench", "KERNEL_LAUNCH_TIMEOUT": "60"}}
    async with serving(command, env, port, token, folder / "log") as server:
        yield Arm(NAME, server, body, keeps_socket=False)


def prepare() -> Path:
    """Install it; minutes the first time."""
    return peers.software(NAME, _SERVER, _RELEASE)


def _image(software: Path) -> str:
    return peers.image(NAME, _IMAGE, peers.scripts(software / "source/etc/kernel-launchers"))


def _write_kernelspec(software: Path, folder: Path) -> None:
    """Install its own kernelspec, with our image and the places of its Python and its script."""
    spec, etc = folder / "kernels" / _SPEC, software / "source/etc"
    shutil.copytree(etc / "kernelspecs" / _SPEC, spec)
    shutil.copytree(etc / "kernel-launchers/kubernetes/scripts", spec / "scripts")
    said = json.loads((spec / "kernel.json").read_text())
    said["metadata"]["process_proxy"]["config"]["image_name"] = _image(software)
    launcher = spec / "scripts/launch_kubernetes.py"
    said["argv"][:2] = [str(software / "bin/python"), str(launcher)]
    (spec / "kernel.json").write_text(json.dumps(said))


def _write_account(place: Place, folder: Path) -> Path:
    account = folder / "account"
    account.mkdir(mode=0o700)
    (account / "token").write_text(place.token(NAME))
    (account / "namespace").write_text(place.namespace)
    authority = base64.b64decode(place.api["certificate-authority-data"])
    (account / "ca.crt").write_bytes(authority)
    return account
