from bench.arms.watching import Grid
from jupyter_kube.models import PodState
from jupyter_kube.train.display import html
from jupyter_kube.train.view import JobView, RankView

WORKERS = 100


def shown(running):
    """Return the message that shows a job of which so many ranks run."""
    phases = ["running"] * running + ["queued"] * (WORKERS - running)
    ranks = tuple(RankView(n, PodState(f"p{n}", phase)) for n, phase in enumerate(phases))
    view = JobView("j", workers=WORKERS, phase="waiting", ranks=ranks)
    return {"content": {"data": {"text/html": html(view, 0.0)}}}


def test_a_grid_is_whole_when_all_ranks_are_shown_as_running():
    grid = Grid(WORKERS)
    grid.take({"content": {"name": "stdout", "text": "line"}})
    assert not grid.updates
    grid.take(shown(WORKERS - 1))
    assert not grid.whole.is_set()
    grid.take(shown(WORKERS))
    assert grid.whole.is_set()
    assert len(grid.updates) == 2
