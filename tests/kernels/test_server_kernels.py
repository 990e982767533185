"""Kernels that are pods, through a plain Jupyter Server's REST and websocket."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from jupyter_kube import naming
from jupyter_kube.kernels import news
from jupyter_kube.kernels.podspec import PORT
from jupyter_kube.kernels.relay import Relay, tcp_connection
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.session import KernelSocket

from .serving import NAMESPACE_NAME, POD, QUOTA, SECRET, Server, ending, live

KILL = "import os; os.kill(os.getpid(), 9)"


async def value(socket: KernelSocket, expression: str) -> str:
    reply = await socket.run(f"print({expression})", 60)
    assert reply.status == "ok", reply.content
    return reply.text.strip()


async def output(socket: KernelSocket) -> dict[str, Any]:
    """Read until a cell has written something; what is written at start-up has no parent."""
    while True:
        message = await socket.receive()
        if message["msg_type"] == "stream" and message["parent_header"]:
            return message


async def status(socket: KernelSocket, wanted: str) -> dict[str, Any]:
    """Read until a status message says what is wanted."""
    while True:
        message = await socket.receive()
        if message["msg_type"] == "status":
            content: dict[str, Any] = message["content"]
            if content["execution_state"] == wanted:
                return content


def message_of(error: HTTPClientError) -> str:
    assert error.response is not None
    return str(json.loads(error.response.body)["message"])


async def test_a_kernel_runs_in_a_pod_and_its_deletion_leaves_nothing(
    server: Server, cluster: LocalCluster
) -> None:
    model = await server.start()
    assert model["execution_state"] == "idle"
    socket = await server.connect(model["id"])
    assert await value(socket, "6 * 7") == "42"
    (pod,) = live(cluster, POD)
    assert pod["metadata"]["name"] == naming.kernel_name(model["id"])
    (secret,) = live(cluster, SECRET)
    assert secret["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
    await server.delete(model["id"])
    assert live(cluster, POD) == []
    assert await server.call("GET", "api", "kernels") == []


async def test_results_and_errors_come_as_from_any_kernel(server: Server) -> None:
    socket = await server.connect((await server.start())["id"])
    good = await socket.run("1 + 1", 60)
    assert [m["content"]["data"]["text/plain"] for m in good.outputs if "data" in m["content"]] == [
        "2"
    ]
    bad = await socket.run("1 / 0", 60)
    assert (bad.status, bad.content["ename"]) == ("error", "ZeroDivisionError")


async def test_a_restart_keeps_the_pod_and_the_websocket(
    server: Server, cluster: LocalCluster
) -> None:
    model = await server.start()
    socket = await server.connect(model["id"])
    await socket.run("x = 1", 60)
    (before,) = live(cluster, POD)
    model = await server.call("POST", "api", "kernels", model["id"], "restart")
    assert model["execution_state"] == "idle"
    assert await value(socket, "'x' in globals()") == "False"
    (after,) = live(cluster, POD)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


async def test_a_restart_answers_the_cells_it_ends(server: Server) -> None:
    model = await server.start()
    socket = await server.connect(model["id"])
    ids = [socket.send_code("print(1, flush=True); import time; time.sleep(600)")]
    await output(socket)
    ids.append(socket.send_code("2"))
    await server.call("POST", "api", "kernels", model["id"], "restart")
    for msg_id in ids:
        reply = await socket.collect(msg_id, 60)
        assert reply.status == "aborted"
    assert await value(socket, "3") == "3"


async def test_the_same_websocket_answers_after_each_kill(server: Server) -> None:
    model = await server.start()
    socket = await server.connect(model["id"])
    seen = []
    for _ in range(3):
        killed = socket.send_code(KILL)
        behind = socket.send_code("print('never')")
        first = await socket.collect(killed, 60)
        assert first.status == "aborted"
        assert "signal 9" in first.text
        second = await socket.collect(behind, 60)
        assert (second.status, second.text) == ("aborted", "")
        assert await status(socket, "restarting")
        seen.append(await value(socket, "__import__('os').getpid()"))
        models = await server.call("GET", "api", "kernels")
        assert [m["execution_state"] for m in models] != ["dead"]
    assert len(set(seen)) == 3


async def test_a_death_while_nothing_runs_leaves_no_request_unanswered(server: Server) -> None:
    model = await server.start()
    socket = await server.connect(model["id"])
    pid = int(await value(socket, "__import__('os').getpid()"))
    os.kill(pid, 9)  # the local cluster's pods are processes of this machine
    reply = await socket.run("1", 60)
    assert reply.status in {"ok", "aborted"}  # it may have come before the news of the death
    assert await value(socket, "'answered'") == "answered"


async def test_a_cell_that_kills_its_kernel_runs_once(server: Server, tmp_path: Path) -> None:
    model = await server.start()
    socket = await server.connect(model["id"])
    log = tmp_path / "log"
    for _ in range(3):
        reply = await socket.run(f"open({str(log)!r}, 'a').write('x') and None\n{KILL}", 60)
        assert reply.status == "aborted"
        assert "signal 9" in reply.text
    assert await value(socket, "1") == "1"
    assert log.read_text() == "xxx"


async def test_every_front_end_is_told_and_goes_on(server: Server) -> None:
    model = await server.start()
    one, other = await server.connect(model["id"]), await server.connect(model["id"])
    await value(one, "1")
    await value(other, "1")
    await one.run(KILL, 60)
    assert await status(one, "restarting")
    assert await status(other, "restarting")
    assert await value(one, "1") == "1"
    assert await value(other, "2") == "2"


async def test_an_interrupt_reaches_the_cell(server: Server) -> None:
    model = await server.start()
    socket = await server.connect(model["id"])
    msg_id = socket.send_code("print(1, flush=True); import time; time.sleep(600)")
    await output(socket)
    await server.call("POST", "api", "kernels", model["id"], "interrupt")
    reply = await socket.collect(msg_id, 60)
    assert reply.content["ename"] == "KeyboardInterrupt"


async def test_a_front_end_that_comes_back_finds_its_output(server: Server, tmp_path: Path) -> None:
    model = await server.start()
    first = await server.connect(model["id"], "one-session")
    gate = tmp_path / "gate"
    os.mkfifo(gate)  # the local cluster's pods see this machine's files
    msg_id = first.send_code(f"print('begun', flush=True)\nprint(open({str(gate)!r}).read())")
    await output(first)
    first.close()
    while (await server.call("GET", "api", "kernels"))[0]["connections"]:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(gate.write_text, "written while nobody looked")
    again = await server.connect(model["id"], "one-session")
    reply = await again.collect(msg_id, 60)
    assert (reply.status, reply.text) == ("ok", "written while nobody looked\n")


async def test_a_front_end_that_comes_back_after_a_death_gets_an_answer(server: Server) -> None:
    model = await server.start()
    first = await server.connect(model["id"], "one-session")
    pid = int(await value(first, "__import__('os').getpid()"))
    msg_id = first.send_code("print('begun', flush=True); import time; time.sleep(600)")
    await output(first)
    first.close()
    while (await server.call("GET", "api", "kernels"))[0]["connections"]:
        await asyncio.sleep(0.01)
    process = server.manager(model["id"]).process
    os.kill(pid, 9)
    while server.manager(model["id"]).process == process:
        await asyncio.sleep(0.01)
    again = await server.connect(model["id"], "one-session")
    assert (await again.collect(msg_id, 60)).status == "aborted"
    assert await value(again, "1") == "1"


@pytest.mark.parametrize(
    ("profile", "code", "words"),
    [("bad", 503, "localhost/missing:1"), ("forbidden", 403, "service account tests/nobody")],
)
async def test_a_start_that_fails_says_why_on_both_routes(
    profile: str, code: int, words: str, server: Server, cluster: LocalCluster
) -> None:
    name = f"kube-{profile}"
    with pytest.raises(HTTPClientError) as caught:
        await server.start(name)
    assert caught.value.code == code
    assert words in message_of(caught.value)
    body = json.dumps({"path": "a", "type": "notebook", "kernel": {"name": name}})
    with pytest.raises(HTTPClientError) as caught:
        await server.call("POST", "api", "sessions", body=body)
    assert words in message_of(caught.value)
    assert await server.call("GET", "api", "kernels") == []
    assert live(cluster, POD) == []


async def test_a_waiting_kernel_says_why_and_its_cell_too_and_can_be_cancelled(
    server: Server, cluster: LocalCluster
) -> None:
    model = await server.start("kube-impossible")
    assert model["execution_state"] == "starting"
    assert "Insufficient nvidia.com/gpu" in model["reason"]
    socket = await server.connect(model["id"])
    content = await status(socket, "starting")
    msg_id = socket.send_code("1")
    message = await output(socket)
    assert message["parent_header"]["msg_id"] == msg_id
    assert "Insufficient nvidia.com/gpu" in message["content"]["text"]
    assert content
    await server.delete(model["id"])
    assert await server.call("GET", "api", "kernels") == []
    assert live(cluster, POD) == []


async def test_a_kernel_that_waited_runs_the_cells_it_was_sent_meanwhile(
    server: Server, cluster: LocalCluster
) -> None:
    holders = [await server.start("kube-four-gpus")]
    waiting = await server.start("kube-gpu")
    assert "Insufficient nvidia.com/gpu" in waiting["reason"]
    socket = await server.connect(waiting["id"])
    ids = [socket.send_code("x = 20"), socket.send_code("print(x + 1)")]
    await output(socket)
    await server.delete(holders[0]["id"])
    assert (await socket.collect(ids[0], 60)).status == "ok"
    assert (await socket.collect(ids[1], 60)).text == "21\n"


async def test_a_start_that_took_too_long_is_dead_with_its_reason_and_can_be_tried_again(
    server: Server, cluster: LocalCluster
) -> None:
    model = await server.start("kube-hasty")
    assert model["execution_state"] == "starting"
    socket = await server.connect(model["id"])
    reply = await socket.collect(socket.send_code("1"), 60)
    assert reply.status == "aborted"
    assert "did not start within" in reply.text
    (model,) = await server.call("GET", "api", "kernels")
    assert model["execution_state"] == "dead"
    assert "did not start within" in model["reason"]
    while live(cluster, POD):
        await asyncio.sleep(0.02)
    model = await server.call("POST", "api", "kernels", model["id"], "restart")
    assert model["execution_state"] == "starting"
    await server.delete(model["id"])


async def test_a_full_quota_is_waited_for(server: Server, cluster: LocalCluster) -> None:
    quota = {
        "metadata": {"name": "gpus", "namespace": NAMESPACE_NAME},
        "spec": {"hard": {"requests.nvidia.com/gpu": "0"}},
    }
    cluster.call(cluster.store.create, QUOTA, quota)
    try:
        model = await server.start("kube-gpu")
        assert model["execution_state"] == "starting"
        assert "needs 1 GPU, more than the 0 that are allowed" in model["reason"]
    finally:
        cluster.call(cluster.store.delete, QUOTA, NAMESPACE_NAME, "gpus")
    socket = await server.connect(model["id"])
    assert (await value(socket, "'got it'")).endswith("got it")


async def test_a_deleted_pod_is_a_dead_kernel(server: Server, cluster: LocalCluster) -> None:
    model = await server.start()
    socket = await server.connect(model["id"])
    await value(socket, "1")
    name = naming.kernel_name(model["id"])
    cluster.call(cluster.store.delete, POD, NAMESPACE_NAME, name)
    assert await status(socket, "dead")
    model = await server.call("GET", "api", "kernels", model["id"])
    assert model["execution_state"] == "dead"
    assert "deleted" in model["reason"]


async def test_a_kernel_that_another_server_took_over_is_dead_here_and_its_pod_stays(
    server: Server, cluster: LocalCluster, tmp_path: Path
) -> None:
    model = await server.start()
    socket = await server.connect(model["id"])
    await value(socket, "1")
    ip, manager = await value(socket, "__import__('os').environ['POD_IP']"), server.manager
    other = Relay(
        lambda: tcp_connection(ip, PORT),
        manager(model["id"]).session.key,
        socket_dir=tmp_path / "r",
        on_event=lambda _: None,
        log=logging.getLogger("tests.relay"),
    )
    await manager(model["id"]).provisioner._life.relay.command("detach")
    await other.start()
    try:
        await other.ready()
        assert await status(socket, "dead")
        model = await server.call("GET", "api", "kernels", model["id"])
        assert "Another server" in model["reason"]
        await server.delete(model["id"])
        kept = [obj for kind in (POD, SECRET) for obj in live(cluster, kind) if not ending(obj)]
        assert {obj["metadata"]["name"] for obj in kept} == {naming.kernel_name(model["id"])}
        assert len(kept) == 2
        assert await other.command("signal", signum=0)
    finally:
        await other.close()
        cluster.call(cluster.store.delete, POD, NAMESPACE_NAME, naming.kernel_name(model["id"]))
        cluster.call(cluster.store.delete, SECRET, NAMESPACE_NAME, naming.kernel_name(model["id"]))


async def test_local_kernels_beside_ours_are_jupyters_own(server: Server) -> None:
    ours_, local = await server.start(), await server.start("python3")
    assert type(server.manager(local["id"])).__module__.startswith("jupyter_server.")
    socket, beside = await server.connect(ours_["id"]), await server.connect(local["id"])
    assert await value(beside, "1") == "1"
    assert await value(socket, "2") == "2"
    await server.call("POST", "api", "kernels", local["id"], "restart")
    # A stock kernel's old websocket may lose a message after a restart.
    beside = await server.connect(local["id"])
    assert await value(beside, "3") == "3"
    await server.delete(local["id"])
    assert await value(socket, "4") == "4"


async def test_shutting_down_all_is_not_stopped_by_failed_starts(
    server: Server, cluster: LocalCluster
) -> None:
    await server.start()
    await server.start("kube-impossible")
    await server.start("python3")
    with pytest.raises(HTTPClientError):
        await server.start("kube-bad")
    with pytest.raises(HTTPClientError):
        await server.start("no-such-kernel")
    await server.app.kernel_manager.shutdown_all()
    assert await server.call("GET", "api", "kernels") == []
    assert live(cluster, POD) == []


async def test_each_change_of_a_start_is_an_event(server: Server) -> None:
    seen: list[dict[str, Any]] = []

    async def listener(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        seen.append(data)

    schema = "https://events.jupyter.org/jupyter_kube/kernel_start/v1"
    model = await server.start()
    server.app.event_logger.add_listener(schema_id=schema, listener=listener)
    waiting = await server.start("kube-impossible")
    await server.delete(waiting["id"])
    assert {event["kernel_id"] for event in seen} == {waiting["id"]}
    assert any("Insufficient" in event.get("message", "") for event in seen)
    assert model["id"] != waiting["id"]


async def test_each_end_is_an_event_unless_it_was_asked_for(
    server: Server, cluster: LocalCluster
) -> None:
    seen: list[dict[str, Any]] = []

    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        seen.append(data)

    model = await server.start()
    logger = server.app.event_logger
    logger.add_listener(schema_id=news.END, listener=listen)
    socket = await server.connect(model["id"])
    await server.call("POST", "api", "kernels", model["id"], "restart")
    assert await value(socket, "1") == "1"
    await socket.run("import ctypes; ctypes.string_at(0)", 60)
    assert await value(socket, "1") == "1"
    name = naming.kernel_name(model["id"])
    cluster.call(cluster.store.delete, POD, NAMESPACE_NAME, name)
    assert await status(socket, "dead")
    beside = await server.start()
    await server.delete(beside["id"])
    await logger.gather_listeners()
    ends = [(e["kernel_id"], e["pod"], e["outcome"], e["cause"], e["signal"]) for e in seen]
    assert ends == [
        (model["id"], name, "restarting", "segfault", 11),
        (model["id"], name, "dead", "deleted", None),
    ]
    assert "Restart the kernel to get a new pod" in seen[1]["next"]
