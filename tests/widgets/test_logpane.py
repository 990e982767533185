"""Lines that can be looked through."""

import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.train.feed import Line
from jupyter_kube.widgets.logpane import LogPane


def read(pane):
    """Return the lines shown, as they can be read."""
    inner = re.fullmatch(r"<pre [^>]*>(.*)</pre>", pane.html(), re.DOTALL)[1]
    return unescape(re.sub("</?mark>", "", inner))


def test_lines_of_all_ranks_of_one_and_with_a_text():
    pane = LogPane()
    pane.add([Line(0, "epoch 1"), Line(1, "Epoch 1"), Line(1, "done")])
    assert read(pane) == "[0] epoch 1\n[1] Epoch 1\n[1] done"
    assert pane.words() == ""
    pane.choose(1, "")
    assert read(pane) == "[1] Epoch 1\n[1] done"
    pane.choose(None, "epoch")
    assert pane.html().count("<mark>epoch</mark>") == 1
    assert pane.html().count("<mark>Epoch</mark>") == 1
    pane.add([Line(2, "an epoch"), Line(2, "nothing")])
    assert read(pane).splitlines()[-1] == "[2] an epoch"
    assert pane.words() == "3 found in the last 5 of 5 lines"
    pane.choose(None, "")
    assert read(pane).count("\n") == 4


def test_a_million_lines_keep_the_newest_and_say_how_many_there_were():
    pane = LogPane()
    for begin in range(0, 1_000_000, 4000):
        pane.add([Line(n % 30, f"line {n}") for n in range(begin + 3900, begin + 4000)], 3900)
    assert pane.heard == 1_000_000
    assert read(pane).splitlines()[-1] == "[9] line 999999"
    assert pane.words() == "the last 300 of 1,000,000 lines"
    pane.choose(None, "line")
    assert pane.words() == "the last 300 of 20,000 found in the last 20,000 of 1,000,000 lines"
    assert len(pane.html()) < 20_000


def test_characters_are_bounded_too():
    pane = LogPane(characters=1000)
    pane.add([Line(0, "x" * 100)] * 50)
    pane.choose(None, "x")
    assert pane.matches == 10
    pane = LogPane()
    pane.add([Line(0, "y" * 4000)] * 300)
    pane.choose(None, "y")
    assert pane.html().count("<mark>") < 1300
    assert len(pane.html()) < 90_000


EVIL = "<script>alert(1)</script>&amp;\"'"


TEXT = st.characters(codec="utf-8", exclude_characters="\x1b")  # codes are taken out


@given(st.text(TEXT), st.text(TEXT, max_size=3))
def test_lines_and_what_is_searched_stay_text(text, wanted):
    pane = LogPane()
    pane.add([Line(0, f"{EVIL}{text}{wanted}")])
    pane.choose(None, wanted)
    assert not re.search(r"<(?!/?(pre|mark)\b)", pane.html())
    assert pane.matches == 1
