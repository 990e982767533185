"""What of a notebook's folder stays at home: the rules of a ``.kubeignore`` file.

A small part of what ``.gitignore`` knows; docs/users/files.md says which. This module travels into
pods: standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

FILE = ".kubeignore"
"""The rules' file, in the folder itself."""

DEFAULT = (".git/", "__pycache__/", ".ipynb_checkpoints/", "node_modules/", ".venv/")
"""Rules that come first, so that a file's own can take them back."""

_LONGEST = 1000  # characters of a rule


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
        for pattern, folders_only, ignored in reversed(self._rules):
            if (folder or not folders_only) and pattern.fullmatch(path):
                return ignored
        return False


def _rule(line: str) -> tuple[re.Pattern[str], bool, bool] | None:
    """Read a line: what it matches, whether folders only, and whether that is ignored."""
    text = line.rstrip("\r\n")
    text = re.sub(r"(?<!\\)[ \t]+$", "", text)
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
    anywhere = "" if anchored else "(?:.*/)?"
    return re.compile(anywhere + _expression(text), re.DOTALL), folders_only, ignored


def _expression(text: str) -> str:
    """Translate a pattern: ``*`` and ``?`` stay within a name, ``**`` crosses folders."""
    parts = text.split("/")
    out = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if len(part) > 1 and not part.strip("*"):
            out += ".+" if last else "(?:.*/)?"
        else:
            out += _name(part) + ("" if last else "/")
    return out


def _name(text: str) -> str:
    """Translate one name of a pattern."""
    out, at = "", 0
    while at < len(text):
        sign = text[at]
        at += 1
        if sign == "*":
            at += len(text[at:]) - len(text[at:].lstrip("*"))
            out += "[^/]*"
        elif sign == "?":
            out += "[^/]"
        elif sign == "[" and (end := text.find("]", at + 1)) > 0:
            out += _choice(text[at:end])
            at = end + 1
        elif sign == "\\" and at < len(text):
            out += re.escape(text[at])
            at += 1
        else:
            out += re.escape(sign)
    return out


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
