"""Image archives in the OCI layout, written straight into a pipe."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.cluster.build import run

_MEDIA = "application/vnd.oci.image"
_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Layer:
    """An uncompressed layer: its file, or only its name where the containerd has it already."""

    digest: str
    size: int
    file: Path | None = None
    content: bytes = b""


def packed(folder: Path) -> Layer:
    """Return the layer that `pack` made in `folder`."""
    tar = folder / "layer.tar"
    return Layer((folder / "digest").read_text(), tar.stat().st_size, file=tar)


def pack(folder: Path) -> None:
    """Make ``layer.tar`` of ``root`` in `folder`, and note its digest beside it."""
    tar = folder / "layer.tar"
    # Owners by number: the image's accounts are not the machine's.
    run(["tar", "--numeric-owner", "-C", folder / "root", "-cf", tar, "."])
    with tar.open("rb") as file:
        name = hashlib.file_digest(file, "sha256").hexdigest()
    (folder / "digest").write_text(f"sha256:{name}")


def held(content: bytes) -> Layer:
    """Return a layer, or another part of an image, that is held in memory."""
    return Layer(f"sha256:{hashlib.sha256(content).hexdigest()}", len(content), content=content)


def layer_of(files: Mapping[str, bytes], mode: int = 0o644) -> Layer:
    """Return a layer of `files` by path; equal files make an equal digest."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in sorted(files.items()):
            _add(archive, path, content, mode)
    return held(buffer.getvalue())


def write_archive(
    stream: IO[bytes], reference: str, layers: Sequence[Layer], config: Mapping[str, object]
) -> None:
    """Write the OCI archive of an image to `stream`; layers without content are only named."""
    root = {"type": "layers", "diff_ids": [layer.digest for layer in layers]}
    image = {
        "architecture": _ARCHITECTURE[platform.machine()],
        "os": "linux",
        "config": dict(config),
        "rootfs": root,
    }
    configuration = held(json.dumps(image).encode())
    manifest = held(
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


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
