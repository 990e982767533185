"""How ranks start together, and who judges why one of them failed (pure: no input or output).

The supervisor of index 0 is the coordinator. All supervisors, its own included, are members: they
say hello, beat each second, and tell how their child process ended. A *generation* starts when all
are there: each is told to prepare (stop what runs, offer free ports), then to start with the list
of all members. An *elastic* job has room for more or fewer: a generation starts with those who are
there, at least ``least``, and a new one when others come or some go. When a rank fails, the others
fail of it soon after, in ways that look like the user's own errors. So nobody but the coordinator
judges: it asks all members for a sign of life, and takes the earliest cause.

What they say to each other is listed in ``messages.py``.

This module travels into pods: standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .members import Member, one, ranks

BEAT = 1.0
"""Seconds between a member's signs of life."""

_SETTLE = 0.3  # seconds to wait for other causes after the first failure
_LAST_WORDS = 2.0  # seconds the failed rank gets to write its exception before others end
_FAREWELL = 10.0  # seconds members get to say goodbye
_FIRST = 3.0  # seconds after the last arrival until a first start without all: longer than members
#               take to find a coordinator that was replaced
_GROW = 1.0  # seconds after the last arrival until all start again: several often come at once
_MOST = 10_000  # indexes an elastic job may be scaled to


@dataclass
class Coordinator:
    """The state of one job's ranks.

    Feed it what happens with :meth:`hello`, :meth:`message`, :meth:`gone` and :meth:`tick`; after
    each, send ``outbox`` and write ``notes``. All times are seconds of one steady clock.
    """

    workers: int
    """How many there are to be; of an elastic job, how many at most make it wait for no more."""
    retries: int
    least: int = 0
    """How many an elastic job needs; 0 for a job of fixed size."""
    patience: float = float("inf")
    """Seconds to wait for members that were lost before the job counts as failed."""
    procs: int = 1
    """How many ranks each member has."""
    enders: int = 0
    """How many ranks, the first ones, end the job when they are done; 0: all."""
    generation: int = 0
    failures: int = 0
    phase: str = "gathering"
    """gathering, preparing, running, judging, aborting, leaving, over."""
    failure: str = ""
    """Why the job failed; empty while it has not."""
    cause: int = -1
    """The rank that failed."""
    culprit: int = -1
    """The member that it belongs to."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What it raised, or wrote before it died. All are told: Kubernetes removes the pods that still
    run when it sees that one has failed, and may see first that another one has."""
    outbox: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    """Messages to send: index, kind, content."""
    notes: list[dict[str, Any]] = field(default_factory=list)
    """State frames to write."""

    _members: dict[int, Member] = field(default_factory=dict)
    _roster: list[int] = field(default_factory=list)  # who takes part in this generation, by rank
    _arrived: float = 0.0  # when the last member came
    _since: float = 0.0  # when gathering, judging, aborting or farewell began
    _pings: int = 0
    _told: str = ""  # the last word on who is waited for
    _ended: bool = False  # all ranks are done

    @property
    def elastic(self) -> bool:
        """Say whether the job goes on with whoever is there."""
        return self.least > 0

    @property
    def over(self) -> bool:
        """Say whether the coordinator's own process may end."""
        return self.phase == "over"

    # what happens

    def hello(self, index: int, about: Mapping[str, Any], now: float) -> None:
        """Take in a member that has connected."""
        if not 0 <= index < (_MOST if self.elastic else self.workers):
            return
        old = self._members.get(index)
        self.generation = max(self.generation, int(about["generation"]))
        self.failures = max(self.failures, int(about["failures"]))
        self._since = self._since or now
        if old is not None and old.boot == about["boot"]:
            old.connected, old.seen = True, now
            self._welcome_back(index, int(about["running"]))
        else:
            self._members[index] = Member(about["boot"], about["host"], seen=now)
            self._arrived = now
            lost = int(about.get("replaced", 0))
            if lost > self.retries and not (self.failure or self._ended):
                self._fail(index, f"{self._were([index])} lost with its pod {lost} times", now)
            else:
                self._welcome(index, int(about["running"]), now)
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
        elif kind == "busy":
            member.busy = True
        elif kind == "bye":
            member.left = True
        elif kind == "leave":
            self._let_go(index, now)
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
        if self.phase == "gathering":
            self._tell_whom_it_waits_for()
        self._advance(now)

    def _tell_whom_it_waits_for(self) -> None:
        missing = self._missing()
        text = f"waiting for {self._ranks(missing)}" if missing else ""
        if missing and self.elastic and 0 in self._members:
            text = f"waiting for workers: {len(self._members)} of at least {self.least} are there"
        if text and text != self._told:
            self._told = text
            self._note("waiting", text, missing=missing[:100])

    # welcoming and letting go

    def _welcome(self, index: int, running: int, now: float) -> None:
        """Greet a new supervisor; one that replaces another breaks the running generation."""
        if self._ended:
            self._send(index, "finish")
        elif self.failure:
            self._send_abort(index)
        elif self.phase == "gathering":
            return
        elif index in self._roster:
            self._regather(f"{self._were([index])} lost and its pod replaced", now)
        else:
            if running:  # of a generation it was given up in
                self._send(index, "stop")
            if self.phase == "preparing":  # nothing is lost yet by starting with it
                self.phase, self._since = "gathering", now

    def _welcome_back(self, index: int, running: int) -> None:
        """Greet a supervisor whose connection was cut."""
        if self._ended:
            self._send(index, "finish")
        elif self.failure:
            self._send_abort(index)
        elif index not in self._roster:
            return
        elif self.phase in {"running", "judging"} and running != self.generation:
            self._regather(f"{self._ranks([index])} missed the start", self._members[index].seen)
        elif self.phase == "preparing":
            self._send(index, "prepare", generation=self.generation, failures=self.failures)
        elif self.phase == "judging":
            self._send(index, "ping", number=self._pings)

    def _let_go(self, index: int, now: float) -> None:
        """Part from a member whose pod is being removed."""
        if self._ended or self.failure:
            self._members[index].left = True
        elif index in self._roster and self.phase != "gathering":
            self._regather(f"the pod of {self._ranks([index])} is being removed", now, [index])
        else:
            del self._members[index]

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

    def _gather(self, now: float) -> None:
        if self.elastic:
            for index in [i for i, member in self._members.items() if member.is_lost(now)]:
                del self._members[index]
        if not self._complete(now):
            self._lose_patience(now)
            return
        self.phase = "preparing"
        self.generation += 1
        self._told = ""
        self._roster = sorted(self._members)
        for index, member in self._members.items():
            member.ports = member.outcome = None
            self._send(index, "prepare", generation=self.generation, failures=self.failures)

    def _complete(self, now: float) -> bool:
        """Say whether a generation may start with the members that are there."""
        if self._missing() or not all(member.connected for member in self._members.values()):
            return False
        settled = now >= self._arrived + (_GROW if self._roster else _FIRST)
        return settled or len(self._members) >= self.workers

    def _lose_patience(self, now: float) -> None:
        """Fail a job whose lost members do not come back; a first start may wait for its room."""
        missing = self._missing()
        if self.generation and missing and now > self._since + self.patience:
            waited = f"did not come back for {self.patience:.0f} seconds"
            self._fail(missing[0], f"{self._were(missing)} lost and {waited}", now)

    def _prepare(self, now: float) -> None:
        team = self._team()
        if not all(member.ports for member in team.values()):
            self._give_up_lost(now)
            return
        self.phase = "running"
        members = [{"host": member.host, "ports": member.ports} for member in team.values()]
        for index in team:
            self._send(
                index,
                "start",
                generation=self.generation,
                members=members,
                indexes=self._roster,
            )

    def _watch(self, now: float) -> None:
        team = self._team()
        if any(member.failed for member in team.values()):
            self.phase, self._since = "judging", now
            self._pings += 1
            for index in team:
                self._send(index, "ping", number=self._pings)
        elif all(member.outcome for member in list(team.values())[: self.enders or None]):
            self._ended, self._since = True, now
            self.phase = "leaving"
            for index in self._members:
                self._send(index, "finish")
        elif not self._give_up_lost(now):
            self._grow(now)

    def _give_up_lost(self, now: float) -> bool:
        lost = [index for index, member in self._team().items() if member.is_lost(now)]
        if lost:
            self._regather(f"{self._were(lost)} lost", now, lost)
        return bool(lost)

    def _grow(self, now: float) -> None:
        """Start again with newcomers, unless the end is near: a rank is done already."""
        new = sorted(set(self._members) - set(self._roster))
        done = any(member.outcome for member in self._team().values())
        if new and not done and now >= self._arrived + _GROW:
            have = "has" if one(new, self.procs) else "have"
            self._regather(f"{self._ranks(new)} {have} joined", now)

    def _judge(self, now: float) -> None:
        """Find the cause once every member has answered, ended, or is lost."""
        team = self._team()
        for member in team.values():
            answered = member.connected and member.ponged == self._pings
            if not (answered or member.failed or member.is_lost(now)):
                return
        if now < self._since + _SETTLE or self._give_up_lost(now):
            return
        index, member = min(
            ((i, m) for i, m in team.items() if m.failed),
            key=lambda pair: pair[1].order,
        )
        outcome = member.outcome or {}
        rank = index * self.procs + int(outcome.get("local", 0))
        about = outcome.get("about") or {}
        if outcome["outcome"] == "exception":
            how = "cannot run the cell:" if about.get("type") == "" else "raised"
            verdict = f"rank {rank} {how} {outcome['text']}"
        else:
            self.failures += 1
            verdict = f"rank {rank} {outcome['text']}"
            if self.failures <= self.retries:
                attempt = f" (attempt {self.failures + 1} of {self.retries + 1})"
                self._regather(verdict, now, attempt=attempt)
                return
            verdict += f" ({self.failures} starts failed)" if self.failures > 1 else ""
        self.about = about
        self._fail(index, verdict, now, rank)

    def _regather(
        self, cause: str, now: float, lost: Iterable[int] = (), *, attempt: str = ""
    ) -> None:
        """Begin a new generation with all that are there, or wait for who is not."""
        self.phase, self._since = "gathering", now
        for index in lost:
            del self._members[index]
        for index in self._members:
            self._send(index, "stop")
        who = "the others" if lost and self.elastic else "all ranks"
        self._note(
            "restarting",
            f"{cause}; {who} start again{attempt}",
            cause=cause,
            failures=self.failures,
            retries=self.retries,
        )

    # the end

    def _fail(self, index: int, text: str, now: float, rank: int | None = None) -> None:
        self.failure, self.culprit = text, index
        self.cause = index * self.procs if rank is None else rank
        self.phase, self._since = "aborting", now
        self._send_abort(index)

    def _abort(self, now: float) -> None:
        """End the others once the failed rank has written why: else its log may be deleted."""
        culprit = self._members.get(self.culprit)
        written = self.culprit == 0 or culprit is None or culprit.left or not culprit.connected
        if not written and now < self._since + _LAST_WORDS:
            return
        for index in self._members:
            if index != self.culprit:
                self._send_abort(index)
        self.phase, self._since = "leaving", now

    def _farewell(self, now: float) -> None:
        """Wait until the other members have ended, so that this one's log comes last."""
        waiting = [
            index
            for index, member in self._members.items()
            if index != 0 and not member.left and not (self.failure and not member.connected)
        ]
        if now >= self._since + (_LAST_WORDS if self.failure else _FAREWELL):
            busy = (index for index in waiting if self._members[index].busy)
            waiting = [index for index in busy if not self._members[index].is_lost(now)]
        if not waiting:
            self.phase = "over"

    # small parts

    def _team(self) -> dict[int, Member]:
        """Return the members of this generation, by rank."""
        return {index: self._members[index] for index in self._roster}

    def _missing(self) -> list[int]:
        """Name who is waited for; of an elastic job as many of the first as it needs."""
        there = [index for index, member in self._members.items() if member.connected]
        absent = [index for index in range(self.workers) if index not in there]
        if not self.elastic:
            return absent
        return [0] if 0 in absent else absent[: max(self.least - len(there), 0)]

    def _ranks(self, indexes: list[int]) -> str:
        return ranks(indexes, self.procs)

    def _were(self, indexes: list[int]) -> str:
        return f"{self._ranks(indexes)} {'was' if one(indexes, self.procs) else 'were'}"

    def _send(self, index: int, kind: str, **content: Any) -> None:
        self.outbox.append((index, kind, content))

    def _send_abort(self, index: int) -> None:
        self._send(index, "abort", rank=self.cause, text=self.failure, about=self.about)

    def _note(self, phase: str, text: str, **more: Any) -> None:
        self.notes.append({"phase": phase, "text": text, **more})
