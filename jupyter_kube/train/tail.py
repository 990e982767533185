"""The end of what a process writes; in pods, where all modules are side by side, it is here."""

from ..tail import Tail

__all__ = ["Tail"]
