"""Logs, exec and port-forward of running pods."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.localcluster.podlogs import Excerpt, Wanted
from jupyter_kube.localcluster.store import POD

from .apiclient import PODS, ApiClient, pod, received

V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
FOREVER = "print('up', flush=True); import time; time.sleep(600)"
ECHO = (
    "import os, socket\n"
    "s = socket.create_server((os.environ['IP'], 8080))\n"
    "print('up', flush=True)\n"
    "c, _ = s.accept()\n"
    "while data := c.recv(65536): c.sendall(data.upper())\n"
)


async def until(cluster: LocalCluster, test: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until the pod ``p`` is as it should be."""
    changed = asyncio.Event()
    unsubscribe = cluster.store.subscribe(POD, lambda *_: changed.set())
    try:
        async with asyncio.timeout(30):
            while not test(cluster.store.get(POD, "default", "p")["status"]):
                changed.clear()
                await changed.wait()
    finally:
        unsubscribe()


def phase(wanted: str) -> Callable[[dict[str, Any]], bool]:
    return lambda status: status["phase"] == wanted


async def run(api: ApiClient, code: str, wanted: str, **spec: Any) -> None:
    manifest = pod("p", code, **spec)
    address = {"fieldRef": {"fieldPath": "status.podIP"}}
    manifest["spec"]["containers"][0]["env"] = [{"name": "IP", "valueFrom": address}]
    made = await api.post(PODS, manifest)
    assert made.code == 201, made.body
    await until(api.cluster, phase(wanted))


async def log(api: ApiClient, **query: str) -> str:
    answer = await api.get(f"{PODS}/p/log", **query)
    assert answer.code == 200, answer.body
    return answer.body.decode()


async def first_line(api: ApiClient) -> None:
    async with aclosing(api.lines(f"{PODS}/p/log", follow="true")) as lines:
        await anext(lines)


# -- logs


async def test_a_log_is_read_whole_and_in_parts(api: ApiClient) -> None:
    await run(api, "for i in range(5): print('line', i)", "Succeeded")
    assert await log(api) == "".join(f"line {i}\n" for i in range(5))
    assert await log(api, tailLines="2") == "line 3\nline 4\n"
    assert await log(api, tailLines="0") == ""
    assert await log(api, tailLines="99") == await log(api)
    assert await log(api, limitBytes="9") == "line 0\nli"
    assert await log(api, sinceSeconds="3600") == await log(api)
    assert await log(api, sinceTime="2100-01-01T00:00:00Z") == ""
    stamped = (await log(api, timestamps="true")).splitlines()
    assert [line.split(" ", 1)[1] for line in stamped] == (await log(api)).splitlines()
    assert await log(api, sinceTime=stamped[0].split(" ")[0]) == await log(api)


async def test_a_follow_shows_lines_as_they_come_and_ends_with_the_container(
    api: ApiClient,
) -> None:
    code = "import sys\nprint('first', flush=True)\nsys.stdin.read()\nimport time\ntime.sleep(600)"
    await run(api, code.replace("sys.stdin.read()\n", ""), "Running")
    lines = api.lines(f"{PODS}/p/log", follow="true")
    assert await anext(lines) == b"first"
    await api.request("DELETE", f"{PODS}/p")
    assert [line async for line in lines] == []


async def test_a_follow_misses_nothing_of_a_talkative_container(api: ApiClient) -> None:
    await run(api, "for i in range(20000): print(i)", "Running")
    lines = [int(line) async for line in api.lines(f"{PODS}/p/log", follow="true")]
    assert lines == list(range(20000))


async def test_the_log_before_a_restart_stays(api: ApiClient) -> None:
    code = (
        "import os, time\n"
        "n = os.path.exists('been'); open('been', 'w').close()\n"
        "print('run', int(n), flush=True)\n"
        "time.sleep(600 * n)\nraise SystemExit(1)"
    )
    await api.post(PODS, pod("p", code, restartPolicy="OnFailure"))
    assert (await api.get(f"{PODS}/p/log", previous="true")).code == 400
    await until(
        api.cluster,
        lambda status: any(
            each["restartCount"] and "running" in each["state"]
            for each in status.get("containerStatuses", ())
        ),
    )
    await first_line(api)
    assert await log(api, previous="true") == "run 0\n"
    assert await log(api) == "run 1\n"


async def test_a_log_that_cannot_be_had_says_why(api: ApiClient) -> None:
    assert (await api.get(f"{PODS}/p/log")).message == 'pods "p" not found'
    two = [{"name": name, "image": "missing/x"} for name in "ab"]
    await api.post(PODS, pod("p", containers=two))
    assert (await api.get(f"{PODS}/p/log")).message == (
        "a container name must be specified for pod p, choose one of: [a b]"
    )
    answer = await api.get(f"{PODS}/p/log", container="c")
    assert answer.message == "container c is not valid for pod p"
    await until(api.cluster, lambda status: "ErrImagePull" in json.dumps(status))
    answer = await api.get(f"{PODS}/p/log", container="a")
    assert answer.code == 400
    assert 'container "a" in pod "p" is waiting to start: ' in answer.message


async def test_a_pod_without_a_node_has_no_log_yet(api: ApiClient) -> None:
    manifest = pod("p")
    manifest["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "9"}}
    await api.post(PODS, manifest)
    assert (await api.get(f"{PODS}/p/log")).code == 204


def test_parts_of_a_long_line_are_joined() -> None:
    raw = b"2026-01-01T00:00:00.1Z stdout P ab\n2026-01-01T00:00:00.2Z stdout F c\n"
    whole = Excerpt(Wanted(timestamps=True)).feed(raw)
    assert whole == b"2026-01-01T00:00:00.1Z abc\n"
    bytewise = Excerpt(Wanted(timestamps=True))
    assert b"".join(bytewise.feed(raw[i : i + 1]) for i in range(len(raw))) == whole


# -- exec


async def execute(
    api: ApiClient, *command: str, protocol: str = V5, send: tuple[bytes, ...] = (), **flags: str
) -> tuple[bytes, bytes, dict[str, Any]]:
    query = [("command", word) for word in command] + list(({"stdout": "true"} | flags).items())
    socket = await api.socket(f"{PODS}/p/exec", protocol, query)
    for message in send:
        await socket.write_message(message, binary=True)
    messages = await received(socket)
    assert socket.close_code == 1000
    by_channel = {
        channel: b"".join(each[1:] for each in messages if each[0] == channel)
        for channel in range(4)
    }
    return by_channel[1], by_channel[2], json.loads(by_channel[3])


@pytest.mark.parametrize("protocol", [V4, V5])
async def test_a_command_speaks_on_both_outputs_and_ends_with_its_code(
    api: ApiClient, protocol: str
) -> None:
    await run(api, FOREVER, "Running")
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    out, err, status = await execute(api, "python", "-Sc", code, protocol=protocol)
    assert (out, err) == (b"out\n", b"err\n")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert status["message"] == "command terminated with non-zero exit code: exit status 3"
    _, _, status = await execute(api, "true", protocol=protocol)
    assert status == {"metadata": {}, "status": "Success"}


async def test_a_command_reads_until_its_input_is_closed(api: ApiClient) -> None:
    await run(api, FOREVER, "Running")
    big = b"x" * 200_000
    out, _, status = await execute(
        api, "cat", stdin="true", send=(b"\0" + big, b"\0" + big, b"\xff\0")
    )
    assert out == big * 2
    assert status["status"] == "Success"


async def test_a_terminal_has_a_size_and_echoes(api: ApiClient) -> None:
    await run(api, FOREVER, "Running")
    out, _, _ = await execute(
        api, "python", "-Sc", "import os; print(input(), os.get_terminal_size())",
        stdin="true", tty="true", send=(b'\4{"Width":91,"Height":17}', b"\0hello\n"),
    )  # fmt: skip
    assert b"hello os.terminal_size(columns=91, lines=17)\r\n" in out


async def test_a_command_that_is_not_there_is_an_error(api: ApiClient) -> None:
    await run(api, FOREVER, "Running")
    _, _, status = await execute(api, "no-such-command")
    assert status["reason"] == "InternalError"
    assert 'exec: "no-such-command": executable file not found' in status["message"]


async def test_exec_into_what_does_not_run_is_refused(api: ApiClient) -> None:
    await run(api, "pass", "Succeeded")
    answer = await api.get(f"{PODS}/p/exec", command="true")
    assert answer.code == 500
    assert 'container not found ("main")' in answer.message


async def test_a_command_ends_when_its_client_goes(api: ApiClient, cluster: LocalCluster) -> None:
    await run(api, FOREVER, "Running")
    query = [("command", "sleep"), ("command", "600"), ("stdout", "true")]
    socket = await api.socket(f"{PODS}/p/exec", V5, query)
    assert await socket.read_message() == b"\1"
    (task,) = cluster.api.tasks
    socket.close()
    await task


# -- port-forward


async def test_a_port_is_forwarded_with_its_number_in_front(api: ApiClient) -> None:
    await run(api, ECHO, "Running")
    await first_line(api)
    socket = await api.socket(f"{PODS}/p/portforward", V4, {"ports": "8080"})
    for channel in (0, 1):
        assert await socket.read_message() == bytes((channel,)) + (8080).to_bytes(2, "little")
    sent = b"abc" * 100_000
    await socket.write_message(b"\0" + sent, binary=True)
    got = b""
    while len(got) < len(sent):
        message = await socket.read_message()
        assert isinstance(message, bytes)
        assert message[0] == 0
        got += message[1:]
    assert got == sent.upper()
    socket.close()
    await api.request("DELETE", f"{PODS}/p")


async def test_a_closed_port_is_an_error_on_its_channel(api: ApiClient) -> None:
    await run(api, FOREVER, "Running")
    socket = await api.socket(f"{PODS}/p/portforward", V4, {"ports": "8081"})
    *_, error = await received(socket)
    assert error[0] == 1
    assert b"error forwarding port 8081 to pod" in error
    assert b"connection refused" in error


async def test_two_ports_have_channels_of_their_own(api: ApiClient) -> None:
    await run(api, FOREVER, "Running")
    socket = await api.socket(f"{PODS}/p/portforward", V4, [("ports", "8081"), ("ports", "8082")])
    messages = await received(socket)
    assert sorted({message[0] for message in messages}) == [0, 1, 2, 3]
    assert any(message[0] == 3 and b"8082" in message for message in messages)


async def test_a_pod_without_a_node_cannot_be_reached(api: ApiClient) -> None:
    manifest = pod("p")
    manifest["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "9"}}
    await api.post(PODS, manifest)
    for part in ("portforward?ports=1", "exec?command=true"):
        answer = await api.get(f"{PODS}/p/{part}")
        assert answer.message == "pod p does not have a host assigned"
