"""Images of the test cluster, made without an engine or a registry, imported layer by layer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.cluster import build
from tests.cluster.archive import Layer, layer_of, pack, packed, write_archive
from tests.cluster.errors import ClusterFailed
from tests.cluster.layout import CONTAINERD_SOCKET, REPOSITORY

PAUSE = "localhost/pause:1"

_PYTHON = "3.11"
"""Python of Debian bookworm, which the images are made of."""
_SYSTEM = ("bookworm", "python3,python-is-python3,ca-certificates,procps")
_SITE = (
    "ipykernel>=7.3",
    "cloudpickle>=3.0",
    "numpy>=1.26",
    "kubernetes>=37.0.0,<38",
    "jupyter_core>=5.7",
    "traitlets>=5.14",
)
_FRAMEWORKS = ("tensorflow>=2.21", "tf_keras>=2.21", "scikit-learn>=1.5")

_PACKAGE = REPOSITORY / "jupyter_kube"
_NOT_PACKED = {"__pycache__", "labextension"}
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONPATH": "/opt/site:/opt/jupyter-kube:/opt/frameworks",
    "LANG": "C.UTF-8",
}


def frameworks() -> Path:
    """Return a folder with TensorFlow, Keras and scikit-learn (over 2 GB, made once)."""
    site = _site()
    # Both folders are on one path: they must agree on numpy.
    constraint = [path.name.split("-")[1] for path in site.glob("root/opt/site/numpy-*.dist-info")]
    pin = f"numpy=={constraint[0].removesuffix('.dist')}"

    def make(folder: Path) -> None:
        _pip(folder / "site", [*_FRAMEWORKS, pin])

    return build.cached("frameworks", build.digest(*_FRAMEWORKS, pin), make) / "site"


def base_layers() -> list[Layer]:
    """Return the layers below the project's own: Debian with Python, and its dependencies."""
    return [packed(_system()), packed(_site())]


def package_layer() -> Layer:
    """Return the project's own package as a layer; its digest depends on the content only."""
    files = {}
    for path in _PACKAGE.rglob("*"):
        relative = path.relative_to(_PACKAGE.parent)
        if path.is_file() and not _NOT_PACKED & set(relative.parts):
            files[f"opt/jupyter-kube/{relative}"] = path.read_bytes()
    return layer_of(files)


def pause_layer() -> Layer:
    """Return the one layer of the image that keeps a pod's namespaces open."""
    return layer_of({"pause": (build.module("pause") / "pause").read_bytes()}, mode=0o755)


def _system() -> Path:
    suite, include = _SYSTEM

    def make(folder: Path) -> None:
        variant = ["--variant=minbase", f"--include={include}"]
        build.run(["debootstrap", *variant, suite, folder / "root"])
        for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc"):
            shutil.rmtree(folder / "root" / waste, ignore_errors=True)
        pack(folder)

    return build.cached("system", build.digest(*_SYSTEM), make)


def _site() -> Path:
    def make(folder: Path) -> None:
        _pip(folder / "root/opt/site", _SITE)
        pack(folder)

    return build.cached("site", build.digest(*_SITE), make)


def _pip(target: Path, requirements: Sequence[str]) -> None:
    """Install `requirements` for the images' Python into the folder `target`."""
    quiet = ["-q", "--no-warn-conflicts", "--root-user-action=ignore"]
    build.run([_python(), "-m", "pip", "install", *quiet, "--target", target, *requirements])


def _python() -> str:
    """Return a Python of the images' version: compiled packages must fit it."""
    check = f"import sys, pip; sys.exit('%d.%d' % sys.version_info[:2] != '{_PYTHON}')"
    for candidate in (sys.executable, f"python{_PYTHON}", "/usr/bin/python3"):
        try:
            if (
                subprocess.run(
                    [candidate, "-c", check], check=False, capture_output=True
                ).returncode
                == 0
            ):
                return candidate
        except FileNotFoundError:
            continue
    raise ClusterFailed(
        f"No Python {_PYTHON} with pip was found, which the test images need: "
        f"run this with one, or put python{_PYTHON} on the PATH."
    )


def load() -> str:
    """Bring all images into the running containerd; return the reference of the Python one.

    Only what is missing is brought: after a change of the package, that is its one layer.
    """
    present = set(ctr("images", "list", "--quiet").split())
    base, own = base_layers(), package_layer()
    lower = f"localhost/jupyter-kube-base:{build.digest(*(layer.digest for layer in base))}"
    reference = f"localhost/jupyter-kube-test:{build.digest(lower, own.digest)}"
    environment = [f"{name}={value}" for name, value in _ENVIRONMENT.items()]
    python = {"Env": environment, "Cmd": ["python3"]}
    if PAUSE not in present:
        _import(PAUSE, [pause_layer()], {"Entrypoint": ["/pause"]})
    if lower not in present:
        _import(lower, base, python)
    if reference not in present:
        named = [Layer(layer.digest, layer.size) for layer in base]
        _import(reference, [*named, own], python)
    return reference


def _import(reference: str, layers: Sequence[Layer], config: Mapping[str, object]) -> None:
    command = [*_CTR, "images", "import", "-"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as process:
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # its own words say why it ended early
            write_archive(process.stdin, reference, layers, config)
        said = process.communicate()[0].decode()
    if process.returncode:
        raise ClusterFailed(f"The image {reference} could not be imported: {said}")


def forget(newest: str) -> None:
    """Remove the images of earlier states of the package, of which nothing may run any more."""
    repository = newest.rpartition(":")[0]
    present = ctr("images", "list", "--quiet").split()
    old = [name for name in present if name.startswith(f"{repository}:") and name != newest]
    if old:
        ctr("images", "remove", *old)


_CTR = ("ctr", "--address", str(CONTAINERD_SOCKET), "--namespace", "k8s.io")


def ctr(*arguments: str) -> str:
    """Run containerd's own client; return what it prints."""
    result = subprocess.run([*_CTR, *arguments], check=False, capture_output=True, text=True)
    if result.returncode:
        raise ClusterFailed(f"ctr {' '.join(arguments)} failed: {result.stderr.strip()}")
    return result.stdout
