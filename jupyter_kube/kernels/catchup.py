"""What a front end that comes back to an attached kernel is told, and at which pace."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from .recall import Recording

_YOUNG = 5.0  # seconds in which the companion of a new kernel comes; a cell hardly does

Item = TypeVar("Item")


def missing(recording: Recording) -> str:
    """Say what a recording lacks; empty if nothing is known to be lost."""
    words = []
    if recording.dropped:
        words.append(
            f"{recording.dropped} messages of output ({recording.dropped_bytes} bytes) are lost: "
            "the kernel keeps the newest while no server is there."
        )
    if recording.unheard > _YOUNG:
        words.append(
            "Some output may be lost: what records it was started again "
            f"{recording.unheard:.0f} s after the last server had gone."
        )
    return " ".join(words)


def failed(error: BaseException) -> str:
    """Say that nothing of what was said meanwhile can be shown, and why."""
    why = str(error) or "what records it did not answer in time"
    return (
        f"Output of the time without a server cannot be shown: {why}. "
        "The kernel itself goes on, with all variables."
    )


def header_of(recording: Recording) -> dict[str, Any] | None:
    """Return the header of the first cell that a recording is about; None if there is none."""
    if recording.messages:
        first: dict[str, Any] = json.loads(recording.messages[0][2])
        return first
    return next(iter([*(parent for parent, _ in recording.replies), *recording.open]), None)


def drained(items: deque[Item]) -> Iterator[Item]:
    """Take one item after the other, those too that are added meanwhile."""
    while items:
        yield items.popleft()
