"""The rules of a ``.kubeignore``; in pods, where all modules are side by side, they are here."""

from ..kubeignore import DEFAULT, FILE, Ignore

__all__ = ["DEFAULT", "FILE", "Ignore"]
