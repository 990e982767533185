"""A process lends its standard error: it is read on its way, and what comes last is known."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jupyter_kube.kernels import stderr
from jupyter_kube.kernels.stderr import Lending

LENDER = """
import os, sys
sys.path.insert(0, sys.argv[2])
from jupyter_kube.kernels.podclient import lend_stderr
if sys.argv[3:]:  # to itself
    back, there = os.pipe()
    os.dup2(there, 2)
settle = lend_stderr(sys.argv[1])
def say(text): os.write(2, text.encode())
"""
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def lender(
    folder: Path, code: str, *options: str
) -> AsyncIterator[tuple[Lending, subprocess.Popen[bytes]]]:
    """Run a process that lends what it has as its standard error, a pipe as in ipykernel."""
    kernels: set[int] = set()
    lending = Lending(kernels)
    lending.open(str(folder / "e"))
    argv = [sys.executable, "-c", LENDER + code, str(folder / "e"), str(ROOT), *options]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        kernels.add(process.pid)
        try:
            yield lending, process
        finally:
            process.kill()
            lending.close()
    assert list(folder.iterdir()) == []


async def ended(process: subprocess.Popen[bytes]) -> None:
    await asyncio.to_thread(process.wait, 60)


async def read(process: subprocess.Popen[bytes], size: int) -> bytes:
    assert process.stderr is not None
    return await asyncio.to_thread(process.stderr.read, size)


async def test_it_goes_on_to_where_it_went_before_and_of_a_crash_the_end_is_known(
    tmp_path: Path,
) -> None:
    code = "say('hello\\n'); sys.stdin.read(1); say('heap corrupted\\n'); os.abort()"
    async with lender(tmp_path, code) as (lending, process):
        assert await read(process, 6) == b"hello\n"
        assert process.stdin is not None
        process.stdin.close()
        await ended(process)
        words = lending.last_words(process.pid).splitlines()
        assert words[:3] == ["hello", "heap corrupted", "Fatal Python error: Aborted"]
        assert lending.last_words(process.pid) == ""  # once


async def test_much_of_it_waits_for_its_reader_and_is_whole(tmp_path: Path) -> None:
    size = 1_000_000
    code = f"for n in range({size} // 10): say(f'{{n:9}}\\n')"
    async with lender(tmp_path, code) as (lending, process):
        got = await read(process, size)
        assert got == b"".join(b"%9d\n" % n for n in range(size // 10))
        await ended(process)
        assert lending.last_words(process.pid).splitlines()[-1] == f"{size // 10 - 1:9}"


async def test_what_nobody_reads_any_more_is_in_the_pods_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "sys.stdin.read(1); say('the last\\n')"
    async with lender(tmp_path, code) as (lending, process):
        assert process.stderr is not None
        assert process.stdin is not None
        while process.pid not in lending._passages:
            await asyncio.sleep(0)
        process.stderr.close()
        process.stdin.close()
        await ended(process)
        assert lending.last_words(process.pid) == "the last"
        assert capfd.readouterr().err.endswith("the last\n")


async def test_a_process_whose_reader_has_gone_is_not_held_up(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "for n in range(60_000): say(f'{n:9}\\n')\nsys.stdin.read(1)"
    async with lender(tmp_path, code) as (lending, process):
        assert process.stderr is not None
        assert process.stdin is not None
        assert await read(process, 10) == b"        0\n"
        process.stderr.close()
        process.stdin.close()
        await ended(process)
        assert lending.last_words(process.pid).splitlines()[-1] == "    59999"
        assert capfd.readouterr().err.endswith("    59999\n")


async def test_a_process_that_settles_has_heard_all_that_it_wrote(tmp_path: Path) -> None:
    code = """
import select, threading
from jupyter_kube.kernels import podclient
podclient._COMING = 60
heard = []
def hear():
    while len(heard) < 300:
        select.select([back], [], [])
        heard.append(os.read(back, 100))
os.set_blocking(back, False)
hearing = threading.Thread(target=hear)
hearing.start()
for n in range(300):
    say(f'{n:9}')
    settle()
    try:
        sys.exit(f'nobody has heard {os.read(back, 100)}')
    except BlockingIOError:
        pass
hearing.join()
assert heard == [b'%9d' % n for n in range(300)]
"""
    async with lender(tmp_path, code, "back") as (_, process):
        await ended(process)
        assert process.returncode == 0


async def test_who_has_nothing_to_lend_disturbs_nobody(tmp_path: Path) -> None:
    async with lender(tmp_path, "say('fine\\n')") as (lending, process):
        for said in (b"", b"x"):
            with socket.socket(socket.AF_UNIX) as guest:
                guest.connect(str(tmp_path / "e"))
                guest.send(said)
        with socket.socket(socket.AF_UNIX) as guest:
            guest.connect(str(tmp_path / "e"))  # and says nothing
            assert await read(process, 5) == b"fine\n"
        await ended(process)
        assert lending.last_words(os.getpid()) == ""


async def test_who_lends_again_is_heard_again(tmp_path: Path) -> None:
    code = """
first = settle
say('one\\n')
settle = lend_stderr(sys.argv[1])
say('two\\n')
first(), settle()
sys.stdin.read(1)
say('three\\n')
"""
    async with lender(tmp_path, code) as (lending, process):
        assert await read(process, 8) == b"one\ntwo\n"
        assert process.stdin is not None
        process.stdin.close()
        assert await read(process, 6) == b"three\n"
        await ended(process)
        assert lending.last_words(process.pid) == "two\nthree"


async def test_of_a_process_that_is_no_kernel_nothing_is_kept(tmp_path: Path) -> None:
    open_files = set(Path("/proc/self/fd").iterdir())
    async with lender(tmp_path, "say('fine\\n')") as (lending, process):
        lending._kernels.clear()
        assert await read(process, 5) == b"fine\n"
        await ended(process)
        async with asyncio.timeout(60):
            while lending._passages:
                await asyncio.sleep(0)
    assert set(Path("/proc/self/fd").iterdir()) == open_files


async def test_a_log_that_cannot_be_written_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("wb") as full:
        monkeypatch.setattr(stderr, "_OWN", full.fileno())
        code = "for n in range(60_000): say(f'{n:9}\\n')\nsys.stdin.read(1); say('the last\\n')"
        async with lender(tmp_path, code) as (lending, process):
            assert process.stderr is not None
            assert process.stdin is not None
            process.stderr.close()
            process.stdin.close()
            await ended(process)
            assert lending.last_words(process.pid).splitlines()[-1] == "the last"


def test_what_both_sides_see_has_its_room_on_the_disk() -> None:
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
        socket.socket(socket.AF_UNIX) as door,
    ):
        door.bind(f"{folder}/e")
        door.listen()
        argv = [sys.executable, "-c", LENDER, f"{folder}/e", str(ROOT)]
        with subprocess.Popen(argv), door.accept()[0] as guest:
            _, files, _, _ = socket.recv_fds(guest, 1, 3)
        assert os.fstat(files[2]).st_blocks > 0
        for file in files:
            os.close(file)
