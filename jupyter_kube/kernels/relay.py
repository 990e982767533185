"""The server's end of a kernel's link: local sockets for Jupyter, one connection to the pod.

Jupyter connects to five local sockets that exist for the kernel's whole life. The relay dials the
launcher in the pod, again and again where needed, and carries their bytes to it. Local connections
stay open while the link is down; those to a kernel process that ended are closed, so that libzmq
connects anew (once, after 100 ms), and the new ones wait in the pod for the next process.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ..errors import AccessDenied, KubeError
from .handshake import BUSY, LOST, REPLACED, Dialer, LinkError
from .link import Link
from .localsockets import LocalSockets
from .splice import Connection, Pipe, Splice, StreamConnection, shake

__all__ = ["Connection", "Dial", "LauncherError", "Relay", "tcp_connection"]

Dial = Callable[[], Awaitable[Connection]]
"""Makes one new connection to the launcher's port; raises OSError, EOFError or KubeError."""

_Connected = tuple[Connection, Dialer, bytes]

_DIAL_TIMEOUT = 10.0
_QUICK, _SLOW = 0.15, 2.0  # seconds between the first tries, between the later ones
_FIRST = 0.05  # seconds after the very first; tries cost processor time, and a kernel needs longer
_QUICK_TIME = 2.0  # seconds for which tries stay quick: the pod is about to run
_FORBIDDEN = 2.0  # seconds of refusals, before there ever was a link, that are believed
_SWITCH_TRIES = 5
_HELD = 12.0  # seconds another server may hold the kernel before it is left to that one
_UNREACHED = (OSError, EOFError, LinkError, KubeError)


class _ReplacedError(Exception):
    """The launcher serves a newer session than ours."""


class _BusyError(LinkError):
    """The launcher serves another server, which may be about to leave."""


class LauncherError(KubeError):
    """What the launcher in the pod says it cannot do, in its own words."""

    status = 503


class HeldElsewhere(LauncherError):
    """Another server has the kernel."""

    status = 409


class LinkFaultError(KubeError):
    """What failed in this server, not in the pod: that goes on."""

    status = 500


async def tcp_connection(host: str, port: int) -> Connection:
    """Connect to a pod by its address.

    Raises
    ------
    OSError
        If it cannot be reached.

    """
    return StreamConnection(*await asyncio.open_connection(host, port, limit=1024 * 1024))


class Relay:
    """Hold a kernel's local sockets open and carry their bytes to its pod, whatever happens.

    Parameters
    ----------
    dial
        Makes a connection to the launcher's port.
    key
        The kernel's HMAC key.
    socket_dir
        Folder for the local sockets, made with mode 0700; a short path (at most 103 bytes).
    on_event
        Called with each event, a dictionary with ``event``: ``started``, ``ready``, ``died``
        (``generation``, ``exit_code``, ``signal``, ``reason``, ``last``: lines that it wrote,
        ``restarting``), ``gave-up`` and ``error`` (``reason``), ``companion`` (``companion``:
        whether there is one), as the launcher tells them; ``link-up``, ``link-lost``
        (``reason``); ``launcher-restarted`` when the whole container began anew. The link is over
        for good after ``replaced`` (``reason``), when another server has the kernel, after an
        ``error`` that is not the launcher's, and after ``fault`` (``reason``), a failure in here
        that nobody thought of, which says nothing about the pod.
    log
        A logger.

    """

    def __init__(
        self,
        dial: Dial,
        key: bytes,
        *,
        socket_dir: Path,
        on_event: Callable[[dict[str, Any]], None],
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._dial, self._key = dial, key
        self._on_event, self._log = on_event, log
        self.trouble = ""
        """Why the pod could not be reached the last time; empty while the link is up."""
        self.since: float | None = None
        """Until when, by the pod's clock, a former server had all output; None without one."""
        self.held = False
        """Whether another server had the kernel when it was dialed the last time."""
        self.alone = False
        """Whether the pod has said that there is no companion."""
        self._met = False  # whether there ever was a link
        self._spare: tuple[Dial, Connection] | None = None  # a better way, to be moved to
        self._sockets = LocalSockets(socket_dir, lambda channel: Pipe(self._splice, channel))
        self._tasks: set[asyncio.Task[None]] = set()
        self._orders: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last_order = 0
        self._hurry = asyncio.Event()
        self._news = asyncio.Event()  # set once when the state below changed
        self._ready: dict[str, Any] | None = None
        self._failure: KubeError | None = None
        self._over: KubeError | None = None  # why there will be no link any more
        self._new_session()

    @property
    def companion(self) -> str:
        """The pod's companion as a ZMQ endpoint, once :meth:`start` was called."""
        return self._sockets.companion

    # what the owner does

    async def start(self) -> dict[str, Any]:
        """Listen, begin to dial, and return the connection info for Jupyter.

        Raises
        ------
        OSError
            If the sockets cannot be made.

        """
        info = await self._sockets.listen()
        self._begin(self._keep_linked)
        return info

    async def ready(self) -> dict[str, Any]:
        """Wait until the current generation of the kernel accepts connections.

        Raises
        ------
        LauncherError
            If it never will, in the launcher's words.
        AccessDenied
            If all ways to the pod are forbidden.
        LinkFaultError
            If this server itself failed.

        """
        while self._ready is None:
            if self._failure is not None:
                raise self._failure
            news = self._news
            await news.wait()
        return self._ready

    async def command(self, op: str, **args: Any) -> dict[str, Any]:
        """Give the launcher an order and wait for its answer, also across a lost link.

        Parameters
        ----------
        op
            ``restart`` (``grace`` seconds for the old process, 1 by default): the next generation
            starts at once; ``kill``: ends the kernel process, until the next ``restart``;
            ``signal`` (``signum``): to the kernel's process group; ``notebook`` (``path``): whose
            kernel it is, where that was not known when it started; ``shutdown`` (``grace``):
            ends the kernel and then the container, with exit code 0.

        Returns
        -------
        dict
            With the ``generation`` the order led to.

        Raises
        ------
        LauncherError
            If the launcher refuses, was lost with its container, or will not be reached again.

        """
        if self._over is not None:
            raise _unanswered(str(self._over))
        self._last_order += 1
        number = self._last_order
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._orders[number] = answer
        try:
            self._splice.control({"op": op, "id": number, **args})
            return await answer
        finally:
            del self._orders[number]

    def use(self, dial: Dial) -> None:
        """Move the link to a better way to the pod once that works; nothing is lost."""
        self._begin(self._switch, dial)

    def hurry(self) -> None:
        """Dial again at once, since the pod is known to run now."""
        self._hurry.set()

    async def close(self) -> None:
        """Stop listening and hang up; the kernel goes on."""
        self._sockets.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._spare is not None:
            self._spare[1].close()
        self._splice.close()
        self._fail_orders("the link was closed")
        self._over = self._failure = self._over or LauncherError("The link was closed")
        self._news.set()
        self._sockets.remove()
        await asyncio.sleep(0)  # lets the transports go

    # the pod's side

    def _new_session(self) -> None:
        self._splice = Splice(Link(), on_control=self._on_control)
        self._resuming = False

    async def _keep_linked(self) -> None:
        """Keep the link up: dial, carry, and again, as long as there is hope."""
        try:
            while True:
                connected = await self._connect()
                self._met, self.trouble = True, ""
                self._event({"event": "link-up"})
                reason = await self._carry(connected)
                if self._spare is None:
                    self._event({"event": "link-lost", "reason": reason})
        except _ReplacedError:
            self._give_up("replaced", HeldElsewhere("Another server has this kernel now"))
        except AccessDenied as error:
            self._give_up("error", error)
        except Exception as error:
            self._log.exception("the kernel's link failed in an unexpected way")
            what = "The link to the kernel's pod failed inside the Jupyter Server"
            self._give_up("fault", LinkFaultError(what, repr(error)))

    async def _carry(self, connected: _Connected) -> str:
        try:
            return await self._splice.carry(*connected)
        except LinkError as error:
            connected[0].close()
            return str(error)

    def _give_up(self, event: str, error: KubeError) -> None:
        """Tell everybody that there will be no link any more."""
        self._over, self.trouble = error, str(error)
        self._fail_orders(str(error))
        self._event({"event": event, "reason": str(error)})
        self._failure = error

    async def _connect(self) -> _Connected:
        """Dial until a launcher with our key answers and the session goes on.

        Raises
        ------
        AccessDenied
            If that is all that came for a while, and there never was a link.
        _ReplacedError
            If another server has the kernel.

        """
        begun = allowed = free = time.monotonic()
        delay = _FIRST
        while True:
            try:
                async with asyncio.timeout(_DIAL_TIMEOUT):
                    connected = await self._dial_once()
                if self._spare is None:
                    return connected
                connected[0].close()
                continue
            except _UNREACHED as error:
                self._log.debug("the kernel's pod is not reached: %s", error)
                self.trouble = str(error) or "nothing answers there in time"
                self.held = isinstance(error, _BusyError)
                if self._met or not isinstance(error, AccessDenied):
                    allowed = time.monotonic()
                elif time.monotonic() - allowed >= _FORBIDDEN:
                    raise
                if not self.held:
                    free = time.monotonic()
                elif time.monotonic() - free >= _HELD:
                    raise _ReplacedError from error
            if self._hurry.is_set():
                self._hurry.clear()
                begun, delay = time.monotonic(), _FIRST
            limit = _QUICK if time.monotonic() - begun < _QUICK_TIME else _SLOW
            delay = min(delay * 1.5, limit)
            await self._pause(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load only

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass

    async def _dial_once(self) -> _Connected:
        """Dial and shake hands; the link goes on over what is returned."""
        spare, self._spare = self._spare, None
        dial, connection = spare or (self._dial, await self._dial())
        link = self._splice.link
        handshake = Dialer(
            self._key, session=link.session, resuming=self._resuming, received=link.received
        )
        try:
            rest = await shake(connection, handshake)
            if handshake.status == REPLACED:
                raise _ReplacedError
            if handshake.status == BUSY:
                raise _BusyError("another server is linked to this kernel")
            if handshake.status == LOST or not link.can_resume(handshake.peer_received):
                self._begin_anew()
                raise LinkError("the pod's container was restarted")
        except BaseException:
            connection.close()
            raise
        self._resuming, self._dial = True, dial
        return connection, handshake, rest

    async def _switch(self, dial: Dial) -> None:
        """Try a better way to the pod; if it works, the link is told to move there."""
        for attempt in range(_SWITCH_TRIES):
            try:
                async with asyncio.timeout(_DIAL_TIMEOUT):
                    connection = await dial()
                break
            except _UNREACHED as error:
                self._log.debug("the better way to the kernel's pod does not work: %s", error)
            await asyncio.sleep(0.1 * 2**attempt)
        else:
            return
        if self._spare is not None:
            self._spare[1].close()
        self._spare = (dial, connection)
        self._splice.cut("moving to a better way")
        self._hurry.set()

    def _begin_anew(self) -> None:
        """Forget a session whose other end is gone: the whole container was restarted."""
        self._splice.close()
        self._new_session()
        self._ready, self.alone = None, False
        self._fail_orders("the pod's container was restarted")
        self._event({"event": "launcher-restarted"})

    # news

    def _on_control(self, message: dict[str, Any]) -> None:
        if "reply" not in message:
            self._event(message)
            return
        answer = self._orders.get(message.pop("reply"))
        if answer is None or answer.done():
            return
        if error := message.get("error"):
            answer.set_exception(LauncherError("The kernel's pod refuses", str(error)))
        else:
            answer.set_result(message)

    def _event(self, message: dict[str, Any]) -> None:
        self.since = message.get("since", self.since)
        self.alone = not message.get("companion", not self.alone)
        match message.get("event"):
            case "started" | "ready" as event:
                self._ready = message if event == "ready" else None
                self._failure = None
            case "died":
                self._ready = None
            case "gave-up" | "ended" | "error" | "replaced" | "fault":
                self._ready = None
                self._failure = LauncherError("The kernel cannot run in its pod", message["reason"])
        # Not called here: what the owner does with it must not end the link.
        asyncio.get_running_loop().call_soon(self._on_event, message)
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _fail_orders(self, why: str) -> None:
        for answer in self._orders.values():
            if not answer.done():
                answer.set_exception(_unanswered(why))

    def _begin(self, work: Callable[..., Awaitable[None]], *args: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._guard(work, *args))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Callable[..., Awaitable[None]], *args: Any) -> None:
        try:
            await work(*args)
        except Exception:
            self._log.exception("the kernel's link failed in an unexpected way")


def _unanswered(why: str) -> LauncherError:
    return LauncherError("The kernel's pod did not answer", why)
