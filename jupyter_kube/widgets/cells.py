"""Which cell is meant: the notebook's inputs as this kernel remembers them (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from ..checks import clip
from ..errors import InvalidInput

_OURS = ("%kube", "%%kube ", "%%kube\n", "%load_ext")
"""How cells begin that steer, and are never run on workers."""


def above(history: Sequence[str]) -> str:
    """Return the newest input that is not one of ours.

    Parameters
    ----------
    history
        What was run, by execution count; the first is nothing.

    Raises
    ------
    InvalidInput
        If nothing else was run yet.

    """
    for source in reversed(history[1:]):
        if source.strip() and not source.lstrip().startswith(_OURS):
            return source
    raise InvalidInput("no cell was run before this one", next="Run it, or write the code here.")


def numbered(history: Sequence[str], number: int) -> str:
    """Return the input with an execution count, as in ``[7]``.

    Raises
    ------
    InvalidInput
        If this kernel has run no such cell.

    """
    if not 1 <= number < len(history) or not history[number].strip():
        last = len(history) - 1
        why = f"it has run [1] to [{clip(str(last))}]" if last > 0 else "it has run none yet"
        raise InvalidInput(f"this kernel has run no cell [{number}]", why)
    return history[number]


def split(source: str) -> tuple[str, str]:
    """Split a cell into what follows ``%%kubetrain`` on its first line, and its code.

    The first is empty for a cell without such a line.
    """
    first, _, rest = source.lstrip().partition("\n")
    if first.split(None, 1)[:1] == ["%%kubetrain"]:
        return first.removeprefix("%%kubetrain").strip(), rest
    return "", source
