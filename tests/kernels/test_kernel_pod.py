"""A kernel's pod and Secret: which objects are deleted at the end, and which are not."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import pytest

from jupyter_kube.errors import ClusterUnavailable, Conflict, InvalidManifest, NotFound, StartFailed
from jupyter_kube.kernels import pod as pods
from jupyter_kube.kernels import podspec
from jupyter_kube.kernels.pod import KernelPod
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.models import Profile


class Api:
    """The requests of one kernel, and objects by path."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.asked = asyncio.Event()
        self.answering = asyncio.Event()
        self.answering.set()
        self.refuses = ""
        self.namespace, self.timeout = "n", 30.0

    async def request(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        self.asked.set()
        body = more.get("body") or {}
        if method == "POST":
            return await self._post(path, body)
        if path not in self.objects:
            raise NotFound("not there")
        if method == "DELETE":
            wanted = body.get("preconditions", {}).get("uid")
            if wanted not in {None, self.objects[path]["metadata"]["uid"]}:
                raise Conflict("another uid")
            return self.objects.pop(path)
        return self.objects[path]

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        await self.answering.wait()
        if self.refuses and self.refuses in path:
            raise InvalidManifest("refused")
        return self.add(f"{path}/{body['metadata']['name']}", body)

    def add(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path in self.objects:
            raise Conflict("taken", f"{path} already exists")
        uid = f"uid-{len(self.objects)}"
        self.objects[path] = {**body, "metadata": {**body["metadata"], "uid": uid}}
        return self.objects[path]


def kernel_pod(api: Api) -> KernelPod:
    manifest = podspec.pod(Profile(name="p", image="i"), "an-id", namespace="n")
    client = cast(KubeClient, api)
    return KernelPod(client, manifest, log=logging.getLogger("tests"))


def paths(pod: KernelPod) -> tuple[str, str]:
    root = "/api/v1/namespaces/n"
    return f"{root}/pods/{pod.name}", f"{root}/secrets/{pod.name}"


async def test_what_was_created_is_deleted() -> None:
    api = Api()
    pod = kernel_pod(api)
    await pod.create_secret(await pod.create(), "launch", "ann")
    assert set(api.objects) == set(paths(pod))
    (owner,) = api.objects[paths(pod)[1]]["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["name"]) == (pod.uid, pod.name)
    assert not owner["blockOwnerDeletion"], "it would take a right on the pod's finalizers"
    await pod.delete()
    assert api.objects == {}


async def test_somebody_elses_pod_and_secret_of_the_same_name_stay() -> None:
    api = Api()
    pod = kernel_pod(api)
    for path in paths(pod):
        api.add(path, {"metadata": {}})
    with pytest.raises(StartFailed, match="already"):
        await pod.create()
    await pod.delete()
    assert set(api.objects) == set(paths(pod))


async def test_a_secret_that_was_not_created_here_stays() -> None:
    api = Api()
    pod = kernel_pod(api)
    _, secret = paths(pod)
    api.add(secret, {"metadata": {}})
    made = await pod.create()
    with pytest.raises(Conflict):
        await pod.create_secret(made, "launch", "ann")
    await pod.delete()
    assert set(api.objects) == {secret}


async def test_a_successor_of_the_same_name_stays() -> None:
    api = Api()
    pod = kernel_pod(api)
    path, _ = paths(pod)
    await pod.create()
    api.objects[path]["metadata"]["uid"] = "another"
    await pod.delete()
    assert set(api.objects) == {path}


async def test_a_pod_whose_creation_was_cancelled_on_the_way_is_deleted() -> None:
    api = Api()
    api.answering.clear()
    pod = kernel_pod(api)
    creating = asyncio.create_task(pod.create())
    await api.asked.wait()
    creating.cancel()
    await asyncio.wait([creating])
    deleting = asyncio.create_task(pod.delete())
    api.answering.set()
    await deleting
    assert creating.cancelled()
    assert pod.uid
    assert api.objects == {}


async def test_of_a_refused_pod_nothing_is_deleted() -> None:
    api = Api()
    api.refuses = "pods"
    pod = kernel_pod(api)
    with pytest.raises(InvalidManifest):
        await pod.create()
    api.add(paths(pod)[0], {"metadata": {}})
    await pod.delete()
    assert len(api.objects) == 1


async def test_notes_that_could_not_be_written_are_written_when_the_api_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pods, "_NOTE_AGAIN", 0.0)
    api = Api()
    pod = kernel_pod(api)
    await pod.create()
    answer, written = api.request, []

    async def patched(method: str, path: str, **more: Any) -> dict[str, Any]:
        written.append(more["body"]["metadata"]["annotations"])
        if len(written) == 1:
            pod.note({"a": "newer"})
            raise ClusterUnavailable("change Pod", "connection reset")
        return await answer(method, path, **more)

    monkeypatch.setattr(api, "request", patched)
    pod.note({"a": "old", "b": "old"})
    await pod.noted()
    assert written == [{"a": "old", "b": "old"}, {"a": "newer", "b": "old"}]


async def test_a_pod_to_attach_to_is_missed_when_it_or_its_likes_are_gone() -> None:
    api = Api()
    pod = kernel_pod(api)
    path, _ = paths(pod)
    await pod.create()
    await pod.check()
    api.objects[path]["metadata"]["uid"] = "another"
    with pytest.raises(StartFailed, match="replaced"):
        await pod.check()
    del api.objects[path]
    with pytest.raises(StartFailed, match="gone"):
        await pod.check()
