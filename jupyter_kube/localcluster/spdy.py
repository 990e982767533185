"""The frames of SPDY/3.1, as far as kubectl's port-forward uses them (pure)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
DATA = 0
"""Stands for a data frame, which has no type of its own."""

_CONTROL = 0x8003
_FIN = 1
_HEAD = 8  # bytes before a frame's content

_NAMES = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language "
    "accept-ranges age allow authorization cache-control connection content-base "
    "content-encoding content-language content-length content-location content-md5 content-range "
    "content-type date etag expect expires from host if-match if-modified-since if-none-match "
    "if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate "
    "proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
)
_MORE_NAMES = ("version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
    "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _sized(text: str) -> bytes:
    return len(text).to_bytes(4, "big") + text.encode()


DICTIONARY = b"".join(map(_sized, (*_NAMES.split(), "200 OK", *_MORE_NAMES))) + _TEXT.encode()
"""What the compression of headers begins with: laid down by the specification."""


@dataclass(frozen=True)
class Frame:
    """A frame: its type, its stream (or a ping's number), and what it carries."""

    type: int
    stream: int
    data: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    last: bool = False
    """Whether the sender says no more on this stream."""


class Reader:
    """Turn bytes, as they come, into frames; those of no interest are passed over."""

    def __init__(self) -> None:
        self._rest = b""
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take some bytes and give the frames that they complete."""
        self._rest += data
        while len(self._rest) >= _HEAD:
            end = _HEAD + int.from_bytes(self._rest[5:8], "big")
            if len(self._rest) < end:
                return
            head, body, self._rest = self._rest[:5], self._rest[_HEAD:end], self._rest[end:]
            frame = self._frame(head, body)
            if frame is not None:
                yield frame

    def _frame(self, head: bytes, body: bytes) -> Frame | None:
        last = bool(head[4] & _FIN)
        if not head[0] & 0x80:
            return Frame(DATA, int.from_bytes(head[:4], "big"), body, last=last)
        kind, number = int.from_bytes(head[2:4], "big"), int.from_bytes(body[:4], "big")
        if kind == SYN_STREAM:
            return Frame(kind, number, headers=self._headers(body[10:]), last=last)
        return Frame(kind, number) if kind in {RST_STREAM, PING, GOAWAY} else None

    def _headers(self, packed: bytes) -> dict[str, str]:
        data = self._inflate.decompress(packed)
        texts, at = [], 4
        for _ in range(2 * int.from_bytes(data[:4], "big")):
            size = int.from_bytes(data[at : at + 4], "big")
            texts.append(data[at + 4 : at + 4 + size].decode())
            at += 4 + size
        return dict(zip(texts[::2], texts[1::2], strict=True))


class Writer:
    """Turn frames into bytes."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def reply(self, stream: int) -> bytes:
        """Accept a stream."""
        packed = self._deflate.compress((0).to_bytes(4, "big"))
        packed += self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control(SYN_REPLY, stream.to_bytes(4, "big") + packed)

    def ping(self, number: int) -> bytes:
        """Answer a ping."""
        return _control(PING, number.to_bytes(4, "big"))

    def data(self, stream: int, data: bytes, *, last: bool = False) -> bytes:
        """Say something on a stream; ``last`` says that it is the end."""
        flags = _FIN if last else 0
        return stream.to_bytes(4, "big") + bytes((flags,)) + len(data).to_bytes(3, "big") + data


def _control(kind: int, body: bytes) -> bytes:
    head = _CONTROL.to_bytes(2, "big") + kind.to_bytes(2, "big") + b"\0"
    return head + len(body).to_bytes(3, "big") + body
