"""Containers as local processes: started under the shim, signalled and ended through it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import shutil
import struct
import sys
import termios
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from . import shim

_SHIM = str(Path(shim.__file__).resolve())
_PYTHONS = frozenset({"python", "python3"})
CANNOT_START = shim.CANNOT_START
"""Exit code of a command that could not be started."""

_INHERITED = ("PATH", "LANG", "VIRTUAL_ENV")


class CannotStart(Exception):
    """The command cannot be executed: the container runtime's words."""


class Process:
    """A running command of a container.

    ``stdin``, ``stdout`` and ``stderr`` are asyncio streams where they were asked for; with a
    terminal, ``stdout`` carries both outputs.
    """

    def __init__(self, process: asyncio.subprocess.Process, control: int) -> None:
        self._process, self._control = process, control
        self._terminal: int | None = None
        self.stdin: asyncio.StreamWriter | None = process.stdin
        self.stdout: asyncio.StreamReader | None = process.stdout
        self.stderr: asyncio.StreamReader | None = process.stderr

    @property
    def pid(self) -> int:
        """Process id of the shim, whose only child is the command."""
        return self._process.pid

    def terminate(self) -> None:
        """Send SIGTERM to the command."""
        self._order(b"T")

    def kill(self) -> None:
        """End the command and all its descendants at once."""
        self._order(b"K")

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of the terminal, if there is one."""
        if self._terminal is not None:
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    async def wait(self) -> int:
        """Wait for the end of the command and its descendants; 128 + n stands for signal n."""
        code = await self._process.wait()
        self._close_control()
        if self.stdin is not None:
            self.stdin.close()
        self._terminal = None
        return code

    def _order(self, order: bytes) -> None:
        with suppress(BrokenPipeError):
            if self._control >= 0:
                os.write(self._control, order)

    def _close_control(self) -> None:
        if self._control >= 0:
            os.close(self._control)
            self._control = -1

    async def attach_terminal(self, master: int) -> None:
        """Connect the streams to the terminal's own end, which is ours from now on."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(
            lambda: _TerminalReader(reader), os.fdopen(os.dup(master), "rb", buffering=0)
        )
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(master, "wb", buffering=0)
        )
        self.stdin = asyncio.StreamWriter(transport, protocol, None, loop)
        self.stdout, self._terminal = reader, master


class _TerminalReader(asyncio.StreamReaderProtocol):
    """A terminal whose last user has gone gives EIO: that is its end, not a failure."""

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(None if isinstance(exc, OSError) else exc)  # type: ignore[arg-type]  # a plain OSError or nothing


async def start(
    argv: list[str],
    env: Mapping[str, str],
    folder: Path,
    *,
    stdin: bool = False,
    split: bool = False,
    tty: bool = False,
) -> Process:
    """Start a command under a shim of its own.

    Parameters
    ----------
    argv
        The command line; its first word is looked up in the environment's PATH.
    env
        The whole environment.
    folder
        Where it starts.
    stdin
        Whether to connect a pipe to its standard input.
    split
        Whether standard error has a pipe of its own, instead of sharing standard output's.
    tty
        Whether to give it a terminal instead of pipes.

    Raises
    ------
    CannotStart
        If there is no such command or folder.

    """
    command = _command(argv, env, folder)
    pipe = asyncio.subprocess.PIPE
    if not tty:
        source = pipe if stdin else asyncio.subprocess.DEVNULL
        errors = pipe if split else asyncio.subprocess.STDOUT
        return await _start(command, env, folder, (source, pipe, errors))
    master, slave = pty.openpty()
    try:
        process = await _start(command, env, folder, (slave, slave, slave))
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    await process.attach_terminal(master)
    return process


async def _start(
    command: list[str], env: Mapping[str, str], folder: Path, streams: tuple[int, int, int]
) -> Process:
    order, control = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", _SHIM, str(order), *command),
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            cwd=folder,
            env=env,
            pass_fds=(order,),
            start_new_session=True,
        )
    except BaseException:
        os.close(control)
        raise
    finally:
        os.close(order)
    return Process(process, control)


def _command(argv: list[str], env: Mapping[str, str], folder: Path) -> list[str]:
    if not folder.is_dir():
        msg = f'failed to create containerd task: chdir to cwd ("{folder}"): no such directory'
        raise CannotStart(msg)
    word = argv[0]
    if word in _PYTHONS:
        return [sys.executable, *argv[1:]]
    path = str(folder / word) if "/" in word else word
    found = shutil.which(path, path=env.get("PATH", os.defpath))
    if found is None:
        why = "no such file or directory" if "/" in word else "executable file not found in $PATH"
        msg = (
            "failed to create containerd task: failed to create shim task: OCI runtime create "
            f'failed: unable to start container process: exec: "{word}": {why}: unknown'
        )
        raise CannotStart(msg)
    return [found, *argv[1:]]


def base_environment() -> dict[str, str]:
    """Build what every container inherits: where programs are, and where this package is.

    The environment of the running interpreter stands in for an image: its programs come first.
    """
    env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    programs = [str(Path(sys.executable).parent), env.get("PATH", os.defpath)]
    env["PATH"] = os.pathsep.join(programs)
    entries = [str(Path(each).resolve()) for each in _python_path()]
    if entries:
        env["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(entries))
    return env


def _python_path() -> list[str]:
    entries = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    package_root = Path(__file__).resolve().parents[2]
    if package_root.name not in {"site-packages", "dist-packages"}:
        entries.append(str(package_root))
    return entries
