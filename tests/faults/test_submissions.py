"""A job that is asked for more than once, and a page that is loaded again while it runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from jupyter_kube import naming
from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import RemoteError
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.session import KernelSocket, running_server
from jupyter_kube.train import plan, submit
from jupyter_kube.train.create import create
from jupyter_kube.train.origin import Origin
from tests.conformance.conftest import Target
from tests.conformance.test_elastic import settings
from tests.conformance.test_jobs import _nothing_stays  # noqa: F401 - a fixture

from .proxy import Fault, FaultProxy


async def test_f24_a_submission_that_comes_twice_is_one_job(
    target: Target, proxy: FaultProxy, through: KubeClient, client: KubeClient
) -> None:
    wish = plan.check(plan.Wish(name="double"))
    bundle = plan.pack(wish, "x = 1", {}, "<cell>")
    origin = Origin(user="ann")
    planned = plan.make(wish, bundle, settings(target), origin, target.namespace)
    # of one of both the answer is lost, after its job was made
    proxy.faults.add(Fault(method="POST", path="/jobs", cut_after=0, times=1))
    again = planned.request.submission
    made = await asyncio.gather(
        *(create(through, planned.manifests, again) for _ in range(2)),
    )
    assert len({job["metadata"]["uid"] for job in made}) == 1
    own = naming.selector(job=made[0]["metadata"]["name"])
    for resource in (objects.JOBS, objects.SERVICES):
        assert len((await objects.list_(client, resource, labels=own))["items"]) == 1
    await create(client, planned.manifests, again)
    assert len((await objects.list_(client, objects.JOBS, labels=own))["items"]) == 1


async def heard(socket: KernelSocket, words: str) -> None:
    """Read a page's messages until one has these words."""
    async with asyncio.timeout(90):
        while words not in json.dumps((await socket.receive())["content"]):
            pass


@pytest.mark.timeout(180)
async def test_f21_a_page_loaded_again_sees_the_job_go_on_and_all_of_it(
    target: Target, tmp_path: Path, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = tmp_path / "configured"
    configured.mkdir()
    (configured / "jupyter_kube_config.json").write_text(
        json.dumps({"KubeConfig": target.settings()})
    )
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(configured))
    async with running_server(tmp_path, {}) as server:
        kernel = await server.start_kernel("python3")
        page = await server.connect(kernel["id"])
        assert (await page.run("%load_ext jupyter_kube", 60)).status == "ok"
        page.send_code(
            "%%kubetrain python -w 1 --name pages -o n\n"
            "import time\n"
            "for n in range(40): print('line', n, flush=True); time.sleep(0.1)"
        )
        await heard(page, "line 3")
        page.close()
        again = await server.connect(kernel["id"])
        await heard(again, "line 30")  # the same cell's output, live
        assert (await again.run("print('n is', n)", 90)).stdout == "n is 39\n"
        whole = (await again.run("%kube attach pages", 90)).stdout
        assert [f"[0] line {n}" in whole for n in range(40)] == [True] * 40
        again.close()
    found = await objects.list_(client, objects.JOBS, labels=naming.selector(component="job"))
    assert len(found["items"]) == 1


@pytest.mark.timeout(120)
async def test_f26_a_full_disk_in_a_pod_is_an_error_in_words(
    target: Target, client: KubeClient
) -> None:
    overlay = {}
    full = "/dev/full"
    if target.real:
        full = "/scratch/file"
        overlay = {
            "overlay": {
                "spec": {
                    "volumes": [
                        {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}
                    ],
                    "containers": [
                        {
                            "name": "kernel",
                            "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                        }
                    ],
                }
            }
        }
    configured = KubeConfig(**target.settings(python={**target.profile, **overlay}))
    source = (
        f"with open({full!r}, 'wb') as file:\n"
        "    for part in range(64):\n"
        "        file.write(bytes(2**16)); file.flush(); kube.report(step=part)\n"
    )

    def run() -> None:
        submit(source, workers=2, settings=configured).result(100)

    with pytest.raises(RemoteError, match="No space left on device"):
        await asyncio.to_thread(run)
