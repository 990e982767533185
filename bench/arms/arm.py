"""What all arms have in common: a Jupyter Server of some kind that starts kernels."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from jupyter_kube.session import JupyterServer, ServerError

UNLIMITED = {"limit_rate": False}
"""Of the websocket's output: all arms alike, so that a lost byte is the arm's doing."""


@dataclass(frozen=True)
class Arm:
    """One way to run kernels.

    Parameters
    ----------
    name
        As in the tables.
    server
        Starts the kernels.
    body
        What a request for a kernel says.
    keeps_socket
        Whether a websocket goes on after a restart or a crash; else a new one is opened.
    in_cluster
        Whether kernels are pods, and cost API requests.

    """

    name: str
    server: JupyterServer
    body: Mapping[str, object]
    keeps_socket: bool = True
    in_cluster: bool = True
    notes: Mapping[str, str] = field(default_factory=dict)


@asynccontextmanager
async def serving(
    command: Sequence[str | Path], env: Mapping[str, str], port: int, token: str, log: Path
) -> AsyncIterator[JupyterServer]:
    """Run a server's `command` until the block is left; yield it once it answers.

    Raises
    ------
    ServerError
        If it does not come up. Errors in the block, too, get the end of its log as a note.

    """
    with log.open("wb") as file:
        process = _begin(command, env, file)
        server = JupyterServer(f"http://127.0.0.1:{port}", token)
        try:
            await _until_up(server, process, log)
            yield server
        except Exception as error:
            error.add_note(f"{' '.join(map(str, command[:4]))} … said:\n{_end_of(log)}")
            raise
        finally:
            server.close()
            process.terminate()
            await asyncio.to_thread(_wait_or_kill, process)


def _begin(
    command: Sequence[str | Path], env: Mapping[str, str], log: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(word) for word in command],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is ours
    )


async def _until_up(server: JupyterServer, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            await server.request("GET", "api/kernelspecs", timeout=2)
        except (OSError, ServerError) as error:
            if process.poll() is not None or time.monotonic() > end:
                raise ServerError(503, "the server did not come up") from error
            await asyncio.sleep(0.1)
        else:
            return


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]


def _wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
