"""A pod that does not answer, by a clock that the tests turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from jupyter_kube.kernels.link import PATIENCE
from jupyter_kube.kernels.silence import Silence
from jupyter_kube.kernels.splice import BEAT, SILENT

BEGUN = datetime(2026, 11, 24, 9, tzinfo=UTC)


class Clock:
    """Time and its one timer."""

    def __init__(self) -> None:
        self.now = BEGUN
        self.due: datetime | None = None
        self._call: Callable[[], None] = lambda: None

    def later(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        self.due, self._call = self.now + timedelta(seconds=seconds), call
        return cast(asyncio.TimerHandle, self)

    def cancel(self) -> None:
        self.due = None

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        if self.due is not None and self.now >= self.due:
            self.due = None
            self._call()


class Heard:
    """A silence by that clock, and what it told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lost: list[datetime] = []
        self.found: list[float] = []
        self.silence = Silence(
            self.lost.append,
            self.found.append,
            later=self.clock.later,
            clock=lambda: self.clock.now,
        )


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_f09_silence_is_said_within_ten_seconds_of_the_last_sign_of_life(heard: Heard) -> None:
    beats = BEAT * (PATIENCE + 1)  # until the link gives up
    heard.clock.turn(beats)
    heard.silence.begin(SILENT)
    heard.clock.turn(10 - beats)
    assert heard.lost == [BEGUN]
    assert heard.silence.since == BEGUN


def test_a_cut_is_said_within_ten_seconds_too(heard: Heard) -> None:
    heard.silence.begin("reset by peer")
    heard.clock.turn(10)
    assert heard.lost == [BEGUN]


@pytest.mark.parametrize("reason", [SILENT, "reset by peer"])
def test_a_hiccup_is_not_said(reason: str, heard: Heard) -> None:
    heard.silence.begin(reason)
    heard.clock.turn(0.5)
    heard.silence.end()
    heard.clock.turn(60)
    assert (heard.lost, heard.found) == ([], [])


def test_tries_that_fail_are_the_same_silence(heard: Heard) -> None:
    heard.silence.begin("reset by peer")
    heard.clock.turn(3)
    heard.silence.begin("reset by peer")
    heard.clock.turn(3)
    heard.silence.begin("reset by peer")
    heard.clock.turn(30)
    assert heard.lost == [BEGUN]


def test_an_answer_says_how_long_it_took(heard: Heard) -> None:
    heard.silence.begin("reset by peer")
    heard.clock.turn(35)
    heard.silence.end()
    assert heard.found == [35.0]
    assert heard.silence.since is None
    heard.silence.end()
    assert heard.found == [35.0]


def test_what_is_stopped_says_nothing(heard: Heard) -> None:
    heard.silence.begin(SILENT)
    heard.silence.stop()
    heard.clock.turn(60)
    assert heard.lost == []
