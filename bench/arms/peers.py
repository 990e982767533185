"""Software of the peers: each in an environment and an image of its own, made once a machine."""

from __future__ import annotations

import socket
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from bench.place import Place
from tests.cluster import build, images
from tests.cluster.archive import layer_of
from tests.cluster.errors import ClusterFailed
from tests.cluster.layout import CACHE

RIGHTS = (
    (
        "",
        ("pods", "secrets", "services", "configmaps"),
        ("get", "watch", "list", "create", "delete"),
    ),
    ("", ("persistentvolumeclaims",), ("get", "watch", "list", "create", "delete")),
)
"""What their charts grant, but in one namespace."""

_SOURCE = ("--no-deps", "--no-binary", ":all:")

LAUNCHERS = "/usr/local/bin"
"""Where their images keep what starts a kernel."""


def software(name: str, requirements: Sequence[str], sdist: str = "") -> Path:
    """Return a folder with an environment of `requirements` (``bin/python``).

    With `sdist`, the sources of that release are unpacked into its ``source``.
    """
    if sys.version_info[:2] != (3, 11):
        raise ClusterFailed("The peers need Python 3.11, like the images: run the bench with it.")

    def make(folder: Path) -> None:
        build.run([sys.executable, "-m", "venv", folder])
        pip: list[str | Path] = [folder / "bin/python", "-m", "pip"]
        build.run([*pip, "install", "-q", *requirements])
        if sdist:
            build.run([*pip, "download", "-q", *_SOURCE, "-d", folder, sdist])
            (archive,) = folder.glob("*.tar.gz")
            with tarfile.open(archive) as packed:
                packed.extractall(folder / "unpacked", filter="data")
            next((folder / "unpacked").iterdir()).rename(folder / "source")

    (CACHE / "peers").mkdir(parents=True, exist_ok=True)
    return build.cached(f"peers/{name}", build.digest(*requirements, sdist), make)


def image(name: str, requirements: Sequence[str], launchers: Mapping[str, bytes]) -> str:
    """Bring the image for a peer's kernels: `launchers` by their paths in `LAUNCHERS`."""
    files = {f"{LAUNCHERS}/{path}".lstrip("/"): content for path, content in launchers.items()}
    layers = (images.packages_layer(name, *requirements), layer_of(files, mode=0o755))
    command = ["/bin/bash", f"{LAUNCHERS}/bootstrap-kernel.sh"]
    environment = {"KERNEL_LANGUAGE": "python", "HOME": "/tmp"}
    return images.bring(name, layers, environment, Cmd=command, User="1000:100")


def scripts(folder: Path, change: Callable[[str], str] = lambda text: text) -> dict[str, bytes]:
    """Read a peer's ``kernel-launchers`` folder, as far as Python kernels need it."""
    found = {
        f"kernel-launchers/python/scripts/{path.name}": path.read_bytes()
        for part in ("python", "shared")  # what is shared takes the place of a stub
        for path in (folder / part / "scripts").glob("*.py")
    }
    boot = change((folder / "bootstrap/bootstrap-kernel.sh").read_text())
    return {**found, "bootstrap-kernel.sh": boot.encode()}


def own_address(place: Place) -> str:
    """Return this machine's address towards the cluster: the peers' pods connect to it."""
    host = urlsplit(place.api["server"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host.hostname, host.port or 443))
        address: str = probe.getsockname()[0]
        return address


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
