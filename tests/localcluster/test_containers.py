import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_kube.localcluster import containers

ENV = containers.base_environment()
LEFT_BEHIND = """
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(child.pid, os.getpid(), flush=True)
        time.sleep(600)
    os._exit(0)
os.wait()
"""


def gone(pid):
    """Whether a process has ended; a zombie has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


async def run(code, **options):
    return await containers.start(["python", "-S", "-c", code], ENV, Path("/"), **options)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("", 0),
        ("raise SystemExit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import os; os.kill(os.getpid(), 11)", 139),
    ],
)
async def test_exit_codes_are_those_of_containers(code, expected):
    process = await run(code)
    await process.stdout.read()
    assert await process.wait() == expected


async def test_outputs_share_a_pipe_in_order():
    process = await run("import os; [os.write(n, b'%d' % n) for n in (1, 2, 1)]")
    assert await process.stdout.read() == b"121"
    assert await process.wait() == 0


async def test_pipes_are_separate_where_asked_for():
    process = await run(
        "import sys; print(sys.stdin.read()); print(1, file=sys.stderr)", stdin=True, split=True
    )
    process.stdin.write(b"hello")
    process.stdin.close()
    assert await process.stdout.read() == b"hello\n"
    assert await process.stderr.read() == b"1\n"
    assert await process.wait() == 0


async def test_terminate_reaches_the_command_which_may_clean_up():
    process = await run(
        "import signal, sys; signal.signal(15, lambda *_: sys.exit(3)); print(1, flush=True); "
        "signal.pause()"
    )
    await process.stdout.readline()
    process.terminate()
    assert await process.wait() == 3


async def test_kill_ends_what_ignores_everything():
    process = await run("import signal; signal.signal(15, 1); print(1, flush=True); signal.pause()")
    await process.stdout.readline()
    process.terminate()
    process.kill()
    assert await process.wait() == 137


async def test_the_end_of_a_command_takes_all_its_descendants_along():
    process = await run(LEFT_BEHIND)
    pids = [int(word) for word in (await process.stdout.read()).split()]
    assert await process.wait() == 0
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


async def test_kill_takes_all_descendants_along():
    process = await run(LEFT_BEHIND.replace("os.wait()", "time.sleep(600)"))
    pids = [int(word) for word in (await process.stdout.readline()).split()]
    process.kill()
    assert await process.wait() == 137
    assert all(gone(pid) for pid in pids)


async def test_a_command_starts_with_default_signals_in_a_session_of_its_own():
    process = await run(
        "import os; print(os.getsid(0) == os.getpid()); print(open('/proc/self/status').read())"
    )
    first, _, status = (await process.stdout.read()).decode().partition("\n")
    assert first == "True"
    ignored = int(
        next(line for line in status.splitlines() if line.startswith("SigIgn")).split()[1], 16
    )
    # Python itself ignores SIGPIPE and SIGXFSZ; nothing else may be handed down.
    assert not ignored & ~(1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))
    assert await process.wait() == 0


async def test_a_terminal_is_one(tmp_path):
    process = await containers.start(["sh"], ENV, tmp_path, tty=True)
    process.resize(30, 99)
    process.stdin.write(b"stty size; test -t 0 && echo yes; exit 4\n")
    output = await process.stdout.read()
    assert b"30 99\r\n" in output
    assert b"yes\r\n" in output
    assert await process.wait() == 4


@pytest.mark.parametrize(
    ("argv", "why"),
    [(["no-such-command"], "executable file not found in $PATH"), (["./nothing"], "no such file")],
)
async def test_what_does_not_exist_cannot_start(argv, why, tmp_path):
    with pytest.raises(containers.CannotStart, match=why.replace("$", r"\$")):
        await containers.start(argv, ENV, tmp_path)


async def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(containers.CannotStart, match="no such directory"):
        await containers.start(["python"], ENV, tmp_path / "none")


def test_containers_inherit_where_programs_are_and_nothing_else(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("PYTHONPATH", "relative")
    env = containers.base_environment()
    assert set(env) <= {"PATH", "LANG", "VIRTUAL_ENV", "PYTHONPATH"}
    assert all(Path(entry).is_absolute() for entry in env["PYTHONPATH"].split(os.pathsep))
    assert env["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


OWNER = """
import asyncio, sys
from pathlib import Path
from jupyter_kube.localcluster import containers

async def main():
    process = await containers.start(
        ["python", "-S", "-c", sys.argv[1]], containers.base_environment(), Path("/")
    )
    line = await process.stdout.readline()
    print(process.pid, line.decode(), flush=True)
    await process.wait()

asyncio.run(main())
"""


def test_nothing_survives_the_sudden_death_of_the_local_cluster():
    code = LEFT_BEHIND.replace("os.wait()", "time.sleep(600)")
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, code], stdout=subprocess.PIPE, env={**os.environ, **ENV}
    )
    with owner:
        pids = [int(word) for word in owner.stdout.readline().split()]
        owner.kill()
        owner.wait()
    assert len(pids) == 3
    descriptors = [os.pidfd_open(pid) for pid in pids[:1] if not gone(pid)]
    for descriptor in descriptors:  # the shim ends last
        asyncio.run(_readable(descriptor))
        os.close(descriptor)
    assert all(gone(pid) for pid in pids)


async def _readable(descriptor):
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    await ended.wait()
    loop.remove_reader(descriptor)
