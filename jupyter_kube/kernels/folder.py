"""A folder whose files travel: what is in it, within bounds, and reading it safely.

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

PART = ".kube-part"
"""End of the name of a file that is being written."""

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
    odd: list[str]
    """Names that no other side could have, written with their control characters escaped."""


class Span(NamedTuple):
    """Some bytes of a file."""

    path: str
    offset: int
    length: int


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
        found = Listing({}, [], [], [])
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
            with _open(self.inside(path)) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except (FileNotFoundError, NotADirectoryError):
            return ""

    def read(self, spans: Iterable[Span]) -> list[bytes]:
        """Read pieces of files; what is gone meanwhile is missing, as its writer will see."""
        return [self._read(span) for span in spans]

    def _read(self, span: Span) -> bytes:
        try:
            with _open(self.inside(span.path)) as file:
                file.seek(span.offset)
                return file.read(min(span.length, PIECE))
        except OSError:
            return b""

    def _rules(self) -> list[str]:
        try:
            text = (self.root / FILE).read_text(encoding="utf-8", errors="replace")
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
                try:
                    matches = sorted(self.root.glob(path)) if set("*?[") & set(path) else []
                except (ValueError, OSError) as error:
                    raise FolderError(f'"{path}" is no pattern: {error}') from error
                if not matches:
                    raise FolderError(f'there is no "{path}" in {self.root.name}/')
                yield from (each.relative_to(self.root).as_posix() for each in matches)
            else:
                yield path
        if not given:
            yield ""

    def _look(self, path: str, ignored: Ignore, found: Listing) -> None:
        """Add what is at a path, and below it."""
        place = self.inside(path) if path else self.root
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
            if name.endswith(PART) or ignored(below, folder=is_folder):
                continue
            if _is_plain(below):
                self._look(below, ignored, found)
            else:
                found.odd.append(repr(below)[1:-1])

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

    def inside(self, path: str) -> Path:
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


def check_path(path: str) -> None:
    """Refuse what is not a plain path inside a folder.

    Raises
    ------
    FolderError
        If it is absolute, leads up, or has characters that no file's name should have.

    """
    if not _is_plain(path):
        raise FolderError(f"{path[:80]!r} is not a path inside the folder")


def _is_plain(path: str) -> bool:
    windows = os.name == "nt" and any(sign in path for sign in '\\:*?"<>|')
    return not (
        len(path) > _LONGEST_PATH
        or any(part in {"", ".", ".."} for part in path.split("/"))
        or any(ord(sign) < 32 for sign in path)
        or windows
    )


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
