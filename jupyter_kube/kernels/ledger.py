"""What one front end has asked of a kernel and not been answered, and what it asks too early.

When a kernel process ends, this decides what becomes of the requests it took with it. Pure state.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

_CELL = "execute_request"
_HARMLESS = "kernel_info_request"  # belongs to no cell, and front ends ask it of every process


class Message(NamedTuple):
    """One message of a front end, as it came from the websocket."""

    channel: str
    header: dict[str, Any]
    raw: str | bytes

    @property
    def expects_reply(self) -> bool:
        """Whether the kernel will answer it on the shell channel."""
        return self.channel == "shell" and str(self.header["msg_type"]).endswith("_request")


class Ledger:
    """The requests of one session of one front end."""

    def __init__(self) -> None:
        self.process = 0
        """The kernel process that was last connected to, as the kernel manager counts them."""
        self._open: dict[str, Message] = {}
        self._running: dict[str, str] = {}  # message type by id, of all front ends
        self.held: deque[Message] = deque()
        """What came while the kernel could not take it, oldest first."""

    def sent(self, message: Message) -> None:
        """Note a message that went to the kernel."""
        if message.expects_reply:
            self._open[message.header["msg_id"]] = message

    def answered(self, msg_id: str) -> None:
        """Note the reply to a request."""
        self._open.pop(msg_id, None)

    def status(self, parent: dict[str, Any], state: str) -> None:
        """Note a status message of the kernel, caused by any front end's request."""
        msg_id = parent.get("msg_id", "")
        if state == "busy":
            self._running[msg_id] = parent.get("msg_type", "")
        elif state == "idle":
            self._running.pop(msg_id, None)

    def settle(self) -> list[tuple[Message, bool]]:
        """Close the books on a kernel process that ended.

        Nothing that was sent to it is sent again: a cell that ends its process at once does so
        before its ``busy`` is seen, and would run twice. Questions about the kernel are held, to be
        asked again.

        Returns
        -------
        The lost requests, oldest first, each with whether to say there why the process ended: with
        those it was at work on or, where nothing is known of that, with the first cell.

        """
        harmless = [m for m in self._open.values() if self._is_harmless(m)]
        lost = [m for m in self._open.values() if not self._is_harmless(m)]
        at_work = {msg_id for msg_id, kind in self._running.items() if kind != _HARMLESS}
        cells = [m.header["msg_id"] for m in lost if m.header["msg_type"] == _CELL]
        told = at_work or set(cells[:1])
        self.held.extendleft(reversed(harmless))
        self.forget_open()
        return [(m, m.header["msg_id"] in told) for m in lost]

    def refuse_held(self) -> list[tuple[Message, bool]]:
        """Give up on what is held, since no kernel will come; returned as by :meth:`settle`."""
        refused = [m for m in self.held if m.expects_reply]
        self.held.clear()
        return [(m, number == 0) for number, m in enumerate(refused)]

    def forget_open(self) -> None:
        """Forget the open requests: nothing will be heard of them any more."""
        self._open.clear()
        self._running.clear()

    def waiting_cell(self) -> dict[str, Any] | None:
        """Return the header of the first cell that is held, where a reason to wait can be shown."""
        cells = (m.header for m in self.held if m.header["msg_type"] == _CELL)
        return next(cells, None)

    def running_cell(self) -> dict[str, Any] | None:
        """Return the header of the cell that is at work, as far as that is known."""
        cells = [m.header for m in self._open.values() if m.header["msg_type"] == _CELL]
        at_work = [header for header in cells if header["msg_id"] in self._running]
        return next(iter(at_work or cells), None)

    @staticmethod
    def _is_harmless(message: Message) -> bool:
        return bool(message.header["msg_type"] == _HARMLESS)
