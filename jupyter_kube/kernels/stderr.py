"""What kernels write to their standard error, read on its way: of a crash nobody else would know.

ipykernel reads it by a thread of the kernel's own process, with which it dies, the last lines first
of all. So a kernel lends it to its supervisor (``lend_stderr`` in ``podclient.py``): what is
written comes here, and goes on to the kernel. Python's own ``sys.stderr`` does not come this way.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import socket
import struct
import time
from collections.abc import Callable, Container
from functools import partial
from pathlib import Path

from .tail import Tail

_PIECE = 64 * 1024
"""Bytes read at once; a pipe holds no more."""
_RECENT = 10.0
"""Seconds between words of one crash, and to its end: older ones have nothing to do with it."""
_OWN = 2


class Lending:
    """Takes the standard errors of this container's kernels.

    Parameters
    ----------
    kernels
        The processes whose last words will be asked for; of others, which may come as well, nothing
        is kept.

    """

    def __init__(self, kernels: Container[int]) -> None:
        self._kernels = kernels
        self._passages: dict[int, Passage] = {}
        self._door = socket.socket(socket.AF_UNIX)
        self._guests: set[socket.socket] = set()

    def open(self, path: str) -> None:
        """Let kernels come to a unix socket.

        Raises
        ------
        OSError
            If it cannot be made.

        """
        self._door.bind(path)
        self._door.listen()
        self._door.setblocking(False)
        asyncio.get_running_loop().add_reader(self._door, self._welcome)

    def close(self) -> None:
        """Let nobody come any more."""
        for listening in (self._door, *self._guests):
            asyncio.get_running_loop().remove_reader(listening)
        if path := self._door.getsockname():
            Path(path).unlink(missing_ok=True)
        for each in (self._door, *self._guests):
            each.close()
        for pid in list(self._passages):
            self.last_words(pid)

    def last_words(self, pid: int) -> str:
        """Return the lines that a process which has ended wrote last; empty if there are none."""
        passage = self._passages.pop(pid, None)
        return passage.end() if passage is not None else ""

    def _welcome(self) -> None:
        guest, _ = self._door.accept()
        guest.setblocking(False)
        self._guests.add(guest)
        asyncio.get_running_loop().add_reader(guest, self._take, guest)

    def _take(self, guest: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(guest)
        self._guests.remove(guest)
        with guest:
            try:
                _, files, _, _ = socket.recv_fds(guest, 1, 3)
            except OSError:
                return
            creds = guest.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 3 * 4)
        pid, _, _ = struct.unpack("3i", creds)
        if len(files) != 3:
            for fd in files:
                os.close(fd)
            return
        source, target, shared = files
        busy = mmap.mmap(shared, 1)
        os.close(shared)
        before = self._passages.pop(pid, None)  # where its extension is loaded again
        rest = before.give_way(target) if before else b""
        self._passages[pid] = Passage(source, target, busy, rest, partial(self._over, pid))

    def _over(self, pid: int) -> None:
        """Part from a process that writes no more, unless its last words will be asked for."""
        if pid not in self._kernels:
            self.last_words(pid)


class Passage:
    """Passes on what is written to one pipe to another file.

    Parameters
    ----------
    source
        What a kernel's file descriptor 2 writes to.
    target
        Where that wrote to before.
    busy
        Memory that the kernel sees, too: whether something was read and is not passed on yet.
    rest
        What is to be passed on first.
    over
        Called once nobody can write there any more, and all has been passed on.

    """

    def __init__(
        self, source: int, target: int, busy: mmap.mmap, rest: bytes, over: Callable[[], object]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._source, self._target, self._busy, self._over = source, target, busy, over
        self._tail, self._at = Tail(), 0.0
        self._rest = rest
        os.set_blocking(source, False)
        if not os.path.samestat(os.fstat(target), os.fstat(_OWN)):  # others write there, too
            os.set_blocking(target, False)
        if rest:
            self._busy[0] = True
            self._pass_on()
        else:
            self._loop.add_reader(source, self._read)

    def give_way(self, target: int) -> bytes:
        """End for another one of the same kernel, whose ``target`` may be this one's pipe.

        Returns
        -------
        bytes
            What is not passed on yet.

        """
        if os.path.samestat(os.fstat(target), os.fstat(self._source)):
            os.dup2(self._target, target)
        rest, self._rest = self._rest + self._take(), b""
        self.end()
        return rest

    def end(self) -> str:
        """Read what is left, and return the lines that were written last."""
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._target)
        self._rest += self._take()
        self._log()
        os.close(self._source)
        os.close(self._target)
        self._busy[0] = False
        self._busy.close()
        return self._tail.words if time.monotonic() - self._at < _RECENT else ""

    def _take(self) -> bytes:
        """Read a piece, if there is any."""
        try:
            data = os.read(self._source, _PIECE)
        except BlockingIOError:
            return b""
        now = time.monotonic()
        if now - self._at > _RECENT:
            self._tail = Tail()
        if data:
            self._at = now
            self._tail.feed(data)
        return data

    def _read(self) -> None:
        self._busy[0] = True  # first: the kernel looks whether there is something to read before it
        self._rest = self._take()
        self._loop.remove_reader(self._source)  # at its end for good, else until all is passed on
        if self._rest:
            self._pass_on()
        else:
            self._busy[0] = False
            self._over()

    def _pass_on(self) -> None:
        self._loop.remove_writer(self._target)
        try:
            self._rest = self._rest[os.write(self._target, self._rest) :]
        except BlockingIOError:
            pass
        except OSError:  # nobody reads there any more
            os.dup2(_OWN, self._target)
            self._log()
        if self._rest:
            self._loop.add_writer(self._target, self._pass_on)
        else:
            self._busy[0] = False
            self._loop.add_reader(self._source, self._read)

    def _log(self) -> None:
        """Write to the pod's log what the kernel cannot show any more, if that can be written."""
        with contextlib.suppress(OSError):
            while self._rest:
                self._rest = self._rest[os.write(_OWN, self._rest) :]
        self._rest = b""
