"""Ending kernels that another server started."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming
from jupyter_kube.config import KubeConfig, user_name
from jupyter_kube.kernels import podspec
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.models import Profile
from jupyter_kube.session import running_server
from tests.kernels.serving import NAMESPACE_NAME, POD, SECRET, Server, live, settings

from .test_routes import refused

NOWHERE = Profile("python", image="python:3", node_selector={"no": "such-node"})


async def test_a_kernel_of_another_server_is_ended_with_all_it_owns(
    server: Server, cluster: LocalCluster, kubeconfig: Path, tmp_path: Path, jp_fetch: Any
) -> None:
    async with running_server(tmp_path, settings(kubeconfig)) as other:
        kernel = (await other.start_kernel("kube-python"))["id"]
        (row,) = (await server.call("GET", "jupyter-kube", "kernels"))["kernels"]
        assert (row["id"], row["execution_state"]) == (kernel, None)
        asked = "jupyter-kube", "kernels", kernel
        assert await server.call("DELETE", *asked) is None
        assert live(cluster, POD) == []
        async with asyncio.timeout(60):
            while live(cluster, SECRET):  # it goes with its pod, which has a second left
                await asyncio.sleep(0.05)
        again = await jp_fetch(*asked, method="DELETE", raise_error=False)
        assert again.code in (204, 404)  # it is ending, or has ended


async def test_a_kernel_of_this_server_is_left_to_jupyter(
    server: Server, cluster: LocalCluster, jp_fetch: Any
) -> None:
    kernel = (await server.start())["id"]
    code, said = await refused(jp_fetch, "kernels", kernel, method="DELETE")
    assert (code, said["what"]) == (409, "this server holds the kernel")
    assert f"DELETE /api/kernels/{kernel}" in said["next"]
    assert len(live(cluster, POD)) == 1
    await server.delete(kernel)


@pytest.mark.parametrize(
    "whose", [{"user": "somebody else"}, {"warm": True}], ids=["another's", "nobody's yet"]
)
async def test_what_is_not_the_users_own_is_not_found_and_stays(
    whose: dict[str, Any],
    server: Server,
    cluster: LocalCluster,
    kubeconfig: Path,
    jp_fetch: Any,
) -> None:
    about = {"user": user_name(), "server": "another", **whose}
    manifest = podspec.pod(NOWHERE, "k-other", namespace=NAMESPACE_NAME, **about)
    client = await KubeClient.connect(
        KubeConfig(kubeconfig=str(kubeconfig), namespace=NAMESPACE_NAME)
    )
    try:
        await objects.create(client, objects.PODS, manifest)
        code, said = await refused(jp_fetch, "kernels", "k-other", method="DELETE")
        assert (code, said["what"]) == (404, f'you have no kernel "k-other" in {NAMESPACE_NAME}')
        assert [pod["metadata"]["name"] for pod in live(cluster, POD)] == [
            naming.kernel_name("k-other")
        ]
        await objects.delete(client, objects.PODS, manifest["metadata"]["name"])
    finally:
        await client.close()


@pytest.mark.parametrize("kernel", ["nothing", "a%2Fb", "%2E%2E", "x" * 300])
async def test_a_kernel_that_is_not_there_is_not_found(
    kernel: str, server: Server, jp_fetch: Any
) -> None:
    code, said = await refused(jp_fetch, "kernels", kernel, method="DELETE")
    assert code == 404
    assert said["next"]
