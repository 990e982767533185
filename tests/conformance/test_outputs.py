"""What we promise of files that a job writes: they come home, while it runs and after its end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jupyter_kube import naming
from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import NotFound
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector
from jupyter_kube.train import submit

from .conftest import Target
from .test_files import claim_on

WRITE = """
import os, pathlib
folder = pathlib.Path(kube.output_dir, "models")
folder.mkdir(exist_ok=True)
(folder / f"{kube.rank}.bin").write_bytes(bytes([kube.rank]) * 300_000)
print("written", flush=True)
"""


@pytest.mark.parametrize("target", [pytest.param("real", marks=pytest.mark.cluster)], indirect=True)
async def test_files_are_copied_to_storage_that_fsspec_knows(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    """A bucket's place is taken by a folder that both pods mount; fsspec comes with PyTorch."""
    folder = tmp_path / "bucket"
    folder.mkdir()
    folder.chmod(0o777)
    mounted = target.profile | {"pvcs": {"bucket": "/bucket"}}
    settings = KubeConfig(**target.settings(python=mounted))
    source = f'{WRITE}\nplace = kube.upload("file:///bucket/results")'

    def at_work() -> str:
        job = submit(source, workers=2, name="sent", outputs=("place",), settings=settings)
        try:
            place = job.result(100)
            assert place == f"file:///bucket/results/{job.name}"
            return str(place).removeprefix("file:///bucket/")
        finally:
            job.cancel()

    async with claim_on(folder, client, "bucket"):
        place = await asyncio.to_thread(at_work)
    for rank in (0, 1):
        assert (folder / place / f"models/{rank}.bin").read_bytes() == bytes([rank]) * 300_000


async def test_files_come_from_pods_while_they_run_and_from_volumes_after_the_end(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    settings = KubeConfig(**target.settings())
    here = tmp_path / "here"

    def at_work() -> None:
        source = f"{WRITE}\nimport time; time.sleep(600)"
        job = submit(source, workers=2, name="pods", settings=settings)
        try:
            job.follow()
            said: set[int] = set()
            while said != {0, 1}:
                assert job.feed.wait(60)
                said |= {line.rank for line in job.feed.take().lines}
            got = job.fetch(rank=1, to=str(here))
            assert (got.place, got.files, got.bytes) == (str(here), 1, 300_000)
            with pytest.raises(NotFound, match=r"nothing\.bin cannot be read: No such file"):
                job.fetch("nothing.bin")
        finally:
            job.cancel()

    await asyncio.to_thread(at_work)
    assert (here / "models/1.bin").read_bytes() == b"\1" * 300_000

    folder = tmp_path / "kept"
    folder.mkdir()
    folder.chmod(0o777)
    mounted = target.profile | {"pvcs": {"kept": "/kept"}}
    storage = KubeConfig(**target.settings(python=mounted))

    def after_the_end() -> None:
        job = submit(WRITE, workers=2, name="volume", settings=storage)
        try:
            job.result(60)
            told: list[str] = []
            got = job.fetch("models", to=str(here / "both"), told=told.append)
            assert told[0] == "Starting a pod that brings the files."
            assert (got.files, got.bytes) == (2, 600_000)
        finally:
            job.cancel()
        bare = submit(WRITE, name="bare", settings=settings)
        try:
            bare.result(60)
            with pytest.raises(NotFound, match="in its pod, which does not run, and it mounts no"):
                bare.fetch()
        finally:
            bare.cancel()

    async with claim_on(folder, client, "kept"):
        await asyncio.to_thread(after_the_end)
        assert (here / "both/1.bin").read_bytes() == b"\1" * 300_000
        left = Reflector(client, objects.PODS, labels=naming.SELECTOR)
        await left.start()
        await left.synced()
        for name in list(left.items):
            await left.wait_for(name, lambda pod: pod is None or None, 30)
        await left.close()
