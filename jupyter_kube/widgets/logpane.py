"""The lines of a job that can be looked through, of bounded memory, as HTML (pure)."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from html import escape
from itertools import islice

from ..train.feed import Line
from ..train.grid import FONT
from ..train.words import uncoded

KEPT = 20_000
"""Lines that can be searched, the newest ones."""
CHARACTERS = 4_000_000
"""Characters of them kept at most."""
SHOWN = 300
"""Lines on the screen."""
_LONGEST, _SCREENFUL = 1000, 60_000
"""Characters shown of one line, and of all."""
_MARKS = 20
"""Places marked in one line."""


class LogPane:
    """The newest lines of all ranks, and those among them that were asked for.

    Parameters
    ----------
    kept, characters, shown
        The bounds.

    """

    def __init__(
        self, *, kept: int = KEPT, characters: int = CHARACTERS, shown: int = SHOWN
    ) -> None:
        self._kept, self._characters = kept, characters
        self._lines: deque[Line] = deque()
        self._size = 0
        self._found: deque[Line] = deque(maxlen=shown)
        self._rank: int | None = None
        self._pattern: re.Pattern[str] | None = None
        self.heard = 0
        """How many lines there were, those passed over with them."""
        self.matches = 0
        """How many of those kept were asked for, since that was asked."""

    def add(self, lines: Iterable[Line], passed_over: int = 0) -> None:
        """Take in new lines; the oldest ones go."""
        self.heard += passed_over
        for line in lines:
            plain = Line(line.rank, uncoded(line.text))
            self._lines.append(plain)
            self._size += len(plain.text)
            self.heard += 1
            self._consider(plain)
        while len(self._lines) > self._kept or (self._size > self._characters and self._lines):
            self._size -= len(self._lines.popleft().text)

    def clear(self) -> None:
        """Forget all lines, but not what is asked for."""
        self._lines.clear()
        self._found.clear()
        self._size = self.heard = self.matches = 0

    def choose(self, rank: int | None, text: str) -> None:
        """Show lines of one rank, or all, that have a text in them, in any case of letters."""
        self._rank = rank
        self._pattern = re.compile(re.escape(text), re.IGNORECASE) if text else None
        self._found.clear()
        self.matches = 0
        for line in self._lines:
            self._consider(line)

    def html(self) -> str:
        """Render the newest of the lines asked for; what was searched for is marked."""
        lines = "\n".join(f"[{rank}] {self._marked(text)}" for rank, text in self._newest())
        style = f"margin:0;white-space:pre-wrap;overflow-wrap:anywhere;{FONT}"
        return f'<pre style="{style}">{lines}</pre>'

    def words(self) -> str:
        """Say what of all lines is shown."""
        if self._rank is None and self._pattern is None:
            if self.heard <= len(self._found):
                return ""
            return f"the last {len(self._found):,} of {self.heard:,} lines"
        among = f"the last {len(self._lines):,} of {self.heard:,} lines"
        if self.matches > len(self._found):
            return f"the last {len(self._found):,} of {self.matches:,} found in {among}"
        return f"{self.matches:,} found in {among}"

    def _consider(self, line: Line) -> None:
        if self._rank not in (None, line.rank):
            return
        if self._pattern is None or self._pattern.search(line.text):
            self._found.append(line)
            self.matches += 1

    def _newest(self) -> list[tuple[int, str]]:
        """Choose the last of the lines found, as many as one can look at."""
        chosen, room = [], _SCREENFUL
        for line in reversed(self._found):
            text = line.text if len(line.text) <= _LONGEST else f"{line.text[:_LONGEST]}…"
            room -= len(text)
            if room < 0:
                break
            chosen.append((line.rank, text))
        return chosen[::-1]

    def _marked(self, text: str) -> str:
        if self._pattern is None:
            return escape(text)
        parts, end = [], 0
        for found in islice(self._pattern.finditer(text), _MARKS):
            parts += [escape(text[end : found.start()]), f"<mark>{escape(found[0])}</mark>"]
            end = found.end()
        return "".join([*parts, escape(text[end:])])
