"""Faults on purpose: what tests make the API server do to chosen requests."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field


@dataclass(eq=False)
class Fault:
    """What is done to requests whose method and ``path?query`` match.

    Parameters
    ----------
    path
        Regular expression, searched for in the path and query: ``/pods.*watch=``.
    method
        GET, POST …; empty for any.
    times
        How many requests it meets; None for all.
    status
        Answer with this code: 429, 410, 500 ….
    retry_after
        Seconds to put into the Retry-After header of that answer.
    delay
        Seconds before the request is looked at.
    cut_after
        Close the connection after so many bytes of the answer's body.
    silent
        Say nothing (more), and leave the connection open until the fault is lifted.

    """

    path: str = ""
    method: str = ""
    times: int | None = 1
    status: int = 0
    retry_after: int | None = None
    delay: float = 0.0
    cut_after: int | None = None
    silent: bool = False
    hits: int = 0
    lifted: asyncio.Event = field(default_factory=asyncio.Event)

    def matches(self, method: str, uri: str) -> bool:
        """Tell whether a request is meant."""
        return self.method in {"", method} and re.search(self.path, uri) is not None


class Faults:
    """The faults of one API server; to be used on its event loop."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Begin with a fault."""
        self._faults.append(fault)
        return fault

    def lift(self, fault: Fault) -> None:
        """End a fault; requests that it holds go on."""
        fault.lifted.set()
        if fault in self._faults:
            self._faults.remove(fault)

    def clear(self) -> None:
        """End all faults."""
        for fault in list(self._faults):
            self.lift(fault)

    def meet(self, method: str, uri: str) -> Fault | None:
        """Take the first fault that a new request meets, and count it."""
        for fault in self._faults:
            if fault.matches(method, uri) and fault.times != fault.hits:
                fault.hits += 1
                return fault
        return None

    def silencing(self, method: str, uri: str) -> Fault | None:
        """Find a fault that silences a request which is being answered already."""
        return next(
            (each for each in self._faults if each.silent and each.matches(method, uri)), None
        )
