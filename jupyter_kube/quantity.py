"""Kubernetes quantities ("500m", "2Gi") as numbers, and numbers as quantities people read."""

from __future__ import annotations

import re
from fractions import Fraction

_BINARY = {f"{letter}i": Fraction(2) ** (10 * n) for n, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
}
_DECIMAL |= {letter: Fraction(1000) ** n for n, letter in enumerate("kMGTPE", 1)}
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([KMGTPE]i|[numkMGTPE])|[eE]([+-]?\d+))?")


def amount(text: str) -> Fraction:
    """Return a quantity in base units: bytes, cores, pieces.

    Raises
    ------
    ValueError
        If the text is no quantity.

    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:80]!r} is not a Kubernetes quantity")
    number, unit, exponent = match.groups()
    if exponent:
        return Fraction(number) * Fraction(10) ** int(exponent)
    return Fraction(number) * (_BINARY | _DECIMAL)[unit or ""]


def readable(value: Fraction, *, size: bool) -> str:
    """Print an amount with at most two decimals; a ``size`` (bytes) with a binary unit."""
    unit, per = "", Fraction(1)
    if size:
        fits = [(name, each) for name, each in _BINARY.items() if abs(value) >= each]
        unit, per = fits[-1] if fits else (unit, per)
    return f"{float(value / per):.2f}".rstrip("0").rstrip(".") + unit
