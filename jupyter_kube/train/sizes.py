"""How much something is, for those who send it and for those who read of it (pure)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One value, module or package that travels."""

    name: str
    kind: str
    """``function``, ``class``, ``module``, or the name of the value's type."""
    bytes: int


def size_text(size: float) -> str:
    """Write a number of bytes for people, as in ``812 B``, ``2.1 kB`` or ``412 MiB``."""
    if size < 1000:
        return f"{size:.0f} B"
    if size < 100_000:
        return f"{size / 1000:.1f} kB"
    mebibytes = size / 2**20
    return f"{mebibytes:.{0 if mebibytes >= 10 else 1}f} MiB".replace(".0 ", " ")
