"""Carries files between server and kernel, and errands from the kernel to its server.

A thread of the companion, so that a slow disk never keeps that from listening. It talks to the
server through the companion's socket, and to the kernel (podclient.py) through one of its own in
the launcher's private folder. This module travels into pods: standard library, folder.py,
writer.py, and the image's pyzmq.

Each order of the server's has an ``id``, which its answer repeats:

- ``list`` (``names``): ``files``, ``links``, ``left``, ``odd``, ``known``, the folder's ``root``;
- ``read`` (``spans``): the bytes, a frame for each;
- ``write`` (``pieces``: file, expected digest, offset; a frame for each; ``first`` of a transfer):
  ``landed`` and ``failed``, of the transfer so far;
- ``know`` (``files``): both sides have these versions now;
- ``next``: an ``errand`` of the kernel's, as soon as there is one, and what it sent along;
  of another server than before, it ends what that one had taken;
- ``take`` (``errand``): whether it is still wanted; then it is the server's to do;
- ``say`` (``errand``, ``text``) and ``done`` (``errand``, ``text`` or ``error``).

The companion itself orders ``forget`` when the process that ran the errands has ended.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import zmq

from .folder import File, Folder, FolderError, Limits, Span
from .writer import Writer

PATIENCE = 10.0
"""Seconds an errand waits for a server to take it."""
SILENCE = 60.0
"""Seconds a server that does an errand may say nothing."""

_NO_SERVER = (
    "no Jupyter Server is connected to this kernel now. Try again when the notebook is open in one."
)
_LOST = "the Jupyter Server was lost before it was done. Try again."
_MOST = 64  # errands at a time: some follow jobs for hours (train/counter.py)
_LARGEST = 8 * 2**20  # bytes sent along with one
_MESSAGES = (FolderError, OSError, KeyError, TypeError, ValueError)

Frames = list[bytes]
_NONE: Frames = []


class Courier:
    """The companion's end of it.

    Parameters
    ----------
    context
        The companion's.
    launch
        ``errands``: path of the socket for the kernel; ``known``: path of the file in which it
        keeps what both sides have; ``limits``: files and bytes that may travel at once.

    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], launch: dict[str, Any]) -> None:
        self.socket = context.socket(zmq.PAIR)
        """Takes orders, as peer, body and frames; gives answers in the same way."""
        self.socket.sndhwm = 0  # never to be waited for
        self.socket.bind("inproc://courier")
        thread = threading.Thread(target=self._run, args=(context, launch), daemon=True)
        thread.start()

    def _run(self, context: zmq.Context[zmq.Socket[bytes]], launch: dict[str, Any]) -> None:
        try:
            _Round(context, launch).run()
        except Exception:
            print("[jupyter-kube] no files travel any more:", file=sys.stderr)
            traceback.print_exc()


class _Round:
    """What the thread does."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], launch: dict[str, Any]) -> None:
        self._server = context.socket(zmq.PAIR)
        self._server.connect("inproc://courier")
        self._kernel = context.socket(zmq.ROUTER)
        self._kernel.maxmsgsize = _LARGEST
        self._kernel.sndhwm = 0  # words to a kernel that is busy may wait, and none may be lost
        self._kernel.bind(f"ipc://{launch['errands']}")
        self._errands = Errands(time.time_ns())  # never a number that another courier gave
        self._files = _Files(Path(launch["known"]), Limits(*launch["limits"]))

    def run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._server, zmq.POLLIN)
        poller.register(self._kernel, zmq.POLLIN)
        while True:
            ready = dict(poller.poll(self._errands.patience(time.monotonic())))
            if self._server in ready:
                peer, body, *frames = self._server.recv_multipart()
                self._obey(peer, json.loads(body), frames)
            if self._kernel in ready:
                peer, *said = self._kernel.recv_multipart()
                self._hear(peer, said)
            self._errands.expire(time.monotonic())
            self._send()

    def _obey(self, peer: bytes, order: dict[str, Any], frames: Frames) -> None:
        errands, now = self._errands, time.monotonic()
        answer: dict[str, Any] = {}
        gives: Frames = []
        try:
            match order["op"]:
                case "next":
                    errands.wait(peer, order["id"])
                    return
                case "take":
                    answer = {"taken": errands.take(order["errand"], peer, now)}
                case "say":
                    answer = {"wanted": errands.say(order["errand"], order["text"], now)}
                case "forget":
                    errands.forget()
                    return
                case "done":
                    errands.done(order["errand"], order.get("text", ""), order.get("error", ""))
                case _:
                    answer, gives = self._files.obey(order, frames)
        except _MESSAGES as error:
            known = isinstance(error, FolderError | OSError)
            answer = {"error": str(error) if known else f"not an order: {error!r}"}
        self._reply(peer, order.get("id"), answer, gives)

    def _reply(self, peer: bytes, number: Any, answer: dict[str, Any], frames: Frames) -> None:
        said = json.dumps({"id": number, **answer}).encode()
        self._server.send_multipart([peer, said, *frames])

    def _hear(self, peer: bytes, said: Frames) -> None:
        """Take an errand from the kernel, or give it up."""
        try:
            what = json.loads(said[0])
            if "withdraw" in what:
                self._errands.withdraw(peer)
            else:
                command, names = str(what["errand"]), [str(name) for name in what["names"]]
                self._errands.add(peer, command, names, time.monotonic(), said[1:])
        except (KeyError, TypeError, ValueError, IndexError):
            self._errands.refuse(peer, "this is no errand")

    def _send(self) -> None:
        for peer, message in self._errands.words():
            self._kernel.send_multipart([peer, json.dumps(message).encode()])
        if offer := self._errands.offer():
            peer, number, errand, frames = offer
            self._reply(peer, number, {"errand": errand}, frames)


class _Errand:
    def __init__(
        self, peer: bytes, command: str, names: list[str], since: float, frames: Frames
    ) -> None:
        self.peer, self.command, self.names, self.since = peer, command, names, since
        self.frames = frames
        self.offered: bytes | None = None  # the server that knows of it
        self.server: bytes | None = None  # the one that took it


class Errands:
    """What the kernel wants of its server: each is done once, by a server that took it (pure)."""

    def __init__(self, last: int = 0) -> None:
        self._open: dict[int, _Errand] = {}
        self._last = last
        self._words: list[tuple[bytes, dict[str, Any]]] = []
        self._waiting: tuple[bytes, Any] | None = None  # the server that asked for the next one
        self._server: bytes | None = None
        self._gone: set[bytes] = set()  # servers before this one

    # the kernel's side

    def add(
        self, peer: bytes, command: str, names: list[str], now: float, frames: Frames = _NONE
    ) -> None:
        """Take an errand from somebody in the kernel."""
        if len(self._open) >= _MOST:
            self.refuse(peer, "too much is under way")
            return
        self._last += 1
        self._open[self._last] = _Errand(peer, command, names, now, frames)

    def refuse(self, peer: bytes, why: str, **more: Any) -> None:
        """Take nothing from somebody in the kernel."""
        self._words.append((peer, {"error": why, **more}))

    def withdraw(self, peer: bytes) -> None:
        """Forget what somebody in the kernel does not wait for any more."""
        for number in [n for n, errand in self._open.items() if errand.peer == peer]:
            del self._open[number]

    def forget(self) -> None:
        """Forget all: who asked is gone."""
        self._open.clear()

    def words(self) -> list[tuple[bytes, dict[str, Any]]]:
        """Return what the kernel is to be told, once."""
        words, self._words = self._words, []
        return words

    # the server's side

    def wait(self, peer: bytes, number: Any) -> None:
        """Have a server wait for the next errand; another one that was there has gone."""
        if peer in self._gone:
            return
        self._waiting = (peer, number)
        if peer == self._server:
            return
        if self._server is not None:
            self._gone.add(self._server)
        self._server = peer
        for known, errand in list(self._open.items()):
            errand.offered = None
            if errand.server is not None:
                self._lose(known)

    def offer(self) -> tuple[bytes, Any, dict[str, Any], Frames] | None:
        """Return an errand for the server that waits, with whom and what that answers."""
        if self._waiting is None:
            return None
        for number, errand in self._open.items():
            if errand.offered is None:
                (peer, asked), self._waiting = self._waiting, None
                errand.offered = peer
                what = {"number": number, "command": errand.command, "names": errand.names}
                return peer, asked, what, errand.frames
        return None

    def take(self, number: int, peer: bytes, now: float) -> bool:
        """Give an errand to a server, if it is still wanted and nobody else's."""
        errand = self._open.get(number)
        if errand is None or errand.server is not None or peer in self._gone:
            return False
        errand.server, errand.since = peer, now
        return True

    def say(self, number: int, text: str, now: float) -> bool:
        """Pass on how it goes; returns whether anybody still waits for it."""
        errand = self._open.get(number)
        if errand is None:
            return False
        errand.since = now
        self._words.append((errand.peer, {"text": text}))  # without text, a sign of life
        return True

    def done(self, number: int, text: str, error: str) -> None:
        """Pass on how it ended."""
        if errand := self._open.pop(number, None):
            self._words.append((errand.peer, {"error": error} if error else {"done": text}))

    # time

    def expire(self, now: float) -> None:
        """Give up what no server has taken, or none has gone on with."""
        for number, errand in list(self._open.items()):
            if now >= self._end(errand):
                self._lose(number)

    def patience(self, now: float) -> int | None:
        """Return for how many ms nothing will be given up."""
        ends = [self._end(errand) for errand in self._open.values()]
        return max(int(1000 * (min(ends) - now)) + 1, 0) if ends else None

    def _end(self, errand: _Errand) -> float:
        return errand.since + (SILENCE if errand.server is not None else PATIENCE)

    def _lose(self, number: int) -> None:
        """Tell the kernel that its errand has no server, or has it no more."""
        errand = self._open.pop(number)
        self.refuse(errand.peer, _NO_SERVER if errand.server is None else _LOST, lost=True)


class _Files:
    """The kernel's folder, as the server may use it."""

    def __init__(self, known: Path, limits: Limits) -> None:
        self._root = os.getcwd()  # noqa: PTH109 - the text is wanted
        at_home = os.path.realpath(self._root) == os.path.realpath(os.environ.get("HOME") or "/")
        # Programs keep settings and keys there.
        self._folder = Folder(self._root, limits, ["/.*"] if at_home else [])
        self._limits, self._written = limits, known
        self._known: dict[str, str] = self._recollect()
        self._writer = Writer(self._folder, "server", limits)

    def obey(self, order: dict[str, Any], frames: Frames) -> tuple[dict[str, Any], Frames]:
        """Follow an order about files."""
        if os.path.realpath(self._root) == "/":
            raise FolderError(
                "the kernel's working directory is /, and not even its own: files can travel"
                ' where the profile sets working_dir, or files="copy"'
            )
        match order["op"]:
            case "list":
                return self._list(order), []
            case "read":
                return {}, self._folder.read([Span(*span) for span in order["spans"]])
            case "write":
                return self._write(order, frames), []
            case "know":
                self._known.update(order["files"])
                self._remember()
                return {}, []
        raise ValueError(order["op"])

    def _list(self, order: dict[str, Any]) -> dict[str, Any]:
        found = self._folder.listing(order["names"], fit=order.get("fit", False))
        return {
            "root": self._root,
            "files": list(found.files.values()),
            "links": found.links,
            "left": found.left,
            "odd": found.odd,
            "known": self._known,
        }

    def _write(self, order: dict[str, Any], frames: Frames) -> dict[str, Any]:
        if order.get("first"):
            self._writer.abandon()
            self._writer = Writer(self._folder, "server", self._limits)
        pieces = [
            (File(*about), expected, offset, data)
            for (about, expected, offset), data in zip(order["pieces"], frames, strict=True)
        ]
        self._writer.write_all(pieces)
        landed = {f.path: f.digest for f, *_ in pieces if f.path in self._writer.landed}
        if landed:
            self._known.update(landed)
            self._remember()
        return {"landed": self._writer.landed, "failed": self._writer.failed}

    def _recollect(self) -> dict[str, str]:
        try:
            known: dict[str, str] = json.loads(self._written.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known

    def _remember(self) -> None:
        """Keep what both sides have for the next companion."""
        part = self._written.with_name(self._written.name + ".part")
        part.write_text(json.dumps(self._known), encoding="utf-8")
        part.replace(self._written)
