"""A line to the courier in a kernel's pod: orders go there, and the kernel's errands come back.

The other end is courier.py, through the pod's companion; what is said is listed there.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zmq
import zmq.asyncio

from ..errors import KubeError

if TYPE_CHECKING:
    from ..config import KubeConfig
    from ..kube.client import KubeClient

TIMEOUT = 60.0
"""Seconds the pod gets for one order: a slow disk may have to be read."""

_ALIVE = 10.0  # seconds between signs of life during an errand
_LARGEST = 64 * 2**20  # bytes of one part of a message
_RECONNECT = 500, 30_000  # ms between looks for a companion: at first, at most

Handler = Callable[["Errand"], Awaitable[str]]
"""Does an errand and returns what to tell the user; a KubeError's text is told, too."""

Services = Callable[["KubeClient", "KubeConfig", str], Mapping[str, Handler]]
"""Gives handlers for the kernel in the pod of that name."""


class CourierError(KubeError):
    """The pod did not do what was asked of its courier."""

    status = 502


@dataclass(frozen=True)
class Errand:
    """Something that code in the kernel asked its server for."""

    line: Line
    number: int
    command: str
    names: tuple[str, ...]
    data: bytes = b""
    """What was sent along."""

    async def say(self, text: str) -> bool:
        """Show a line; returns whether anybody still waits."""
        answer, _ = await self.line.ask("say", errand=self.number, text=text)
        return bool(answer["wanted"])


class Line:
    """A connection to one kernel's courier, for as long as the kernel's link lives.

    Parameters
    ----------
    endpoint
        The companion's, from ``Relay.companion``.
    key, curve_publickey, curve_secretkey
        The kernel's own.
    handlers
        By command, what the kernel may ask for.
    log
        A logger.

    """

    def __init__(
        self,
        endpoint: str,
        *,
        key: bytes,
        curve_publickey: bytes,
        curve_secretkey: bytes,
        handlers: Mapping[str, Handler],
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._key, self._handlers, self._log = key, handlers, log
        self._numbers = itertools.count(1)
        self._orders: dict[int, asyncio.Future[tuple[dict[str, Any], list[bytes]]]] = {}
        self._doing: set[asyncio.Task[None]] = set()
        self._socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.sndhwm = self._socket.rcvhwm = 0
        self._socket.maxmsgsize = _LARGEST  # code in the pod may speak in the companion's place
        self._socket.reconnect_ivl, self._socket.reconnect_ivl_max = _RECONNECT
        self._socket.curve_serverkey = self._socket.curve_publickey = curve_publickey
        self._socket.curve_secretkey = curve_secretkey
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._socket.connect(endpoint)
        self._tasks = [asyncio.create_task(work()) for work in (self._hear, self._watch_connection)]

    async def ask(
        self, op: str, frames: Sequence[bytes] = (), *, timeout: float | None = TIMEOUT, **args: Any
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Give an order; return its answer and the frames that came along.

        Raises
        ------
        CourierError
            If it is refused, in the pod's words, or not answered.

        """
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._orders[number] = answer
        body = json.dumps({"op": op, "id": number, **args}).encode()
        proof = hmac.digest(self._key, b"ask" + body, "sha256")
        try:
            async with asyncio.timeout(timeout):
                await self._socket.send_multipart([proof, body, *frames])
                said, more = await answer
        except TimeoutError:
            raise CourierError(
                "The kernel's pod does not answer", "its companion is silent"
            ) from None
        finally:
            del self._orders[number]
        if error := said.get("error"):
            raise CourierError(str(error))
        return said, more

    async def close(self) -> None:
        """Stop doing errands, and hang up."""
        tasks = [*self._tasks, *self._doing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close()

    # inside

    async def _hear(self) -> None:
        while True:
            proof, *more = await self._socket.recv_multipart()
            said, frames = (more or [b""])[0], more[1:]
            if not hmac.compare_digest(proof, hmac.digest(self._key, b"say" + said, "sha256")):
                self._log.warning("An answer of the pod's companion is not authentic.")
                continue
            try:
                answer = json.loads(said)
                waiting = self._orders.get(answer.get("id"))
            except (ValueError, TypeError, AttributeError, RecursionError) as error:
                self._log.warning("An answer of the pod's companion is no answer: %s", error)
                continue
            if waiting is not None and not waiting.done():
                waiting.set_result((answer, frames))

    async def _watch_connection(self) -> None:
        """Wait for errands anew whenever a companion, perhaps another one, is there."""
        lost: dict[str, Any] = {"error": "the pod's companion began anew"}
        await self._monitor.recv_multipart()
        while True:
            self._begin(self._await_errand())
            await self._monitor.recv_multipart()
            for task in self._doing:  # these errands are lost there, too
                task.cancel()
            for waiting in self._orders.values():
                if not waiting.done():
                    waiting.set_result((lost, []))

    async def _await_errand(self) -> None:
        while True:
            try:
                answer, data = await self.ask("next", timeout=None)
            except CourierError:
                return  # the connection was lost: the next one asks again
            errand = answer["errand"]
            names = tuple(errand["names"])
            wanted = Errand(self, errand["number"], errand["command"], names, b"".join(data))
            self._begin(self._do(wanted))

    async def _do(self, errand: Errand) -> None:
        """Do one errand and say how it ended."""
        try:
            answer, _ = await self.ask("take", errand=errand.number)
            if not answer["taken"]:
                return
            handler = self._handlers.get(errand.command)
            result: dict[str, Any]
            if handler is None:
                result = {"error": f'this server does not know "{errand.command[:40]}"'}
            else:
                result = await self._handle(handler, errand)
            await self.ask("done", errand=errand.number, **result)
        except CourierError as error:
            self._log.warning("%%kube %s was not done: %s", errand.command, error)

    async def _handle(self, handler: Handler, errand: Errand) -> dict[str, str]:
        """Run a handler for as long as somebody waits for it."""
        work = asyncio.ensure_future(handler(errand))
        try:
            while True:
                await asyncio.wait([work], timeout=_ALIVE)
                if work.done():
                    return {"text": work.result()}
                if not await errand.say(""):
                    return {"error": "nobody waits for it any more"}
        except KubeError as error:
            return {"error": str(error)}
        except Exception:
            self._log.exception("%%kube %s failed", errand.command)
            return {"error": "the server failed in an unexpected way; its log says more"}
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)
