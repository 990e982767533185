"""How ranks start together, and who judges why one of them failed (pure: no input or output).

The supervisor of index 0 is the coordinator. All supervisors, its own included, are members: they
say hello, beat each second, and tell how their child process ended. A *generation* starts when all
are there: each is told to prepare (stop what runs, offer free ports), then to start with the list
of all members. When a rank fails, the others fail of it soon after, in ways that look like the
user's own errors. So nobody but the coordinator judges: it asks all members for a sign of life,
and takes the earliest cause.

============  ==============  ===================================================================
from          message         content
============  ==============  ===================================================================
member        hello           ``index``, ``boot`` (one supervisor's id), ``host``, ``generation``
                              and ``failures`` as far as it knows, ``running`` (generation or 0)
member        beat            nothing
member        offer           ``generation``, ``ports``
member        ended           ``generation``, ``outcome``: done, exception or died; ``text`` of a
                              death, ``killed`` (by SIGKILL, which no other rank's end causes)
member        pong            ``number`` of the ping
member        bye             nothing: it ends now
coordinator   prepare         ``generation``, ``failures``
coordinator   start           ``generation``, ``members``: host and ports of each rank
coordinator   ping            ``number``
coordinator   stop            nothing: stop the child, another rank is lost
coordinator   finish          nothing: all ranks are done
coordinator   abort           ``rank`` and ``text``: whose failure ends the job, and why
============  ==============  ===================================================================

This module travels into pods: standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

BEAT = 1.0
"""Seconds between a member's signs of life."""

_AWAY = 5.0  # seconds a member without connection may be gone before it counts as lost
_SILENT = 15.0  # seconds a connected member may be silent: a starved machine is no lost one
_SETTLE = 0.3  # seconds to wait for other causes after the first failure
_LAST_WORDS = 2.0  # seconds the failed rank gets to write its exception before others end
_FAREWELL = 10.0  # seconds members get to say goodbye


@dataclass
class _Member:
    boot: str
    host: str
    connected: bool = True
    seen: float = 0.0
    ports: list[int] | None = None
    outcome: Mapping[str, Any] | None = None
    ended: float = 0.0
    ponged: int = 0
    left: bool = False  # said goodbye, or went after the verdict


@dataclass
class Coordinator:
    """The state of one job's ranks.

    Feed it what happens with :meth:`hello`, :meth:`message`, :meth:`gone` and :meth:`tick`; after
    each, send ``outbox`` and write ``notes``. All times are seconds of one steady clock.
    """

    workers: int
    retries: int
    generation: int = 0
    failures: int = 0
    phase: str = "gathering"
    """gathering, preparing, running, judging, aborting, leaving, over."""
    failure: str = ""
    """Why the job failed; empty while it has not."""
    cause: int = -1
    """The rank that failed."""
    outbox: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    """Messages to send: index, kind, content."""
    notes: list[dict[str, Any]] = field(default_factory=list)
    """State frames to write."""

    _members: dict[int, _Member] = field(default_factory=dict)
    _since: float = 0.0  # when judging, aborting or farewell began
    _pings: int = 0
    _told_missing: list[int] = field(default_factory=list)
    _ended: bool = False  # all ranks are done

    @property
    def over(self) -> bool:
        """Say whether the coordinator's own process may end."""
        return self.phase == "over"

    # what happens

    def hello(self, index: int, about: Mapping[str, Any], now: float) -> None:
        """Take in a member that has connected."""
        if not 0 <= index < self.workers:
            return
        old = self._members.get(index)
        self.generation = max(self.generation, int(about["generation"]))
        self.failures = max(self.failures, int(about["failures"]))
        if old is not None and old.boot == about["boot"]:
            old.connected, old.seen = True, now
            self._welcome_back(index, int(about["running"]))
        else:
            self._members[index] = _Member(about["boot"], about["host"], seen=now)
            self._welcome(index, old)
        self._advance(now)

    def message(self, index: int, message: Mapping[str, Any], now: float) -> bool:
        """Take in a member's message; False from one that was given up: it has to say hello."""
        member = self._members.get(index)
        if member is None:
            return False
        member.seen = now
        kind = message["kind"]
        if kind == "pong":
            member.ponged = message["number"]
        elif kind == "bye":
            member.left = True
        elif message.get("generation") == self.generation:
            if kind == "offer":
                member.ports = list(message["ports"])
            elif kind == "ended" and member.outcome is None:
                member.outcome, member.ended = message, now
        self._advance(now)
        return True

    def gone(self, index: int, boot: str, now: float) -> None:
        """Note that a member's connection has ended; it may come back."""
        member = self._members.get(index)
        if member is not None and member.boot == boot:
            member.connected, member.seen = False, now
            self._advance(now)

    def tick(self, now: float) -> None:
        """Look at the clock; to be called a few times a second."""
        missing = self._missing()
        if self.phase == "gathering" and missing and missing != self._told_missing:
            self._told_missing = missing
            self._note("waiting", f"waiting for {_ranks(missing)}", missing=missing[:100])
        self._advance(now)

    # welcoming

    def _welcome(self, index: int, old: _Member | None) -> None:
        """Greet a new supervisor; one that replaces another breaks the running generation."""
        if self._ended:
            self._send(index, "finish")
        elif self.failure:
            self._send(index, "abort", rank=self.cause, text=self.failure)
        elif old is not None and self.phase != "gathering":
            self._regather(f"rank {index} was lost and its pod replaced")

    def _welcome_back(self, index: int, running: int) -> None:
        """Greet a supervisor whose connection was cut."""
        if self._ended:
            self._send(index, "finish")
        elif self.failure:
            self._send(index, "abort", rank=self.cause, text=self.failure)
        elif self.phase in {"running", "judging"} and running != self.generation:
            self._regather(f"rank {index} missed the start")
        elif self.phase == "preparing":
            self._send(index, "prepare", generation=self.generation, failures=self.failures)
        elif self.phase == "judging":
            self._send(index, "ping", number=self._pings)

    # moving on

    def _advance(self, now: float) -> None:
        """Go from phase to phase as far as what is known allows."""
        steps = {
            "gathering": self._gather,
            "preparing": self._prepare,
            "running": self._watch,
            "judging": self._judge,
            "aborting": self._abort,
            "leaving": self._farewell,
        }
        before = ""
        while self.phase != before and self.phase in steps:
            before = self.phase
            steps[before](now)

    def _gather(self, _now: float) -> None:
        if self._missing():
            return
        self.phase = "preparing"
        self.generation += 1
        self._told_missing = []
        for index, member in self._members.items():
            member.ports = member.outcome = None
            self._send(index, "prepare", generation=self.generation, failures=self.failures)

    def _prepare(self, now: float) -> None:
        if not all(member.ports for member in self._members.values()):
            self._give_up_lost(now)
            return
        self.phase = "running"
        members = [
            {"host": self._members[index].host, "ports": self._members[index].ports}
            for index in range(self.workers)
        ]
        for index in self._members:
            self._send(index, "start", generation=self.generation, members=members)

    def _watch(self, now: float) -> None:
        outcomes = [member.outcome for member in self._members.values()]
        if any(outcome and outcome["outcome"] != "done" for outcome in outcomes):
            self.phase, self._since = "judging", now
            self._pings += 1
            for index in self._members:
                self._send(index, "ping", number=self._pings)
        elif all(outcomes):
            self._ended, self._since = True, now
            self.phase = "leaving"
            for index in self._members:
                self._send(index, "finish")
        else:
            self._give_up_lost(now)

    def _give_up_lost(self, now: float) -> None:
        lost = [index for index, member in self._members.items() if self._is_lost(member, now)]
        if lost:
            self._regather(f"{_ranks(lost)} {'was' if len(lost) == 1 else 'were'} lost", lost)

    def _judge(self, now: float) -> None:
        """Find the cause once every member has answered, ended, or is lost."""
        for member in self._members.values():
            answered = member.connected and member.ponged == self._pings
            failed = member.outcome is not None and member.outcome["outcome"] != "done"
            if not (answered or failed or self._is_lost(member, now)):
                return
        if now < self._since + _SETTLE:
            return
        lost = [index for index, member in self._members.items() if self._is_lost(member, now)]
        if lost:
            self._regather(f"{_ranks(lost)} {'was' if len(lost) == 1 else 'were'} lost", lost)
            return
        index, member = min(
            ((i, m) for i, m in self._members.items() if _failed(m)),
            key=lambda pair: (not _killed(pair[1]), pair[1].ended),
        )
        outcome = member.outcome or {}
        if outcome["outcome"] == "exception":
            self._fail(index, f"rank {index} raised {outcome['text']}", now)
            return
        self.failures += 1
        cause = f"rank {index} {outcome['text']}"
        if self.failures > self.retries:
            times = f" ({self.failures} starts failed)" if self.failures > 1 else ""
            self._fail(index, f"{cause}{times}", now)
        else:
            self._regather(cause)

    def _regather(self, cause: str, lost: Iterable[int] = ()) -> None:
        """Begin a new generation with all that are there, or wait for who is not."""
        self.phase = "gathering"
        for index in lost:
            del self._members[index]
        for index in self._members:
            self._send(index, "stop")
        self._note(
            "restarting",
            f"{cause}; all ranks start again",
            cause=cause,
            failures=self.failures,
            retries=self.retries,
        )

    # the end

    def _fail(self, index: int, text: str, now: float) -> None:
        self.failure, self.cause = text, index
        self.phase, self._since = "aborting", now
        self._send(index, "abort", rank=index, text=text)

    def _abort(self, now: float) -> None:
        """End the others once the failed rank has written why: else its log may be deleted."""
        culprit = self._members[self.cause]
        written = self.cause == 0 or culprit.left or not culprit.connected
        if not written and now < self._since + _LAST_WORDS:
            return
        for index in self._members:
            if index != self.cause:
                self._send(index, "abort", rank=self.cause, text=self.failure)
        self.phase, self._since = "leaving", now

    def _farewell(self, now: float) -> None:
        """Wait until the other members have ended, so that this one's log comes last."""
        waiting = [
            index
            for index, member in self._members.items()
            if index != 0 and not member.left and not (self.failure and not member.connected)
        ]
        late = now >= self._since + (_LAST_WORDS if self.failure else _FAREWELL)
        if not waiting or late:
            self.phase = "over"

    # small parts

    def _is_lost(self, member: _Member, now: float) -> bool:
        return now - member.seen > (_SILENT if member.connected else _AWAY)

    def _missing(self) -> list[int]:
        return [
            index
            for index in range(self.workers)
            if index not in self._members or not self._members[index].connected
        ]

    def _send(self, index: int, kind: str, **content: Any) -> None:
        self.outbox.append((index, kind, content))

    def _note(self, phase: str, text: str, **more: Any) -> None:
        self.notes.append({"phase": phase, "text": text, **more})


def _failed(member: _Member) -> bool:
    return member.outcome is not None and member.outcome["outcome"] != "done"


def _killed(member: _Member) -> bool:
    return bool(member.outcome and member.outcome.get("killed"))


def _ranks(indexes: list[int]) -> str:
    """Name ranks in words, a few of them."""
    if len(indexes) == 1:
        return f"rank {indexes[0]}"
    shown = [str(index) for index in indexes[:8]]
    if len(indexes) > 8:
        return f"ranks {', '.join(shown)} and {len(indexes) - 8} more"
    return f"ranks {', '.join(shown[:-1])} and {shown[-1]}"
