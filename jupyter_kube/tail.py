"""What a process wrote last, and the lines of it that may tell why it died (pure).

This module travels into pods: standard library only.
"""

from __future__ import annotations

import re

_KEPT = 16 * 1024
"""Bytes that are kept of what a process writes: a crash in a deep import shows all its calls."""
_LINES, _LINE = 12, 200
"""Most lines that are told, and characters of one."""

_CRASH = "Fatal Python error: "
"""How :mod:`faulthandler` begins; behind it the calls, the last one first."""
_RUNNERS = r"importlib/|IPython/core/|ipykernel(/|_launcher\.py)|asyncio/|tornado/|traitlets/"
_HIDDEN = re.compile(rf'\s*File "(<frozen |<podside|<string>|.*/({_RUNNERS}))')
"""Calls of what runs the user's code, and of imports: they tell nobody anything."""


class Tail:
    """The end of what a process writes."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> None:
        """Take some of it."""
        self._data = (self._data + data[-_KEPT:])[-_KEPT:]

    @property
    def words(self) -> str:
        """The lines that may tell why it died."""
        return "\n".join(last_words(self._data.decode("utf-8", "replace")))


def last_words(text: str) -> list[str]:
    """Choose the last lines; of a crash that Python shows, what was written before and its calls.

    Of a line that was written over, as progress bars do, the last state counts.
    """
    lines = [line.rstrip().rpartition("\r")[2][:_LINE] for line in text.split("\n")]
    lines = [line for line in lines if line]
    crash = next((n for n, line in enumerate(lines) if line.startswith(_CRASH)), None)
    if crash is None:
        return lines[-_LINES:]
    calls = [line for line in lines[crash + 1 :] if _tells(line)]
    before = lines[max(0, crash + 1 - _LINES // 2) : crash + 1]
    return [*before, *calls[: _LINES - len(before)]]


def _tells(line: str) -> bool:
    return line.startswith("  File ") and not _HIDDEN.match(line)
