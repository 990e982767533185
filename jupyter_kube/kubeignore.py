"""What of a notebook's folder stays at home: the rules of a ``.kubeignore`` file.

A small part of what ``.gitignore`` knows; docs/users/files.md says which. This module travels into
pods: standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

FILE = ".kubeignore"
"""The rules' file, in the folder itself."""

DEFAULT = (".git/", "__pycache__/", ".ipynb_checkpoints/", "node_modules/", ".venv/")
"""Rules that come first, so that a file's own can take them back."""

_LONGEST = 1000  # characters of a rule

_Pattern = tuple[re.Pattern[str] | None, ...]
"""Of each part of a path what it must be; None is any number of parts."""
_ANY = re.compile("[^/]+")


class Ignore:
    """Rules in order; the last one that matches decides.

    Parameters
    ----------
    lines
        A file's lines, which come after the default rules.

    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        read = (_rule(line) for line in (*DEFAULT, *lines))
        self._rules = [rule for rule in read if rule is not None]

    def __call__(self, path: str, *, folder: bool) -> bool:
        """Tell whether a file or folder itself is ignored.

        What is in an ignored folder is not asked for: it is ignored with it.

        Parameters
        ----------
        path
            Relative, with "/" between its parts.
        folder
            Whether it is one.

        """
        parts = path.split("/")
        for pattern, folders_only, ignored in reversed(self._rules):
            if (folder or not folders_only) and _matches(pattern, parts):
                return ignored
        return False


def _rule(line: str) -> tuple[_Pattern, bool, bool] | None:
    """Read a line: what it matches, whether folders only, and whether that is ignored."""
    text = line.rstrip("\r\n")
    bare = text.rstrip(" \t")
    text = text[: len(bare) + bare.endswith("\\")]  # a blank that is escaped stays
    if not text or text.startswith("#") or len(text) > _LONGEST:
        return None
    ignored = not text.startswith("!")
    text = text if ignored else text[1:]
    folders_only = text.endswith("/")
    text = text.rstrip("/")
    anchored = "/" in text
    text = text.lstrip("/")
    if not text:
        return None
    parts = tuple(map(_part, text.split("/")))
    parts += (_ANY,) if parts[-1] is None else ()  # a folder itself is not inside it
    return (parts if anchored else (None, *parts)), folders_only, ignored


def _matches(pattern: _Pattern, parts: Sequence[str]) -> bool:
    """Tell whether a pattern is all of a path.

    What comes after a ``**`` is looked for as early as it can be, so only the last ``**`` ever has
    to take in more: the time is bounded by one length times the other.
    """
    at = number = 0
    again: tuple[int, int] | None = None  # behind the last "**", and where it ends now
    while number < len(parts):
        if at < len(pattern) and (each := pattern[at]) is None:
            at += 1
            again = at, number
        elif at < len(pattern) and each is not None and each.fullmatch(parts[number]):
            at, number = at + 1, number + 1
        elif again is not None:
            at, number = again[0], again[1] + 1
            again = at, number
        else:
            return False
    return all(each is None for each in pattern[at:])


def _part(text: str) -> re.Pattern[str] | None:
    """Translate what is between two ``/``; None is ``**``, which crosses folders."""
    if len(text) > 1 and not text.strip("*"):
        return None
    return re.compile(_name(text), re.DOTALL)


def _name(text: str) -> str:
    """Translate one name of a pattern; what is between two ``*`` is looked for once."""
    pieces, at = [""], 0
    while at < len(text):
        sign = text[at]
        at += 1
        if sign == "*":
            at += len(text[at:]) - len(text[at:].lstrip("*"))
            pieces.append("")
        elif sign == "?":
            pieces[-1] += "[^/]"
        elif sign == "[" and (end := text.find("]", at + 1)) > 0:
            pieces[-1] += _choice(text[at:end])
            at = end + 1
        elif sign == "\\" and at < len(text):
            pieces[-1] += re.escape(text[at])
            at += 1
        else:
            pieces[-1] += re.escape(sign)
    if len(pieces) == 1:
        return pieces[0]
    first, *middle, last = pieces
    return first + "".join(f"(?>[^/]*?{piece})" for piece in middle) + f"[^/]*{last}"


def _choice(inside: str) -> str:
    """Translate ``[…]``: characters and ranges, or with ``!`` all others; never a ``/``."""
    none_of = inside[0] in "!^"
    signs = inside[1:] if none_of else inside
    ranges = re.findall(r"(.)-(.)|(.)", signs, re.DOTALL)
    items = [
        f"{re.escape(low)}-{re.escape(high)}" if low else re.escape(single)
        for low, high, single in ranges
        if not low or low <= high
    ]
    if not items:
        return "[^/]" if none_of else r"[^\s\S]"
    return f"(?!/)[{'^' if none_of else ''}{''.join(items)}]"
