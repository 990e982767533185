"""A job in the panel, however much it says."""

import re
import threading

import pytest
from ipywidgets import HTML

from jupyter_kube.models import PodState
from jupyter_kube.train.background import Background
from jupyter_kube.train.desk import Ticket
from jupyter_kube.train.handle import Job
from jupyter_kube.train.runner import Outcome
from jupyter_kube.train.view import JobView, RankView
from jupyter_kube.widgets import parts
from jupyter_kube.widgets.jobbox import JobBox

RANKS, BLOCKS, LINES = 200, 1000, 1000


def job(phase):
    ranks = (RankView(n, PodState(f"p{n}", phase), metrics={"loss": n}) for n in range(RANKS))
    return JobView("big-7f3a", "python", RANKS, phase=phase, started=0.0, ranks=tuple(ranks))


class Loud:
    """A desk whose job prints a million lines as fast as they are taken in."""

    namespace = "default"

    async def follow(self, feed, _key):
        feed.show(job("running"))
        for block in range(BLOCKS):
            line = "2026-01-01T00:00:00.000000000Z line %d <script>\n"
            feed.lines(block % RANKS, "".join(line % n for n in range(LINES)).encode())
        feed.show(job("succeeded"))
        feed.end()
        return Outcome(job("succeeded"))


@pytest.fixture
def loop():
    background = Background()
    yield background
    background.close()


def test_a_million_lines_of_two_hundred_ranks_take_a_screenful(loop):
    ended = threading.Event()
    watched = Job(Loud(), Ticket(job("waiting"), b"key"), on=loop)
    box = JobBox(watched, {}, mine=True, on_end=ended.set, on_close=lambda _box: None)
    assert ended.wait(60)
    html = "".join(each.value for each in parts.tree(box.widget) if isinstance(each, HTML))
    assert f"the last 300 of {BLOCKS * LINES:,} lines" in html
    assert "200 ranks: 200 succeeded" in html
    assert re.search(r"\[199\] line 999 &lt;script&gt;</pre>", html)
    assert "<script>" not in html
    assert len(html) < 60_000
    box.dismiss()
