"""A folder whose files travel: what is in it, within bounds, and reading and writing it safely.

The same on both ends. Files go as *pieces* of their bytes under a relative path, so nothing that
travels can be a link, a device or a path that leads elsewhere. This module travels into pods:
standard library only.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from .kubeignore import FILE, Ignore

PIECE = 768 * 1024
"""Bytes of files in one message, at most: with what is said of them, less than a MiB."""

_PART = ".kube-part"  # end of the name of a file that is being written
_LONGEST_PATH = 1024
_NAMED = 3  # files that a refusal names
_FAR = 4  # times the bound on files, after which looking on tells nothing new


class FolderError(Exception):
    """Files that cannot travel; the text is for the user."""


class Limits(NamedTuple):
    """How much may travel at once."""

    files: int = 5000
    size: int = 64 * 1024 * 1024


LIMITS = Limits()


class File(NamedTuple):
    """One file: relative path, bytes, time of its last change, permissions, SHA-256."""

    path: str
    size: int
    mtime_ns: int
    mode: int
    digest: str = ""


class Listing(NamedTuple):
    """What is in a folder."""

    files: dict[str, File]
    links: list[str]
    """Links, and what is neither file nor folder: they do not travel."""
    left: list[File]
    """Files that would be too much."""


class Span(NamedTuple):
    """Some bytes of a file."""

    path: str
    offset: int
    length: int


Piece = tuple[File, str, int, bytes]
"""A file, the digest of what it may replace, and some bytes with their offset."""


class Folder:
    """One folder.

    Parameters
    ----------
    root
        Where it is.
    limits
        How much of it may travel.
    ignore
        Rules besides those of its :data:`~.kubeignore.FILE`.

    """

    def __init__(
        self, root: Path | str, limits: Limits = LIMITS, ignore: Iterable[str] = ()
    ) -> None:
        self.root = Path(os.path.realpath(root))
        self._limits, self._more = limits, tuple(ignore)

    # what there is

    def listing(
        self, names: Iterable[str] = (), *, digests: bool = True, fit: bool = False
    ) -> Listing:
        """List the files that may travel.

        Parameters
        ----------
        names
            Files, folders and patterns (``*.csv``); nothing: all. What is named exactly is taken
            though the rules ignore it.
        digests
            Whether to read the files for their digests.
        fit
            Whether to leave out the largest files where it is too much.

        Raises
        ------
        FolderError
            If a name is no path inside, nothing has it, or it is too much.

        """
        found = Listing({}, [], [])
        ignored = Ignore(self._rules())
        for start in self._starts(names):
            self._look(start, ignored, found)
        files = list(found.files.values())
        if fit:
            files, left = self._fitting(files)
            found.left.extend(left)
        else:
            self._check_bounds(files)
        if digests:
            files = [done for done in map(self._digested, files) if done]
        return found._replace(files={file.path: file for file in files})

    def digest(self, path: str) -> str:
        """Return a file's SHA-256; empty if there is none."""
        try:
            with _open(self._inside(path)) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except (FileNotFoundError, NotADirectoryError):
            return ""

    def read(self, spans: Iterable[Span]) -> list[bytes]:
        """Read pieces of files; what is gone meanwhile is missing, as its writer will see."""
        return [self._read(span) for span in spans]

    def _read(self, span: Span) -> bytes:
        try:
            with _open(self._inside(span.path)) as file:
                file.seek(span.offset)
                return file.read(min(span.length, PIECE))
        except OSError:
            return b""

    def _rules(self) -> list[str]:
        try:
            text = (self.root / FILE).read_text(errors="replace")
        except OSError:
            text = ""
        return [*self._more, *text.splitlines()]

    def _starts(self, names: Iterable[str]) -> Iterator[str]:
        """Turn names into paths to begin at; "" is the folder itself."""
        given = False
        for name in names:
            given = True
            path = name.removeprefix("./").rstrip("/")
            if path in {"", "."}:
                yield ""
                continue
            check_path(path.replace("*", "x").replace("?", "x"))
            if not os.path.lexists(self.root / path):
                matches = sorted(self.root.glob(path)) if set("*?[") & set(path) else []
                if not matches:
                    raise FolderError(f'there is no "{path}" in {self.root.name}/')
                yield from (each.relative_to(self.root).as_posix() for each in matches)
            else:
                yield path
        if not given:
            yield ""

    def _look(self, path: str, ignored: Ignore, found: Listing) -> None:
        """Add what is at a path, and below it."""
        place = self._inside(path) if path else self.root
        try:
            about = place.lstat()
            if stat.S_ISREG(about.st_mode):
                mode = stat.S_IMODE(about.st_mode) & 0o777
                found.files[path] = File(path, about.st_size, about.st_mtime_ns, mode)
                return
            if not stat.S_ISDIR(about.st_mode):
                found.links.append(path)
                return
            with os.scandir(place) as entries:
                names = sorted((e.name, e.is_dir(follow_symlinks=False)) for e in entries)
        except FileNotFoundError:
            return  # gone meanwhile
        except OSError as error:
            raise FolderError(f"{path or place} cannot be read: {error.strerror}") from error
        for name, is_folder in names:
            below = f"{path}/{name}" if path else name
            if len(found.files) > _FAR * self._limits.files:
                return  # more tells nothing new
            if not name.endswith(_PART) and not ignored(below, folder=is_folder):
                self._look(below, ignored, found)

    def _fitting(self, files: list[File]) -> tuple[list[File], list[File]]:
        """Divide files into those that may travel together, small ones first, and the rest."""
        by_size = sorted(files, key=lambda file: file.size)
        total = count = 0
        for file in by_size[: self._limits.files]:
            total += file.size
            if total > self._limits.size:
                break
            count += 1
        return by_size[:count], by_size[count:]

    def _check_bounds(self, files: Iterable[File]) -> None:
        by_size = sorted(files, key=lambda file: file.size, reverse=True)
        size = sum(file.size for file in by_size)
        if len(by_size) <= self._limits.files and size <= self._limits.size:
            return
        biggest = ", ".join(f"{f.path} ({size_text(f.size)})" for f in by_size[:_NAMED])
        if len(by_size) > _FAR * self._limits.files:
            amount = f"more than {len(by_size) - 1:,} files"
        else:
            amount = f"{len(by_size):,} files of {size_text(size)}"
        raise FolderError(
            f"{self.root.name}/ has {amount}, and up to {self._limits.files:,} of"
            f" {size_text(self._limits.size)} can travel (the biggest: {biggest});"
            f" name in {FILE} what need not"
        )

    def _digested(self, file: File) -> File | None:
        try:
            digest = self.digest(file.path)
        except OSError as error:
            raise FolderError(f"{file.path} cannot be read: {error.strerror}") from error
        return file._replace(digest=digest) if digest else None

    # writing

    def _inside(self, path: str) -> Path:
        """Return where a path is, if that is in this folder.

        Raises
        ------
        FolderError
            If it is not, or a link is on the way.

        """
        check_path(path)
        place = self.root.joinpath(*path.split("/"))
        if os.path.realpath(place.parent) != str(place.parent):
            raise FolderError(f'"{path}" is behind a link')
        return place


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
        if self._files > self._limits.files or not 0 <= self._bytes <= self._limits.size:
            raise FolderError("more files came than may travel at once")
        place = self._folder._inside(file.path)
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
            place = self._folder._inside(path)
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
        self._place = place.with_name(f".{os.urandom(6).hex()}{_PART}")
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


def check_path(path: str) -> None:
    """Refuse what is not a plain path inside a folder.

    Raises
    ------
    FolderError
        If it is absolute, leads up, or has characters that no file's name should have.

    """
    parts = path.split("/")
    windows = os.name == "nt" and any(sign in path for sign in '\\:*?"<>|')
    if (
        len(path) > _LONGEST_PATH
        or any(part in {"", ".", ".."} for part in parts)
        or any(ord(sign) < 32 for sign in path)
        or windows
    ):
        raise FolderError(f"{path[:80]!r} is not a path inside the folder")


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


def batches(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Gather pieces of files into messages of at most :data:`PIECE` bytes."""
    now: list[Span] = []
    size = 0
    for span in spans:
        if now and (size + span.length > PIECE or len(now) == 500):
            yield now
            now, size = [], 0
        now.append(span)
        size += span.length
    if now:
        yield now


def spans(files: Iterable[File]) -> Iterator[Span]:
    """Cut files into pieces; an empty file is one, too."""
    for file in files:
        for offset in range(0, max(file.size, 1), PIECE):
            yield Span(file.path, offset, min(PIECE, file.size - offset))


def size_text(size: float) -> str:
    """Write a number of bytes for people."""
    units = ["GiB", "MiB", "KiB", "B"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop()
    return (
        f"{size:.0f} {units[-1]}" if size >= 100 or len(units) == 4 else f"{size:.3g} {units[-1]}"
    )


def _open(place: Path) -> BufferedReader:
    """Open a regular file for reading; a link or a pipe that took its place is none."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    file = os.fdopen(os.open(place, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise FileNotFoundError(errno.ENOENT, "not a file any more", str(place))
    return file
