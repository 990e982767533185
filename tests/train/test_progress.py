"""How far a job is, and how that is written.

A job's tab goes by the same rules: both keep to ``told.json``, there in ``jobwords.spec.ts``.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.models import PodState
from jupyter_kube.train.feed import Line
from jupyter_kube.train.progress import Progress
from jupyter_kube.train.view import JobView, RankView
from jupyter_kube.train.words import duration, metrics

FRONT_END = Path(__file__).parents[2] / "labextension" / "src"
TOLD = json.loads((FRONT_END / "__tests__" / "told.json").read_text())


def job(*ranks, phase="running"):
    return JobView("digits-7f3a", workers=len(ranks), phase=phase, ranks=ranks)


def rank(number=0, progress="", phase="running", **metrics):
    return RankView(number, PodState("p", phase), progress=progress, metrics=metrics)


@pytest.mark.parametrize("case", TOLD["shares"], ids=json.dumps)
def test_what_a_rank_tells_means_the_same_in_both_languages(case):
    progress = Progress()
    progress.hear(Line(0, line) for line in case.get("lines", ()))
    progress.see(job(RankView(0, PodState("p", "running"), **case["rank"])), 0)
    assert progress.fraction == case["share"]


def test_what_is_no_number_is_no_progress():
    progress = Progress()
    progress.see(job(rank(step=float("nan"), steps=4)), 0)
    assert progress.fraction is None


@pytest.mark.parametrize("case", TOLD["metrics"], ids=json.dumps)
def test_metrics_are_written_alike(case):
    assert metrics(case["values"]) == case["words"]


@pytest.mark.parametrize("case", TOLD["durations"], ids=json.dumps)
def test_durations_are_written_alike(case):
    assert duration(case["seconds"]) == case["words"]


def test_the_slowest_rank_counts_and_the_end_is_foretold_from_the_pace():
    progress = Progress()
    progress.see(job(rank(0, step=20, steps=100), rank(1, step=10, steps=100)), 100)
    assert progress.words() == "10 %"
    progress.see(job(rank(0, step=50, steps=100), rank(1, step=40, steps=100)), 160)
    assert progress.words() == "40 %, about 2 min 0 s left"
    progress.see(job(rank(0, step=50, steps=100), rank(1, step=40, steps=100)), 200)
    assert progress.words() == "40 %, about 2 min 0 s left"
    progress.see(job(rank(0, step=0, steps=100), rank(1, step=5, steps=100)), 260)
    assert progress.words() == "0 %"  # all began anew
    progress.see(job(rank(0, phase="succeeded"), phase="succeeded"), 300)
    assert progress.words() == "100 %"


def test_a_job_that_tells_nothing_has_no_progress_at_its_end_either():
    progress = Progress()
    progress.see(job(rank(phase="succeeded"), phase="succeeded"), 0)
    assert progress.words() == ""


@given(
    st.text(),
    st.dictionaries(
        st.sampled_from(["step", "steps", "epoch", "epochs"]),
        st.none() | st.integers() | st.floats() | st.text(),
    ),
)
def test_whatever_is_told_makes_a_fraction_or_none(text, metrics):
    progress = Progress()
    progress.hear([Line(0, text), Line(0, f"Epoch {text}")])
    progress.see(job(rank(progress=text, **metrics)), 0)
    assert progress.fraction is None or 0 <= progress.fraction <= 1
