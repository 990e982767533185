"""A real kernel behind relay, link and launcher behaves as one on this machine, only tougher."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest
import zmq

from jupyter_kube.kernels.payload import LAUNCH_ENV
from jupyter_kube.kernels.relay import LauncherError

from .pod import children, kernel


async def test_all_channels_work_encrypted(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        ready = await rig.relay.ready()
        assert ready["generation"] == 1
        await client.alive()
        reply, printed = await client.run("print('hello'); 40 + 2")
        assert (reply["status"], printed) == ("ok", "hello\n")

        client.execute("answer = input('? ')", allow_stdin=True)
        question = await client.get_stdin_msg()
        assert question["content"]["prompt"] == "? "
        client.input("forty-two")
        reply, printed = await client.run("print(answer)")
        assert printed == "forty-two\n"

        with client.context.socket(zmq.REQ) as heart:
            public, secret = zmq.curve_keypair()
            heart.curve_serverkey = rig.container.curve["curve_publickey"]
            heart.curve_publickey, heart.curve_secretkey = public, secret
            heart.connect(f"ipc://{rig.info['ip']}-{rig.info['hb_port']}")
            await heart.send(b"beat")
            assert await heart.recv() == b"beat"
        assert [event["event"] for event in rig.events].count("link-lost") == 0


async def test_an_interrupt_by_message_reaches_what_the_cell_started(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        wanted = client.execute(
            "print('go', flush=True)\nimport subprocess\nsubprocess.run(['sleep', '60'])"
        )
        while (await client.get_iopub_msg())["content"].get("text") != "go\n":
            pass
        client.control_channel.send(client.session.msg("interrupt_request", content={}))
        while (reply := await client.get_shell_msg())["parent_header"]["msg_id"] != wanted:
            pass
        assert reply["content"]["ename"] == "KeyboardInterrupt"


async def test_a_killed_kernel_answers_again_on_the_same_sockets(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        for life in range(1, 11):
            _, printed = await client.run("import os; print(os.getpid())")
            os.kill(int(printed), signal.SIGKILL)
            died = await rig.event("died", life)
            assert died["generation"] == life
            assert died["signal"] == signal.SIGKILL
            assert died["restarting"]
            ready = await rig.event("ready", life + 1)
            assert ready["generation"] == life + 1
            assert ready["pid"] != int(printed)
        _, printed = await client.run("print('alive')")
        assert printed == "alive\n"


async def test_what_a_dead_kernel_had_started_ends_with_it(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        _, printed = await client.run(
            "import subprocess; child = subprocess.Popen(['sleep', '600']); print(child.pid)"
        )
        handle = os.pidfd_open(int(printed))
        try:
            client.execute("import os; os._exit(1)")
            await rig.event("ready", 2)
            ended = asyncio.Event()
            asyncio.get_running_loop().add_reader(handle, ended.set)
            await ended.wait()
            asyncio.get_running_loop().remove_reader(handle)
        finally:
            os.close(handle)


async def test_a_cell_sent_to_a_kernel_that_just_died_runs_in_the_next(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        client.execute("import os; os._exit(3)")
        died = await rig.event("died")
        assert (died["exit_code"], died["reason"]) == (3, "exit code 3")
        _, printed = await client.run("print('next')")
        assert printed == "next\n"


async def test_a_restart_in_place_keeps_the_pod(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        await client.run("x = 1")
        old = (await rig.relay.ready())["pid"]
        client.shutdown(restart=True)
        answer = await rig.relay.command("restart")
        assert answer["generation"] == 2
        ready = await rig.relay.ready()
        assert ready["generation"] == 2
        assert ready["pid"] != old
        reply, _ = await client.run("x")
        assert reply["ename"] == "NameError"
        assert not any(e["event"] == "died" for e in rig.events)


async def test_a_busy_kernel_is_restarted_after_its_grace(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        old = (await rig.relay.ready())["pid"]
        client.execute("print('at work', flush=True)\nwhile True: pass")
        # or the new process might get the cell
        while (await client.get_iopub_msg())["content"].get("text") != "at work\n":
            pass
        await rig.relay.command("restart")
        assert (await rig.relay.ready())["pid"] != old
        assert not Path(f"/proc/{old}").exists()  # gone before the new one is told of
        await client.alive()  # libzmq may connect for output later than for cells
        _, printed = await client.run("print('new')")
        assert printed == "new\n"


async def test_a_killed_kernel_stays_dead_until_the_restart(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        await rig.relay.command("kill")
        assert not (await rig.event("died"))["restarting"]
        await rig.relay.command("restart")
        assert (await rig.relay.ready())["generation"] == 2
        _, printed = await client.run("print('back')")
        assert printed == "back\n"


async def test_a_signal_reaches_the_kernel(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        await rig.relay.command("signal", signum=int(signal.SIGTERM))
        assert (await rig.event("died"))["signal"] == signal.SIGTERM


async def test_fifty_cuts_lose_no_line(tmp_path: Path) -> None:
    lines = 10_000
    async with kernel(tmp_path, proxied=True) as rig, rig.client() as client:
        await client.alive()
        proxy = rig.proxy

        async def cut() -> None:
            while proxy.cuts < 50:
                await rig.event("link-up", proxy.cuts + 1)
                await asyncio.sleep(random.random() * 0.02)  # waits for nothing: hits anywhere
                proxy.cut()

        cutting = asyncio.create_task(cut())
        code = (
            "import time\n"
            f"for i in range({lines}):\n"
            "    print(i, flush=i % 10 == 0)\n"
            "    if i % 100 == 0: time.sleep(0.01)"
        )
        reply, printed = await client.run(code)
        await cutting
        assert reply["status"] == "ok"
        assert printed.split() == [str(i) for i in range(lines)]
        assert proxy.cuts == 50
        _, printed = await client.run("print('still')")
        assert printed == "still\n"


async def test_fifty_megabytes_arrive(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        _, printed = await client.run("for i in range(50): print(chr(97 + i % 26) * 1_000_000)")
        assert printed == "".join(chr(97 + i % 26) * 1_000_000 + "\n" for i in range(50))


async def test_the_link_moves_to_a_better_way_without_loss(tmp_path: Path) -> None:
    async with kernel(tmp_path, proxied=True) as rig, rig.client() as client:
        await client.alive()
        running = asyncio.create_task(
            client.run("import time\nfor i in range(200): print(i, flush=True); time.sleep(0.002)")
        )
        rig.relay.use(rig.direct)
        await rig.event("link-up", 2)
        _, printed = await running
        assert printed.split() == [str(i) for i in range(200)]
        rig.proxy.cut()
        _, printed = await client.run("print('direct')")
        assert printed == "direct\n"
        assert not [e for e in rig.events if e["event"] == "link-lost"]


async def test_a_better_way_that_does_not_work_changes_nothing(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        tried = asyncio.Event()

        async def nowhere() -> None:
            tried.set()
            raise ConnectionRefusedError("no route to this pod")

        rig.relay.use(nowhere)  # type: ignore[arg-type]  # never returns
        await tried.wait()
        _, printed = await client.run("print('same')")
        assert printed == "same\n"


async def test_the_kernels_end_is_the_containers(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig:
        await rig.relay.ready()
        await rig.relay.command("shutdown")
        assert await rig.container.ended() == 0
        assert not list(rig.folder.glob("jk-*"))  # sockets and connection file are gone


async def test_sigterm_ends_kernel_and_container(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig:
        pid = (await rig.relay.ready())["pid"]
        os.kill(rig.container.pid, signal.SIGTERM)
        assert await rig.container.ended() == 143
        assert not Path(f"/proc/{pid}").exists()


async def test_no_key_shows_in_any_process(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig:
        pid = (await rig.relay.ready())["pid"]
        assert children(rig.container.pid) == [pid]
        secrets = [rig.container.key, rig.container.curve["curve_secretkey"]]
        for process in (rig.container.pid, pid):
            for name in ("environ", "cmdline"):
                shown = Path(f"/proc/{process}/{name}").read_bytes()
                assert shown
                assert not [s for s in secrets if s in shown]
                assert LAUNCH_ENV.encode() not in shown.replace(
                    b'env.pop("' + LAUNCH_ENV.encode(), b""
                )
        assert rig.container.key not in rig.container.log.read_bytes()


async def test_a_restarted_container_is_served_again(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig, rig.client() as client:
        await client.alive()
        rig.container.kill()
        await rig.event("link-lost")
        rig.container.start()
        await rig.event("launcher-restarted")
        assert (await rig.relay.ready())["generation"] == 1
        _, printed = await client.run("print('again')")
        assert printed == "again\n"


async def test_a_new_server_takes_the_kernel_over(tmp_path: Path) -> None:
    async with kernel(tmp_path) as rig:
        async with rig.client() as client:
            await client.alive()
            await client.run("kept = 42")
        first = rig.relay
        pid = (await first.ready())["pid"]
        await first.command("detach")
        second = rig.new_relay(rig.direct, rig.folder / "s")
        info = await second.start()
        try:
            assert (await second.ready())["pid"] == pid
            async with rig.client(info) as client:
                await client.alive()
                _, printed = await client.run("print(kept)")
                assert printed == "42\n"
            assert "Another server" in (await rig.event("replaced"))["reason"]
            with pytest.raises(LauncherError, match="Another server"):
                await first.ready()
            with pytest.raises(LauncherError, match="Another server"):
                await first.command("restart")
            assert (await second.command("restart"))["generation"] == 2
        finally:
            await second.close()
