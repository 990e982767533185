"""Gives a kernel in a pod its server's services, with nothing of jupyter-kube in the image.

The launcher puts this module's text beside the kernel, as ``jupyter_kube_pod``, and has IPython
load it as an extension. It then waits for an import of ``jupyter_kube`` where the image has no such
package, and gets the package from the server when it is used; where there is one, that package
calls :func:`run` and :func:`converse`. This module travels into pods: standard library, and the
kernel's own pyzmq and IPython.
"""

from __future__ import annotations

import base64
import contextlib
import faulthandler
import fcntl
import importlib
import importlib.abc
import importlib.util
import json
import mmap
import os
import shlex
import socket
import stat
import sys
import termios
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

COMMANDS = ("push", "pull", "files")
"""What :func:`run` can do for users."""

_PACKAGE = "jupyter_kube"
_NOTEBOOK = "JPY_SESSION_NAME"
_PATIENCE = 20_000  # ms for the pod's companion to say anything, which it does after 10 s
_SILENCE = 90_000  # ms between two of its words later on
_COMING = 0.1  # s that a cell's end waits for what was written before
_LOOK = 0.0005  # s between looks
_SILENT = "the companion of this kernel does not answer; the pod's log may say why"
_GONE = "the companion of this kernel has ended before it was done. Try again"


class ErrandError(Exception):
    """What the server could not do; shown without a traceback.

    Parameters
    ----------
    words
        Why.
    lost
        Whether there is no server now: another one may do it.

    """

    def __init__(self, words: str, *, lost: bool = False) -> None:
        super().__init__(words)
        self.lost = lost

    def _render_traceback_(self) -> list[str]:
        return [f"%kube: {self}"]


def load_ipython_extension(shell: Any) -> None:
    """Stand in for a package that the image lacks; called once when the kernel starts."""
    folder = os.path.dirname(__file__)  # noqa: PTH120 - as it is in the path
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    left = os.pathsep.join(entry for entry in given if entry and entry != folder)
    if left:
        os.environ["PYTHONPATH"] = left
    else:
        os.environ.pop("PYTHONPATH", None)
    sys.path[:] = [entry for entry in sys.path if entry != folder]
    with contextlib.suppress(OSError):  # nobody takes it: all the same
        settle = lend_stderr(f"{os.path.dirname(folder)}/e")  # noqa: PTH120
        shell.events.register("post_execute", settle)
    sys.meta_path.append(_StandIn())  # the last: a package that is there comes first
    if _NOTEBOOK not in os.environ:
        shell.events.register("pre_execute", _learner(shell.events, f"{folder}/notebook"))


def lend_stderr(path: str) -> Callable[[], None]:
    """Let the pod's supervisor read what compiled code says before it is said here; see stderr.py.

    Returns
    -------
    Callable
        Waits, for a moment at most, until what was written before has come back: front ends drop
        what a cell says after its end.

    Raises
    ------
    OSError
        If nobody is there.

    """
    with socket.socket(socket.AF_UNIX) as lender:
        lender.connect(path)
        shared = _byte(f"{path}-{os.getpid()}")
        source, ours = os.pipe()
        before = os.dup(2)
        busy = mmap.mmap(shared, 1)
        try:
            socket.send_fds(lender, [b"2"], [source, before, shared])
            os.dup2(ours, 2)
        finally:
            for fd in (source, shared):
                os.close(fd)
    faulthandler.enable(2, all_threads=False)  # where it was, should compiled code crash

    def settle() -> None:
        until = time.monotonic() + _COMING
        while (_unread(ours) or busy[0] or _unread(before)) and time.monotonic() < until:
            time.sleep(_LOOK)

    return settle


def _byte(path: str) -> int:
    """Make a file of one byte, without a name; a Python for an old libc has no memfd_create."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(path)  # noqa: PTH108 - as the others
    try:
        os.write(fd, b"\0")  # a hole would have no room on a full disk: then to set it is a SIGBUS
    except OSError:
        os.close(fd)
        raise
    return fd


def _unread(file: int) -> bool:
    """Say whether something is in a pipe that nobody has read yet."""
    is_pipe = stat.S_ISFIFO(os.fstat(file).st_mode)
    return is_pipe and any(fcntl.ioctl(file, termios.FIONREAD, bytes(4)))


def _learner(events: Any, path: str) -> Callable[[], None]:
    """Return what sets a variable once the launcher knows whose kernel this is."""

    def learn() -> None:
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123
                notebook = file.read()
        except OSError:
            return
        if notebook:
            os.environ[_NOTEBOOK] = notebook
            events.unregister("pre_execute", learn)

    return learn


class _StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes a package ``jupyter_kube`` whose modules come from the server when they are used."""

    def __init__(self) -> None:
        self._archive = ""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        """Find that package and, once it is used, its modules and cloudpickle."""
        if fullname == _PACKAGE:
            return importlib.util.spec_from_loader(
                fullname, self, origin="the Jupyter Server", is_package=True
            )
        ours = sys.modules.get(_PACKAGE)
        if ours is None or getattr(ours, "__loader__", None) is not self:
            return None
        if fullname.startswith(f"{_PACKAGE}.") and not self._archive:
            self._archive = _fetch()
            ours.__path__[:] = [f"{self._archive}/{_PACKAGE}"]
            return PathFinder.find_spec(fullname, ours.__path__)
        if fullname == "cloudpickle" and self._archive:
            return PathFinder.find_spec(fullname, [self._archive])
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Fill it."""
        module.__doc__ = "What a kernel in a pod can ask of its Jupyter Server."
        vars(module)["load_ipython_extension"] = _load


def _fetch() -> str:
    """Get the package from the server; returns the path of the zip file."""
    text = "".join(_words("package"))
    path = Path(__file__).with_name(f"{_PACKAGE}.zip")
    path.write_bytes(base64.b64decode(json.loads(text)["zip"]))
    return str(path)


def _load(shell: Any) -> None:
    """Offer the magics; all but those for files come with the package."""

    def whole() -> None:
        magics = importlib.import_module(f"{_PACKAGE}.magics")
        shell.register_magics(magics.KubeMagics(shell))

    def kube(line: str) -> None:
        """Look at and steer jobs, and bring files to a kernel's pod; ``%kube -h`` says how."""
        if line.split(maxsplit=1)[:1] and line.split(maxsplit=1)[0] in COMMANDS:
            _files(line)
            return
        whole()
        shell.run_line_magic("kube", line)

    def kubetrain(line: str, cell: str) -> Any:
        """Run this cell on several workers; ``%%kubetrain -h`` lists the options."""
        whole()
        return shell.run_cell_magic("kubetrain", line, cell)

    shell.register_magic_function(kube, "line", "kube")
    shell.register_magic_function(kubetrain, "cell", "kubetrain")


def _files(line: str) -> None:
    """Exchange files with the notebook's folder."""
    try:
        command, *names = shlex.split(line)
    except ValueError as error:
        raise ErrandError(str(error)) from None
    if unknown := [name for name in names if name.startswith("-")]:
        raise ErrandError(f"unknown option {unknown[0][:40]}")
    run(command, names)


def run(command: str, names: Sequence[str] = ()) -> None:
    """Have the server do something, and print what it says.

    Parameters
    ----------
    command
        One of :data:`COMMANDS`.
    names
        Files, folders and patterns.

    Raises
    ------
    ErrandError
        If it cannot be done, in words.

    """
    for text in _words(command, names):
        print(text)


def _words(command: str, names: Sequence[str] = ()) -> Iterator[str]:
    """Have the server do something; gives what it says."""
    import zmq

    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    monitor, poller = _watched(socket, zmq.Poller())
    over = False
    try:
        socket.connect(_place())
        socket.send(_errand(command, names))
        patience = _PATIENCE
        while not over:
            ready = poller.poll(patience)
            if not socket.poll(0):
                raise _lost(ready)
            over, text = _heard(socket.recv())
            if text:
                yield text
            patience = _SILENCE
    finally:
        if not over:
            socket.send(_WITHDRAW)
        _close(socket, monitor)
        context.term()


async def converse(command: str, data: bytes) -> AsyncGenerator[str]:
    """Have the server do something; gives what it says, until closed.

    Parameters
    ----------
    command
        What the server knows it by.
    data
        What it needs; at most 8 MiB.

    Raises
    ------
    ErrandError
        If it cannot be done, in words.

    """
    import zmq.asyncio

    context = zmq.asyncio.Context()
    socket = context.socket(zmq.DEALER)
    monitor, poller = _watched(socket, zmq.asyncio.Poller())
    over = False
    try:
        socket.connect(_place())
        await socket.send_multipart([_errand(command), data])
        patience = _PATIENCE
        while not over:
            ready = await poller.poll(patience)
            if not await socket.poll(0):
                raise _lost(ready)
            over, text = _heard(await socket.recv())
            if text:
                yield text
            patience = _SILENCE
    finally:
        if not over:
            await socket.send(_WITHDRAW)
        _close(socket, monitor)
        context.term()


def _watched(socket: Any, poller: Any) -> tuple[Any, Any]:
    """Have a poller tell what comes, and when the companion goes, which knows all errands."""
    import zmq

    monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    for each in (socket, monitor):
        poller.register(each, zmq.POLLIN)
    return monitor, poller


def _lost(ready: Any) -> ErrandError:
    return ErrandError(_GONE if ready else _SILENT, lost=True)


def _close(socket: Any, monitor: Any) -> None:
    socket.disable_monitor()
    monitor.close(linger=0)
    socket.close(linger=500)


_WITHDRAW = json.dumps({"withdraw": True}).encode()


def _place() -> str:
    return f"ipc://{Path(__file__).parent.parent / 'a'}"  # there as soon as the companion is


def _errand(command: str, names: Sequence[str] = ()) -> bytes:
    return json.dumps({"errand": command, "names": list(names)}).encode()


def _heard(message: bytes) -> tuple[bool, str]:
    """Read one answer: whether it is the last, and its words."""
    said = json.loads(message)
    if "error" in said:
        raise ErrandError(said["error"], lost=bool(said.get("lost")))
    return "done" in said, said.get("done") or said.get("text", "")
