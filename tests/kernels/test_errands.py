"""What a kernel asks for is done by its server, over any link, or it is told why not."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jupyter_kube.errors import InvalidInput
from jupyter_kube.kernels.errands import CourierError, Errand, Handler, Line
from jupyter_kube.kernels.exchange import Exchange
from jupyter_kube.kernels.folder import Folder, Limits

from .pod import Client, Rig, children, kernel, log

OPTIONS = {"port": 8888, "cwd": "work"}
LIMITS = Limits(100, 64 * 2**20)


@asynccontextmanager
async def line(rig: Rig, handlers: Mapping[str, Handler] | None = None) -> AsyncIterator[Line]:
    made = Line(
        rig.relay.companion,
        key=rig.container.key,
        **rig.container.curve,
        handlers=handlers or {},
        log=log,
    )
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def pod(tmp_path: Path, *, proxied: bool = False) -> AsyncIterator[tuple[Rig, Path]]:
    """Start a kernel; gives its folder, too."""
    place = tmp_path / "pod"
    place.mkdir()
    async with kernel(tmp_path, proxied=proxied, cwd=place, options=OPTIONS) as rig:
        await rig.relay.ready()
        yield rig, place / "work"


async def ask(client: Client, command: str) -> str:
    """Ask for something as %kube does; returns what is shown."""
    code = f"import jupyter_kube_pod\njupyter_kube_pod.run({command!r}, ['a', 'b'])"
    reply, printed = await client.run(code)
    return printed + str(reply.get("evalue", ""))


def companion(rig: Rig) -> int:
    """Find the companion's process by its command: where tests are nice, all of them are."""
    commands = {pid: Path(f"/proc/{pid}/cmdline") for pid in children(rig.container.pid)}
    return next(pid for pid, path in commands.items() if b"Companion" in path.read_bytes())


async def test_a_handler_answers_and_its_errors_are_words(tmp_path: Path) -> None:
    async def greet(errand: Errand) -> str:
        assert await errand.say("on my way")
        return f"hello {errand.names}"

    async def refuse(errand: Errand) -> str:
        raise InvalidInput("that is wrong", "it is not right")

    async def fail(errand: Errand) -> str:
        raise ValueError("inner secret")

    handlers = {"greet": greet, "refuse": refuse, "fail": fail}
    async with pod(tmp_path) as (rig, _), line(rig, handlers), rig.client() as client:
        await client.alive()
        assert await ask(client, "greet") == "on my way\nhello ('a', 'b')\n"
        assert await ask(client, "refuse") == "that is wrong: it is not right"
        said = await ask(client, "fail")
        assert "unexpected way" in said
        assert "secret" not in said
        assert 'does not know "other"' in await ask(client, "other")


CONVERSE = """
import asyncio, jupyter_kube_pod
async def converse(times):
    words = jupyter_kube_pod.converse("parrot", bytes(5 * 2**20) + b"x")
    async for text in words:
        print(text)
        times -= 1
        if not times:
            break
    await words.aclose()
await converse({times})
"""


async def test_much_may_be_sent_along_and_words_come_until_nobody_listens(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def parrot(errand: Errand) -> str:
        while await errand.say(f"{len(errand.data)} {errand.data[-1:]!r}"):
            pass
        ended.set()
        return "unheard"

    async with (
        pod(tmp_path) as (rig, _),
        line(rig, {"parrot": parrot}),
        rig.client() as client,
    ):
        await client.alive()
        _reply, printed = await client.run(CONVERSE.format(times=2))
        assert printed == f"{5 * 2**20 + 1} b'x'\n" * 2
        await ended.wait()


async def test_an_errand_ends_with_the_process_that_asked(tmp_path: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def forever(errand: Errand) -> str:
        begun.set()
        while await errand.say(""):
            await asyncio.sleep(0.05)
        ended.set()
        return ""

    async with (
        pod(tmp_path) as (rig, _),
        line(rig, {"wait": forever}),
        rig.client() as client,
    ):
        await client.alive()
        asking = asyncio.create_task(ask(client, "wait"))
        await begun.wait()
        await rig.relay.command("restart")
        await ended.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def test_an_interrupt_ends_the_work(tmp_path: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def forever(errand: Errand) -> str:
        begun.set()
        try:
            while await errand.say(""):
                await asyncio.sleep(0.05)
        finally:
            ended.set()
        return ""

    async with (
        pod(tmp_path) as (rig, _),
        line(rig, {"wait": forever}),
        rig.client() as client,
    ):
        await client.alive()
        asking = asyncio.create_task(ask(client, "wait"))
        await begun.wait()
        await rig.relay.command("signal", signum=signal.SIGINT)
        await asking
        await ended.wait()


async def test_a_companion_that_was_killed_is_found_again(tmp_path: Path) -> None:
    async def greet(errand: Errand) -> str:
        return "hello"

    async with pod(tmp_path) as (rig, _), line(rig, {"greet": greet}) as made:
        async with rig.client() as client:
            await client.alive()
            assert await ask(client, "greet") == "hello\n"
            os.kill(companion(rig), signal.SIGKILL)
            said = ""
            while said != "hello\n":  # at first there is none that answers
                said = await ask(client, "greet")
        answer, _ = await made.ask("list", names=[])
        assert answer["files"] == []


async def test_an_errand_lasts_through_a_cut_and_ends_when_another_server_is_there(
    tmp_path: Path,
) -> None:
    said, ended = asyncio.Event(), asyncio.Event()

    async def forever(errand: Errand) -> str:
        while await errand.say(""):
            said.set()
            await asyncio.sleep(0.05)
        ended.set()
        return ""

    async with (
        pod(tmp_path, proxied=True) as (rig, _),
        line(rig, {"wait": forever}),
        rig.client() as client,
    ):
        await client.alive()
        asking = asyncio.create_task(ask(client, "wait"))
        await said.wait()
        rig.proxy.cut()
        said.clear()
        await said.wait()
        assert not asking.done()
        async with line(rig):
            assert "was lost" in await asking
        await ended.wait()


LISTEN = """
import jupyter_kube_pod
try:
    async for text in jupyter_kube_pod.converse("wait", b""):
        print(text)
except jupyter_kube_pod.ErrandError as error:
    print(error, error.lost)
"""


@pytest.mark.parametrize("way", ["run", "converse"])
async def test_an_errand_ends_with_the_companion_that_had_it(tmp_path: Path, way: str) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def forever(errand: Errand) -> str:
        begun.set()
        try:
            return await asyncio.Future()
        finally:
            ended.set()

    async with (
        pod(tmp_path) as (rig, _),
        line(rig, {"wait": forever}),
        rig.client() as client,
    ):
        await client.alive()
        asks = ask(client, "wait") if way == "run" else client.run(LISTEN)
        asking = asyncio.create_task(asks)
        await begun.wait()
        os.kill(companion(rig), signal.SIGKILL)
        assert "has ended before it was done" in str(await asking)
        await ended.wait()


async def test_orders_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    async with pod(tmp_path) as (rig, _), line(rig) as made:
        for op, args in (
            ("dance", {}),
            ("list", {}),
            ("list", {"names": ["../.."]}),
            ("read", {"spans": [["a"]]}),
            ("write", {"pieces": [[["../x", 1, 0, 0, ""], "", 0]]}),
            ("take", {}),
        ):
            with pytest.raises(CourierError):
                await made.ask(op, **args)
        answer, _ = await made.ask("list", names=[])
        assert answer["root"].endswith("/work")


async def test_a_push_is_whole_though_the_link_is_cut(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "many").mkdir(parents=True)
    for number in range(60):
        (home / "many" / f"{number}").write_bytes(os.urandom(1000))
    (home / "large").write_bytes(os.urandom(20 * 2**20))
    exchange = Exchange(lambda: home, LIMITS)
    async with pod(tmp_path, proxied=True) as (rig, there), line(rig) as made:
        pushing = asyncio.create_task(exchange.push(made))
        while not pushing.done():
            if rig.proxy.cuts < 20:  # else a slow machine might never get through
                rig.proxy.cut()
            await asyncio.sleep(0.05)
        report = await pushing
        assert len(report.landed) == 61
        assert not report.failed
        assert rig.proxy.cuts > 1
        assert Folder(there, LIMITS).listing().files == Folder(home, LIMITS).listing().files


async def test_too_much_is_refused_and_what_is_named_still_comes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    small = Limits(10, 1000)
    exchange = Exchange(lambda: home, small)
    options = {**OPTIONS, "files": list(small)}
    place = tmp_path / "pod"
    place.mkdir()
    async with kernel(tmp_path, cwd=place, options=options) as rig, line(rig) as made:
        await rig.relay.ready()
        (place / "work" / "large").write_bytes(bytes(2000))
        (place / "work" / "small").write_bytes(b"small")
        with pytest.raises(CourierError, match=r"2 files of 1.96 KiB.*large"):
            await exchange.pull(made)
        report = await exchange.pull(made, ["small"])
        assert report.landed == {"small": "small"}
        report = await exchange.pull(made, fit=True)
        assert report.left == ["large"]


async def test_nothing_of_it_is_left_in_the_pod(tmp_path: Path) -> None:
    async with pod(tmp_path) as (rig, _), line(rig) as made:
        await made.ask("know", files={"a": "0"})
        await rig.relay.command("shutdown")
        assert await rig.container.ended() == 0
        usual = {"r", ".ipython"}  # the home of the kernel's user is there, too
        assert {p.name for p in Path(rig.container.tmp).iterdir()} <= usual
