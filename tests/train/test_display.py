"""How a job looks."""

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.models import PodState
from jupyter_kube.train import display, words
from jupyter_kube.train.feed import Feed, Line
from jupyter_kube.train.preview import yaml
from jupyter_kube.train.view import JobView, RankView


def rank(number, phase="running", message="", **metrics):
    return RankView(number, PodState(f"p{number}", phase, "", message), metrics=metrics)


def view(*ranks, **changes):
    known = {"framework": "tensorflow", "profile": "gpu-small", "phase": "running", "started": 0.0}
    return JobView("digits-7f3a", workers=len(ranks), ranks=ranks, **(known | changes))


def test_text():
    shown = display.text(view(rank(0, epoch=2, loss=0.31234), rank(1, "waiting", "no GPU")), 72)
    head, right = "digits-7f3a · tensorflow · 2 workers · gpu-small", "running, 1 min 12 s"
    assert shown.splitlines() == [
        head + right.rjust(78 - len(head)),
        "  0  running    epoch 2  loss 0.3123",
        "  1  waiting    no GPU",
    ]


def test_many_ranks_show_those_in_trouble_and_sum_up_the_rest():
    ranks = [rank(n, "waiting" if n == 99 else "running") for n in range(100)]
    shown = display.text(view(*ranks), 0).splitlines()
    assert len(shown) == 1 + words.MOST_RANKS + 1
    assert shown[-2].startswith(" 99  waiting")
    assert shown[-1] == "     and 68 more: 68 running"


def test_html_escapes_everything_that_comes_from_outside():
    evil = "<img src=x onerror=alert(1)>"
    ranks = (rank(0, "waiting", evil), rank(1, loss=evil))
    made = display.html(view(*ranks, profile=evil, message=evil), 0, [Line(0, evil)])
    assert "<img" not in made
    assert made.count("&lt;img") == 6


def test_a_feed_keeps_the_newest_lines_and_counts_the_others():
    feed = Feed(view(), capacity=3, longest=5)
    for number in range(5):
        feed.line(0, f"line {number}")
    batch = feed.take()
    assert batch.dropped == 2
    assert [line.text for line in batch.lines] == ["line … (6 characters)"] * 3
    assert not feed.wait(0)
    assert feed.take().dropped == 0


def test_a_feed_wakes_its_reader():
    feed = Feed(view())
    feed.take()
    writer = threading.Thread(target=feed.line, args=(0, "x"))
    writer.start()
    assert feed.wait(30)
    writer.join()
    feed.show(feed.view)
    feed.take()
    feed.show(view())
    assert not feed.wait(0)  # an equal view is no news


def test_printing_is_bounded_and_goes_on_as_a_tail(capsys):
    printer = display.Printer(lines=3)
    feed = Feed(view())
    for number in range(5):
        feed.line(1, f"line {number}")
    printer.show(feed.take())
    assert capsys.readouterr().out.splitlines() == [
        "[1] line 0",
        "[1] line 1",
        "[1] line 2",
        "… enough lines for one cell; the rest: %kube logs digits-7f3a",
    ]
    feed.line(1, "later")
    printer.show(feed.take())
    assert capsys.readouterr().out == ""
    assert [line.text for line in printer.tail] == ["later"]


def test_figures_show_where_there_is_no_more_room_for_lines(capsys):
    shown = []
    printer = display.Printer(lines=1, display=shown.append)
    for name in ("first", "later"):
        feed = Feed(view())
        feed.line(0, "line")
        feed.line(0, "line")
        feed.display(1, {"text/plain": name})
        printer.show(feed.take())
    assert shown == [{"text/plain": "first"}, {"text/plain": "later"}]
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["[0] line", printed[1], "[1]", "[1]"]


def test_a_notebook_gets_one_display_renewed_in_place(capsys):
    shown = []

    class Handle:
        def update(self, data, raw):
            shown.append(data["text/plain"])

    def show(data, *, raw, display_id):
        shown.append(data["text/plain"])
        return Handle()

    screen = display.NotebookScreen(show, clock=lambda: 5)
    feed = Feed(view(rank(0, "waiting")))
    screen.show(feed.take())
    screen.show(feed.take())
    feed.show(view(rank(0)))
    feed.line(0, "hello")
    screen.show(feed.take())
    assert len(shown) == 2
    assert "running" in shown[1]
    assert capsys.readouterr().out == "[0] hello\n"


def test_a_terminal_gets_each_state_and_reason_once(capsys):
    screen = display.PlainScreen()
    waiting = view(rank(0, "waiting", "no room"), rank(1, "waiting", "no room"), phase="waiting")
    feed = Feed(waiting)
    screen.show(feed.take())
    feed.show(view(rank(0, "waiting", "no room"), rank(1), phase="waiting"))
    screen.show(feed.take())
    feed.show(view(rank(0), rank(1), phase="running"))
    screen.show(feed.take())
    assert capsys.readouterr().out.splitlines() == [
        "digits-7f3a · tensorflow · 2 workers · gpu-small: waiting",
        "  rank 0, 1: no room",
        "digits-7f3a · tensorflow · 2 workers · gpu-small: running",
    ]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(PLAIN)
def test_a_preview_is_yaml(value):
    parser = pytest.importorskip("yaml")
    assert parser.safe_load(yaml(value)) == json.loads(json.dumps(value))


def test_curves_are_drawn_in_the_panel_once_a_second_and_at_the_end():
    shown = []

    class Handle:
        def update(self, data, raw):
            shown.append(data)

    def show(data, **_options):
        shown.append(data)
        return Handle()

    now = [5.0]
    screen = display.NotebookScreen(show, clock=lambda: now[0])
    feed = Feed(view(rank(0)))
    screen.show(feed.take())
    for number in (1, 2, 3):
        feed.reports.add("p0", [[number, 1, 0, float(number), number, {"loss": 4 - number}]])
        screen.show(feed.take())
    assert [data["text/html"].count("<polyline") for data in shown] == [0]
    now[0] = 6.5
    screen.show(feed.take())
    assert shown[-1]["text/html"].count("<polyline") == 1
    assert shown[-1]["text/plain"].endswith("loss  █▅▁  3 → 1")
    feed.reports.add("p0", [[4, 1, 0, 4.0, 4, {"loss": 9}]])
    feed.end()
    screen.show(feed.take())
    assert shown[-1]["text/plain"].endswith("3 → 9")
    feed.reports.add("p1", [[n, 1, 1, float(n), n, {"loss": 4 - n}] for n in (1, 2, 3)])
    screen.show(feed.take())
    assert shown[-1]["text/html"].count("<polyline") == 2


def test_colours_of_one_line_end_with_it_and_nothing_moves_the_cursor(capsys):
    printer = display.Printer()
    feed = Feed(view())
    feed.line(0, "\x1b[1;31mred\x1b[2A\x1b]0;title\x07\x1b[K\x1b")
    feed.line(1, "plain")
    printer.show(feed.take())
    assert capsys.readouterr().out == "[0] \x1b[1;31mred\x1b[0m\n[1] plain\n"
    bar = RankView(0, PodState("p0", "running"), progress="\x1b[32m50%\x1b[0m |##\x1b[A")
    assert display.detail(bar, 0) == "50% |##"


def test_how_far_it_is_stands_beside_how_long_it_runs(capsys):
    shown = []

    class Handle:
        def update(self, data, raw):
            shown.append(data)

    def show(data, **_options):
        shown.append(data)
        return Handle()

    now = [10.0]
    screen = display.NotebookScreen(show, clock=lambda: now[0])
    feed = Feed(view(rank(0, step=1, steps=4)))
    screen.show(feed.take())
    now[0] = 30.0
    feed.show(view(rank(0, step=2, steps=4)))
    screen.show(feed.take())
    for data in shown[-1].values():
        assert "running, 30 s, 50 %, about 40 s left" in data
    feed.show(view(rank(0, "succeeded", step=4, steps=4), phase="succeeded"))
    screen.show(feed.take())
    assert "left" not in shown[-1]["text/plain"]
