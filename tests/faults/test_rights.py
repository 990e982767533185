"""F18, rights that are missing, one at a time: named where they are needed, else not missed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube import naming, train
from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import AccessDenied
from jupyter_kube.kube import objects, rbac
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector
from jupyter_kube.session import JupyterServer, ServerError
from tests.conformance.conftest import Target
from tests.conformance.test_kernels import end, start, value

from .serving import account_kubeconfig, gone, serving

ACCOUNT = "fewer-rights"
NEEDED = ["create pods", "create secrets"]
JOBS_NEED = ["create jobs", "create secrets", "create services"]
HELPFUL = [
    "create pods/portforward",
    "get pods/portforward",
    "list pods",
    "watch pods",
    "patch pods",
    "list events",
    "watch events",
    "get secrets",
    "delete secrets",
]


@pytest.fixture
def fewer(
    request: pytest.FixtureRequest,
    target: Target,
    client: KubeClient,
    tmp_path: Path,
    jp_asyncio_loop: asyncio.AbstractEventLoop,
) -> Iterator[Path]:
    """A kubeconfig whose account has all our rights but the one the test is about."""
    verb, plural = request.param.split()
    made = []
    for manifest in rbac.manifests(target.namespace):
        manifest["metadata"]["name"] = ACCOUNT
        if manifest["kind"] == "RoleBinding":
            manifest["roleRef"]["name"] = manifest["subjects"][0]["name"] = ACCOUNT
        for rule in manifest.get("rules", ()):
            if rule["resources"] == [plural]:
                rule["verbs"] = [v for v in rule["verbs"] if v != verb]
        if manifest["kind"] == "Role":
            manifest["rules"] = [rule for rule in manifest["rules"] if rule["verbs"]]
        made.append(manifest)
    run = jp_asyncio_loop.run_until_complete
    kinds = [objects.by_kind(each["apiVersion"], each["kind"]) for each in made]
    for kind, manifest in zip(kinds, made, strict=True):
        run(objects.create(client, kind, manifest))
    yield run(account_kubeconfig(client, target, ACCOUNT, tmp_path / "kubeconfig-fewer"))
    for kind in kinds:
        run(objects.delete(client, kind, ACCOUNT))


@pytest.mark.parametrize("fewer", NEEDED, indirect=True)
async def test_f18_a_right_that_is_needed_is_named_and_the_rest_goes_on(
    fewer: Path, target: Target, client: KubeClient, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    verb, plural = request.node.callspec.params["fewer"].split()
    async with serving(target, fewer, tmp_path) as server:
        with pytest.raises(ServerError) as caught:
            await server.start_kernel("kube-python")
        assert caught.value.code == 403
        for word in (verb, plural, target.namespace):
            assert word in caught.value.message
        assert await server.request("GET", "api/kernels") == []
        await _a_local_kernel_works(server)
    await gone(client)


@pytest.mark.parametrize(
    "fewer", ["create jobs", "create secrets", "create services"], indirect=True
)
async def test_f18_a_right_that_a_job_needs_is_named_and_nothing_is_left(
    fewer: Path, target: Target, client: KubeClient, request: pytest.FixtureRequest
) -> None:
    settings = KubeConfig(**(target.settings() | {"kubeconfig": str(fewer)}))
    with pytest.raises(AccessDenied) as caught:
        await asyncio.to_thread(train.submit, "print(1)", workers=2, settings=settings)
    verb, plural = request.node.callspec.params["fewer"].split()
    for word in (verb, plural, target.namespace):
        assert word in str(caught.value)
    await gone(client)
    assert (await objects.list_(client, objects.JOBS, labels=naming.SELECTOR))["items"] == []


@pytest.mark.parametrize("fewer", HELPFUL, indirect=True)
async def test_f18_kernels_work_without_a_right_that_only_helps(
    fewer: Path, target: Target, client: KubeClient, tmp_path: Path
) -> None:
    async with serving(target, fewer, tmp_path) as server:
        kernel, socket = await start(server)
        assert await value(socket, "6 * 7") == "42"
        await end(server, kernel, socket)
    await gone(client)


@pytest.mark.parametrize("fewer", ["delete pods"], indirect=True)
async def test_f18_a_pod_that_may_not_be_deleted_is_named_and_holds_nothing(
    fewer: Path,
    target: Target,
    client: KubeClient,
    pods: Reflector,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with serving(target, fewer, tmp_path) as server:
        kernel, socket = await start(server)
        assert await value(socket, "1") == "1"
        await end(server, kernel, socket)
        assert await server.request("GET", "api/kernels") == []
        name = naming.kernel_name(kernel)
        assert await pods.wait_for(name, _how_it_ended, 30) == "Succeeded"
    said = capfd.readouterr().err
    assert f"kubectl delete pods {name}" in said
    assert f"pod/{name} stays, ended" in said
    await objects.delete(client, objects.PODS, name, grace=0)
    await gone(client)


def _how_it_ended(pod: dict[str, Any] | None) -> str | None:
    phase = pod["status"]["phase"] if pod else "gone"
    return phase if phase in {"Succeeded", "Failed", "gone"} else None


async def _a_local_kernel_works(server: JupyterServer) -> None:
    kernel, socket = await start(server, "python3")
    assert await value(socket, "1") == "1"
    await end(server, kernel, socket)
