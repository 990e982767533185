"""A job in the panel, however much it says."""

import asyncio
import queue
import re
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest
from ipywidgets import HTML

from jupyter_kube.errors import AccessDenied, JobFailed
from jupyter_kube.models import PodState
from jupyter_kube.train.background import Background
from jupyter_kube.train.desk import Ticket
from jupyter_kube.train.handle import Job
from jupyter_kube.train.runner import Outcome
from jupyter_kube.train.view import JobView, RankView
from jupyter_kube.widgets import parts
from jupyter_kube.widgets.jobbox import JobBox
from jupyter_kube.widgets.panel import Panel

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
    box = JobBox(
        watched, {}, mine=True, on_phase=list, on_end=ended.set, on_close=lambda _box: None
    )
    assert ended.wait(60)
    html = "".join(each.value for each in parts.tree(box.widget) if isinstance(each, HTML))
    assert f"the last 300 of {BLOCKS * LINES:,} lines" in html
    assert "200 ranks: 200 succeeded" in html
    assert re.search(r"\[199\] line 999 &lt;script&gt;</pre>", html)
    assert "<script>" not in html
    assert len(html) < 60_000
    box.dismiss()


class Refusing:
    """A desk whose job waits, and may not be removed."""

    namespace = "default"

    def __init__(self):
        self.phases = queue.Queue()

    async def follow(self, feed, _key):
        while phase := await asyncio.to_thread(self.phases.get):
            feed.show(job(phase))
        feed.end()
        return Outcome(job("failed"), error=JobFailed("rank 0 ran out of memory"))

    async def delete(self, _name):
        raise AccessDenied("you may not delete jobs")


def test_a_job_that_may_not_be_stopped_is_told_of_as_before(loop):
    ended, desk = threading.Event(), Refusing()
    watched = Job(desk, Ticket(job("waiting"), b"key"), on=loop)
    box = JobBox(watched, {}, mine=True, on_phase=list, on_end=ended.set, on_close=print)
    said = seen(box._said)
    box.stop()
    assert "you may not delete jobs" in said.get(timeout=30)
    desk.phases.put("failed")
    desk.phases.put("")
    while "ran out of memory" not in said.get(timeout=30):
        pass
    assert ended.is_set()
    box.dismiss()


def seen(widget):
    """Return a queue of what a widget says from now on."""
    found = queue.Queue()
    widget.observe(lambda change: found.put(change["new"]), "value")
    return found


class Met(Job):
    """A job that two would follow at once, if they could."""

    meeting = threading.Barrier(2, timeout=0.5)
    followed = 0

    def follow(self):
        self.followed += 1
        with suppress(threading.BrokenBarrierError):
            self.meeting.wait()
        return super().follow()


def test_a_job_that_is_asked_for_twice_at_once_is_followed_once(loop):
    desk = Refusing()
    watched = Met(desk, Ticket(job("waiting"), b"key"), on=loop)
    panel = Panel(SimpleNamespace(user_ns={}, history_manager=SimpleNamespace(input_hist_raw=[""])))
    asking = [
        threading.Thread(target=panel._add, args=(watched,), kwargs={"mine": False})
        for _ in range(2)
    ]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    for _ in range(watched.followed):
        desk.phases.put("")
    assert watched.followed == 1
    assert f"{watched.name} is shown below." in panel._said.value
    panel.close()
