"""Reading what people write: quantities, times, names and paths, each refused in words (pure)."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import InvalidInput

LONGEST_TIME = 30 * 86400.0
"""Seconds: no time in the settings is longer."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TIME = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd])")

_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(m|[kMGTPE]|[KMGTPE]i)?")
_LEAST_MEMORY = 2**20  # bytes; less is a unit forgotten

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,254}")
_SECRET_ENTRY = re.compile(r"[A-Za-z0-9_.-]{1,253}")

_PART = "[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_IMAGE = re.compile(
    # A name without a dot or a port is no registry's, and names are lower case.
    rf"(?:(?:localhost|[A-Za-z0-9-]+(?=[.:])[A-Za-z0-9.-]*)(?::[0-9]+)?/)?{_PART}(?:/{_PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]{32,128})?"
)
_LONGEST_IMAGE = 400
_DEEPEST = 30  # of plain data


def clip(value: object, longest: int = 80) -> str:
    """Shorten a user's value for a message, with control characters escaped."""
    text = str(value)
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def suggest(word: str, known: Iterable[str], *, close_to: float = 0.6) -> str:
    """Return ``; did you mean X?`` when something known is close, else nothing."""
    close = difflib.get_close_matches(word, list(known), 1, close_to)
    return f"; did you mean {close[0]}?" if close else ""


def check_quantity(text: str, what: str, resource: str = "") -> str:
    """Return a Kubernetes quantity as it is, or refuse it in words.

    Parameters
    ----------
    text
        Such as ``500m``, ``2``, ``4Gi``.
    what
        What it is called in the refusal.
    resource
        What it is an amount of, where that is not ``what``: all but ``cpu`` are bytes.

    Raises
    ------
    InvalidInput
        If it is not a positive quantity.

    """
    if not _QUANTITY.fullmatch(text):
        hint = re.sub(r"(?i)\s*([kmgtpe])i?b?$", lambda m: m[1].upper() + "i", text.strip())
        better = f'; did you mean "{hint}"?' if _QUANTITY.fullmatch(hint) else ""
        raise InvalidInput(f'{what} "{clip(text)}" is not a Kubernetes quantity{better}')
    if not re.search("[1-9]", text):
        raise InvalidInput(f"{what} must be more than nothing (got {text})")
    if (resource or what) == "cpu":
        return text
    if text.endswith("m"):
        raise InvalidInput(f'{what} "{text}" is a fraction of a byte; did you mean {text[:-1]}Mi?')
    if text.isdigit() and int(text) < _LEAST_MEMORY:
        raise InvalidInput(f'{what} "{text}" is in bytes; did you mean {text}Gi?')
    return text


def seconds(value: str | float) -> float | None:
    """Read a time such as ``90s``, ``5m``, ``2h`` or ``1d`` as seconds; numbers are seconds.

    None means that it is no time.
    """
    if isinstance(value, str):
        match = _TIME.fullmatch(value.strip())
        return float(match[1]) * _UNITS[match[2]] if match else None
    return float(value) if math.isfinite(value) else None


def is_label(value: Any) -> bool:
    """Tell whether something is a name such as a volume's: an RFC 1123 label."""
    return isinstance(value, str) and bool(_LABEL.fullmatch(value))


def is_object_name(value: Any) -> bool:
    """Tell whether something can be an object's name: an RFC 1123 subdomain."""
    return isinstance(value, str) and len(value) <= 253 and bool(_SUBDOMAIN.fullmatch(value))


def is_label_value(value: Any) -> bool:
    """Tell whether something can be a label's value."""
    return isinstance(value, str) and (not value or bool(_QUALIFIED.fullmatch(value)))


def is_qualified(value: Any, *, domain_needed: bool = False) -> bool:
    """Tell whether something can be a label's key, or with its domain a resource's name."""
    if not isinstance(value, str):
        return False
    domain, slash, name = value.rpartition("/")
    if slash and not is_object_name(domain):
        return False
    return bool(_QUALIFIED.fullmatch(name)) and (bool(slash) or not domain_needed)


def is_variable(value: Any) -> bool:
    """Tell whether something can be an environment variable's name."""
    return isinstance(value, str) and bool(_VARIABLE.fullmatch(value))


def is_secret_reference(value: Any) -> bool:
    """Tell whether something is ``secret/key``: a Secret's name and one of its keys."""
    if not isinstance(value, str):
        return False
    name, slash, key = value.partition("/")
    return bool(slash) and is_object_name(name) and bool(_SECRET_ENTRY.fullmatch(key))


def is_image(value: Any) -> bool:
    """Tell whether something is an image's reference, as in ``registry.example/team/lab:1``."""
    return isinstance(value, str) and len(value) <= _LONGEST_IMAGE and bool(_IMAGE.fullmatch(value))


def is_inside_path(value: Any) -> bool:
    """Tell whether something is an absolute path in a container that climbs nowhere."""
    return (
        isinstance(value, str)
        and value.startswith("/")
        and value.isprintable()
        and ":" not in value
        and ".." not in value.split("/")
    )


def is_plain(value: Any, depth: int = 0) -> bool:
    """Tell whether something can be part of a manifest: JSON, and not too deep."""
    if depth > _DEEPEST:
        return False
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and is_plain(v, depth + 1) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(is_plain(each, depth + 1) for each in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)
