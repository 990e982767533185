"""The websocket of one front end: to a kernel of ours across starts, restarts and crashes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections import deque
from typing import TYPE_CHECKING, Any

from jupyter_client.session import DELIM
from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError

from ..messages import V1
from ..turns import unhurried
from . import activity, adapter, catchup
from .kernel import KubeKernelManager
from .ledger import Ledger, Message

if TYPE_CHECKING:
    from .recall import Recording

_WELCOME = b'"iopub_welcome"'
_STATUS = b'"status"'
_REPLY = "_reply"
_CELL, _CELL_REPLY = "execute_request", "execute_reply"
_RELIEF = 10.0  # seconds
_AGAIN = (0.015, 0.03, *[0.06] * 48)
"""Seconds a kernel gets to welcome each subscription; then it is one that welcomes nobody."""


class KubeWebsocketConnection(ZMQChannelsWebsocketConnection):
    """Jupyter Server's connection without Nagle's delay; for kernels of ours, one that survives.

    It opens while the kernel starts, keeps what is sent too early, and goes on with the next
    process when one ends.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ledger = Ledger()
        self._subscribed = False  # output cannot be missed any more
        self._topics: list[bytes] = []
        self._asking: asyncio.TimerHandle | None = None
        self._catching: asyncio.Task[None] | None = None  # gets what was said before
        self._relief: asyncio.TimerHandle | None = None  # until then output is not limited
        self._behind = False  # whether that is still to be done
        self._later: deque[tuple[Any, list[Any]]] = deque()  # what the kernel says meanwhile
        self._given: set[str] = set()  # ids of what was said before and has been passed on
        self._missing = ""  # what could not be, in words; to be said under the next cell
        self._told = ""  # why the start takes time, as last said
        self._told_cell: dict[str, Any] | None = None

    @property
    def _kernel(self) -> KubeKernelManager | None:
        kernel = self.kernel_manager
        return kernel if isinstance(kernel, KubeKernelManager) else None

    # --- opening and closing ---------------------------------------------------------------------

    async def prepare(self) -> None:
        """Get ready to be opened; a kernel of ours may still be starting."""
        if self._kernel is None:
            await super().prepare()
            return
        await self._register_session()
        self.session.key = self._kernel.session.key

    def connect(self) -> Any:
        """Open; returns a future."""
        with contextlib.suppress(StreamClosedError, WebSocketClosedError):
            # Small messages back to back otherwise wait 40 ms for an acknowledgement.
            self.websocket_handler.set_nodelay(True)
        kernel = self._kernel
        if kernel is None:
            return super().connect()
        manager = self.multi_kernel_manager
        manager.notify_connect(self.kernel_id)
        manager.add_restart_callback(self.kernel_id, self.on_kernel_restarted)
        manager.add_restart_callback(self.kernel_id, self.on_restart_failed, "dead")
        adapter.open_sockets(self).add(self)
        kernel.listeners.append(self)
        self.ledger = kernel.ledgers.setdefault(self.session_key, self.ledger)
        self._take_up(kernel, manager.get_buffer(self.kernel_id, self.session_key))
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        opened.set_result(None)
        return opened

    def _take_up(self, kernel: KubeKernelManager, buffered: dict[str, Any] | None) -> None:
        """Connect; where the session was here before, go on from there."""
        self._behind = self._is_behind(kernel)
        if buffered and "shell" in buffered["channels"]:
            self.channels = buffered["channels"]
            for channel, parts in buffered["buffer"]:
                self.handle_outgoing_message(self.channels[channel], parts)
        else:
            self.ledger.forget_open()
        if not kernel.up:
            self._send_status_message(kernel.stage)
            self.kernel_waits()
        elif self.channels and self.ledger.process == kernel.process:
            self._listen()
            self._open_gate()
        else:
            self.kernel_up()

    def _is_behind(self, kernel: KubeKernelManager) -> bool:
        """Return whether the front end still lacks what was said before this server was there."""
        return kernel.behind and self.session.session not in kernel.caught_up

    def disconnect(self) -> Any:
        """Close; the session may come back."""
        kernel = self._kernel
        if kernel is not None and self in kernel.listeners:
            kernel.listeners.remove(self)
        self._stop_asking()
        self._stop_catching()
        if self._relief is not None:
            self._relief.cancel()
        return super().disconnect()

    # --- what the kernel manager tells -----------------------------------------------------------

    def kernel_waits(self) -> None:
        """Tell the front end how the start stands, and the first cell what it waits for."""
        kernel = self._kernel
        if kernel is not None and kernel.stage == "starting":
            self._send("status", {"execution_state": "starting", "reason": kernel.reason})
            self._explain()

    def kernel_says(self, words: str) -> None:
        """Write something under the cell that is at work."""
        cell = self.ledger.running_cell()
        if cell is not None:
            self._send("stream", {"name": "stderr", "text": f"{words}\n"}, cell)

    def kernel_reached(self) -> None:
        """Let through what piled up while the pod was out of reach: the kernel does not flood."""
        if self._relief is not None:
            self._relief.cancel()
        elif not self.limit_rate:
            return
        self.set_trait("limit_rate", False)
        self._relief = asyncio.get_running_loop().call_later(_RELIEF, self._limit_again)

    def _limit_again(self) -> None:
        self._relief = None
        self.set_trait("limit_rate", True)

    def kernel_down(self) -> None:
        """Keep what is sent from now on."""
        self._subscribed = False
        self._stop_asking()
        self._stop_catching()

    def kernel_settled(self, why: str, *, final: bool = False) -> None:
        """Answer what the process that ended has taken along."""
        self._flush()
        lost = self.ledger.settle()
        if final:
            lost += self.ledger.refuse_held()
        for message, to_be_told in lost:
            if why and to_be_told:
                self._send("stream", {"name": "stderr", "text": f"{why}\n"}, message.header)
            reply = message.header["msg_type"].removesuffix("_request") + _REPLY
            self._send(reply, {"status": "aborted"}, message.header, "shell")
            self._send("status", {"execution_state": "idle"}, message.header)
        self._close_channels(keep_output=not final)

    def kernel_up(self) -> None:
        """Connect to the process that is ready now; messages wait until output is subscribed to."""
        kernel = self._kernel
        if kernel is None:
            return
        self.kernel_settled("")  # of a process that ended while we were away
        self._close_channels()
        self._subscribed = False
        self.ledger.process = kernel.process
        self._behind = self._is_behind(kernel)
        self.create_stream()
        self._listen()
        self._topics.clear()
        self._ask_for_welcome()
        self._pass_control()

    def _ask_for_welcome(self) -> None:
        """Subscribe to a topic of our own, to know when the one for everything is in place.

        Kernels welcome each new topic, but not a second subscriber to an old one. ipykernel
        overlooks a subscription that arrives while it sends, until the next one: so ask again.
        """
        if len(self._topics) == len(_AGAIN):
            self._open_gate()
            return
        patience = _AGAIN[len(self._topics)]
        self._topics.append(os.urandom(8).hex().encode())
        self.channels["iopub"].socket.subscribe(self._topics[-1])
        self._asking = asyncio.get_running_loop().call_later(patience, self._ask_for_welcome)

    def _stop_asking(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    # --- messages --------------------------------------------------------------------------------

    def handle_incoming_message(self, incoming_msg: Any) -> None:
        """Pass a message on to the kernel, or keep it until the kernel can take it."""
        if self._kernel is None:
            super().handle_incoming_message(incoming_msg)
            return
        message = self._read(incoming_msg)
        if message.channel == "control" and self.channels:
            super().handle_incoming_message(incoming_msg)
        elif self._subscribed:
            self._pass(message)
        else:
            self._hold(message)

    def handle_outgoing_message(self, stream: Any, outgoing_msg: list[Any]) -> None:
        """Pass a message of the kernel on to the front end, and keep the books."""
        if self._kernel is not None:
            start = outgoing_msg.index(DELIM)
            channel = getattr(stream, "channel", None)
            if channel == "iopub" and _WELCOME in outgoing_msg[start + 2]:
                if start and outgoing_msg[0] in self._topics:
                    self._open_gate()
                return
            if channel == "iopub" and not activity.seen_by(outgoing_msg):
                activity.touch(self.multi_kernel_manager, self._kernel)
            if self._behind:
                self._later.append((stream, outgoing_msg))
                return
        self._pass_on(stream, outgoing_msg)

    def _pass_on(self, stream: Any, outgoing_msg: list[Any]) -> None:
        if self._kernel is not None:
            parts = outgoing_msg[outgoing_msg.index(DELIM) + 2 :]
            channel = getattr(stream, "channel", None)
            if channel == "iopub" and _STATUS in parts[0]:
                self._note_status(parts)
            elif channel == "shell":
                self.ledger.answered(json.loads(parts[1]).get("msg_id", ""))
        super().handle_outgoing_message(stream, outgoing_msg)

    async def _catch_up(self, kernel: KubeKernelManager) -> None:
        """Give the front end the output and replies of its cells that no server was there for."""
        try:
            recording = await kernel.recall(self.session.session)
            if recording is not None:
                await self._replay(recording)
        except (TimeoutError, OSError) as error:
            self.log.warning("What kernel %s said meanwhile is lost: %r", self.kernel_id, error)
            self._missing = catchup.failed(error)
        except Exception as error:  # nobody awaits this, and the kernel shall be usable
            self.log.exception("what kernel %s said meanwhile cannot be shown", self.kernel_id)
            self._missing = catchup.failed(error)
        try:
            async for stream, message in unhurried(catchup.drained(self._later)):
                self._give(message[message.index(DELIM) + 2], stream, message)
        except Exception:
            self.log.exception("what kernel %s says cannot be shown", self.kernel_id)
        self._catching, self._behind = None, False
        self._given.clear()
        kernel.caught_up.add(self.session.session)
        self._open_gate()

    def _give(self, header: bytes, stream: Any, message: list[Any]) -> None:
        """Pass a message on, once: the recording has some that come by themselves, too."""
        msg_id = json.loads(header)["msg_id"]
        if msg_id not in self._given:
            self._given.add(msg_id)
            self._pass_on(stream, message)

    def _answered(self) -> set[str]:
        """Return the requests whose replies came themselves, while the rest was asked for."""
        return {
            json.loads(message[message.index(DELIM) + 3])["msg_id"]
            for stream, message in self._later
            if getattr(stream, "channel", None) == "shell"
        }

    async def _replay(self, recording: Recording) -> None:
        """Pass on recorded messages, however many."""
        words, cell = catchup.missing(recording), catchup.header_of(recording)
        if words and cell is not None:
            self._send("stream", {"name": "stderr", "text": f"jupyter-kube: {words}\n"}, cell)
        elif words:
            self._missing = words
        iopub, limited = self.channels["iopub"], self.limit_rate
        self.set_trait("limit_rate", False)
        try:
            async for parts in unhurried(recording.messages):
                self._give(parts[1], iopub, [b"", DELIM, *parts])
        finally:
            self.set_trait("limit_rate", limited)
        answered = self._answered()
        for parent, content in recording.replies:
            if parent["msg_id"] not in answered:
                self._send(_CELL_REPLY, content, parent, "shell")
        for header in recording.open:  # if the kernel dies, they are answered with the others
            if header["msg_type"] == _CELL:
                self.ledger.sent(Message("shell", header, b""))

    def _stop_catching(self) -> None:
        if self._catching is not None:
            self._catching.cancel()
            self._catching = None
        self._behind = False
        self._later.clear()

    def _note_status(self, parts: list[bytes]) -> None:
        if json.loads(parts[0])["msg_type"] == "status":
            state = json.loads(parts[3]).get("execution_state", "")
            self.ledger.status(json.loads(parts[1]), state)

    def _read(self, raw: Any) -> Message:
        """Find out what a message from the websocket is."""
        if self.subprotocol == V1:
            channel, parts = deserialize_msg_from_ws_v1(raw)
            return Message(channel, json.loads(parts[0]), raw)
        decoded = deserialize_binary_message(raw) if isinstance(raw, bytes) else json.loads(raw)
        return Message(decoded.get("channel") or "shell", decoded["header"], raw)

    def _pass(self, message: Message) -> None:
        idle = self.ledger.running_cell() is None
        self.ledger.sent(message)
        if idle and self._kernel is not None and self._kernel.silence:
            self.kernel_says(self._kernel.silence)
        if self._missing and self.ledger.running_cell() is not None:
            words, self._missing = f"jupyter-kube: {self._missing}", ""
            self.kernel_says(words)
        super().handle_incoming_message(message.raw)

    def _hold(self, message: Message) -> None:
        kernel = self._kernel
        self.ledger.held.append(message)
        if kernel is None:
            return
        if kernel.stage == "dead":
            self.kernel_settled(kernel.reason, final=True)
        else:
            self._explain()

    def _open_gate(self) -> None:
        """Send on what was kept, once the front end has what the kernel said before."""
        kernel = self._kernel
        if self._subscribed or kernel is None or not kernel.up or self._catching is not None:
            return
        if self._behind:
            self._stop_asking()
            self._catching = asyncio.create_task(self._catch_up(kernel))
            return
        self._subscribed = True
        self._stop_asking()
        if self._told_cell is not None:
            self._send("clear_output", {"wait": False}, self._told_cell)
        self._told, self._told_cell = "", None
        while self.ledger.held:
            self._pass(self.ledger.held.popleft())

    def _pass_control(self) -> None:
        """Send on what was kept for the control channel: an interrupt cannot wait for output."""
        for message in [m for m in self.ledger.held if m.channel == "control"]:
            self.ledger.held.remove(message)
            self._pass(message)

    # --- telling the front end -------------------------------------------------------------------

    def _explain(self) -> None:
        """Write under the first waiting cell what it waits for; removed when the cell runs."""
        cell, words = self.ledger.waiting_cell(), self._kernel.waits_for if self._kernel else ""
        if cell is None or not words or words == self._told:
            return
        if self._told_cell is not None:
            self._send("clear_output", {"wait": True}, self._told_cell)
        self._told, self._told_cell = words, cell
        self._send("stream", {"name": "stderr", "text": f"{words}\n"}, cell)

    def _send(
        self,
        msg_type: str,
        content: dict[str, Any],
        parent: dict[str, Any] | None = None,
        channel: str = "iopub",
    ) -> None:
        """Send the front end a message as if from the kernel."""
        message = self.session.msg(msg_type, content, parent={"header": parent} if parent else None)
        with contextlib.suppress(WebSocketClosedError):
            if self.subprotocol == V1:
                packed = serialize_msg_to_ws_v1(message, channel, self.session.pack)
                self.write_message(packed, binary=True)
            else:
                message["channel"] = channel
                text = self.session.pack(message).decode()
                self.write_message(text)

    # --- channels --------------------------------------------------------------------------------

    def _listen(self) -> None:
        for stream in self.channels.values():
            stream.on_recv_stream(self.handle_outgoing_message)

    def _flush(self) -> None:
        """Take in what has arrived."""
        for stream in list(self.channels.values()):
            if not stream.closed():
                stream.flush()

    def _close_channels(self, *, keep_output: bool = False) -> None:
        """Drop connections to a process that ended, with what it has not taken."""
        for name, stream in list(self.channels.items()):
            if keep_output and name == "iopub":
                continue
            del self.channels[name]
            if not stream.closed():
                stream.on_recv(None)
                stream.close(linger=0)
