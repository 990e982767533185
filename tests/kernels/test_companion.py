"""A real kernel whose server goes away: what it said meanwhile is had from its companion."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

from jupyter_kube.kernels import relay as relays
from jupyter_kube.kernels.recall import RecallError, Recording, recall
from jupyter_kube.kernels.relay import LauncherError, Relay

from .pod import Client, Rig, children, kernel

SMALL = {"port": 8888, "recording_limit": 200_000}


async def recorded(
    rig: Rig, session: str, *, relay: Relay | None = None, since: float = 0.0
) -> Recording:
    relay = relay or rig.relay
    keys = {"key": rig.container.key, **rig.container.curve}
    return await recall(relay.companion, session=session, since=since, timeout=30, **keys)


async def listening(rig: Rig) -> None:
    """Wait until the companion knows the kernel's state and has nothing to wait for."""
    while (await recorded(rig, "nobody")).busy:
        await asyncio.sleep(0.02)


@asynccontextmanager
async def returned(rig: Rig, name: str = "s") -> AsyncIterator[tuple[Relay, float]]:
    """Attach as a new server; yield its relay and until when the former one had everything."""
    relay = rig.new_relay(rig.direct, rig.folder / name)
    await relay.start()
    try:
        since = (await relay.ready())["since"]
        yield relay, since
    finally:
        await relay.close()


async def leave(rig: Rig) -> None:
    await rig.relay.command("detach")
    await rig.relay.close()


def texts(recording: Recording) -> str:
    """Return what was printed, in order."""
    messages = [(json.loads(m[1]), json.loads(m[4])) for m in recording.messages]
    return "".join(c["text"] for h, c in messages if h["msg_type"] == "stream")


async def ended(rig: Rig, relay: Relay, session: str, since: float) -> Recording:
    """Wait until the kernel is idle; return the recording."""
    while (recording := await recorded(rig, session, relay=relay, since=since)).busy:
        await asyncio.sleep(0.02)
    return recording


WAIT = "import os, time\nwhile not os.path.exists({path!r}): time.sleep(0.01)\n"


async def begun(client: Client, code: str) -> tuple[str, list[str]]:
    """Send a cell; return its id, and what it printed up to ``go``."""
    wanted = client.execute("print('go', flush=True)\n" + code)
    printed: list[str] = []
    while "go\n" not in "".join(printed):
        message = await client.get_iopub_msg()
        if message["parent_header"].get("msg_id") == wanted:
            printed.append(message["content"].get("text", ""))
    return wanted, printed


async def test_a_cell_that_ran_on_is_had_whole(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        await listening(rig)
        gone = tmp_path / "gone"
        code = WAIT.format(path=str(gone)) + "for i in range(500): print(i, flush=True)\n40 + 2"
        cell, _ = await begun(client, code)
        await leave(rig)
        gone.touch()
        async with returned(rig) as (relay, since):
            recording = await ended(rig, relay, client.session.session, since)
        # What was said within the last milliseconds before the server went may come twice.
        assert texts(recording).removeprefix("go\n").split() == [str(i) for i in range(500)]
        assert (recording.dropped, recording.unheard) == (0, 0)
        ((parent, content),) = [r for r in recording.replies if r[0]["msg_id"] == cell]
        assert parent["session"] == client.session.session
        assert (content["status"], content["execution_count"]) == ("ok", 1)
        last = recording.messages[-1]
        assert json.loads(last[4]) == {"execution_state": "idle"}
        for message in recording.messages:
            assert client.session.sign(message[1:5]) == message[0]


async def test_a_server_that_is_killed_in_a_flood_leaves_no_gap(tmp_path: Path) -> None:
    async with kernel(tmp_path, payload_edit=QUICK) as rig, rig.client() as client:
        await client.alive()
        await listening(rig)
        _, printed = await begun(client, "for i in range(30_000): print(i, flush=i % 7 == 0)")
        while len("".join(printed)) < 20_000:
            printed.append((await client.get_iopub_msg())["content"].get("text", ""))
        await rig.relay.close()
        with suppress(Empty):  # a killed server's sockets are gone with this; here it is evidence
            while True:
                printed.append((await client.get_iopub_msg(timeout=1))["content"].get("text", ""))
        async with returned(rig) as (relay, since):
            recording = await ended(rig, relay, client.session.session, since)
        had = "".join(printed).split()[1:]
        later = texts(recording).split()
        assert recording.dropped == 0
        assert had == [str(i) for i in range(len(had))]
        assert later == [str(i) for i in range(int(later[0]), 30_000)]
        assert int(later[0]) <= len(had) < 30_000, "what no server had is recorded"


async def test_a_flood_leaves_the_newest_and_says_what_is_lost(tmp_path: Path) -> None:
    async with kernel(tmp_path, options=SMALL) as rig, rig.client() as client:
        await client.alive()
        await listening(rig)
        gone = tmp_path / "gone"
        _, _ = await begun(
            client,
            WAIT.format(path=str(gone))
            + "from IPython.display import display\n"
            + "for i in range(5000): display({'text/plain': str(i)}, raw=True)",
        )
        await leave(rig)
        gone.touch()
        async with returned(rig) as (relay, since):
            recording = await ended(rig, relay, client.session.session, since)
        shown = [json.loads(m[4]).get("data") for m in recording.messages]
        numbers = [int(data["text/plain"]) for data in shown if data]
        assert numbers == list(range(5000 - len(numbers), 5000))
        assert 50 < len(numbers) < 500
        before = recording.dropped - (5000 - len(numbers))  # what came here after it was there
        assert 0 <= before <= 3
        assert recording.dropped_bytes > 500_000
        assert len(recording.replies) == 1


async def test_fifty_megabytes_while_nobody_is_there(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        await listening(rig)
        gone = tmp_path / "gone"
        await begun(
            client,
            WAIT.format(path=str(gone))
            + "for i in range(50): print(chr(97 + i % 26) * 1_000_000, flush=True)",
        )
        await leave(rig)
        gone.touch()
        async with returned(rig) as (relay, since):
            recording = await ended(rig, relay, client.session.session, since)
        kept = texts(recording)
        whole = "".join(chr(97 + i % 26) * 1_000_000 + "\n" for i in range(50))
        assert whole.endswith(kept)
        assert 6_000_000 < len(kept) <= 8 * 2**20
        assert recording.dropped_bytes >= len(whole) - len(kept)
        assert recording.replies[-1][1]["status"] == "ok"


async def test_a_death_while_nobody_is_there_ends_its_cell(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        await listening(rig)
        session = client.session.session
        gone, seen = tmp_path / "gone", tmp_path / "seen"
        code = WAIT.format(path=str(gone)) + "print('last', flush=True)\n"
        code += WAIT.format(path=str(seen)) + "os._exit(7)"
        cell, _ = await begun(client, code)
        await leave(rig)
        gone.touch()
        async with returned(rig) as (relay, since):
            while "last" not in texts(await recorded(rig, session, relay=relay, since=since)):
                await asyncio.sleep(0.02)
            await relay.command("detach")
        seen.touch()
        async with returned(rig, "t") as (relay, _):
            while (await relay.ready())["generation"] == 1:
                await asyncio.sleep(0.01)
            recording = await ended(rig, relay, session, since)
        assert texts(recording).removeprefix("go\n") == "last\nThe kernel died: exit code 7.\n"
        assert json.loads(recording.messages[-1][4]) == {"execution_state": "idle"}
        assert [c for p, c in recording.replies if p["msg_id"] == cell] == [{"status": "aborted"}]
        for message in recording.messages:
            assert client.session.sign(message[1:5]) == message[0]


async def test_of_two_servers_that_want_the_kernel_one_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "_HELD", 2.0)
    async with kernel(tmp_path, payload_edit=QUICK) as rig:
        await rig.relay.ready()
        await rig.relay.close()
        rivals = [rig.new_relay(rig.direct, rig.folder / name) for name in "abc"]
        try:
            for rival in rivals:
                await rival.start()
            found = await asyncio.gather(*(r.ready() for r in rivals), return_exceptions=True)
            assert sum(isinstance(answer, dict) for answer in found) == 1
            assert sum(isinstance(answer, LauncherError) for answer in found) == 2
        finally:
            for rival in rivals:
                await rival.close()


# --- the companion itself ------------------------------------------------------------------------


QUICK = ("gate", "TAKEOVER = 5.0", "TAKEOVER = 0.3")


def companion_of(rig: Rig, kernel_pid: int) -> int:
    (pid,) = [pid for pid in children(rig.container.pid) if pid != kernel_pid]
    return pid


async def test_a_killed_companion_comes_back_and_the_kernel_notices_nothing(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        await listening(rig)
        pid = (await rig.relay.ready())["pid"]
        os.kill(companion_of(rig, pid), signal.SIGKILL)
        _, printed = await client.run("print('same')")
        assert printed == "same\n"
        await listening(rig)
        recording = await recorded(rig, client.session.session)
        assert recording.unheard
        assert (await rig.relay.ready())["pid"] == pid
        assert [e["event"] for e in rig.events].count("died") == 0


async def test_a_companion_that_stands_still_does_not_slow_the_kernel(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        await listening(rig)
        companion = companion_of(rig, (await rig.relay.ready())["pid"])
        os.kill(companion, signal.SIGSTOP)
        code = "for i in range(60): print(chr(97 + i % 26) * 500_000)\n"
        code += "for i in range(6000): display({'text/plain': ''}, raw=True)"
        reply, printed = await client.run(code)
        assert (reply["status"], len(printed)) == ("ok", 60 * 500_001)
        os.kill(companion, signal.SIGCONT)
        session = client.session.session
        while (recording := await ended(rig, rig.relay, session, 0.0)).dropped < 1000:
            pass  # it has yet to read what the kernel said meanwhile
        assert recording.replies[-1][1]["status"] == "ok"
        assert json.loads(recording.messages[-1][4]) == {"execution_state": "idle"}
        _, printed = await client.run("print('next')")
        assert texts(await ended(rig, rig.relay, client.session.session, 0.0)).endswith("next\n")


async def test_without_pyzmq_there_is_a_kernel_and_no_companion(tmp_path: Path) -> None:
    edit = ("attend", "    import zmq\n", "    import zmq_is_not_in_this_image as zmq\n")
    async with kernel(tmp_path, payload_edit=edit) as rig, rig.client() as client:
        await client.alive()
        reading, _ = await asyncio.open_unix_connection(rig.relay.companion.removeprefix("ipc://"))
        with suppress(ConnectionResetError):
            assert await reading.read() == b""
        _.close()
        assert "has no pyzmq" in rig.container.log.read_text()
        assert rig.relay.alone
        _, printed = await client.run("print('fine')")
        assert printed == "fine\n"


async def test_a_companion_that_cannot_run_harms_nothing(tmp_path: Path) -> None:
    edit = ("companion", "import hmac\n", "import hmac\nraise SystemExit('broken')\n")
    async with kernel(tmp_path, payload_edit=edit) as rig, rig.client() as client:
        await client.alive()
        while rig.container.log.read_text().count("broken") < 2:
            assert (await client.run("print('fine')"))[1] == "fine\n"
        while not rig.relay.alone:
            await rig.event("companion")
        await leave(rig)
        async with returned(rig) as (relay, _):
            assert relay.alone, "who comes later is told at once"


async def test_only_who_holds_the_key_is_answered(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig:
        await rig.relay.ready()
        await listening(rig)
        with pytest.raises(TimeoutError):
            await recall(
                rig.relay.companion,
                key=b"guess",
                session="s",
                since=0.0,
                timeout=0.5,
                **rig.container.curve,
            )
        with pytest.raises(RecallError, match="could not convert"):
            await recorded(rig, "s", since="never")  # type: ignore[arg-type]  # on purpose
        assert (await recorded(rig, "s")).messages == []


async def test_a_users_command_finds_no_key(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        await listening(rig)
        pid = (await rig.relay.ready())["pid"]
        companion = companion_of(rig, pid)
        secrets = [rig.container.key, *rig.container.curve.values()]
        _, printed = await client.run(
            "import glob\nfound = b''\n"
            "for name in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline'):\n"
            "    try: found += open(name, 'rb').read()\n"
            "    except OSError: pass\n"
            f"print(len(found) > 100, [len(s) for s in {[s[:-1] for s in secrets]} if s in found])"
        )
        assert printed == "True []\n"
        assert Path(f"/proc/{companion}/cmdline").read_bytes()
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, companion) == ours + 5
        assert os.getpriority(os.PRIO_PROCESS, pid) == ours


async def test_the_companion_ends_with_its_pod(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig:
        pid = (await rig.relay.ready())["pid"]
        await listening(rig)
        companion = os.pidfd_open(companion_of(rig, pid))
        gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(companion, gone.set)
        await rig.relay.command("shutdown")
        assert await rig.container.ended() == 0
        await gone.wait()
        asyncio.get_running_loop().remove_reader(companion)
        os.close(companion)
        assert not list(rig.folder.glob("jk-*"))


# --- who ends a pod ------------------------------------------------------------------------------


def limits(**seconds: float) -> dict[str, Any]:
    return {"port": 8888, **seconds}


async def test_an_idle_kernel_ends_and_a_busy_one_does_not(tmp_path: Path) -> None:
    async with (
        kernel(tmp_path, options=limits(idle_timeout=1.5)) as rig,
        rig.client() as client,
    ):
        await client.alive()
        reply, printed = await client.run("import time; time.sleep(4); print('worked')")
        assert (reply["status"], printed) == ("ok", "worked\n")
        pid = (await rig.relay.ready())["pid"]
        reason = (await rig.event("ended"))["reason"]
        assert reason == "nothing ran for 2 s (idle_timeout of the profile)"
        assert await rig.container.ended() == 0
        assert not Path(f"/proc/{pid}").exists()
        assert reason in rig.container.log.read_text()
        with pytest.raises(LauncherError, match="nothing ran"):
            await rig.relay.ready()


async def test_a_lost_idle_kernel_ends(tmp_path: Path) -> None:
    async with kernel(tmp_path, options=limits(lost_timeout=2.0, lost_busy_timeout=60.0)) as rig:
        pid = (await rig.relay.ready())["pid"]
        await listening(rig)
        await leave(rig)
        assert await rig.container.ended() == 0
        assert not Path(f"/proc/{pid}").exists()
        assert "nothing ran and no Jupyter Server" in rig.container.log.read_text()


async def test_a_lost_busy_kernel_ends_later(tmp_path: Path) -> None:
    options = limits(idle_timeout=0.5, lost_timeout=0.5, lost_busy_timeout=3.0)
    async with kernel(tmp_path, options=options) as rig, rig.client() as client:
        await client.alive()
        await begun(client, "import time; time.sleep(600)")
        await rig.relay.close()  # without a word
        assert await rig.container.ended() == 0
        assert "was connected for 3 s (lost_busy_timeout" in rig.container.log.read_text()


async def test_without_a_companion_an_attached_kernel_is_never_idle(tmp_path: Path) -> None:
    edit = ("attend", "    import zmq\n", "    import zmq_is_not_in_this_image as zmq\n")
    options = limits(idle_timeout=0.1, lost_timeout=0.1, lost_busy_timeout=1.0)
    async with kernel(tmp_path, options=options, payload_edit=edit) as rig, rig.client() as client:
        await client.alive()
        while "never counts as idle" not in rig.container.log.read_text():
            await client.run("1")
        assert not [e for e in rig.events if e["event"] == "ended"]
        await leave(rig)
        assert await rig.container.ended() == 0
        assert "lost_busy_timeout" in rig.container.log.read_text()


def test_the_recording_does_not_slow_a_servers_start() -> None:
    import subprocess
    import sys

    code = "import sys, jupyter_kube.kernels.recall; sys.exit('zmq' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
