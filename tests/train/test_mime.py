"""What a cell displays, from the worker's process to the notebook."""

import base64
import os
import textwrap
from pathlib import Path

import pytest

from jupyter_kube.models import PodState
from jupyter_kube.train import display, mime
from jupyter_kube.train.feed import MOST_DISPLAYS, Feed
from jupyter_kube.train.view import JobView, RankView

from .workers import Workers

PNG = b"\x89PNG not quite"


class Table:
    def _repr_html_(self):
        return "<table>"

    def _repr_png_(self):
        return PNG, {"width": 5}

    def _repr_svg_(self):
        raise ValueError("the user's own")

    def _repr_markdown_(self):
        raise NotImplementedError

    def _repr_latex_(self):
        return None

    def _repr_mimebundle_(self):
        return {"text/plain": "its own words", "application/x-odd": object()}


class Mute(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "said"), [(Mute(), "Mute)"), (ValueError("\ud800"), "ValueError: \\ud800)")]
)
def test_an_error_that_cannot_be_said_is_named(error, said, capsys):
    class Odd:
        def _repr_html_(self):
            raise error

    assert set(mime.bundle(Odd())) == {"text/plain"}
    assert capsys.readouterr().out == f"(_repr_html_ of Odd has failed: {said}\n"


def test_a_value_is_shown_in_all_ways_it_knows(capsys):
    assert mime.bundle(Table()) == {
        "text/plain": "its own words",
        "text/html": "<table>",
        "image/png": base64.b64encode(PNG).decode(),
    }
    said = "(_repr_svg_ of Table has failed: ValueError: the user's own)\n"
    assert capsys.readouterr().out == said
    assert mime.bundle(3) == {"text/plain": "3"}
    assert mime.bundle(Table) == {"text/plain": repr(Table)}


def test_what_is_too_large_is_left_out_and_named(capsys):
    shown = []
    show = mime.Display(shown.append)
    noise = base64.b85encode(os.urandom(1_300_000)).decode()
    show({"text/plain": "small", "image/png": noise, "text/html": "<b>"}, raw=True)
    assert mime.unpack(shown[0]) == {"text/plain": "small", "text/html": "<b>"}
    assert "(image/png of 1.3 MiB is not shown: up to 1 MiB can be)" in capsys.readouterr().out


def test_all_that_one_process_shows_is_bounded(capsys, monkeypatch):
    monkeypatch.setattr(mime, "MOST", 2000)
    shown = []
    show = mime.Display(shown.append)
    noise = base64.b85encode(os.urandom(1000)).decode()
    for _ in range(3):
        show({"text/plain": "x", "image/png": noise}, raw=True)
    assert [len(mime.unpack(each)) for each in shown] == [2, 1, 1]
    assert capsys.readouterr().out.count("16 MiB in all") == 2


MATPLOTLIB = {
    "__init__.py": "",
    "figure.py": """
        class Figure:
            def __init__(self, number): self.number = number
            def savefig(self, file, format, bbox_inches):
                file.write(f"{format} of {self.number}".encode())
        """,
    "pyplot.py": """
        from .figure import Figure
        _open = {}
        def figure(number):
            return _open.setdefault(number, Figure(number))
        def get_fignums(): return sorted(_open)
        def close(_all): _open.clear()
        def show(): raise RuntimeError("nobody sees this window")
        """,
}
"""Of matplotlib what pyplot.show() is made of."""

CELL = """
import sys
sys.path.insert(0, folder)
print("before")
if kube.rank == 1:
    class Table:
        def _repr_html_(self): return "<table>"
        def __repr__(self): return "a table"
    display(Table())
else:
    import matplotlib.pyplot as plt
    plt.figure(1)
    plt.show()
    plt.figure(2)
    print("after")
"""


def test_displays_and_figures_of_any_rank_arrive(tmp_path: Path) -> None:
    package = tmp_path / "matplotlib"
    package.mkdir()
    for name, source in MATPLOTLIB.items():
        (package / name).write_text(textwrap.dedent(source))
    with Workers(CELL, {"folder": str(tmp_path)}, workers=2).start() as job:
        assert job.codes() == [0, 0]
        first, second = ([mime.unpack(f.blob) for f in pod.of("display")] for pod in job.pods)
    images = [base64.b64decode(data["image/png"]) for data in first]
    assert images == [b"png of 1", b"png of 2"]  # the second at the cell's end
    assert second == [{"text/plain": "a table", "text/html": "<table>"}]


def test_a_notebook_shows_them_between_the_lines(capsys):
    events = []

    class Handle:
        def update(self, data, raw):
            pass

    def show(data, **_options):
        events.append((capsys.readouterr().out, data.get("image/png")))
        return Handle()

    ranks = (RankView(0, PodState("p0", "running")),)
    feed = Feed(JobView("digits-ab12", ranks=ranks))
    feed.line(0, "before")
    feed.display(0, {"text/plain": "Figure(1)", "image/png": "AAA"})
    feed.line(0, "after")
    screen = display.NotebookScreen(show, clock=lambda: 5)
    screen.show(feed.take())
    assert events[0] == ("[0] before\n[0]\n", "AAA")
    assert events[1] == ("[0] after\n", None)
    printer = display.Printer()
    feed.display(1, {"text/plain": "a\nb", "image/png": "AAA"})
    printer.show(feed.take())
    assert capsys.readouterr().out == "[1]\na\nb\n"


def test_a_follower_hands_on_a_bounded_number_of_them():
    feed = Feed(JobView("digits-ab12"))
    for _ in range(MOST_DISPLAYS + 2):
        feed.display(0, {"text/plain": "x", "image/png": "AAA"})
    lines = feed.take().lines
    assert [line.text for line in lines] == ["x"] * (MOST_DISPLAYS + 2)
    assert sum(line.rich is not None for line in lines) == MOST_DISPLAYS


def test_what_unpacks_to_too_much_is_said_and_harms_nothing():
    html = "<p>" * 25_000_000
    assert mime.unpack(mime.pack({"text/html": html})) == {
        "text/plain": "(this is too large to be shown)"
    }


def test_one_large_kind_alone_is_left_out_too(capsys):
    shown = []
    mime.Display(shown.append)({"image/png": os.urandom(2_000_000)}, raw=True)
    assert [mime.unpack(each) for each in shown] == [{}]
    assert "is not shown" in capsys.readouterr().out
