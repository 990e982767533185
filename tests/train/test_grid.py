"""All ranks at a glance."""

import re
from html.parser import HTMLParser

from jupyter_kube.models import PodState
from jupyter_kube.train import grid
from jupyter_kube.train.view import JobView, RankView
from jupyter_kube.train.words import ranges

EVIL = "\"><img src=x onerror='alert(1)'><script>alert(2)</script>&"
NO_ROOM = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."


def rank(number, phase="running", message="", **more):
    return RankView(number, PodState(f"p{number}", phase, "", message, node="node-1"), **more)


def job(ranks, **changes):
    known = {"workers": len(ranks), "phase": "running", "started": 0.0, "ranks": tuple(ranks)}
    return JobView("digits-7f3a", **(known | changes))


class Reader(HTMLParser):
    """Reads tags, their titles, and the text between them."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.titles, self.said = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.titles += [value for name, value in attributes if name == "title"]
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_data(self, data):
        self.said.append(data)


def test_what_comes_from_outside_stays_text():
    evil = RankView(0, PodState(EVIL, EVIL, EVIL, EVIL, node=EVIL), role=EVIL, says=EVIL)
    many = [*(rank(n) for n in range(1, 40)), evil]
    for ranks in ([evil], many):
        shown = job(ranks, framework=EVIL, profile=EVIL, message=EVIL, phase=EVIL)
        read = Reader(grid.heading(shown, 0) + grid.ranks(shown, 0))
        assert set(read.tags) <= {"div", "span", "b"}
        assert EVIL in "".join(read.said)
        assert any(EVIL in title for title in read.titles)


def test_the_schedulers_words_are_in_the_text_and_on_hover():
    read = Reader(grid.ranks(job([rank(0), rank(1, "waiting", NO_ROOM)]), 0))
    assert NO_ROOM in read.said
    assert read.titles == ["running · p0 on node-1", f"waiting: {NO_ROOM} · p1 on node-1"]


def test_who_stopped_a_job_has_stopped_the_ranks_that_had_not_ended():
    ranks = [rank(0), rank(1, "waiting", NO_ROOM), rank(2, "failed", "exit code 1")]
    said = "".join(Reader(grid.ranks(job(ranks, phase="stopped"), 0)).said)
    assert said.count("stopped") == 2
    assert "running" not in said
    assert NO_ROOM not in said
    assert "exit code 1" in said


def test_of_many_ranks_each_has_a_tile_and_each_reason_is_said_once():
    ranks = [rank(n, *(["waiting", NO_ROOM] if n >= 190 else ["running"])) for n in range(200)]
    html = grid.ranks(job(ranks), 0)
    read = Reader(html)
    said = "".join(read.said)
    assert 'aria-label="200 ranks: 190 running, 10 waiting"' in html
    assert [int(n) for n in re.findall(r"<span>\D(\d+)</span>", html)] == list(range(200))
    assert read.titles[:2] == ["running", f"waiting: {NO_ROOM}"]
    assert f"waiting 190–199 {NO_ROOM}" in said
    assert said.count(NO_ROOM) == 1
    assert len(html) < 10_000


def test_reasons_of_many_ranks_are_bounded():
    ranks = [rank(n, "failed", f"exit code {n}") for n in range(1000)]
    html = grid.ranks(job(ranks), 0)
    assert "and 988 further reasons" in html
    assert len(html) < 200_000


def test_no_two_phases_look_the_same_without_colour():
    phases = ("queued", "waiting", "pulling", "starting", "running", "succeeded", "failed", "gone")
    signs = {re.sub("<[^>]*>", "", grid.badge(phase)) for phase in phases}
    assert len(signs) == len(phases)


def test_numbers_of_ranks():
    assert ranges([]) == ""
    assert ranges([2, 3, 4, 9, 11, 12]) == "2–4, 9, 11–12"
    assert ranges(range(0, 100, 2)).endswith(", 22, …")
