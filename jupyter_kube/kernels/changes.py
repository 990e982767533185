"""Which files to bring from one folder to another, and which must not be overwritten there (pure).

*Known* is the version of each file that both sides have had: what either has besides is a change.
A file that changed on both sides is sent all the same, but never over the other one: the writer
(:class:`.writer.Writer`) puts it beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .folder import File

Known = dict[str, str]
"""Digest by path."""


@dataclass
class Plan:
    """What to do to bring one side's changes to the other."""

    send: list[File] = field(default_factory=list)
    same: list[File] = field(default_factory=list)
    """Both sides have the same version, whatever was known."""
    gone: list[str] = field(default_factory=list)
    """Files that were deleted at the source only; they are not deleted anywhere else."""


def plan(
    source: Mapping[str, File], target: Mapping[str, File], known: Known, *, named: bool = False
) -> Plan:
    """Decide what to send.

    Parameters
    ----------
    source, target
        The files on the two sides, by path.
    known
        The versions that both have had.
    named
        Whether the source's files were named by the user, and not merely all there are: then
        one that the target does not have goes there, changed or not.

    """
    out = Plan()
    for path, file in source.items():
        there = target.get(path)
        if there is not None and there.digest == file.digest:
            out.same.append(file)
        elif known.get(path) != file.digest or (named and there is None):
            out.send.append(file)
    if not named:
        out.gone = [path for path in known if path in target and path not in source]
    return out


@dataclass(frozen=True)
class Difference:
    """How two folders differ since their last exchange: paths in order."""

    here: list[str]
    there: list[str]
    both: list[str]

    def __bool__(self) -> bool:
        return bool(self.here or self.there or self.both)


def difference(here: Mapping[str, File], there: Mapping[str, File], known: Known) -> Difference:
    """Tell what changed on which side: new, changed and deleted files."""
    changed = [
        {path for path in {*side, *known} if _digest(side, path) != known.get(path, "")}
        for side in (here, there)
    ]
    differ = {p for p in {*here, *there} if _digest(here, p) != _digest(there, p)}
    first, second = (each & differ for each in changed)
    return Difference(sorted(first - second), sorted(second - first), sorted(first & second))


def _digest(side: Mapping[str, File], path: str) -> str:
    return side[path].digest if path in side else ""
