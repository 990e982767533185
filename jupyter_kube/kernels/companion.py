"""Runs beside the kernel: keeps its newest output, and knows whether it is at work.

A process of its own, below the kernel's priority, started by attend.py. It subscribes to the
kernel's output as any front end does, so the kernel never waits for it. What a server asks about
files goes on to courier.py. This module travels into pods: standard library, those of ours that it
names, and the image's pyzmq.

The supervisor writes JSON lines: ``{"op": "kernel", "prefix"}`` for each new process,
``{"op": "died", "words"}``, and ``{"op": "served", "since"}`` (see Tape.served). The companion
answers ``{"event": "listening"}``, ``{"busy": true}`` and ``{"busy": false, "since"}``. The end of
its input is its own.
"""

from __future__ import annotations

import hmac
import json
import os
import sys
import time
from typing import Any, NamedTuple

import zmq

from .courier import Courier
from .tape import Parts, Tape

_MARK = b"<IDS|MSG>"
_AT_ONCE = 500  # messages taken before others get their turn
_HWM = 2000  # messages that wait here besides the kernel's own 1000; then it drops some
_QUIET = 0.3  # seconds without work before that is told: cells often come in a row
_LAST = 0.05  # seconds for what a dead process has said last
_RECONNECT = 20  # ms between looks for a new process's sockets
_LONGEST = 1024 * 1024  # bytes of a question
_STDIN = 0


class Probe(NamedTuple):
    """A question the kernel answers when it has done all that came before."""

    socket: zmq.Socket[bytes]
    msg_id: str
    asked: float


class Companion:
    """Listens to one kernel through all its processes.

    Parameters
    ----------
    launch
        ``key``, ``curve_publickey`` and ``curve_secretkey`` as the kernel's; ``socket``, where
        servers ask; ``limit``, bytes of output to keep; ``say``, the supervisor's file number.

    """

    def __init__(self, launch: dict[str, Any]) -> None:
        self._key: bytes = launch["key"].encode()
        self._curve: dict[str, bytes] = {
            name: launch[name].encode()
            for name in ("curve_publickey", "curve_secretkey")
            if launch.get(name)
        }
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self._tape = Tape(self._sign, now=time.monotonic(), limit=launch["limit"])
        self._output: zmq.Socket[bytes] | None = None
        self._prefix = ""
        self._probe: Probe | None = None
        self._backlog = 0  # messages that came without a pause
        self._said: bool | None = None  # what the supervisor knows: busy or not
        self._lines = b""
        self._say = open(  # noqa: PTH123, SIM115 - an open file
            launch["say"], "w", buffering=1, encoding="utf-8"
        )
        self._asked = self._context.socket(zmq.ROUTER)
        self._asked.sndhwm = 0  # what is asked for is bounded by the tape
        self._asked.maxmsgsize = _LONGEST
        if self._curve:
            self._asked.curve_server = True
            self._asked.curve_secretkey = self._curve["curve_secretkey"]
        self._asked.bind(f"ipc://{launch['socket']}")
        self._poller.register(self._asked, zmq.POLLIN)
        self._poller.register(_STDIN, zmq.POLLIN)
        self._courier = Courier(self._context, launch)
        self._poller.register(self._courier.socket, zmq.POLLIN)

    def run(self) -> None:
        """Serve until the supervisor is gone."""
        self._tell({"event": "listening"})
        while True:
            ready = dict(self._poller.poll(self._patience()))
            self._listen()
            if self._probe is not None and self._probe.socket in ready:
                self._hear_probe(self._probe)
            if self._asked in ready:
                self._answer()
            if self._courier.socket in ready:
                self._say_for_courier()
            if _STDIN in ready and not self._obey():
                return
            self._report()

    # the supervisor's side

    def _obey(self) -> bool:
        """Follow the supervisor's orders; return whether it is still there."""
        data = os.read(_STDIN, 65536)
        *lines, self._lines = (self._lines + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if order["op"] == "served":
                self._tape.served.append(order["since"])
                continue
            self._courier.socket.send_multipart([b"", b'{"op": "forget"}'])
            self._drain()
            if order["op"] == "kernel":
                self._tape.ended("", time.monotonic())
                self._connect(order["prefix"])
            else:
                self._tape.ended(order["words"], time.monotonic())
        return bool(data)

    def _patience(self) -> int | None:
        """Return for how many ms nothing is to be done."""
        if self._tape.busy or self._said is False:
            return None
        left = self._tape.idle_since + _QUIET - time.monotonic()
        return int(1000 * left) + 1 if left > 0 else 0

    def _report(self) -> None:
        tape = self._tape
        if tape.busy and self._said is not True:
            self._said = True
            self._tell({"busy": True})
        elif self._said is not False and self._patience() == 0:
            self._said = False
            self._tell({"busy": False, "since": tape.idle_since})

    def _tell(self, message: dict[str, Any]) -> None:
        self._say.write(json.dumps(message) + "\n")

    # the kernel's side

    def _connect(self, prefix: str) -> None:
        if self._output is not None:
            self._drop(self._output)
        if self._probe is not None:
            self._drop(self._probe.socket)
        self._prefix = prefix
        self._output = self._socket(zmq.SUB, 2)
        self._output.subscribe(b"")
        self._said = None
        self._ask()

    def _socket(self, kind: int, number: int) -> zmq.Socket[bytes]:
        """Connect to the kernel's n-th socket, as soon as it is there."""
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.rcvhwm = _HWM
        socket.reconnect_ivl = _RECONNECT
        if self._curve:
            socket.curve_serverkey = self._curve["curve_publickey"]
            socket.curve_publickey = self._curve["curve_publickey"]
            socket.curve_secretkey = self._curve["curve_secretkey"]
        socket.connect(f"ipc://{self._prefix}-{number}")
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def _drop(self, socket: zmq.Socket[bytes]) -> None:
        self._poller.unregister(socket)
        socket.close()

    def _listen(self) -> None:
        """Put what the kernel said on the tape."""
        if self._output is None:
            return
        for _ in range(_AT_ONCE):
            try:
                frames = self._output.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                self._caught_up()
                break
            self._backlog += 1
            try:
                self._tape.hear(frames[frames.index(_MARK) + 1 :], time.monotonic(), time.time())
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                _log(f"a message of the kernel's that is none: {error!r}")

    def _caught_up(self) -> None:
        """Ask the kernel for a sign if some of what it said may not have come here."""
        if self._backlog >= _AT_ONCE:  # so many waited that the last ones may have been too many
            self._tape.suspect = True
        self._backlog = 0
        if self._tape.suspect and self._probe is None:
            self._tape.suspect = False
            self._ask()

    def _drain(self) -> None:
        """Take all that a process which has ended, or soon will, has said."""
        while self._output is not None and self._output.poll(int(1000 * _LAST)):
            self._listen()

    def _ask(self) -> None:
        """Ask for a sign that the kernel has done all that it was asked before."""
        header = self._tape.header("kernel_info_request")
        parts = [header, b"{}", b"{}", b"{}"]
        socket = self._socket(zmq.DEALER, 1)
        socket.send_multipart([_MARK, self._sign(parts), *parts])
        self._probe = Probe(socket, json.loads(header)["msg_id"], time.monotonic())

    def _hear_probe(self, probe: Probe) -> None:
        frames = probe.socket.recv_multipart()
        if json.loads(frames[frames.index(_MARK) + 3]).get("msg_id") == probe.msg_id:
            self._drop(probe.socket)
            self._probe = None
            self._tape.settled(probe.asked, time.monotonic())
            self._caught_up()

    def _sign(self, parts: Parts) -> bytes:
        return hmac.digest(self._key, b"".join(parts), "sha256").hex().encode()

    # a server's side

    def _answer(self) -> None:
        """Answer one who holds the kernel's key."""
        peer, *asked = self._asked.recv_multipart()
        if len(asked) < 2 or not hmac.compare_digest(asked[0], self._proof(b"ask", asked[1])):
            return
        order = json.loads(asked[1])
        if order.get("op") != "recording":
            self._courier.socket.send_multipart([peer, *asked[1:]])
            return
        frames: Parts = []
        try:
            answer, frames = self._tape.recording(str(order["session"]), float(order["since"]))
            answer["quiet"] = 0.0 if self._tape.busy else time.monotonic() - self._tape.idle_since
        except (KeyError, TypeError, ValueError) as error:
            answer = {"error": str(error)}
        self._give(peer, json.dumps(answer).encode(), frames)

    def _say_for_courier(self) -> None:
        peer, said, *frames = self._courier.socket.recv_multipart()
        self._give(peer, said, frames)

    def _give(self, peer: bytes, said: bytes, frames: Parts) -> None:
        self._asked.send_multipart([peer, self._proof(b"say", said), said, *frames])

    def _proof(self, direction: bytes, body: bytes) -> bytes:
        return hmac.digest(self._key, direction + body, "sha256")


def _log(words: str) -> None:
    print(f"[jupyter-kube companion] {words}", file=sys.stderr)
