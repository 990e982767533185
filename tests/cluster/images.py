"""Images of the test cluster, made without an engine or a registry, imported layer by layer."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.cluster import build
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
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONPATH": "/opt/site:/opt/jupyter-kube:/opt/frameworks",
    "LANG": "C.UTF-8",
}
_MEDIA = "application/vnd.oci.image"


@dataclass(frozen=True)
class Layer:
    """An uncompressed layer: its file, or only its name where the containerd has it already."""

    digest: str
    size: int
    file: Path | None = None
    content: bytes = b""


# ----------------------------------------------------------------------------- what is in them


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
    return [_packed(_system()), _packed(_site())]


def package_layer() -> Layer:
    """Return the project's own package as a layer; its digest depends on the content only."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(_PACKAGE.rglob("*")):
            relative = path.relative_to(_PACKAGE.parent)
            if path.is_file() and not {"__pycache__", "labextension"} & set(relative.parts):
                entry = tarfile.TarInfo(f"opt/jupyter-kube/{relative}")
                content = path.read_bytes()
                entry.size, entry.mode = len(content), 0o644
                archive.addfile(entry, io.BytesIO(content))
    return _held(buffer.getvalue())


def pause_layer() -> Layer:
    """Return the one layer of the image that keeps a pod's namespaces open."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(build.module("pause") / "pause", "pause")
    return _held(buffer.getvalue())


def _system() -> Path:
    suite, include = _SYSTEM

    def make(folder: Path) -> None:
        variant = ["--variant=minbase", f"--include={include}"]
        build.run(["debootstrap", *variant, suite, folder / "root"])
        for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc"):
            shutil.rmtree(folder / "root" / waste, ignore_errors=True)
        _pack(folder)

    return build.cached("system", build.digest(*_SYSTEM), make)


def _site() -> Path:
    def make(folder: Path) -> None:
        _pip(folder / "root/opt/site", _SITE)
        _pack(folder)

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


# ------------------------------------------------------------------------------ how they are made


def _pack(folder: Path) -> None:
    """Make ``layer.tar`` of ``root`` in `folder`, and note its digest beside it."""
    tar = folder / "layer.tar"
    build.run(["tar", "--numeric-owner", "-C", folder / "root", "-cf", tar, "."])
    with tar.open("rb") as file:
        name = hashlib.file_digest(file, "sha256").hexdigest()
    (folder / "digest").write_text(f"sha256:{name}")


def _packed(folder: Path) -> Layer:
    tar = folder / "layer.tar"
    return Layer((folder / "digest").read_text(), tar.stat().st_size, file=tar)


def _held(content: bytes) -> Layer:
    return Layer(f"sha256:{hashlib.sha256(content).hexdigest()}", len(content), content=content)


def write_archive(
    stream: IO[bytes], reference: str, layers: Sequence[Layer], config: Mapping[str, object]
) -> None:
    """Write the OCI archive of an image to `stream`; layers without content are only named."""
    root = {"type": "layers", "diff_ids": [layer.digest for layer in layers]}
    image = {"architecture": "amd64", "os": "linux", "config": dict(config), "rootfs": root}
    configuration = _held(json.dumps(image).encode())
    manifest = _held(
        json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{_MEDIA}.manifest.v1+json",
                "config": _descriptor(configuration, "config.v1+json"),
                "layers": [_descriptor(layer, "layer.v1.tar") for layer in layers],
            }
        ).encode()
    )
    entry = _descriptor(manifest, "manifest.v1+json")
    entry["annotations"] = {"io.containerd.image.name": reference}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        for blob in (*layers, configuration, manifest):
            name = f"blobs/{blob.digest.replace(':', '/')}"
            if blob.file is not None:
                archive.add(blob.file, name)
            elif blob.content:
                _add(archive, name, blob.content)
        _add(archive, "index.json", index)


def _descriptor(blob: Layer, kind: str) -> dict[str, object]:
    return {"mediaType": f"{_MEDIA}.{kind}", "digest": blob.digest, "size": blob.size}


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


# --------------------------------------------------------------------------- how they are brought


def newest() -> str:
    """Return the reference of the Python image with the package as it is now."""
    return _references()[1]


def _references() -> tuple[str, str]:
    lower = build.digest(*(layer.digest for layer in base_layers()))
    own = build.digest(lower, package_layer().digest)
    return f"localhost/jupyter-kube-base:{lower}", f"localhost/jupyter-kube-test:{own}"


def load() -> str:
    """Bring all images into the running containerd; return the reference of the Python one.

    Only what is missing is brought: after a change of the package, that is its one layer.
    """
    present = set(ctr("images", "list", "--quiet").split())
    base, own = base_layers(), package_layer()
    lower, reference = _references()
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
