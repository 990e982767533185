"""What travels between a kernel in a pod and its server, as JSON and back (pure).

Both ends are of the same version, so dataclasses are written field by field. What is read is
checked against the fields' types, since a kernel may send anything.
"""

from __future__ import annotations

import base64
import binascii
import types
from collections.abc import ItemsView, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from .. import errors
from ..errors import InvalidInput, KubeError, RemoteError

T = TypeVar("T")


def encode(value: Any) -> Any:
    """Turn dataclasses, errors of ours, bytes and containers into JSON's own kinds."""
    if isinstance(value, KubeError):
        return _encode_error(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: encode(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(key): encode(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [encode(inner) for inner in value]
    return value


def decode(kind: type[T], data: Any) -> T:
    """Turn JSON into a dataclass or whatever ``kind`` says.

    Raises
    ------
    InvalidInput
        If it is not what :func:`encode` makes of that kind.

    """
    try:
        found: T = _decode(kind, data)
    except (TypeError, ValueError, KeyError, binascii.Error) as error:
        raise InvalidInput(f"this is no {kind.__name__}", str(error)) from None
    return found


def _decode(kind: Any, data: Any) -> Any:
    outer, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return data
    if outer in (Union, types.UnionType):
        if data is None and type(None) in inner:
            return None
        (kind,) = (each for each in inner if each is not type(None))
        return _decode(kind, data)
    if outer is tuple:
        if not isinstance(data, list):
            raise TypeError("a list was expected")
        return tuple(_decode(inner[0], each) for each in data)
    if outer is not None:
        return {key: _decode(inner[1], each) for key, each in _items(data)}
    if isinstance(kind, type) and is_dataclass(kind):
        return kind(**{name: _decode(_hints(kind)[name], each) for name, each in _items(data)})
    if issubclass(kind, KubeError):
        return _decode_error(data)
    if kind is bytes:
        return base64.b64decode(data, validate=True)
    if kind is float and type(data) is int:
        return float(data)
    if type(data) is not kind:
        raise TypeError(f"{kind.__name__} was expected")
    return data


def _items(data: Any) -> ItemsView[str, Any]:
    if not isinstance(data, dict):
        raise TypeError("an object was expected")
    return data.items()


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _encode_error(error: KubeError) -> dict[str, Any]:
    about = {"type": type(error).__name__, "obj": error.obj}
    if isinstance(error, RemoteError):
        names = ("etype", "message", "rank", "pod", "traceback")
        return about | {name: getattr(error, name) for name in names}
    return about | {"what": error.what, "why": error.why, "next": error.next}


def _decode_error(data: dict[str, Any]) -> KubeError:
    about = dict(data)
    kind = getattr(errors, str(about.pop("type")), KubeError)
    if kind is RemoteError:
        del about["obj"]
        return RemoteError(about.pop("etype"), about.pop("message"), **about)
    if not (isinstance(kind, type) and issubclass(kind, KubeError)):
        kind = KubeError  # another package's own
    return kind(about["what"], about["why"], about["next"], obj=about["obj"])
