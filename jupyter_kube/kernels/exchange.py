"""Exchange files between a notebook's folder here and its kernel's folder in a pod.

What is sent and what must not be overwritten is decided in changes.py; both folders are
:class:`.folder.Folder`, the other one by way of the pod's courier.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import KubeError
from .changes import Known, difference, plan
from .errands import Errand, Handler, Line
from .folder import (
    LIMITS,
    File,
    Folder,
    FolderError,
    Limits,
    Listing,
    Span,
    batches,
    size_text,
    spans,
)
from .writer import Writer

_AHEAD = 4  # messages under way at a time
_KNOW = 500  # files in one message about what both have
_NAMED = 5  # names in a sentence
_SLOW = 5.0  # seconds after which it is said how far a transfer is

Answer = tuple[dict[str, Any], list[bytes]]
Tell = Callable[[str], Awaitable[Any]]


class FilesError(KubeError):
    """Files that cannot be exchanged."""

    status = 400


@dataclass
class Report:
    """What an exchange did."""

    landed: dict[str, str] = field(default_factory=dict)
    """Where files are now, by path; those that changed on both sides are beside the other one."""
    failed: dict[str, str] = field(default_factory=dict)
    """What was wrong with files that did not arrive."""
    gone: list[str] = field(default_factory=list)
    """Files that are deleted where the others come from."""
    links: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Files that were too much."""
    odd: list[str] = field(default_factory=list)
    """Names with characters that do not travel."""
    size: int = 0

    def words(self, to: str) -> str:
        """Say it to the user; ``to`` is the folder in words."""
        lines = [f"{to[0].upper()}{to[1:]} has it all."]
        if self.landed:
            files = "1 file" if len(self.landed) == 1 else f"{len(self.landed):,} files"
            names = listed(list(self.landed))
            lines = [f"Brought {files} ({size_text(self.size)}) to {to}: {names}."]
        lines += [
            f"{path} changed on both sides: the version that came is now {place}."
            for path, place in self.landed.items()
            if path != place
        ]
        lines += [f"Not brought: {why}." for why in self.failed.values()]
        for what, paths in (
            (f"Deleted on the other side, and kept in {to}", self.gone),
            ("Links do not travel", self.links),
            ("Too much to travel, and left behind", self.left),
            ("Left behind for what is in their names", self.odd),
        ):
            if paths:
                lines.append(f"{what}: {listed(paths)}.")
        return "\n".join(lines)


class Exchange:
    """The files of one kernel.

    Parameters
    ----------
    home
        Gives the notebook's folder; it may move.
    limits
        How much may travel at once.

    """

    def __init__(self, home: Callable[[], Path], limits: Limits = LIMITS) -> None:
        self._home, self._limits = home, limits
        self._turn = asyncio.Lock()

    def handlers(self) -> dict[str, Handler]:
        """Return what the kernel may ask for."""
        return {"push": self._push, "pull": self._pull, "files": self._compare}

    async def check(self) -> None:
        """See whether the notebook's folder may travel.

        Raises
        ------
        FilesError
            If it may not, in one sentence.

        """
        await self._here(lambda folder: folder.listing(digests=False))

    async def push(self, line: Line, names: Sequence[str] = (), tell: Tell | None = None) -> Report:
        """Bring what changed in the notebook's folder to the kernel's.

        Parameters
        ----------
        line
            To the courier in the kernel's pod.
        names
            Files, folders and patterns; none: all.
        tell
            Told how far it is, if it takes long.

        Raises
        ------
        FilesError, CourierError
            If it cannot be done.

        """
        async with self._turn:
            mine: Listing = await self._here(lambda folder: folder.listing(names))
            there = await _there(line, fit=True)
            planned = plan(mine.files, there.files, there.known, named=bool(names))
            report = Report(gone=planned.gone, links=mine.links, odd=mine.odd)

            async def prepare(batch: list[Span]) -> Coroutine[Any, Any, Answer]:
                data = await self._here(lambda folder: folder.read(batch))
                pieces = [
                    (mine.files[s.path], there.known.get(s.path, ""), s.offset) for s in batch
                ]
                first = (batch[0].path, batch[0].offset) == (planned.send[0].path, 0)
                return line.ask("write", data, pieces=pieces, first=first)

            async def finish(_batch: list[Span], answer: Answer) -> None:
                report.landed, report.failed = answer[0]["landed"], answer[0]["failed"]

            await _transfer(planned.send, prepare, finish, tell)
            report.size = sum(mine.files[path].size for path in report.landed)
            await _know(line, planned.same, there.known)
            return report

    async def pull(
        self,
        line: Line,
        names: Sequence[str] = (),
        tell: Tell | None = None,
        *,
        fit: bool = False,
    ) -> Report:
        """Bring what changed in the kernel's folder to the notebook's.

        Parameters
        ----------
        line, names, tell
            As for :meth:`push`.
        fit
            Whether to leave out the largest files where it is too much, instead of refusing.

        Raises
        ------
        FilesError, CourierError
            If it cannot be done.

        """
        async with self._turn:
            there = await _there(line, names, fit=fit)
            mine: Listing = await self._here(lambda folder: folder.listing(fit=True))
            planned = plan(there.files, mine.files, there.known, named=bool(names))
            report = Report(gone=planned.gone, links=there.links, left=there.left, odd=there.odd)
            writer = Writer(Folder(self._root(), self._limits), "kernel", self._limits)

            async def prepare(batch: list[Span]) -> Coroutine[Any, Any, Answer]:
                return line.ask("read", spans=batch)

            async def finish(batch: list[Span], answer: Answer) -> None:
                pieces = [
                    (there.files[span.path], there.known.get(span.path, ""), span.offset, data)
                    for span, data in zip(batch, answer[1], strict=True)
                ]
                await asyncio.to_thread(writer.write_all, pieces)

            try:
                await _transfer(planned.send, prepare, finish, tell)
            finally:
                writer.abandon()
            report.landed, report.failed = writer.landed, writer.failed
            arrived = [there.files[path] for path in report.landed]
            report.size = sum(file.size for file in arrived)
            await _know(line, [*planned.same, *arrived], there.known)
            return report

    async def compare(self, line: Line) -> str:
        """Say in words how the two folders differ."""
        async with self._turn:
            there = await _there(line, fit=True)
            mine: Listing = await self._here(lambda folder: folder.listing(fit=True))
        left = {*there.left, *(file.path for file in mine.left)}

        def compared(side: Mapping[str, Any]) -> dict[str, Any]:
            return {path: value for path, value in side.items() if path not in left}

        found = difference(compared(mine.files), compared(there.files), compared(there.known))
        lines = [f"The kernel's folder is {there.root}, the notebook's {self._root()}."]
        for words, paths in (
            ("Changed in the notebook's folder (%kube push brings it)", found.here),
            ("Changed in the kernel's folder (%kube pull brings it)", found.there),
            ("Changed on both sides", found.both),
        ):
            if paths:
                lines.append(f"{words}: {listed(paths, 20)}.")
        if left:
            lines.append(f"Too large to be compared: {listed(sorted(left))}.")
        elif not found:
            lines.append("Both have the same files.")
        return "\n".join(lines)

    # the kernel's errands

    async def _push(self, errand: Errand) -> str:
        report = await self.push(errand.line, errand.names, errand.say)
        return report.words("the kernel's folder")

    async def _pull(self, errand: Errand) -> str:
        report = await self.pull(errand.line, errand.names, errand.say)
        return report.words("the notebook's folder")

    async def _compare(self, errand: Errand) -> str:
        return await self.compare(errand.line)

    # the two sides

    def _root(self) -> Path:
        try:
            return self._home()
        except FolderError as error:
            raise FilesError(str(error)) from error

    async def _here(self, work: Callable[[Folder], Any]) -> Any:
        folder = Folder(self._root(), self._limits)
        try:
            return await asyncio.to_thread(work, folder)
        except FolderError as error:
            raise FilesError(str(error)) from error


@dataclass(frozen=True)
class _There:
    """The kernel's folder, as its courier says."""

    files: dict[str, File]
    links: list[str]
    left: list[str]
    odd: list[str]
    known: Known
    root: str


async def _there(line: Line, names: Sequence[str] = (), *, fit: bool) -> _There:
    answer, _ = await line.ask("list", names=list(names), fit=fit)
    files = [File(*about) for about in answer["files"]]
    left = [File(*about).path for about in answer["left"]]
    by_path = {file.path: file for file in files}
    odd = answer.get("odd", [])  # an older pod's courier refuses such folders
    return _There(by_path, answer["links"], left, odd, answer["known"], answer["root"])


async def _know(line: Line, files: Iterable[File], known: Known) -> None:
    """Tell the courier which versions both sides have, as far as that is news."""
    news = [(f.path, f.digest) for f in files if known.get(f.path) != f.digest]
    for at in range(0, len(news), _KNOW):
        await line.ask("know", files=dict(news[at : at + _KNOW]))


async def _transfer(
    files: Sequence[File],
    prepare: Callable[[list[Span]], Awaitable[Coroutine[Any, Any, Answer]]],
    finish: Callable[[list[Span], Answer], Awaitable[None]],
    tell: Tell | None,
) -> None:
    """Send files in messages, a few at a time under way, answered in their order."""
    total, done = sum(file.size for file in files), 0
    under_way: deque[tuple[list[Span], asyncio.Task[Answer]]] = deque()
    told = time.monotonic()

    async def end_one() -> None:
        nonlocal done, told
        batch, task = under_way.popleft()
        await finish(batch, await task)
        done += sum(span.length for span in batch)
        if tell is not None and time.monotonic() - told > _SLOW:
            told = time.monotonic()
            await tell(f"{size_text(done)} of {size_text(total)} …")

    try:
        for batch in batches(spans(files)):
            under_way.append((batch, asyncio.create_task(await prepare(batch))))
            if len(under_way) == _AHEAD:
                await end_one()
        while under_way:
            await end_one()
    finally:
        for _, task in under_way:
            task.cancel()
        await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)


def listed(names: Sequence[str], most: int = _NAMED) -> str:
    """Name some of many."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")
