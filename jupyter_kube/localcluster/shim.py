"""What each container's process runs under, so that none outlives its pod (standard library only).

``python -I -S shim.py CONTROL COMMAND…`` starts the command as its only child, in a session of its
own, and ends with its exit code (128 + n for signal n). Like the first process of a container it
takes everything below it along: when the command ends, all its descendants are killed, those that
left the process group or lost their parent included.

``CONTROL`` is a pipe's file descriptor: ``T`` passes SIGTERM to the command, ``K`` kills all. Its
end of file means that the local cluster itself is gone, however it went, and kills all as well.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from _thread import start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
CANNOT_START = 128
"""Exit code where the command could not be executed."""


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _parents() -> dict[int, int]:
    parents = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib costs start-up time
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - the same
                    parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:  # it ended meanwhile
                continue
    return parents


def _descendants() -> list[int]:
    parents = _parents()
    found = [os.getpid()]
    for parent in found:
        found.extend(pid for pid, its_parent in parents.items() if its_parent == parent)
    return found[1:]


def _kill_descendants() -> None:
    for pid in _descendants():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _take_terminal() -> None:
    if os.isatty(0):
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class _Shim:
    """One command and everything below it."""

    def __init__(self, command: list[str]) -> None:
        self.ended = False
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(command, parent)

    @staticmethod
    def _become(command: list[str], parent: int) -> NoReturn:
        try:
            os.setsid()
            _take_terminal()
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == parent:
                os.execv(command[0], command)  # noqa: S606 - no shell wanted
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(CANNOT_START)

    def obey(self, control: int) -> None:
        """Follow orders until there is nobody left to give them."""
        while order := os.read(control, 1):
            if order == b"T" and not self.ended:
                os.kill(self.pid, signal.SIGTERM)
            elif order == b"K":
                _kill_descendants()
        _kill_descendants()

    def wait(self) -> int:
        """Wait for the command, take the rest along, give its exit code."""
        code = CANNOT_START
        while True:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                return code
            if pid == self.pid:
                self.ended = True
                code = os.waitstatus_to_exitcode(status)
            if self.ended:
                _kill_descendants()


def main(arguments: list[str]) -> int:
    """Run one command under the shim."""
    control = int(arguments[0])
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    os.set_inheritable(control, False)
    shim = _Shim(arguments[1:])
    start_new_thread(shim.obey, (control,))
    code = shim.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
