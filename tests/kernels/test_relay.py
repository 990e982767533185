"""The relay's own choices: how it dials, what it tells, how it ends; against a gate in-process."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube.errors import AccessDenied, NotFound
from jupyter_kube.kernels import gate as gates
from jupyter_kube.kernels import localsockets
from jupyter_kube.kernels import relay as relays
from jupyter_kube.kernels import splice as splices
from jupyter_kube.kernels.gate import Gate
from jupyter_kube.kernels.handshake import LinkError
from jupyter_kube.kernels.relay import LauncherError, LinkFaultError, Relay, tcp_connection
from jupyter_kube.kernels.splice import Connection, Pipe

IP = "127.0.78.7"
KEY = b"the kernel's key"


class Pod:
    """A gate, and dials to it that fail as often as told."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[dict[str, Any]] = []
        self.pipes: list[Pipe] = []
        self.answer: dict[str, Any] | None = {"generation": 2}
        self.failures: list[BaseException] = []
        self.dials = 0
        self.connections: list[Connection] = []
        self.events: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self.greeting: dict[str, Any] = {"event": "ready", "generation": 1, "pid": 7}
        self.gate = Gate(
            KEY,
            greeting=lambda: self.greeting,
            on_served=lambda since: None,
            on_control=self.obey,
            on_open=self.pipes.append,
        )
        self.relay = Relay(
            self.dial,
            KEY,
            socket_dir=folder / "r",
            on_event=self.note,
            log=logging.getLogger("tests.relay"),
        )

    def obey(self, order: dict[str, Any]) -> None:
        self.heard.append(order)
        self._news.set()
        if self.answer is not None:
            self.gate.tell({"reply": order["id"], **self.answer})

    def note(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._news.set()

    async def until(self, condition: Any) -> None:
        while not condition():
            self._news.clear()
            await self._news.wait()

    def count(self, name: str) -> int:
        return [e["event"] for e in self.events].count(name)

    async def dial(self) -> Connection:
        self.dials += 1
        self._news.set()
        if self.failures:
            raise self.failures.pop(0)
        port = self.gate._server.sockets[0].getsockname()[1]
        connection = await tcp_connection(IP, port)
        self.connections.append(connection)
        return connection


@asynccontextmanager
async def pod(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Pod]:
    monkeypatch.setenv("POD_IP", IP)
    one = Pod(folder)
    await one.gate.listen(0)
    try:
        yield one
    finally:
        await one.relay.close()
        one.gate.close()
        for _ in range(5):
            await asyncio.sleep(0)


async def test_the_sockets_are_private_and_gone_at_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with pod(monkeypatch, tmp_path) as one:
        info = await one.relay.start()
        folder = tmp_path / "r"
        assert info == {
            "transport": "ipc",
            "ip": str(folder / "k"),
            **{f"{c}_port": n for n, c in enumerate(splices.CHANNELS, 1)},
        }
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {p.name for p in folder.iterdir()} == {f"k-{n}" for n in range(1, 7)}
    assert not list(folder.iterdir()) if folder.exists() else True


async def test_too_long_a_path_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with pod(monkeypatch, tmp_path / ("d" * 100)) as one:
        with pytest.raises(OSError, match="too long"):
            await one.relay.start()


async def test_without_unix_sockets_it_listens_on_loopback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with pod(monkeypatch, tmp_path) as one:
        monkeypatch.setattr(localsockets.sys, "platform", "win32")
        info = await one.relay.start()
        monkeypatch.undo()
        assert (info["transport"], info["ip"]) == ("tcp", "127.0.0.1")
        assert len({info[f"{c}_port"] for c in splices.CHANNELS}) == 5
        await one.relay.ready()
        host, _, port = one.relay.companion.removeprefix("tcp://").partition(":")
        assert int(port) not in info.values()
        _, asking = await asyncio.open_connection(host, int(port))
        await one.relay.command("anything")
        assert one.pipes.pop().channel == "companion"
        asking.close()
        await asking.wait_closed()
        _, writer = await asyncio.open_connection("127.0.0.1", info["iopub_port"])
        writer.write(b"greeting")
        await one.relay.command("anything")
        assert [pipe.channel for pipe in one.pipes] == ["iopub"]
        writer.close()
        await writer.wait_closed()


async def test_dialing_goes_on_through_every_kind_of_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with pod(monkeypatch, tmp_path) as one:
        one.failures = [
            ConnectionRefusedError("not yet"),
            NotFound("no pod"),
            TimeoutError("slow"),
            EOFError("hung up"),
        ]
        await one.relay.start()
        await one.until(lambda: one.dials == 5)
        assert one.relay.trouble == "hung up"
        assert (await one.relay.ready())["generation"] == 1
        assert one.dials == 5
        assert one.relay.trouble == ""


async def test_a_way_that_stays_forbidden_ends_the_start_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(relays, "_FORBIDDEN", 0.0)
    async with pod(monkeypatch, tmp_path) as one:
        one.failures = [AccessDenied("no port-forward", "pods/portforward is forbidden")]
        await one.relay.start()
        with pytest.raises(AccessDenied, match="pods/portforward is forbidden"):
            await one.relay.ready()
        assert one.dials == 1
        await one.until(lambda: one.count("error"))
        assert "pods/portforward is forbidden" in one.events[-1]["reason"]


@pytest.mark.parametrize("met", [False, True])
async def test_a_refusal_that_passes_or_comes_after_a_link_is_waited_out(
    met: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(relays, "_FORBIDDEN", 0.0 if met else 3600.0)
    async with pod(monkeypatch, tmp_path) as one:
        denied: list[BaseException] = [AccessDenied("no port-forward")] * 3
        one.failures = [] if met else denied
        await one.relay.start()
        await one.relay.ready()
        if met:
            one.failures = denied
            one.connections[-1].close()
            await one.until(lambda: one.count("link-up") == 2)
        assert one.dials == (5 if met else 4)


async def test_a_place_from_which_it_cannot_go_on_is_dialled_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with pod(monkeypatch, tmp_path) as one:
        carry = one.relay._splice.carry
        refusals = [LinkError("a place that is gone")]

        async def picky(*connected: Any) -> str:
            if refusals:
                raise refusals.pop()
            return await carry(*connected)

        monkeypatch.setattr(one.relay._splice, "carry", picky)
        await one.relay.start()
        await one.relay.ready()
        assert one.count("link-up") == 2
        lost = [e["reason"] for e in one.events if e["event"] == "link-lost"]
        assert lost == ["a place that is gone"]


async def test_a_failure_nobody_thought_of_is_told_and_ends_all_waiting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with pod(monkeypatch, tmp_path) as one:
        one.failures = [ZeroDivisionError("of all things")]
        await one.relay.start()
        order = asyncio.create_task(one.relay.command("anything"))
        with pytest.raises(LinkFaultError, match="of all things"):
            await one.relay.ready()
        with pytest.raises(LauncherError, match="of all things"):
            await order
        await one.until(lambda: one.count("fault"))
        assert "of all things" in one.events[-1]["reason"]


async def test_hurry_ends_a_long_pause(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(relays, "_FIRST", 3600.0)
    monkeypatch.setattr(relays, "_QUICK", 3600.0)
    monkeypatch.setattr(relays, "_SLOW", 3600.0)
    async with pod(monkeypatch, tmp_path) as one:
        one.failures = [ConnectionRefusedError("not yet")] * 2
        await one.relay.start()
        await one.until(lambda: one.dials == 1)
        one.relay.hurry()
        await one.until(lambda: one.dials == 2)
        for _ in range(50):  # one hurry is one try: now it pauses again
            await asyncio.sleep(0)
        assert one.dials == 2
        one.relay.hurry()
        await one.relay.ready()
        assert one.dials == 3


async def test_a_launcher_with_another_key_is_never_believed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with pod(monkeypatch, tmp_path) as one:
        monkeypatch.setattr(one.gate, "_key", b"another")
        await one.relay.start()
        await one.until(lambda: one.dials == 3)
        assert not one.events


async def test_a_half_open_connection_is_noticed_and_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(splices, "BEAT", 0.01)
    async with pod(monkeypatch, tmp_path) as one:
        await one.relay.start()
        await one.relay.ready()
        one.answer = None
        silenced = one.gate._splice
        assert silenced is not None
        assert silenced._connection is not None
        monkeypatch.setattr(silenced._connection, "write", lambda data: None)
        await one.until(lambda: one.count("link-lost"))
        lost = next(e for e in one.events if e["event"] == "link-lost")
        assert "silent" in lost["reason"] or "hung up" in lost["reason"]
        await one.until(lambda: one.count("link-up") == 2)


async def test_an_order_waits_for_a_lost_link(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with pod(monkeypatch, tmp_path) as one:
        one.failures = [ConnectionRefusedError("not yet")] * 3
        await one.relay.start()
        order = asyncio.create_task(one.relay.command("restart", grace=2.5))
        assert await order == {"generation": 2}
        assert one.heard == [{"op": "restart", "id": 1, "grace": 2.5}]


async def test_a_refused_order_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with pod(monkeypatch, tmp_path) as one:
        one.answer = {"error": "no such order"}
        await one.relay.start()
        with pytest.raises(LauncherError, match="no such order"):
            await one.relay.command("dance")


async def test_an_order_does_not_outlive_the_relay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with pod(monkeypatch, tmp_path) as one:
        one.answer = None
        await one.relay.start()
        order = asyncio.create_task(one.relay.command("kill"))
        await one.until(lambda: one.heard)
        await one.relay.close()
        with pytest.raises(LauncherError, match="closed"):
            await order


async def test_nobody_waits_for_a_kernel_whose_relay_was_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with pod(monkeypatch, tmp_path) as one:
        one.greeting = {"event": "started", "generation": 1, "pid": 7}
        await one.relay.start()
        waiting = asyncio.create_task(one.relay.ready())
        await one.until(lambda: one.count("started"))
        await one.relay.close()
        for late in (waiting, one.relay.ready(), one.relay.command("restart")):
            with pytest.raises(LauncherError, match=r"link was closed|did not answer"):
                async with asyncio.timeout(5):
                    await late


async def test_ready_waits_for_the_generation_that_is_current(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with pod(monkeypatch, tmp_path) as one:
        await one.relay.start()
        await one.relay.ready()
        one.gate.tell({"event": "died", "generation": 1})
        await one.until(lambda: one.count("died"))
        waiting = asyncio.create_task(one.relay.ready())
        one.gate.tell({"event": "started", "generation": 2, "pid": 8})
        await one.until(lambda: one.count("started"))
        assert not waiting.done()
        one.gate.tell({"event": "ready", "generation": 2, "pid": 8})
        assert (await waiting)["generation"] == 2


async def test_an_owner_that_fails_does_not_end_the_link(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: complaints.append(context)
    )
    async with pod(monkeypatch, tmp_path) as one:
        monkeypatch.setattr(one.relay, "_on_event", lambda event: 1 / 0)
        await one.relay.start()
        await one.relay.ready()
        assert await one.relay.command("anything") == {"generation": 2}
        assert complaints
    asyncio.get_running_loop().set_exception_handler(None)


async def test_bytes_of_a_local_connection_arrive_whole_through_cuts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with pod(monkeypatch, tmp_path) as one:
        info = await one.relay.start()
        await one.relay.ready()
        got = bytearray()
        monkeypatch.setattr(Pipe, "deliver", lambda pipe, data: _collect(pipe, data, got))
        _, writer = await asyncio.open_unix_connection(f"{info['ip']}-1")
        sent = os.urandom(6_000_000)
        for number, start in enumerate(range(0, len(sent), 100_000), 1):
            writer.write(sent[start : start + 100_000])
            if number % 10 == 0:
                one.connections[-1].close()
                await one.until(lambda n=number // 10: one.count("link-up") == n + 1)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        while len(got) < len(sent):
            await one.relay.command("anything")
        assert bytes(got) == sent


async def test_more_than_fits_while_the_link_is_down_arrives_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(relays, "_FIRST", 3600.0)
    monkeypatch.setattr(relays, "_QUICK", 3600.0)
    monkeypatch.setattr(relays, "_SLOW", 3600.0)
    async with pod(monkeypatch, tmp_path) as one:
        one.failures = [ConnectionRefusedError("not yet")]
        info = await one.relay.start()
        got = bytearray()
        monkeypatch.setattr(Pipe, "deliver", lambda pipe, data: _collect(pipe, data, got))
        _, writer = await asyncio.open_unix_connection(f"{info['ip']}-1")
        sent = os.urandom(1_000_000) * 40

        async def write() -> None:
            writer.write(sent)
            await writer.drain()

        writing = asyncio.create_task(write())
        splice = one.relay._splice
        while not splice._stopped:  # what one stream may hold is full
            await asyncio.sleep(0)
        assert splice.link._held < 34 * 2**20
        one.relay.hurry()
        await one.relay.ready()
        await writing
        while len(got) < len(sent):
            await one.relay.command("anything")
        assert bytes(got) == sent
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("closes", [True, False])
async def test_news_wait_until_local_sides_know_that_their_process_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closes: bool
) -> None:
    monkeypatch.setattr(splices, "_HOLD", 3600.0 if closes else 0.0)
    async with pod(monkeypatch, tmp_path) as one:
        info = await one.relay.start()
        await one.relay.ready()
        reader, writer = await asyncio.open_unix_connection(f"{info['ip']}-1")
        await one.relay.command("anything")  # the stream is open by now
        [pipe] = one.pipes
        pipe.splice.local_end(pipe)
        one.greeting = {"event": "ready", "generation": 2, "pid": 8}
        one.gate.tell(one.greeting)
        assert await reader.read() == b""
        if closes:  # a cell sent now would go to the process that ended
            for _ in range(10):
                await asyncio.sleep(0)
            assert (await one.relay.ready())["generation"] == 1
        else:  # one that never closes holds nothing up for long
            await one.until(lambda: one.count("ready") == 2)
        writer.close()
        await writer.wait_closed()
        await one.until(lambda: one.count("ready") == 2)
        assert (await one.relay.ready())["generation"] == 2


def _collect(pipe: Pipe, data: bytes, got: bytearray) -> None:
    got += data
    pipe.splice.link.consumed(pipe.stream, len(data))


def test_the_gate_and_the_relay_agree_on_how_long_a_handshake_may_take() -> None:
    assert gates.HANDSHAKE <= relays._DIAL_TIMEOUT
