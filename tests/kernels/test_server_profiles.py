"""What a profile offers and a notebook chooses, through a server's own routes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tornado.httpclient import HTTPClientError

from jupyter_kube.localcluster import LocalCluster

from .serving import _BASE, POD, Server, live, settings
from .test_server_kernels import message_of

OPTIONS = {"memory": {"max": "1Gi"}, "gpus": {"min": 0, "max": 2}, "image": ["python:3.12"]}
PROFILES = {
    "python": _BASE,
    "vary": {**_BASE, "options": OPTIONS},
    "one": {**_BASE, "max_per_user": 1},
    "wrong": {**_BASE, "gpus": "one"},
}


@pytest.fixture
def jp_server_config(kubeconfig: Path) -> dict[str, Any]:
    config = settings(kubeconfig)
    config["KubeConfig"]["profiles"] = PROFILES
    return config


def notebook(folder: Path, name: str, **choice: Any) -> None:
    made = nbformat.v4.new_notebook(metadata={"jupyter_kube": choice} if choice else {})
    (folder / name).write_text(nbformat.writes(made))


async def open_notebook(server: Server, path: str, profile: str) -> dict[str, Any]:
    asked = {"path": path, "type": "notebook", "kernel": {"name": f"kube-{profile}"}}
    session: dict[str, Any] = await server.call("POST", "api", "sessions", body=json.dumps(asked))
    return session


async def test_a_choice_travels_with_the_notebook(
    server: Server, cluster: LocalCluster, jp_root_dir: Path
) -> None:
    choice = {"memory": "768Mi", "gpus": 1, "image": "python:3.12"}
    notebook(jp_root_dir, "a.ipynb", options=choice)
    session = await open_notebook(server, "a.ipynb", "vary")
    (pod,) = live(cluster, POD)
    container = pod["spec"]["containers"][0]
    assert container["image"] == "python:3.12"
    assert container["resources"]["limits"] == {"memory": "768Mi", "nvidia.com/gpu": "1"}
    await server.delete(session["kernel"]["id"])


async def test_a_notebook_without_a_choice_gets_the_profile_as_it_is(
    server: Server, cluster: LocalCluster, jp_root_dir: Path
) -> None:
    notebook(jp_root_dir, "a.ipynb", profile="another", options={"memory": "768Mi"})
    session = await open_notebook(server, "a.ipynb", "vary")
    (pod,) = live(cluster, POD)
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {"memory": "512Mi"}
    await server.delete(session["kernel"]["id"])


@pytest.mark.parametrize(
    ("profile", "options", "words"),
    [
        ("vary", {"memory": "2Gi"}, 'profile "vary": memory 2Gi is above what is allowed'),
        ("vary", {"gpus": 0.5}, 'profile "vary": gpus: GPUs are whole devices'),
        ("vary", {"volumes": []}, '"volumes" cannot be chosen'),
        ("vary", [], "options must be a dictionary"),
        ("python", {"gpus": 1}, 'profile "python": "gpus" cannot be chosen'),
    ],
)  # fmt: skip
async def test_a_choice_out_of_bounds_is_refused_in_one_sentence(
    profile: str, options: Any, words: str, server: Server, cluster: LocalCluster, jp_root_dir: Path
) -> None:
    notebook(jp_root_dir, "a.ipynb", options=options)
    with pytest.raises(HTTPClientError) as caught:
        await open_notebook(server, "a.ipynb", profile)
    assert words in message_of(caught.value)
    assert live(cluster, POD) == []
    assert await server.call("GET", "api", "kernels") == []


async def test_of_starts_at_once_the_cap_refuses_in_words(
    server: Server, cluster: LocalCluster, jp_root_dir: Path
) -> None:
    starts = [server.start("kube-one") for _ in range(3)]
    found = await asyncio.gather(*starts, return_exceptions=True)
    up = [each for each in found if isinstance(each, dict)]
    refused = [each for each in found if isinstance(each, HTTPClientError)]
    assert (len(up), len(refused)) == (1, 2)
    for error in refused:
        assert error.code == 403
        assert 'The profile "one" allows 1 kernel at once' in message_of(error)
    assert len(live(cluster, POD)) == 1
    assert len(await server.call("GET", "api", "kernels")) == 1
    await server.delete(up[0]["id"])


async def test_a_wrong_profile_is_not_offered_and_the_others_are(server: Server) -> None:
    offered = (await server.call("GET", "api", "kernelspecs"))["kernelspecs"]
    assert {name for name in offered if name.startswith("kube-")} == {
        "kube-python", "kube-vary", "kube-one",
    }  # fmt: skip
