"""The pod's open port: strangers get nothing and harm nobody."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_kube.kernels import gate as gates
from jupyter_kube.kernels import splice as splices
from jupyter_kube.kernels.gate import Gate, listening_socket
from jupyter_kube.kernels.handshake import BUSY, LOST, NEW, REPLACED, RESUMED, Dialer, Keys
from jupyter_kube.kernels.link import Link
from jupyter_kube.kernels.relay import tcp_connection
from jupyter_kube.kernels.splice import Connection, Splice, shake

KEY = b"the kernel's key"
IP = "127.0.77.7"


@asynccontextmanager
async def opened(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Gate, list[Any]]]:
    monkeypatch.setenv("POD_IP", IP)
    heard: list[Any] = []
    gate = Gate(
        KEY,
        greeting=lambda: {"event": "ready"},
        on_served=lambda since: None,
        on_control=heard.append,
        on_open=lambda pipe: heard.append(pipe.channel),
    )
    await gate.listen(0)
    try:
        yield gate, heard
    finally:
        gate.close()
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def dial(gate: Gate) -> Connection:
    return await tcp_connection(IP, gate._server.sockets[0].getsockname()[1])


async def until_end(connection: Connection) -> None:
    with suppress(ConnectionResetError):
        while await connection.read():
            pass
    connection.close()
    await settle()


class Server:
    """The dialing end, by hand."""

    def __init__(self) -> None:
        self.link = Link()
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.splice = Splice(self.link, on_control=self.told.put_nowait)
        self.resuming = False

    async def connect(self, gate: Gate) -> tuple[int, asyncio.Task[str] | None]:
        connection = await dial(gate)
        handshake = Dialer(
            KEY, session=self.link.session, resuming=self.resuming, received=self.link.received
        )
        rest = await shake(connection, handshake)
        if handshake.status not in {NEW, RESUMED}:
            connection.close()
            await settle()
            return handshake.status, None
        self.resuming = True
        self.connection = connection
        return handshake.status, asyncio.create_task(self.splice.carry(connection, handshake, rest))


async def test_garbage_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(monkeypatch) as (gate, heard):
        for garbage in (b"GET / HTTP/1.1\r\n" * 9, os.urandom(2_000_000), b"jk-link1" + bytes(500)):
            stranger = await dial(gate)
            stranger.write(garbage)
            await until_end(stranger)
        assert not heard
        assert not gate._strangers


async def test_a_silent_stranger_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "HANDSHAKE", 0.01)
    async with opened(monkeypatch) as (gate, _):
        await until_end(await dial(gate))
        assert not gate._strangers


async def test_many_strangers_do_not_keep_the_server_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(monkeypatch) as (gate, _):
        crowd = [await dial(gate) for _ in range(3 * gates.STRANGERS)]
        server = Server()
        status, carried = await server.connect(gate)
        assert status == NEW
        assert (await server.told.get()) == {"event": "ready"}
        assert len(gate._strangers) <= gates.STRANGERS
        for stranger in crowd:
            stranger.close()
        assert carried is not None
        server.splice.close()
        await carried


async def test_a_stranger_does_not_disturb_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(monkeypatch) as (gate, heard):
        server = Server()
        _, carried = await server.connect(gate)
        assert carried is not None
        stranger = await dial(gate)
        guess = Dialer(b"guess", session=server.link.session, resuming=True, received=0)
        stranger.write(guess.begin())
        assert await stranger.read()
        stranger.write(bytes(57))
        await until_end(stranger)
        server.splice.control({"op": "still here"})
        await server.splice.settled()
        assert heard == [{"op": "still here"}]
        server.splice.close()
        await carried


async def test_a_second_connection_of_the_session_takes_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with opened(monkeypatch) as (gate, heard):
        server = Server()
        _, first = await server.connect(gate)
        assert first is not None
        server.splice.control({"n": 1})
        await server.splice.settled()
        half_open, hang_up = server.connection, server.connection.close
        monkeypatch.setattr(half_open, "close", lambda: None)
        server.splice.cut()  # a cut that only this end has noticed
        await first
        status, second = await server.connect(gate)
        assert status == RESUMED
        assert second is not None
        server.splice.control({"n": 2})
        await server.splice.settled()
        assert heard == [{"n": 1}, {"n": 2}]
        with suppress(ConnectionResetError):
            assert await half_open.read() == b""
        hang_up()
        server.splice.close()
        await second


async def test_sessions_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(monkeypatch) as (gate, heard):
        lost = Server()
        lost.resuming = True
        assert (await lost.connect(gate))[0] == LOST

        old = Server()
        _, carried = await old.connect(gate)
        old.link.open("shell")
        old.splice.pump()
        await old.splice.settled()

        new = Server()
        assert (await new.connect(gate))[0] == BUSY
        gate.detach()
        status, newer = await new.connect(gate)
        assert status == NEW
        assert (await new.told.get())["event"] == "ready"
        assert carried is not None
        await carried
        assert (await old.connect(gate))[0] == REPLACED
        assert heard == ["shell"]
        new.splice.close()
        assert newer is not None
        await newer


async def test_of_two_servers_that_race_one_gets_the_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with opened(monkeypatch) as (gate, _):
        for _ in range(5):
            racers = [Server() for _ in range(4)]
            found = await asyncio.gather(*(racer.connect(gate) for racer in racers))
            assert sorted(status for status, _ in found) == [NEW, BUSY, BUSY, BUSY]
            for racer, (_, carried) in zip(racers, found, strict=True):
                if carried is not None:
                    await racer.told.get()
                    gate.detach()
                    racer.splice.close()
                    await carried


async def test_a_server_that_vanished_has_time_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    async with opened(monkeypatch) as (gate, _):
        monkeypatch.setattr(gates, "time", SimpleNamespace(monotonic=lambda: now))
        old, new = Server(), Server()
        _, carried = await old.connect(gate)
        assert carried is not None
        await old.told.get()
        now += 2 * gates.TAKEOVER
        assert (await new.connect(gate))[0] == BUSY, "the old one is still there"
        assert gate.attached
        old.splice.cut()
        await carried
        while gate.attached:
            await asyncio.sleep(0)
        now += gates.TAKEOVER - 0.1
        assert (await new.connect(gate))[0] == BUSY
        status, carried = await old.connect(gate)
        assert status == RESUMED
        assert carried is not None
        old.splice.control({"back": True})
        await old.splice.settled()
        old.splice.cut()
        await carried
        while gate.attached:
            await asyncio.sleep(0)
        lost, now = now, now + gates.TAKEOVER
        status, carried = await new.connect(gate)
        assert status == NEW
        assert await new.told.get() == {"event": "ready", "since": lost}
        assert (await old.connect(gate))[0] == REPLACED
        new.splice.close()
        assert carried is not None
        await carried


async def test_since_is_when_the_oldest_output_was_read_that_may_be_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with opened(monkeypatch) as (gate, _):
        old, new = Server(), Server()
        _, carried = await old.connect(gate)
        stream = old.link.open("iopub")
        old.splice.pump()
        await old.splice.settled()
        assert gate._splice is not None
        gate._splice.link.send(stream, b"heard", born=1.0)
        gate._splice.pump()
        await gate._splice.settled()
        gate._splice.link.send(stream, b"lost", born=2.0)
        gate._splice.link.send(stream, b"too", born=3.0)
        gate.detach()
        status, newer = await new.connect(gate)
        assert status == NEW
        assert (await new.told.get())["since"] == 2.0 - gates._SLACK
        new.splice.close()
        assert carried is not None
        assert newer is not None
        await asyncio.wait([carried, newer])


async def test_what_arrives_is_acknowledged_before_the_next_beat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(splices, "BEAT", 3600.0)
    async with opened(monkeypatch) as (gate, _):
        server = Server()
        _, carried = await server.connect(gate)
        stream = server.link.open("iopub")
        server.splice.pump()
        await server.splice.settled()
        splice = gate._splice
        assert splice is not None
        for _ in range(3):  # one by one: nothing else is under way that could carry it
            splice.link.send(stream, b"output", born=1.0)
            splice.pump()
            assert splice.link.oldest == 1.0
            await splice.settled()
            assert splice.link.oldest is None
        server.splice.close()
        assert carried is not None
        await carried


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "resume", "cut", "detach", "wait"]),
            st.integers(0, 2),
            st.floats(0, 2 * gates.TAKEOVER),
        ),
        max_size=40,
    )
)
def test_whatever_servers_do_one_has_the_kernel_and_keeps_it(
    steps: list[tuple[str, int, float]],
) -> None:
    now = 0.0
    gate = Gate(
        KEY,
        greeting=lambda: {"event": "ready"},
        on_served=lambda since: None,
        on_control=lambda message: None,
        on_open=lambda pipe: None,
    )
    sessions = [bytes([n]) * 16 for n in range(3)]
    holder, connected, gone, free = -1, False, 0.0, True
    with mock.patch.object(gates, "time", SimpleNamespace(monotonic=lambda: now)):
        for what, who, seconds in steps:
            match what:
                case "wait":
                    now += seconds
                case "detach" if connected and who == holder:
                    gate.detach()
                    free = True
                case "cut" if connected and who == holder:
                    assert gate._splice is not None
                    gate._splice.link.connection_lost()
                    gate._parted(gate._splice)
                    connected, gone = False, now
                case "begin" | "resume":
                    status, _ = gate._decide(sessions[who], what == "resume", 0)
                    if who == holder:
                        assert status == RESUMED
                    elif what == "resume":
                        assert status == (LOST if holder < 0 else REPLACED)
                        continue
                    elif free or (not connected and now - gone >= gates.TAKEOVER):
                        assert status == NEW
                        holder, free = who, False
                    else:
                        assert status == BUSY
                        continue
                    assert gate._splice is not None
                    gate._splice.link.connection_made(Keys(b"a", b"b"), 0)
                    connected = True
            if holder >= 0:
                assert gate._splice is not None
                assert gate._splice.link.session == sessions[holder]
                assert gate.attached == (connected and not free)


def test_the_port_is_open_on_all_addresses_or_on_the_loopback_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POD_IP", IP)
    with listening_socket(0) as sock:
        assert sock.getsockname()[0] == IP
    monkeypatch.setenv("POD_IP", "10.1.2.3")
    with listening_socket(0) as sock:
        assert sock.getsockname()[0] in {"::", "0.0.0.0"}
        with socket.create_connection(("127.0.0.1", sock.getsockname()[1])):
            pass


async def test_nagle_is_off_at_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(monkeypatch) as (gate, _):
        stranger = await dial(gate)
        while not gate._strangers:
            await asyncio.sleep(0)
        for end in (stranger, gate._strangers[0]):
            sock = end._writer.get_extra_info("socket")  # type: ignore[attr-defined]  # by hand
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        stranger.close()
        await settle()
