"""Why a job failed, in one sentence by rank and cause, with what to do next (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..errors import JobFailed, KubeError, RemoteError
from .view import JobView, RankView
from .words import ranges

_TROUBLE = 3
"""Most further ranks named in one message."""
_LONGEST_QUOTED = 200
_CODES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]?|.)?")
_OUT_OF_MEMORY = "OOMKilled"
_NO_LINES: Mapping[int, Sequence[str]] = MappingProxyType({})


@dataclass(frozen=True)
class Raised:
    """An exception that a rank reported."""

    etype: str
    """Empty: no exception of the cell's; its pod cannot run it."""
    message: str
    rank: int
    pod: str
    traceback: str


@dataclass(frozen=True)
class Cause:
    """What the coordinator found: the rank that was the first to fail, and why."""

    rank: int | None
    text: str
    raised: Raised | None = None
    """What that rank raised, shortened: its own log may be gone with its pod."""
    last: Sequence[str] = ()
    """Lines that it wrote before it died."""


def blocked(view: JobView) -> RankView | None:
    """Return the first rank that can never start, if there is one."""
    for rank in view.ranks:
        if rank.state.terminal and rank.state.phase not in ("succeeded", "failed", "gone"):
            return rank
    return None


def explain(
    view: JobView,
    raised: Sequence[Raised] = (),
    cause: Cause | None = None,
    last: Mapping[int, Sequence[str]] = _NO_LINES,
) -> KubeError | None:
    """Say why a job failed or cannot start; None if neither is so.

    Parameters
    ----------
    view
        The job as it is now.
    raised
        Exceptions that ranks reported, as they came.
    cause
        What the coordinator judged.
    last
        The last lines that ranks printed.

    """
    if view.phase == "failed":
        cause = cause or _left_word(view)
        if (first := _guilty(raised, cause)) is not None:
            return _of_rank(first)
    if (stuck := blocked(view)) is not None:
        return JobFailed(
            f"rank {stuck.rank} of {view.name} cannot start",
            stuck.state.message or stuck.state.reason,
            "Check the profile's image and settings, or choose another --profile.",
            obj=f"pod/{stuck.state.name}",
        )
    if view.phase == "stopped":
        return JobFailed(f"{view.name} was stopped", obj=f"job/{view.name}")
    if view.phase != "failed":
        return None
    if view.reason == "DeadlineExceeded":
        return JobFailed(
            f"{view.name} was ended after the time that --timeout gave it",
            next="Give it more: --timeout 2h.",
            obj=f"job/{view.name}",
        )
    return _by_rank(view, cause, last)


def _of_rank(raised: Raised) -> KubeError:
    """Say what a rank raised."""
    if not raised.etype:
        return JobFailed(
            f"rank {raised.rank} cannot run the cell", raised.message, obj=f"pod/{raised.pod}"
        )
    return RemoteError(
        raised.etype,
        raised.message,
        rank=raised.rank,
        pod=raised.pod,
        traceback=raised.traceback,
    )


def _left_word(view: JobView) -> Cause | None:
    """Read the last words of a supervisor: all that is left where logs are gone."""
    for rank in view.ranks:
        if rank.death:
            own = {"rank": rank.rank, "pod": rank.state.name} if "traceback" in rank.death else {}
            return read_cause({**own, **rank.death})
    return None


def _guilty(raised: Sequence[Raised], cause: Cause | None) -> Raised | None:
    """Choose the exception that made the job fail; None if something else did."""
    if cause is None or cause.rank is None:
        return raised[0] if raised else None
    return next((one for one in reversed(raised) if one.rank == cause.rank), cause.raised)


def read_cause(said: Mapping[str, Any]) -> Cause:
    """Read what a supervisor tells of the failure: in its last frame, or as its last words."""
    rank = said.get("rank")
    raised = read_raised(said, rank or 0, "") if "traceback" in said else None
    last = str(said.get("last") or "").splitlines()
    return Cause(rank, str(said.get("text") or ""), raised, last)


def read_raised(said: Mapping[str, Any], rank: int, pod: str) -> Raised:
    """Read an exception from a frame, or from a supervisor's last words."""
    return Raised(
        str(said.get("type", "")),
        str(said.get("message", "")),
        int(said.get("rank", rank)),
        str(pod or said.get("pod", "")),
        str(said.get("traceback", "")),
    )


def _by_rank(view: JobView, cause: Cause | None, last: Mapping[int, Sequence[str]]) -> KubeError:
    """Say which rank failed, of what, from the best source there is."""
    killed = [rank for rank in view.ranks if rank.state.reason == _OUT_OF_MEMORY]
    if cause and cause.text and (not killed or "memory" in cause.text):
        wrote = cause.last or _of(last, cause.rank)
        advice = _quoted(wrote) + _advice(view, cause.text, cause.rank)
        return JobFailed(cause.text, next=advice, obj=f"job/{view.name}")
    failed = killed or [rank for rank in view.ranks if rank.state.phase == "failed"]
    if view.ranks and all(rank.state.phase == "gone" for rank in view.ranks):
        return JobFailed(
            f"{view.name} failed",
            view.message or "the pods that could say why were removed",
            obj=f"job/{view.name}",
        )
    if not failed:
        return JobFailed(
            f"{view.name} failed",
            view.message,
            _advice(view, ""),
            obj=f"job/{view.name}",
        )
    first, *others = failed
    also = (
        f" (and rank {', '.join(str(rank.rank) for rank in others[:_TROUBLE])})" if others else ""
    )
    words = first.state.message or f"ended with exit code {first.state.exit_code}"
    return JobFailed(
        f"rank {first.rank}{also} {words}",
        next=_quoted(_of(last, first.rank)) + _advice(view, words, first.rank),
        obj=f"pod/{first.state.name}",
    )


def _of(last: Mapping[int, Sequence[str]], rank: int | None) -> Sequence[str]:
    return () if rank is None else last.get(rank, ())


def _quoted(lines: Sequence[str]) -> str:
    """Quote what a rank printed last: of a death it may be all that tells why."""
    shown = [_CODES.sub("", line)[:_LONGEST_QUOTED] for line in lines]
    return "\n".join(["It printed last:", *(f"    {line}" for line in shown), ""]) if shown else ""


def _advice(view: JobView, text: str, rank: int | None = None) -> str:
    if "out of memory" in text:
        limit = re.search(r"\b(\d+)([KMGTP]i?)\b", text)
        return f"Next: --memory {int(limit[1]) * 2}{limit[2]}." if limit else "Next: --memory."
    chosen = "" if rank is None else f" -r {rank}"
    return f"See what it said: %kube logs {view.name}{chosen}."


def objects(view: JobView, namespace: str) -> str:
    """Name what a platform engineer may want to look at: the job, and pods that are in trouble."""
    troubled = [r for r in view.ranks if r.reason or r.state.phase in ("failed", "gone")]
    found = dict.fromkeys(f"pod/{rank.state.name}" for rank in troubled if rank.state.name)
    pods = list(found)[:_TROUBLE]
    where = f" in namespace {namespace}" if namespace else ""
    return f"For the platform engineer: {', '.join([f'job/{view.name}', *pods])}{where}."


def reasons(view: JobView, error: KubeError | None = None) -> list[str]:
    """Say in sentences why a job waits or failed; one sentence if all is well.

    Parameters
    ----------
    view
        The job as it is now.
    error
        What following it to its end found, for one that failed.

    """
    error = error or explain(view)
    if isinstance(error, RemoteError):
        return [str(error), error.traceback.rstrip()]
    if error is not None:
        return [str(error)]
    if view.finished:
        return [f"{view.name} succeeded."]
    waits = _waits(view)
    if view.message:
        waits.insert(0, f"{view.name} is {view.phase}: {view.message}")
    return waits or [f"{view.name} is {view.phase}; nothing is wrong."]


def diagnosis(view: JobView, namespace: str, error: KubeError | None = None) -> list[str]:
    """Say why a job is as it is and, unless it succeeded, which objects to look at.

    Parameters are those of :func:`reasons` and :func:`objects`.
    """
    said = reasons(view, error)
    return said if view.phase == "succeeded" else [*said, objects(view, namespace)]


def _waits(view: JobView) -> list[str]:
    """Say why ranks wait: each reason once, after the numbers of its ranks."""
    found: dict[tuple[str, str], list[int]] = {}
    for rank in view.ranks:
        if rank.reason:
            found.setdefault((rank.state.phase, rank.reason), []).append(rank.rank)
    return [
        f"rank {numbers[0]} is {phase}: {reason}"
        if len(numbers) == 1
        else f"ranks {ranges(numbers)} are {phase}: {reason}"
        for (phase, reason), numbers in found.items()
    ]
