"""A job's files on their way into a folder here."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TextIO

from ..errors import InvalidInput

_WINDOWS = os.name == "nt"
_PART = ".kube-part"
"""End of the name of a file that is being written."""


@dataclass(frozen=True)
class Piece:
    """Some bytes of one file."""

    path: str
    """Below the folder that was asked for; of a single file its name."""
    data: bytes
    first: bool
    """Whether the file begins here."""
    alone: bool
    """Whether a single file was asked for."""


@dataclass
class Fetched:
    """What has come."""

    place: str
    """The folder, or the one file."""
    files: int = 0
    bytes: int = 0


async def save(
    pieces: AsyncGenerator[Piece | str], to: str, told: Callable[[str], object]
) -> Fetched:
    """Write files to a folder here; a single one to ``to`` itself, unless that is a folder.

    Files that are there are replaced, each when the new one is whole. A text among the pieces says
    what they wait for; ``told`` gets it.

    Raises
    ------
    InvalidInput
        If something cannot be written.

    """
    saver = _Saver(to)
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, str):
                    told(piece)
                    continue
                with _writing(to):
                    saver.take(piece)
        with _writing(to):
            saver.finish()
    finally:
        saver.discard()
    return saver.done


@contextmanager
def text_file(path: Path) -> Iterator[TextIO]:
    """Open a file to write text to; one that is there is replaced when the new one is whole."""
    target = path.resolve()  # of a link what it leads to
    if target.exists() and not target.is_file():  # a device has no name to be given away
        with target.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
        return
    part = target.with_name(target.name + _PART)
    try:
        with part.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
        part.replace(target)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


@contextmanager
def _writing(to: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or to
        raise InvalidInput(f"{where} cannot be written", str(error.strerror)) from None


class _Saver:
    """Writes one file after the other."""

    def __init__(self, to: str) -> None:
        self.done = Fetched(to)
        self._folder = Path(to)
        self._inside = to.endswith("/") or self._folder.is_dir()
        self._target = self._part = self._folder
        self._file: IO[bytes] | None = None

    def take(self, piece: Piece) -> None:
        """Write a piece."""
        if piece.first:
            self.finish()
            self._file = self._begin(piece)
            self.done.files += 1
        if self._file is not None:
            self._file.write(piece.data)
            self.done.bytes += len(piece.data)

    def _begin(self, piece: Piece) -> IO[bytes]:
        path = _checked(piece.path)
        self._target = self._folder
        if self._inside or not piece.alone:
            self._target = self._folder / path
        if piece.alone:
            self.done.place = str(self._target)
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._part = self._target.with_name(self._target.name + _PART)
        return self._part.open("wb")

    def finish(self) -> None:
        """Give a whole file its name."""
        if self._file is not None:
            self._file.close()
            self._part.replace(self._target)
            self._file = None

    def discard(self) -> None:
        """Remove a file that is not whole."""
        if self._file is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)


def _checked(path: str) -> PurePosixPath:
    """Refuse a path that leads out of the folder."""
    found = PurePosixPath(path)
    foreign = any(each in path for each in ("\0\\:" if _WINDOWS else "\0"))
    if foreign or found.is_absolute() or ".." in found.parts or not found.parts:
        raise InvalidInput(f"{path[:80]!r} is no path inside a folder")
    return found
