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
from jupyter_kube.handlers.logs import LogsHandler
from jupyter_kube.session import hang_up
from jupyter_kube.train.feed import Feed
from jupyter_kube.train.origin import USER_ENV
from jupyter_kube.train.view import JobView
from tests.kernels.serving import NAMESPACE_NAME, PROFILES, Server

from .test_routes import check, refused

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
        assert socket.close_code == 1000  # it was told all, and has not lost anything
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

    async def settled() -> dict[str, Any]:  # pods end a little after their ranks have said so
        while (listed := await server.call("GET", "jupyter-kube", "jobs"))["jobs"][0]["counts"] != {
            "succeeded": 2
        }:
            await asyncio.sleep(0.05)
        return dict(listed)

    listed = await asyncio.wait_for(settled(), 60)
    check("Jobs", listed)
    assert [(row["name"], row["workers"]) for row in listed["jobs"]] == [(job.name, 2)]
    everyones = await jp_fetch("jupyter-kube", "jobs", params={"everyone": "true"})
    assert json.loads(everyones.body) == listed

    again, twice = (
        json.loads(answer.body)
        for answer in await asyncio.gather(
            *(
                jp_fetch(
                    *("jupyter-kube", "jobs", job.name, "rerun"),
                    method="POST",
                    body="{}",
                    headers={"Idempotency-Key": "one click"},
                )
                for _ in range(2)
            )
        )
    )
    check("Job", again)
    assert twice["name"] == again["name"]
    assert again["name"] != job.name
    assert (await told(jp_ws_fetch, again["name"]))[-1]["job"]["phase"] == "succeeded"

    other = await server.call("POST", "jupyter-kube", "jobs", job.name, "rerun")
    late = await jp_fetch(
        *("jupyter-kube", "jobs", job.name, "rerun"),
        method="POST",
        body="{}",
        headers={"Idempotency-Key": "one click"},
    )
    assert json.loads(late.body)["name"] == again["name"] != other["name"]
    listed = await server.call("GET", "jupyter-kube", "jobs")
    assert {row["name"] for row in listed["jobs"]} == {job.name, again["name"], other["name"]}

    for name in (job.name, again["name"], other["name"]):
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


SHOWS = """
class Large:
    def _repr_html_(self): return "<i>" + "x" * 500_000
    def __repr__(self): return "a large one"
display(Large())
"""


async def test_of_what_is_displayed_a_tab_gets_the_text_that_it_shows(
    server: Server, settings: KubeConfig, jp_ws_fetch: Any
) -> None:
    job = await asyncio.to_thread(train.submit, SHOWS, settings=settings)
    messages = await told(jp_ws_fetch, job.name)
    lines = [line for message in messages for line in message["lines"]]
    assert lines == [{"rank": 0, "text": "a large one"}]
    await server.call("DELETE", "jupyter-kube", "jobs", job.name)


async def test_a_job_that_can_never_start_is_followed_no_longer_and_is_said_why(
    server: Server, settings: KubeConfig, jp_ws_fetch: Any
) -> None:
    job = await asyncio.to_thread(train.submit, "pass", profile="bad", settings=settings)
    messages = await told(jp_ws_fetch, job.name)
    assert messages[-2]["job"]["phase"] == "waiting"
    assert messages[-1]["error"]["what"] == f"rank 0 of {job.name} cannot start"
    assert "localhost/missing:1" in messages[-1]["error"]["why"]
    await server.call("DELETE", "jupyter-kube", "jobs", job.name)


async def test_why_a_job_is_as_it_is_is_said_as_the_magic_says_it(
    server: Server, settings: KubeConfig
) -> None:
    async def why(name: str) -> list[str]:
        found = await server.call("GET", "jupyter-kube", "jobs", name, "why")
        check("Why", found)
        return list(found["why"])

    waits = await asyncio.to_thread(
        train.submit, "pass", workers=5, profile="gpu", settings=settings
    )
    failed = await asyncio.to_thread(
        train.submit, "print('so far')\nimport os\nos._exit(3)", retries=0, settings=settings
    )
    done = await asyncio.to_thread(train.submit, "pass", settings=settings)
    for job in (failed, done):
        await asyncio.to_thread(lambda each=job: each.follow().result(60))
    while (await asyncio.to_thread(lambda: done.status)).phase != "succeeded":
        await asyncio.sleep(0.05)  # its pods end a little after its ranks have said so
    said = await why(failed.name)
    assert said == await asyncio.to_thread(failed.why)
    assert "exit code 3" in said[0]
    assert "    so far" in said[0]  # which only its log knows
    assert said[-1].startswith(f"For the platform engineer: job/{failed.name}")
    assert await why(done.name) == [f"{done.name} succeeded."]
    while "gpu" not in (said := await why(waits.name))[0]:  # the scheduler has yet to say so
        await asyncio.sleep(0.05)
    assert said[-1].startswith(f"For the platform engineer: job/{waits.name}")
    for job in (waits, failed, done):
        await asyncio.to_thread(job.cancel)


async def test_another_users_job_is_listed_and_nothing_else(
    server: Server,
    settings: KubeConfig,
    jp_ws_fetch: Any,
    jp_fetch: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv(USER_ENV, "somebody else")
        job = await asyncio.to_thread(train.submit, WAITS, workers="1:2", settings=settings)
    try:
        assert await server.call("GET", "jupyter-kube", "jobs") == {"jobs": []}
        everyones = await jp_fetch("jupyter-kube", "jobs", params={"everyone": "true"})
        (row,) = json.loads(everyones.body)["jobs"]
        assert (row["name"], row["user"]) == (job.name, "somebody else")
        asked: list[tuple[str, tuple[str, ...], str | None]] = [
            ("GET", (), None),
            ("GET", ("why",), None),
            ("PATCH", (), '{"workers": 1}'),
            ("POST", ("rerun",), "{}"),
            ("DELETE", (), None),
        ]
        for name in (job.name, job.name.rpartition("-")[0]):
            for method, more, body in asked:
                how = {"method": method, "body": body}
                how |= {"headers": {"Content-Type": "application/json"}} if body else {}
                code, said = await refused(jp_fetch, "jobs", name, *more, **how)
                assert (code, said["what"][:15]) == (404, "there is no job")
            (message,) = await told(jp_ws_fetch, name)
            assert message["error"]["what"].startswith("there is no job")
        after = await jp_fetch("jupyter-kube", "jobs", params={"everyone": "true"})
        (row,) = json.loads(after.body)["jobs"]
        assert (row["name"], row["workers"], row["finished"]) == (job.name, 2, False)
    finally:
        await asyncio.to_thread(job.cancel)


async def test_a_name_that_several_jobs_have_is_answered_with_theirs(
    server: Server, settings: KubeConfig, jp_fetch: Any
) -> None:
    jobs = [
        await asyncio.to_thread(
            train.submit, "pass", name="digits", profile="impossible", settings=settings
        )
        for _ in range(2)
    ]
    asked: list[tuple[str, tuple[str, ...]]] = [
        ("GET", ()),
        ("GET", ("why",)),
        ("POST", ("rerun",)),
        ("DELETE", ()),
    ]
    for method, more in asked:
        body = "{}" if method == "POST" else None
        code, said = await refused(jp_fetch, "jobs", "digits", *more, method=method, body=body)
        assert (code, said["what"]) == (404, f'"digits" is 2 jobs in {NAMESPACE_NAME}')
        assert all(job.name in said["why"] for job in jobs)
    for job in jobs:
        await server.call("DELETE", "jupyter-kube", "jobs", job.name)


async def test_a_slow_browser_holds_back_what_is_read_for_it() -> None:
    taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    handler = object.__new__(LogsHandler)
    handler.write_message = lambda text: taken  # type: ignore[assignment,method-assign]
    batch = Feed(JobView("digits-ab12", workers=1)).take()
    telling = asyncio.create_task(handler._tell(batch, []))
    await asyncio.wait([telling], timeout=0.05)
    assert not telling.done()
    taken.set_result(None)
    await telling


async def test_a_job_that_is_not_there_is_said_over_the_websocket(
    server: Server, jp_ws_fetch: Any
) -> None:
    (message,) = await told(jp_ws_fetch, "nothing")
    assert message["error"]["what"].startswith('there is no job "nothing"')
