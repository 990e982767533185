"""Only who holds the kernel's key gets in, and both ends know it of each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.kernels.handshake import LOST, NEW, RESUMED, Dialer, LinkError, Listener

SESSION = bytes(range(16))


def ends(key: bytes = b"key", other: bytes = b"key", answer: tuple[int, int] = (RESUMED, 7)):
    asked = []

    def decide(*question: object) -> tuple[int, int]:
        asked.append(question)
        return answer

    return Dialer(key, session=SESSION, resuming=True, received=3), Listener(other, decide), asked


def converse(dialer: Dialer, listener: Listener, forge=lambda number, message: message) -> None:
    """Run a handshake; ``forge`` may change each message on its way."""
    message, number, there = dialer.begin(), 0, True
    assert listener.begin() == b""
    while message:
        to = listener if there else dialer
        message = forge(number, message)
        assert len(message) == to.need
        message, number, there = to.take(message), number + 1, not there


def test_both_ends_agree() -> None:
    dialer, listener, asked = ends()
    converse(dialer, listener)
    assert dialer.need == listener.need == 0
    assert asked == [(SESSION, True, 3)]
    assert (dialer.status, dialer.peer_received) == (RESUMED, 7)
    assert (listener.status, listener.peer_received) == (RESUMED, 3)
    assert dialer.keys.send == listener.keys.receive != dialer.keys.receive
    assert dialer.keys.receive == listener.keys.send


@pytest.mark.parametrize("answer", [(NEW, 0), (LOST, 0), (RESUMED, 2**40)])
def test_the_answer_arrives(answer: tuple[int, int]) -> None:
    dialer, listener, _ = ends(answer=answer)
    converse(dialer, listener)
    assert (dialer.status, dialer.peer_received) == answer


def test_each_connection_has_keys_of_its_own() -> None:
    seen = set()
    for _ in range(4):
        dialer, listener, _ = ends()
        converse(dialer, listener)
        seen |= set(dialer.keys)
    assert len(seen) == 8


def test_another_key_gets_nowhere() -> None:
    dialer, listener, asked = ends(other=b"another")
    with pytest.raises(LinkError, match="key"):
        converse(dialer, listener)
    assert not asked


def test_a_server_without_the_key_gets_no_decision() -> None:
    _, listener, asked = ends()
    stranger = Dialer(b"guess", session=SESSION, resuming=False, received=0)
    reply = listener.take(stranger.begin())
    stranger._said += reply
    with pytest.raises(LinkError, match="key"):
        listener.take(stranger._say(stranger._hello))
    assert not asked


@given(st.integers(0, 3), st.integers(0, 200), st.integers(1, 255))
def test_no_byte_can_be_changed_on_the_way(which: int, position: int, mask: int) -> None:
    def forge(number: int, message: bytes) -> bytes:
        if number != which:
            return message
        changed = bytearray(message)
        changed[position % len(message)] ^= mask
        return bytes(changed)

    dialer, listener, _ = ends()
    with pytest.raises(LinkError):
        converse(dialer, listener, forge)


def test_an_overheard_proof_is_worth_nothing_later() -> None:
    overheard: list[bytes] = []

    def listen(_: int, message: bytes) -> bytes:
        overheard.append(message)
        return message

    converse(*ends()[:2], forge=listen)
    _, listener, asked = ends()
    listener.take(overheard[0])
    with pytest.raises(LinkError, match="key"):
        listener.take(overheard[2])
    assert not asked


def test_other_protocols_are_told_apart_at_once() -> None:
    _, listener, _ = ends()
    with pytest.raises(LinkError, match="not a link"):
        listener.take(b"GET / HTTP/1.1\r\nHost: kernel.example.org\r\n"[: listener.need])
