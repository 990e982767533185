"""The link's promise: every stream's bytes arrive once and in order, whatever happens between."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_kube.kernels.handshake import Keys, LinkError
from jupyter_kube.kernels.link import MAX_PAYLOAD, PATIENCE, Link

from .wire import End, Wire


def pattern(length: int, seed: int) -> bytes:
    """Bytes in which a lost, doubled or moved piece shows."""
    return bytes((seed * 31 + i * 7 + (i >> 8)) & 0xFF for i in range(length))


SMALL = {"limit": 4000, "window": 200}


def traffic(wire: Wire) -> None:
    """Send something of everything to the pod."""
    server = wire.server.link
    for number, channel in enumerate(("shell", "iopub", "control"), 1):
        assert server.open(channel) == number
        server.send(number, pattern(40 * number, number))
    server.control({"op": "restart", "id": 1})


def exchange(wire: Wire, cut_at: int, end_name: str) -> int:
    """Run a fixed conversation that breaks after so many bytes of one end; return their number."""
    end: End = getattr(wire, end_name)
    total = 0

    def flow() -> None:
        nonlocal total
        while True:
            idle = True
            for one in (wire.server, wire.pod):
                wire.emit(one, 64)
                idle = idle and not one.flight
                if one is end and total <= cut_at < total + len(one.flight):
                    wire.deliver(one, cut_at - total)
                    total = 1 << 30  # cut once
                    wire.cut()
                    wire.connect()
                    return
                if one is end:
                    total += len(one.flight)
                wire.deliver(one)
            if idle:
                return

    wire.connect()
    traffic(wire)
    flow()
    wire.settle()
    wire.pod.link.send(1, b"reply" * 20)
    wire.pod.link.send(2, pattern(300, 9))
    wire.pod.link.control({"reply": 1})
    wire.server.link.tick()
    wire.pod.link.tick()
    flow()
    wire.server.link.close(3)
    flow()
    wire.settle()
    return total


def check_exchange(wire: Wire) -> None:
    assert wire.pod.opened == {1: "shell", 2: "iopub", 3: "control"}
    assert wire.pod.got == {n: pattern(40 * n, n) for n in (1, 2, 3)}
    assert wire.server.got == {1: b"reply" * 20, 2: pattern(300, 9)}
    assert wire.pod.messages == [{"op": "restart", "id": 1}]
    assert wire.server.messages == [{"reply": 1}]
    assert wire.pod.closed == [3]


@pytest.mark.parametrize("end", ["server", "pod"])
def test_a_cut_at_every_byte_loses_and_doubles_nothing(end: str) -> None:
    uncut = Wire(**SMALL)
    length = exchange(uncut, 1 << 40, end)
    check_exchange(uncut)
    assert length > 500
    for position in range(length):
        wire = Wire(**SMALL)
        exchange(wire, position, end)
        assert wire.connections == 2
        check_exchange(wire)


@pytest.mark.parametrize("cut_after", range(1, 8))
@pytest.mark.parametrize("acknowledged", [True, False])
def test_cuts_while_it_is_still_sending_again_change_nothing(
    cut_after: int, acknowledged: bool
) -> None:
    wire = Wire(**SMALL)
    stream = wire.server.link.open("shell")
    pieces = [pattern(5, n) for n in range(30)]
    wire.connect()
    for piece in pieces:
        wire.server.link.send(stream, piece)
    wire.emit(wire.server)  # all of it under way, none of it arrives
    for _ in range(40):
        wire.cut()
        wire.connect()
        for _ in range(cut_after):
            wire.emit(wire.server, 1)  # one frame
            wire.deliver(wire.server)
            if acknowledged:
                wire.pod.link.tick()
                wire.emit(wire.pod)
                wire.deliver(wire.pod)
        wire.emit(wire.server, 100)  # some more is lost
    wire.settle()
    assert wire.pod.got[stream] == b"".join(pieces)
    assert wire.server.link._held == 0


ENDS = st.sampled_from(["server", "pod"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), ENDS, st.just(0), st.just(0)),
        st.tuples(st.just("send"), ENDS, st.integers(1, 4), st.integers(0, 500)),
        st.tuples(st.just("close"), ENDS, st.integers(1, 4), st.just(0)),
        st.tuples(st.just("emit"), ENDS, st.just(0), st.integers(1, 600)),
        st.tuples(st.just("deliver"), ENDS, st.just(0), st.integers(0, 300)),
        st.tuples(st.just("cut"), ENDS, st.just(0), st.just(0)),
        st.tuples(st.just("connect"), ENDS, st.just(0), st.just(0)),
        st.tuples(st.just("block"), ENDS, st.integers(1, 4), st.just(0)),
        st.tuples(st.just("unblock"), ENDS, st.integers(1, 4), st.just(0)),
        st.tuples(st.just("tick"), ENDS, st.just(0), st.just(0)),
        st.tuples(st.just("control"), ENDS, st.just(0), st.integers(0, 99)),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(STEPS)
def test_any_traffic_with_any_cuts_arrives_once_and_in_order(
    steps: list[tuple[str, str, int, int]],
) -> None:
    wire = Wire(**SMALL)
    sent: dict[str, dict[int, bytes]] = {"server": {}, "pod": {}}
    said: dict[str, list[int]] = {"server": [], "pod": []}
    ended: dict[str, set[int]] = {"server": set(), "pod": set()}
    for seed, (what, name, stream, amount) in enumerate(steps):
        end: End = getattr(wire, name)
        link = end.link
        match what:
            case "open":
                wire.server.link.open("shell")
            case "send":
                if stream in link._streams and stream not in ended[name]:
                    link.send(stream, pattern(amount, seed))
                    before = sent[name].get(stream, b"")
                    sent[name][stream] = before + pattern(amount, seed)
            case "close":
                if stream in link._streams:
                    link.close(stream)
                    ended[name].add(stream)
            case "emit":
                wire.emit(end, amount)
            case "deliver":
                wire.deliver(end, amount)
            case "cut":
                wire.cut()
            case "connect":
                wire.connect()
            case "block":
                end.blocked.add(stream)
            case "unblock":
                end.unblock(stream)
            case "tick":
                link.tick()
            case "control":
                link.control({"n": amount})
                said[name].append(amount)
    for end in (wire.server, wire.pod):
        for stream in list(end.blocked):
            end.unblock(stream)
    wire.settle()
    for name, other in (("server", wire.pod), ("pod", wire.server)):
        assert [m["n"] for m in other.messages] == said[name]
        for stream, data in sent[name].items():
            got = bytes(other.got[stream])
            if stream in ended["server"] | ended["pod"]:
                assert data.startswith(got)  # who closes hears no more, and may be unheard
            else:
                assert got == data
    assert wire.server.link._held == wire.pod.link._held == 0


def test_what_was_sent_before_a_close_arrives_before_it() -> None:
    wire = Wire(**SMALL)
    stream = wire.server.link.open("iopub")
    wire.settle()
    wire.pod.link.send(stream, pattern(3000, 1))
    wire.pod.link.close(stream)
    wire.settle()
    assert wire.server.got[stream] == pattern(3000, 1)
    assert wire.server.closed == [stream]


def test_a_stream_closed_before_it_was_sent_is_never_heard_of() -> None:
    wire = Wire(**SMALL)
    for _ in range(5000):  # a link that is down for long while Jupyter tries again and again
        assert wire.server.link.room
        stream = wire.server.link.open("hb")
        wire.server.link.send(stream, b"greeting")
        wire.server.link.close(stream)
    wire.settle()
    assert wire.pod.opened == {}
    assert wire.server.link._held == 0


# --- flow ----------------------------------------------------------------------------------------


def test_a_blocked_stream_does_not_stall_the_others() -> None:
    wire = Wire(limit=1 << 20, window=4096)
    stuck, lively = wire.server.link.open("iopub"), wire.server.link.open("control")
    wire.pod.blocked.add(stuck)
    wire.connect()
    while wire.server.link.writable(stuck):
        wire.server.link.send(stuck, bytes(4096))
    for _ in range(50):
        wire.emit(wire.server)
        wire.deliver(wire.server)
        wire.emit(wire.pod)
        wire.deliver(wire.pod)
    assert len(wire.pod.got[stuck]) <= 4096
    assert wire.server.link.writable(lively)
    wire.server.link.send(lively, b"interrupt")
    wire.emit(wire.server)
    wire.deliver(wire.server)
    assert wire.pod.got[lively] == b"interrupt"
    wire.pod.unblock(stuck)
    wire.settle()
    assert len(wire.pod.got[stuck]) > 500_000


def test_a_small_stream_goes_between_the_pieces_of_a_large_one() -> None:
    wire = Wire()
    large, small = wire.server.link.open("iopub"), wire.server.link.open("control")
    wire.connect()
    wire.server.link.send(large, bytes(2_000_000))
    wire.server.link.send(small, b"interrupt")
    wire.emit(wire.server, 2 * MAX_PAYLOAD)
    wire.deliver(wire.server)
    assert wire.pod.got[small] == b"interrupt"
    assert 0 < len(wire.pod.got[large]) < 2_000_000


def test_what_a_lost_link_piles_up_is_bounded() -> None:
    wire = Wire(limit=1 << 20, window=1 << 18)
    streams = [wire.server.link.open("iopub") for _ in range(4)]
    kept = 0
    while any(wire.server.link.writable(s) for s in streams):
        for stream in streams:
            if wire.server.link.writable(stream):
                wire.server.link.send(stream, bytes(10_000))
                kept += 10_000
    assert kept < (1 << 20) + 4 * 80_000
    assert wire.server.link._held < (1 << 20) + 4 * 80_000
    wire.settle()
    assert all(wire.server.link.writable(s) for s in streams)
    assert sum(map(len, wire.pod.got.values())) == kept


def test_a_silent_peer_is_noticed_and_a_beating_one_is_not() -> None:
    wire = Wire()
    wire.connect()
    for _ in range(3 * PATIENCE):
        assert wire.server.link.tick()
        assert wire.pod.link.tick()
        for end in (wire.server, wire.pod):
            wire.emit(end)
            wire.deliver(end)
    answers = [wire.server.link.tick() for _ in range(PATIENCE + 1)]
    assert answers == [True] * PATIENCE + [False]


# --- the hostile wire ----------------------------------------------------------------------------


def captured() -> tuple[Wire, bytes]:
    """Return a wire and an authentic byte string on its way to the pod."""
    wire = Wire()
    stream = wire.server.link.open("shell")
    wire.connect()
    wire.server.link.send(stream, b"execute")
    wire.emit(wire.server)
    return wire, wire.server.flight


@given(st.binary(max_size=5000))
def test_garbage_means_nothing_and_is_not_kept(garbage: bytes) -> None:
    wire, _ = captured()
    with suppress(LinkError):
        wire.pod.take(garbage)
    assert not wire.pod.opened
    assert len(wire.pod.link._inbox) <= len(garbage)


def test_each_flipped_bit_is_noticed() -> None:
    length = len(captured()[1])
    for position in range(length):
        wire, data = captured()
        forged = bytearray(data)
        forged[position] ^= 0x10
        try:
            wire.pod.take(bytes(forged))
            wire.pod.take(bytes(MAX_PAYLOAD + 100))  # a longer length waits for more bytes
        except LinkError:
            assert b"execute" not in wire.pod.got.values()
        else:
            pytest.fail(f"nobody noticed byte {position}")


def test_a_replayed_frame_is_refused() -> None:
    wire, data = captured()
    wire.pod.take(data)
    with pytest.raises(LinkError, match="out of turn"):
        wire.pod.take(data)
    assert wire.pod.got[1] == b"execute"


def test_frames_of_an_earlier_connection_are_refused() -> None:
    wire, data = captured()
    wire.cut()
    wire.connect()
    with pytest.raises(LinkError, match="not authentic"):
        wire.pod.take(data)


def test_a_frame_sent_back_to_its_sender_is_refused() -> None:
    wire, data = captured()
    with pytest.raises(LinkError, match="not authentic"):
        wire.server.take(data)


def test_too_long_a_frame_is_refused_by_its_header_alone() -> None:
    wire, _ = captured()
    with pytest.raises(LinkError, match="too long"):
        wire.pod.take((MAX_PAYLOAD + 1).to_bytes(4, "big") + bytes(13))


def rogue(**sizes: int) -> tuple[Link, End]:
    """Return a link that holds the keys but does as it likes, and its victim."""
    wire = Wire(**sizes)
    wire.connect()
    return wire.server.link, wire.pod


def forced(link: Link, kind: int, stream: int, payload: bytes) -> bytes:
    from jupyter_kube.kernels.link import _Frame

    parts: list[bytes] = []
    link._seal(parts, _Frame(kind, stream, payload))
    return b"".join(parts)


@pytest.mark.parametrize(
    ("kind", "stream", "payload", "words"),
    [
        (0, 0, bytes(8)[:7], "wrong size"),
        (0, 0, (99).to_bytes(8, "big"), "not sent"),
        (2, 7, b"x", "no known"),
        (3, 7, b"", "no known"),
        (5, 0, b"[1]", "JSON"),
        (5, 0, b"\xff\xfe", "JSON"),
        (6, 0, b"", "no known"),
    ],
)
def test_an_authentic_peer_that_breaks_the_rules_is_refused(
    kind: int, stream: int, payload: bytes, words: str
) -> None:
    link, victim = rogue()
    with pytest.raises(LinkError, match=words):
        victim.take(forced(link, kind, stream, payload))


def test_bytes_beyond_the_credit_are_refused() -> None:
    link, victim = rogue(limit=1000, window=100)
    victim.blocked.add(1)
    victim.take(forced(link, 1, 1, b"shell") + forced(link, 2, 1, bytes(100)))
    with pytest.raises(LinkError, match="credit"):
        victim.take(forced(link, 2, 1, b"x"))


def test_streams_are_limited_and_never_reused() -> None:
    link, victim = rogue()
    victim.take(b"".join(forced(link, 1, n, b"hb") for n in range(1, 1025)))
    with pytest.raises(LinkError, match="may not be opened"):
        victim.take(forced(link, 1, 1025, b"hb"))
    link, victim = rogue()
    victim.take(forced(link, 1, 5, b"hb") + forced(link, 3, 5, b""))
    with pytest.raises(LinkError, match="may not be opened"):
        victim.take(forced(link, 1, 5, b"hb"))


def test_what_came_before_a_bad_frame_stands() -> None:
    wire, data = captured()
    with pytest.raises(LinkError):
        wire.pod.take(data + bytes(40))
    assert wire.pod.got[1] == b"execute"
    wire.cut()
    wire.settle()
    assert wire.pod.got[1] == b"execute"


def test_a_peer_at_an_impossible_place_is_refused() -> None:
    wire, data = captured()
    wire.pod.take(data)
    assert not wire.pod.link.can_resume(1)
    with pytest.raises(LinkError, match="gone"):
        wire.pod.link.connection_made(Keys(b"a", b"b"), 1)
    wire.server.link.connection_lost()
    for impossible in (-1, 3):
        assert not wire.server.link.can_resume(impossible)
    assert [wire.server.link.can_resume(n) for n in (0, 1, 2)] == [True] * 3
