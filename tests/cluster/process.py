"""Programs that run on after the command that started them, known by pid *and* start time."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one of the same pid."""

    pid: int
    started: int
    """Clock ticks between the machine's start and this process's."""

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return the living process `pid`, or None."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return Process.of(self.pid) == self


def start(argv: Sequence[str | Path], log: Path) -> Process:
    """Start `argv` in a session of its own, its output appended to `log`.

    A shell in between makes it an orphan at once: its end leaves no zombie with us.
    """
    script = 'setsid "$@" >>"$0" 2>&1 </dev/null & echo $!'
    shell = ["sh", "-c", script, str(log), *map(str, argv)]
    # Of our environment they get nothing else: what works must not depend on who started it.
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    pid = int(subprocess.run(shell, check=True, stdout=subprocess.PIPE, env=env).stdout)
    return Process.of(pid) or Process(pid, 0)


def stop(processes: Iterable[Process], grace: float = GRACE) -> None:
    """End `processes` (SIGTERM, after `grace` seconds SIGKILL) and wait until they are gone."""
    handles = [handle for process in processes if (handle := _open(process)) is not None]
    try:
        for handle in handles:
            # A process may have been stopped by a test: it must run to hear of its end.
            _send(handle, signal.SIGTERM if grace else signal.SIGKILL)
            _send(handle, signal.SIGCONT)
        for handle in _wait(handles, grace):
            _send(handle, signal.SIGKILL)
        _wait(handles, GRACE)
    finally:
        for handle in handles:
            os.close(handle)


def _open(process: Process) -> int | None:
    """Return a descriptor for `process` (the pid cannot be reused under it), or None if ended."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    if process.alive:
        return handle
    os.close(handle)
    return None


def _send(handle: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, number)


def _wait(handles: Iterable[int], seconds: float) -> list[int]:
    """Wait until the processes behind `handles` have ended; return those that have not."""
    waiting = set(handles)
    poll = select.poll()
    for handle in waiting:
        poll.register(handle, select.POLLIN)
    deadline = time.monotonic() + seconds
    while waiting and (left := deadline - time.monotonic()) > 0:
        for handle, _ in poll.poll(left * 1000):
            poll.unregister(handle)
            waiting.discard(handle)
    return list(waiting)
