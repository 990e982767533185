"""A Jupyter Server whose own disk is full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_kube.kube.client import KubeClient
from jupyter_kube.session import ServerError
from tests.conformance.conftest import Target
from tests.conformance.test_kernels import end, start, value

from .serving import gone, serving


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 256 KiB for a server's runtime files."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "runtime"
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(argv, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write into a folder until nothing fits any more."""
    whole = folder / "ballast"
    with whole.open("wb", buffering=0) as file:
        for size in (2**16, 2**12, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue
    return whole


async def test_f26_a_servers_full_disk_leaves_running_kernels_alone_and_is_said_of_new_ones(
    small_disk: Path, target: Target, client: KubeClient, tmp_path: Path
) -> None:
    async with serving(target, target.kubeconfig, tmp_path) as server:
        kernel, socket = await start(server)
        ballast = fill(small_disk)
        assert await value(socket, "40 + 2") == "42"
        with pytest.raises(ServerError, match="No space left on device"):
            await server.start_kernel("kube-python")
        assert await value(socket, "40 + 3") == "43"
        ballast.unlink()
        other, beside = await start(server)
        assert await value(beside, "1") == "1"
        await end(server, other, beside)
        await end(server, kernel, socket)
    await gone(client)
