"""Writing files that come from another folder: whole or not at all, and over nothing unknown.

The same on both ends. This module travels into pods: standard library and folder.py.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from .folder import LIMITS, PART, PIECE, File, Folder, FolderError, Limits

Piece = tuple[File, str, int, bytes]
"""A file, the digest of what it may replace, and some bytes with their offset."""


class Writer:
    """Writes files into a folder piece by piece; each appears whole, or not at all.

    Parameters
    ----------
    folder
        Where to.
    source
        Where the files come from, for the names of those that must stand beside another:
        ``model.from-kernel.py``.
    limits
        How much may be written in all.

    """

    def __init__(self, folder: Folder, source: str, limits: Limits = LIMITS) -> None:
        self._folder, self._source, self._limits = folder, source, limits
        self._files = self._bytes = 0
        self._now: _Part | None = None
        self.landed: dict[str, str] = {}
        """Where files are now, by the path they came with."""
        self.failed: dict[str, str] = {}
        """What is wrong with those that could not be written."""

    def write_all(self, pieces: Iterable[Piece]) -> None:
        """Write pieces; one file's trouble is no other's."""
        for file, expected, offset, data in pieces:
            if file.path in self.failed and offset:
                continue
            try:
                path = self.write(file, expected, offset, data)
            except FolderError as error:
                self.failed[file.path] = str(error)
            else:
                if path is not None:
                    self.landed[file.path] = path

    def write(self, file: File, expected: str, offset: int, data: bytes) -> str | None:
        """Write some bytes of a file; the pieces of one must follow each other.

        Parameters
        ----------
        file
            What it will be.
        expected
            Digest of the version it may replace; empty: it may replace none.
        offset, data
            The bytes, and where they belong.

        Returns
        -------
        str or None
            Once the file is complete, the path at which it is now.

        Raises
        ------
        FolderError
            If it is not to be written.

        """
        if offset == 0:
            self.abandon()
            self._now = self._begin(file)
        if len(data) != min(PIECE, file.size - offset):
            self.abandon()
            raise FolderError(f"{file.path} changed while it was copied: copy it again")
        part = self._now
        if part is None or part.file != file or part.written != offset:
            self.abandon()
            raise FolderError(f"{file.path}: its pieces came out of order")
        try:
            part.add(data)
            if part.written < file.size:
                return None
            path = self._finish(part, expected)
        except OSError as error:
            self.abandon()
            raise FolderError(f"{file.path} cannot be written: {error.strerror}") from error
        except FolderError:
            self.abandon()
            raise
        self._now = None
        return path

    def abandon(self) -> None:
        """Remove what was begun and is not complete."""
        if self._now is not None:
            self._now.remove()
            self._now = None

    def _begin(self, file: File) -> _Part:
        self._files += 1
        self._bytes += file.size
        too_much = self._files > self._limits.files or self._bytes > self._limits.size
        if file.size < 0 or too_much:
            self._bytes -= min(file.size, 0)  # no size makes room for others
            raise FolderError("more files came than may travel at once")
        place = self._folder.inside(file.path)
        try:
            _make_folders(self._folder.root, file.path)
            return _Part(file, place)
        except OSError as error:
            raise FolderError(f"{file.path} cannot be written: {error.strerror}") from error

    def _finish(self, part: _Part, expected: str) -> str:
        """Give the complete file its name; beside a file that is another one than expected."""
        file = part.file
        if part.close() != file.digest:
            raise FolderError(f"{file.path} changed while it was copied: copy it again")
        for path in beside(file.path, self._source):
            place = self._folder.inside(path)
            there = (
                self._folder.digest(path) if place.is_file() and not place.is_symlink() else None
            )
            if there == file.digest:
                part.remove()
                return path
            if there is None and os.path.lexists(place):
                continue  # a folder or a link
            if there is None or (path == file.path and there == expected and expected):
                part.become(place)
                return path
        raise FolderError(f"{file.path}: too many versions stand beside it")


class _Part:
    """A file that is being written, under a name of its own."""

    def __init__(self, file: File, place: Path) -> None:
        self.file, self.written = file, 0
        self._place = place.with_name(f".{os.urandom(6).hex()}{PART}")
        self._sum = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._out = os.fdopen(os.open(self._place, flags, 0o600), "wb")

    def add(self, data: bytes) -> None:
        self.written += len(data)
        self._sum.update(data)
        self._out.write(data)

    def close(self) -> str:
        self._out.close()
        self._place.chmod(self.file.mode & 0o777 | 0o400)
        os.utime(self._place, ns=(self.file.mtime_ns, self.file.mtime_ns))
        return self._sum.hexdigest()

    def become(self, place: Path) -> None:
        self._place.replace(place)

    def remove(self) -> None:
        self._out.close()
        self._place.unlink(missing_ok=True)


def _make_folders(root: Path, path: str) -> None:
    place = root
    for part in path.split("/")[:-1]:
        place /= part
        place.mkdir(exist_ok=True)


def beside(path: str, source: str) -> Iterator[str]:
    """Give the path, and then names to write another version beside it: ``a.from-kernel.csv``."""
    yield path
    folder, slash, name = path.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = name, "", ""
    for number in range(1, 100):
        count = f"-{number}" if number > 1 else ""
        yield f"{folder}{slash}{stem}.from-{source}{count}{dot}{ending}"
