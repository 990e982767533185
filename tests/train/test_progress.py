"""How far a job is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.models import PodState
from jupyter_kube.train.feed import Line
from jupyter_kube.train.progress import Progress
from jupyter_kube.train.view import JobView, RankView


def job(*ranks, phase="running"):
    return JobView("digits-7f3a", workers=len(ranks), phase=phase, ranks=ranks)


def rank(number=0, progress="", phase="running", **metrics):
    return RankView(number, PodState("p", phase), progress=progress, metrics=metrics)


@pytest.mark.parametrize(
    ("seen", "fraction"),
    [
        (rank(), None),
        (rank(loss=0.5, step=3), None),
        (rank(step=3, steps=4), 0.75),
        (rank(epoch=1, epochs=5), 0.2),
        (rank(progress=" 45%|████▌     | 9/20 [00:04<00:05]"), 0.45),
        (rank(progress="\x1b[1m3/10\x1b[0m ━━━ 0s 12ms/step - loss: 0.5"), 0.3),
        (rank(step=9, steps=4), 1.0),
        (rank(step=1, steps=0), None),
        (rank(step="3", steps="4"), None),
        (rank(step=float("nan"), steps=4), None),
    ],
)
def test_what_a_rank_tells(seen, fraction):
    progress = Progress()
    progress.see(job(seen), 0)
    assert progress.fraction == fraction


def test_an_epochs_bar_is_a_part_of_all_epochs():
    progress = Progress()
    progress.hear([Line(0, "Epoch 2/4"), Line(0, "epochs are fine")])
    progress.see(job(rank(progress="5/10 [====>")), 0)
    assert progress.fraction == pytest.approx(0.375)


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
