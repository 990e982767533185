"""A job over the REST API: seen, followed, scaled, run again, removed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from jupyter_kube import train
from jupyter_kube.config import KubeConfig
from jupyter_kube.session import hang_up
from tests.kernels.serving import NAMESPACE_NAME, PROFILES, Server

from .test_routes import check

WAITS = "import time\nprint('begun', flush=True)\ntime.sleep(600)"


@pytest.fixture
def settings(kubeconfig: Path) -> KubeConfig:
    return KubeConfig(kubeconfig=str(kubeconfig), namespace=NAMESPACE_NAME, profiles=PROFILES)


async def told(ws_fetch: Any, name: str) -> list[dict[str, Any]]:
    """Follow a job to the end; returns all messages."""
    socket = await ws_fetch("jupyter-kube", "jobs", name, "logs")
    messages = []
    try:
        async with asyncio.timeout(60):
            while (text := await socket.read_message()) is not None:
                messages.append(json.loads(text))
                check("Told", messages[-1])
    finally:
        hang_up(socket)
    return messages


async def test_a_job_is_listed_followed_run_again_and_removed(
    server: Server, settings: KubeConfig, jp_ws_fetch: Any, jp_fetch: Any
) -> None:
    job = await asyncio.to_thread(
        train.submit, "print('<b>', kube.rank)\nkube.report(loss=0.5)", workers=2, settings=settings
    )
    messages = await told(jp_ws_fetch, job.name)
    lines = [line for message in messages for line in message["lines"]]
    assert sorted((line["rank"], line["text"]) for line in lines) == [(0, "<b> 0"), (1, "<b> 1")]
    assert any(message["reports"] for message in messages)
    assert messages[-1]["job"]["phase"] == "succeeded"
    assert messages[-1]["job"]["finished"]

    listed = await server.call("GET", "jupyter-kube", "jobs")
    check("Jobs", listed)
    assert [(row["name"], row["workers"]) for row in listed["jobs"]] == [(job.name, 2)]
    everyones = await jp_fetch("jupyter-kube", "jobs", params={"everyone": "true"})
    assert json.loads(everyones.body) == listed

    again = await server.call("POST", "jupyter-kube", "jobs", job.name, "rerun")
    check("Job", again)
    assert again["name"] != job.name
    assert (await told(jp_ws_fetch, again["name"]))[-1]["job"]["phase"] == "succeeded"

    for name in (job.name, again["name"]):
        found = await server.call("GET", "jupyter-kube", "jobs", name)
        check("Job", found)
        assert len(found["ranks"]) == 2
        assert await server.call("DELETE", "jupyter-kube", "jobs", name) is None
    assert await server.call("GET", "jupyter-kube", "jobs") == {"jobs": []}


async def test_a_running_job_is_scaled_and_stopped_while_it_is_followed(
    server: Server, settings: KubeConfig, jp_ws_fetch: Any, jp_fetch: Any
) -> None:
    job = await asyncio.to_thread(train.submit, WAITS, workers="1:2", settings=settings)
    following = asyncio.create_task(told(jp_ws_fetch, job.name))
    how: dict[str, Any] = {
        "method": "PATCH",
        "headers": {"Content-Type": "application/json"},
    }
    answer = await jp_fetch("jupyter-kube", "jobs", job.name, body='{"workers": 1}', **how)
    scaled = json.loads(answer.body)
    check("Job", scaled)
    assert (scaled["least"], scaled["workers"]) == (1, 1)
    with pytest.raises(HTTPClientError) as raised:
        await jp_fetch("jupyter-kube", "jobs", job.name, body='{"workers": 0}', **how)
    assert raised.value.code == 400
    await server.call("DELETE", "jupyter-kube", "jobs", job.name)
    assert (await following)[-1]["job"]["phase"] == "stopped"


async def test_a_job_that_is_not_there_is_said_over_the_websocket(
    server: Server, jp_ws_fetch: Any
) -> None:
    (message,) = await told(jp_ws_fetch, "nothing")
    assert message["error"]["what"].startswith('there is no job "nothing"')
