"""Images of the test cluster, made without an engine or a registry, imported layer by layer."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
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
_SYSTEM = ("bookworm", "python3,python-is-python3,ca-certificates,procps,libgomp1")
_SITE = (
    "ipykernel>=7.3",
    "ipywidgets>=8.1",
    "cloudpickle>=3.0",
    "numpy>=1.26",
    "kubernetes>=37.0.0,<38",
    "jupyter_core>=5.7",
    "traitlets>=5.14",
)
_SERVER = ("jupyter_server>=2.20", "jupyterhub>=6")
"""What a user's server needs besides, on its own and behind a hub."""
_FRAMEWORKS = (
    "tensorflow>=2.21",
    "tf_keras>=2.21",
    "torch>=2.9",
    "paddlepaddle>=3.3",
    "scikit-learn>=1.5",
)

_BASE = {"test": "base", "server": "server-base"}
"""Under which name the lower layers of an image are kept."""

_PACKAGE = REPOSITORY / "jupyter_kube"
_NOT_PACKED = {"__pycache__", "labextension"}
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONPATH": "/opt/site:/opt/jupyter-kube:/opt/frameworks",
    "LANG": "C.UTF-8",
}


def frameworks() -> Path:
    """Return a folder with TensorFlow, Keras and scikit-learn (over 8 GB, made once)."""
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


def server_layers() -> list[Layer]:
    """Return the layers below the project's own in the image of a Jupyter Server."""
    return [packed(_system()), packed(_site(*_SERVER))]


def installation_layer() -> Layer:
    """Return what makes a Jupyter Server find the package, as its wheel installs it."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    information = f"opt/jupyter-kube/{_PACKAGE.name}-0.dist-info"
    entries = "\n".join(
        f"[{group}]\n" + "\n".join(f"{name} = {value}" for name, value in points.items())
        for group, points in project["entry-points"].items()
    )
    files = {
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0\n",
        f"{information}/entry_points.txt": entries,
    }
    settings = REPOSITORY / "etc"
    for path in settings.rglob("*.json"):
        files[f"usr/local/etc/{path.relative_to(settings)}"] = path.read_text()
    return layer_of({name: text.encode() for name, text in files.items()})


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
        alone = ["unshare", "--mount"]  # what it mounts goes with it, also if it is killed
        build.run([*alone, "debootstrap", *variant, suite, folder / "root"])
        for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc"):
            shutil.rmtree(folder / "root" / waste, ignore_errors=True)
        pack(folder)

    return build.cached("system", build.digest(*_SYSTEM), make)


def _site(*more: str) -> Path:
    requirements = (*_SITE, *more)

    def make(folder: Path) -> None:
        _pip(folder / "root/opt/site", requirements)
        pack(folder)

    return build.cached("site", build.digest(*requirements), make)


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
    if PAUSE not in _present():
        _import(PAUSE, [pause_layer()], {"Entrypoint": ["/pause"]})
    return _bring("test", base_layers(), package_layer())


def load_server() -> str:
    """Bring the image of a Jupyter Server with this package; return its reference."""
    return _bring("server", server_layers(), package_layer(), installation_layer())


def packages_layer(name: str, *requirements: str) -> Layer:
    """Return a layer with other software than ours in place of our image's; made once."""

    def make(folder: Path) -> None:
        _pip(folder / "root/opt/site", requirements)
        pack(folder)

    return packed(build.cached(f"site-{name}", build.digest(*requirements), make))


def bring(
    name: str, layers: Sequence[Layer], environment: Mapping[str, str], **config: object
) -> str:
    """Bring an image of Debian with Python and `layers`; return its reference."""
    system = packed(_system())
    reference = f"localhost/{name}:{build.digest(*(layer.digest for layer in layers))}"
    if reference not in _present():
        variables = [f"{key}={value}" for key, value in {**_ENVIRONMENT, **environment}.items()]
        # Our own images have brought the lowest layer.
        named = Layer(system.digest, system.size)
        _import(reference, [named, *layers], {"Env": variables, **config})
    return reference


def _bring(name: str, base: Sequence[Layer], *own: Layer) -> str:
    """Bring the image of `base` and `own`, of which containerd may have the former already."""
    present = _present()
    lower = f"localhost/jupyter-kube-{_BASE[name]}:{build.digest(*(x.digest for x in base))}"
    reference = f"localhost/jupyter-kube-{name}:{build.digest(lower, *(x.digest for x in own))}"
    environment = [f"{variable}={value}" for variable, value in _ENVIRONMENT.items()]
    python = {"Env": environment, "Cmd": ["python3"]}
    if lower not in present:
        _import(lower, base, python)
    if reference not in present:
        named = [Layer(layer.digest, layer.size) for layer in base]
        _import(reference, [*named, *own], python)
    return reference


def _present() -> set[str]:
    return set(ctr("images", "list", "--quiet").split())


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
    ours = tuple(f"localhost/jupyter-kube-{name}:" for name in _BASE)
    old = [name for name in _present() if name.startswith(ours) and name != newest]
    if old:
        ctr("images", "remove", *old)


_CTR = ("ctr", "--address", str(CONTAINERD_SOCKET), "--namespace", "k8s.io")


def ctr(*arguments: str) -> str:
    """Run containerd's own client; return what it prints."""
    result = subprocess.run([*_CTR, *arguments], check=False, capture_output=True, text=True)
    if result.returncode:
        raise ClusterFailed(f"ctr {' '.join(arguments)} failed: {result.stderr.strip()}")
    return result.stdout
