"""Making IPython show an exception in words of ours instead of frames of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ..errors import KubeError, RemoteError

E = TypeVar("E", bound=BaseException)


def shown_as(error: E, lines: Sequence[str]) -> E:
    """Give an exception the lines that IPython shows in place of a traceback; returns it."""
    error._render_traceback_ = lambda: list(lines)  # type: ignore[attr-defined]  # IPython's hook
    return error


def presentable(error: KubeError) -> KubeError:
    """Show an error in its own words; a worker's exception with the worker's traceback.

    Outside IPython that traceback is a note of the exception.
    """
    if not isinstance(error, RemoteError):
        return shown_as(error, [f"{type(error).__name__}: {error}"])
    remote = error.traceback.rstrip()
    if not getattr(error, "__notes__", None):
        error.add_note(remote)
    return shown_as(error, [*remote.splitlines(), "", f"{error} (pod {error.pod})"])
