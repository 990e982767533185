"""Packages that a cell asks for come from an index, in each worker's pod."""

from __future__ import annotations

import asyncio
import functools
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import JobFailed
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.train import submit
from tests.cluster import layout
from tests.train.test_install import wheel

from .conftest import Target
from .test_files import claim_on
from .test_jobs import _nothing_stays  # noqa: F401 - a fixture


@contextmanager
def index(folder: Path, host: str) -> Iterator[str]:
    """Offer packages at an address; returns the index's."""
    for name, needs in (("jk_needy", ("jk_base==1.0", "numpy>=1")), ("jk_base", ())):
        (folder / name.replace("_", "-")).mkdir(parents=True)
        base = "from jk_base import K\n" if needs else "K = 7\n"
        wheel(folder / name.replace("_", "-"), name, f"{base}def main(): pass\n", *needs)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer((host, 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{host}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.timeout(240)
async def test_packages_are_installed_in_each_pod_and_what_cannot_be_is_said(
    target: Target, request: pytest.FixtureRequest, client: KubeClient, tmp_path: Path
) -> None:
    host, path, tools = "127.0.0.1", "", tmp_path / "tools"
    if target.real:
        if not request.getfixturevalue("real_cluster").processes:
            pytest.skip("pods of a foreign cluster do not reach this machine")
        host, path = layout.HOST, "/opt/site:/tools"
        pip = pytest.importorskip("pip")  # the image has none
        shutil.copytree(Path(pip.__file__).parent, tools / "pip")
    else:
        tools.mkdir()

    def run(source: str, *pip: str, **more: Any) -> Any:
        return submit(source, workers=2, pip=pip, settings=settings, **more).result(200)

    async with claim_on(tools, client, "tools"):
        with index(tmp_path / "index", host) as url:
            env = {"PIP_INDEX_URL": url, "PIP_TRUSTED_HOST": host}
            profile = target.profile | {"pvcs": {"tools": "/tools"}}
            profile["env"] = env | ({"PYTHONPATH": path} if path else {})
            settings = KubeConfig(**target.settings(python=profile))
            source = "import jk_needy, numpy\nwhere, k = jk_needy.__file__, jk_needy.K"
            found = await asyncio.to_thread(run, source, "jk-needy", outputs=("where", "k"))
            assert found["k"] == 7
            assert "/packages/" in found["where"]
            with pytest.raises(JobFailed) as caught:
                await asyncio.to_thread(run, "1 / 0", "jk-needy>=2")
    assert "cannot run the cell: could not install jk-needy>=2: No matching" in str(caught.value)
