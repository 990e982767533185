"""Two links and the wire between them, without any input or output: what the tests play with."""

from __future__ import annotations

from collections import defaultdict

from jupyter_kube.kernels.handshake import Keys
from jupyter_kube.kernels.link import Closed, Control, Data, Link, Opened


class End:
    """One end: its link, what it saw, and its bytes that are under way."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.got: dict[int, bytearray] = defaultdict(bytearray)
        self.opened: dict[int, str] = {}
        self.closed: list[int] = []
        self.messages: list[dict] = []
        self.flight = b""
        self.blocked: set[int] = set()  # streams whose local reader takes nothing
        self.owed: dict[int, int] = defaultdict(int)

    def take(self, data: bytes) -> None:
        for event in self.link.receive(data):
            match event:
                case Opened(stream, channel):
                    assert stream not in self.opened
                    self.opened[stream] = channel
                case Data(stream, piece):
                    assert stream not in self.closed
                    self.got[stream] += piece
                    if stream in self.blocked:
                        self.owed[stream] += len(piece)
                    else:
                        self.link.consumed(stream, len(piece))
                case Closed(stream):
                    assert stream not in self.closed
                    self.closed.append(stream)
                case Control(message):
                    self.messages.append(message)

    def unblock(self, stream: int) -> None:
        self.blocked.discard(stream)
        self.link.consumed(stream, self.owed.pop(stream, 0))


class Wire:
    """The connection of the day between a dialing and a listening end."""

    def __init__(self, **sizes: int) -> None:
        dialing = Link(**sizes)
        self.server, self.pod = End(dialing), End(Link(dialing.session, **sizes))
        self.connections = 0

    def connect(self) -> None:
        self.connections += 1
        there, back = f"there {self.connections}".encode(), f"back {self.connections}".encode()
        received = self.server.link.received, self.pod.link.received
        self.server.link.connection_made(Keys(there, back), received[1])
        self.pod.link.connection_made(Keys(back, there), received[0])
        self.server.flight = self.pod.flight = b""

    def other(self, end: End) -> End:
        return self.pod if end is self.server else self.server

    def emit(self, end: End, limit: int = 1 << 18) -> None:
        end.flight += end.link.outgoing(limit)

    def deliver(self, end: End, count: int | None = None) -> None:
        """Let so many bytes of an end arrive at the other."""
        count = len(end.flight) if count is None else min(count, len(end.flight))
        arrived, end.flight = end.flight[:count], end.flight[count:]
        self.other(end).take(arrived)

    def cut(self) -> None:
        """Break the connection: what was under way is gone."""
        for end in (self.server, self.pod):
            end.flight = b""
            end.link.connection_lost()

    def settle(self) -> None:
        """Let everything arrive."""
        if not self.server.link.connected:
            self.connect()
        for _ in range(10_000):
            for end in (self.server, self.pod):
                self.emit(end)
                self.deliver(end)
            if self.server.link.settled and self.pod.link.settled:
                return
            for end in (self.server, self.pod):
                end.link.tick()
        raise AssertionError("the link does not come to rest")
