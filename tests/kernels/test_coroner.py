"""Causes that only the cluster knows are waited for; nothing else is held up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from jupyter_kube.kernels.coroner import Coroner
from jupyter_kube.kernels.splice import SILENT
from jupyter_kube.models import PodState

READY = {"event": "ready", "generation": 1, "pid": 7}
TAKEN = {"event": "died", "reason": "signal 15 (Terminated)", "signal": 15, "restarting": False}


class Case:
    """A coroner, what it told, and its one timer."""

    def __init__(self) -> None:
        self.state = PodState("pod", "running", node="n1")
        self.told: list[dict[str, Any]] = []
        self.asked = False
        self.patience: Callable[[], None] | None = None
        self.coroner = Coroner(
            self.told.append,
            state=lambda: self.state,
            trouble=lambda: "",
            limits={"memory": "2Gi"},
            profiles=(),
            asked=lambda: self.asked,
            later=self._later,
        )
        self.coroner.look()

    def _later(self, _seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        self.patience = call
        return cast(asyncio.TimerHandle, self)

    def cancel(self) -> None:
        self.patience = None

    def hear(self, event: str, **more: Any) -> None:
        self.coroner.hear({"event": event, **more})

    def look(self, *args: Any, **more: Any) -> None:
        self.state = replace(PodState("pod", *args, **more), node="n1")
        self.coroner.look()

    def lose_patience(self) -> None:
        assert self.patience is not None
        self.patience()

    @property
    def kinds(self) -> list[str]:
        return [event["event"] for event in self.told]


@pytest.fixture
def case() -> Case:
    return Case()


OOM = ("running", "OOMKilled", "restarted: ran out of memory (limit 2Gi)")


def test_f12_a_container_that_ran_out_of_memory_says_so_before_it_is_ready(case: Case) -> None:
    case.hear("launcher-restarted")
    assert case.kinds == ["launcher-restarted"]
    case.coroner.hear(READY)
    case.look("running")
    assert case.kinds == ["launcher-restarted"]
    case.look(*OOM, restarts=1)
    assert case.kinds == ["launcher-restarted", "explained", "ready"]
    assert case.told[1]["death"].cause == "oom"


def test_a_cause_that_is_known_already_holds_nothing_up(case: Case) -> None:
    case.look(*OOM, restarts=1)
    case.hear("launcher-restarted")
    assert case.kinds == ["launcher-restarted", "explained"]
    assert case.told[1]["death"].cause == "oom"


def test_an_earlier_restarts_cause_is_not_told_again(case: Case) -> None:
    case.look(*OOM, restarts=1)
    case.hear("launcher-restarted")
    case.hear("launcher-restarted")
    case.coroner.hear(READY)
    assert case.kinds.count("explained") == 1
    case.lose_patience()
    assert case.kinds[-2:] == ["explained", "ready"]
    assert case.told[-2]["death"].cause == "container"


def test_f11_a_pod_that_is_taken_away_is_reported_once_in_kubernetes_words(case: Case) -> None:
    case.coroner.hear(TAKEN)
    assert case.told == []
    case.state = PodState("pod", "gone", "PreemptionByScheduler", "preempted by x", terminal=True)
    case.hear("gone", reason="preempted by x", exit_code=None)
    assert case.kinds == ["gone"]
    assert case.told[0]["death"].cause == "preempted"
    assert case.patience is None


def test_an_end_without_the_clusters_word_is_told_as_it_looked(case: Case) -> None:
    case.coroner.hear(TAKEN)
    case.lose_patience()
    assert case.kinds == ["died"]
    assert "signal 15" in case.told[0]["death"].words


def test_an_end_that_was_asked_for_is_told_at_once(case: Case) -> None:
    case.asked = True
    case.coroner.hear(TAKEN)
    assert case.kinds == ["died"]


def test_an_end_that_somebody_has_repaired_is_not_told(case: Case) -> None:
    case.coroner.hear(TAKEN)
    case.coroner.hear(READY)
    assert case.kinds == ["ready"]


def test_a_death_that_is_repaired_is_told_at_once(case: Case) -> None:
    case.hear("died", reason="exit code 1", exit_code=1, restarting=True)
    assert case.kinds == ["died"]


def test_a_pod_that_goes_while_its_restart_is_explained_is_gone(case: Case) -> None:
    case.hear("launcher-restarted")
    case.state = PodState("pod", "gone", "Deleted", "the pod was deleted", terminal=True)
    case.hear("gone", reason="the pod was deleted", exit_code=None)
    assert case.kinds == ["launcher-restarted", "explained", "gone"]


def test_f09_a_silent_pod_names_its_node_and_what_kubernetes_knows_of_it(case: Case) -> None:
    case.hear("link-lost", reason=SILENT)
    case.lose_patience()
    assert case.kinds == ["link-lost", "silent"]
    assert "its node n1 may be lost" in case.told[-1]["words"]
    case.look("running", "NodeNotReady", "its node n1 does not answer")
    case.look("running", "NodeNotReady", "its node n1 does not answer")
    assert case.kinds == ["link-lost", "silent", "silent"]
    assert "does not answer Kubernetes either" in case.told[-1]["words"]
    case.hear("link-up")
    assert case.kinds[-2:] == ["heard", "link-up"]


def test_what_is_closed_tells_nothing_more(case: Case) -> None:
    case.coroner.hear(TAKEN)
    case.coroner.close()
    assert (case.told, case.patience) == ([], None)
