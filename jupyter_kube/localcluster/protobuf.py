"""Bodies in protobuf: what kubectl's ``create namespace``, ``auth can-i`` and the like send (pure).

Only the fields that those commands fill in are known; all others are passed over.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"

Decode = Callable[[Any], Any]
"""Turns a field's raw value (an int, or bytes) into that of the JSON."""


@dataclass(frozen=True)
class _Repeated:
    each: Decode


@dataclass(frozen=True)
class _Map:
    value: Decode


class _Message:
    """Decode a message by its fields: number to name and type."""

    def __init__(self, fields: dict[int, tuple[str, Decode | _Repeated | _Map]]) -> None:
        self._fields = fields

    def __call__(self, data: bytes) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for number, raw in _wire(data):
            name, decode = self._fields.get(number, ("", None))
            if isinstance(decode, _Repeated):
                out.setdefault(name, []).append(_decoded(decode.each, raw))
            elif isinstance(decode, _Map):
                pair = dict(_wire(_bytes_of(raw)))
                key = _decoded(_text, pair.get(1, b""))
                out.setdefault(name, {})[key] = _decoded(decode.value, pair.get(2, b""))
            elif decode is not None and raw != b"":
                out[name] = _decoded(decode, raw)
        return out


def _decoded(decode: Decode, raw: int | bytes) -> Any:
    return decode(raw if decode is _int else _bytes_of(raw))


def _bytes_of(raw: int | bytes) -> bytes:
    if isinstance(raw, int):
        raise ValueError("a field has a number where text or a message belongs")
    return raw


def _wire(data: bytes) -> Iterator[tuple[int, Any]]:
    """Give the fields of a message: their numbers, and ints or bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                value, at = _varint(data, at)
                yield key >> 3, value
            case 2:
                size, at = _varint(data, at)
                if at + size > len(data):
                    raise ValueError("the message ends in the middle of a field")
                yield key >> 3, data[at : at + size]
                at += size
            case wire_type:
                raise ValueError(f"unexpected wire type {wire_type}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("the message ends in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _text(raw: bytes) -> str:
    return raw.decode()


def _bytes(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _int(raw: int | bytes) -> int:
    if isinstance(raw, bytes):
        raise ValueError("a field has text or a message where a number belongs")
    return raw - 2**64 if raw >= 2**63 else raw


def _quantity(raw: bytes) -> str:
    return str(_decoded(_text, dict(_wire(raw)).get(1, b"")))


def _int_or_text(raw: bytes) -> int | str:
    found = dict(_wire(raw))
    return str(_decoded(_text, found.get(3, b""))) if found.get(1) else _int(found.get(2, 0))


_TEXTS = _Repeated(_text)
_TEXT_MAP = _Map(_text)
_META = _Message(
    {
        1: ("name", _text),
        2: ("generateName", _text),
        3: ("namespace", _text),
        11: ("labels", _TEXT_MAP),
        12: ("annotations", _TEXT_MAP),
    }
)
_CONTAINER = _Message(
    {1: ("name", _text), 2: ("image", _text), 3: ("command", _TEXTS), 4: ("args", _TEXTS)}
)
_POD_SPEC = _Message({2: ("containers", _Repeated(_CONTAINER)), 3: ("restartPolicy", _text)})
_TEMPLATE = _Message({1: ("metadata", _META), 2: ("spec", _POD_SPEC)})
_JOB_SPEC = _Message({6: ("template", _TEMPLATE)})
_PORT = _Message(
    {
        1: ("name", _text),
        2: ("protocol", _text),
        3: ("port", _int),
        4: ("targetPort", _int_or_text),
    }
)
_SERVICE_SPEC = _Message(
    {
        1: ("ports", _Repeated(_PORT)),
        2: ("selector", _TEXT_MAP),
        3: ("clusterIP", _text),
        4: ("type", _text),
    }
)
_RULE = _Message(
    {
        1: ("verbs", _TEXTS),
        2: ("apiGroups", _TEXTS),
        3: ("resources", _TEXTS),
        4: ("resourceNames", _TEXTS),
    }
)
_SUBJECT = _Message(
    {1: ("kind", _text), 2: ("apiGroup", _text), 3: ("name", _text), 4: ("namespace", _text)}
)
_ROLE_REF = _Message({1: ("apiGroup", _text), 2: ("kind", _text), 3: ("name", _text)})
_ATTRIBUTES = _Message(
    dict(
        enumerate(
            [
                (name, _text)
                for name in (
                    "namespace", "verb", "group", "version", "resource", "subresource", "name",
                )
            ],
            1,
        )
    )
)  # fmt: skip
_REVIEW_SPEC = _Message(
    {
        1: ("resourceAttributes", _ATTRIBUTES),
        2: ("nonResourceAttributes", _Message({1: ("path", _text), 2: ("verb", _text)})),
    }
)
_KINDS = {
    "Namespace": _Message({1: ("metadata", _META)}),
    "ServiceAccount": _Message({1: ("metadata", _META)}),
    "Secret": _Message({1: ("metadata", _META), 2: ("data", _Map(_bytes)), 3: ("type", _text)}),
    "ConfigMap": _Message(
        {1: ("metadata", _META), 2: ("data", _TEXT_MAP), 3: ("binaryData", _Map(_bytes))}
    ),
    "ResourceQuota": _Message(
        {1: ("metadata", _META), 2: ("spec", _Message({1: ("hard", _Map(_quantity))}))}
    ),
    "Service": _Message({1: ("metadata", _META), 2: ("spec", _SERVICE_SPEC)}),
    "Job": _Message({1: ("metadata", _META), 2: ("spec", _JOB_SPEC)}),
    "Role": _Message({1: ("metadata", _META), 2: ("rules", _Repeated(_RULE))}),
    "RoleBinding": _Message(
        {1: ("metadata", _META), 2: ("subjects", _Repeated(_SUBJECT)), 3: ("roleRef", _ROLE_REF)}
    ),
    "SelfSubjectAccessReview": _Message({1: ("metadata", _META), 2: ("spec", _REVIEW_SPEC)}),
    "SelfSubjectReview": _Message({}),
}
_ENVELOPE = _Message(
    {1: ("type", _Message({1: ("apiVersion", _text), 2: ("kind", _text)})), 2: ("raw", bytes)}
)


def decode(data: bytes) -> dict[str, Any]:
    """Decode one object.

    Raises
    ------
    ValueError
        If this is not protobuf, or of a kind that is not known here.

    """
    if not data.startswith(_MAGIC):
        raise ValueError("the body does not begin as protobuf of Kubernetes does")
    envelope = _ENVELOPE(data[len(_MAGIC) :])
    kind = envelope.get("type", {}).get("kind", "")
    if kind not in _KINDS:
        raise ValueError(f"the local cluster reads no protobuf of kind {kind!r}; send JSON")
    return {**envelope["type"], **_KINDS[kind](envelope.get("raw", b""))}
