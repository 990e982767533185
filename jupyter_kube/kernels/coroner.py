"""Finds out why a kernel ended before anybody is told: the pod's word, then the cluster's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from ..models import PodState, Profile
from . import advice
from .silence import Later, Silence

_PATIENCE = 4.0  # seconds for Kubernetes to say what has already happened
_ENDS = {"died", "gave-up", "ended", "error", "gone", "replaced", "fault"}
_ENDS |= {"launcher-restarted", "explained"}

Event = dict[str, Any]


class Coroner:
    """Stands between what happens to a kernel's pod and whoever is told.

    Each event that ends something gets a ``death`` (:class:`.advice.Death`). What only the cluster
    can explain is held back for some seconds, and what happens after it with it:

    - ``launcher-restarted`` is passed on at once, ``explained`` follows when the cause is known;
    - ``died`` without a restart, which is how a pod that is taken away looks from inside: ``gone``
      comes in its place.

    A pod that is not heard of becomes ``silent`` (``words``), and ``heard`` (``seconds``) later.

    Parameters
    ----------
    tell
        Gets the events.
    state, trouble
        Where the pod stands; why it was not reached the last time.
    limits, profiles
        What the kernel's container may use, by resource; all profiles there are.
    asked
        Whether the kernel's end was asked for.
    later
        ``call_later`` of the event loop.

    """

    def __init__(
        self,
        tell: Callable[[Event], None],
        *,
        state: Callable[[], PodState],
        trouble: Callable[[], str],
        limits: Mapping[str, str],
        profiles: Iterable[Profile],
        asked: Callable[[], bool],
        later: Later,
    ) -> None:
        self._tell, self._state, self._trouble = tell, state, trouble
        self._limits, self._profiles = limits, tuple(profiles)
        self._asked, self._later = asked, later
        self._restarts: int | None = None  # of the container, those that are accounted for
        self._held: list[Event] = []  # the first one waits for an explanation
        self._timer: asyncio.TimerHandle | None = None
        self._words = ""  # said of a silence
        self._silence = Silence(self._lost, self._found, later=later)

    def hear(self, event: Event) -> None:
        """Take in what the relay tells of the pod, or the cluster of its end."""
        kind = event["event"]
        if kind == "link-lost":
            self._silence.begin(event["reason"])
        elif kind == "link-up":
            self._silence.end()
        if self._held and self._held[0]["event"] == "died" and kind in {"gone", "started", "ready"}:
            self._held.pop(0)  # the cluster knows better, or somebody has started it again
            self._release()
        if self._held and kind != "gone":
            self._held.append(event)
            return
        self._release()
        if kind == "launcher-restarted":
            self._pass(event)
            self._hold({"event": "explained"})
        elif kind == "died" and not event.get("restarting") and not self._asked():
            self._hold(event)
        else:
            self._pass(event)

    def look(self) -> None:
        """Take in a new state of the pod while the kernel runs."""
        state = self._state()
        if self._restarts is None:
            self._restarts = state.restarts
        if self._held and self._held[0]["event"] == "explained" and self._news:
            self._release()
        if self._words and state.reason == "NodeNotReady" and self._silence.since:
            self._lost(self._silence.since)

    def close(self) -> None:
        """Tell nothing more."""
        self._silence.stop()
        self._held.clear()
        self._stop_waiting()

    # inside

    @property
    def _news(self) -> bool:
        """Whether the cluster knows of a restart that nobody was told the cause of."""
        return self._state().restarts > (self._restarts or 0)

    def _hold(self, event: Event) -> None:
        self._held.append(event)
        if event["event"] == "explained" and self._news:
            self._release()
        else:
            self._timer = self._later(_PATIENCE, self._release)

    def _release(self) -> None:
        """Pass on what was held back."""
        self._stop_waiting()
        held, self._held = self._held, []
        for event in held[:1]:
            self._pass(event)
        for event in held[1:]:
            self.hear(event)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pass(self, event: Event) -> None:
        """Tell, with the cause of what ended."""
        if event["event"] in _ENDS:
            event = {**event, "death": self._death(event)}
        self._tell(event)

    def _death(self, event: Event) -> advice.Death:
        state = self._state()
        if event["event"] in {"launcher-restarted", "explained"}:
            if event["event"] == "launcher-restarted" or not self._news:
                state = PodState(state.name, state.phase)  # what it says is of an earlier restart
            else:
                self._restarts = state.restarts
        return advice.explain(event, state, limits=self._limits, profiles=self._profiles)

    def _lost(self, since: datetime) -> None:
        words = advice.silence(since, self._state(), self._trouble())
        if words != self._words:
            self._words = words
            self._tell({"event": "silent", "words": words})

    def _found(self, seconds: float) -> None:
        self._words = ""
        self._tell({"event": "heard", "seconds": seconds})
