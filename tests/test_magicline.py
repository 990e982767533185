"""Lines of ``%%kubetrain``, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.magicline import train_parser, write_line

WORDS = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda w: not w.startswith("-"))
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "framework": WORDS,
        "workers": WORDS,
        "gpus": WORDS,
        "output": WORDS,
        "pip": st.lists(WORDS, min_size=1, max_size=3),
        "chief": st.just(True),
        "detach": st.just(True),
        "name": WORDS,
    },
)


@given(OPTIONS)
def test_what_is_written_is_read_again(values):
    options = train_parser().read("")
    vars(options).update(values)
    assert vars(train_parser().read(write_line(options))) == vars(options)


@pytest.mark.parametrize(
    ("line", "shortest"),
    [
        ("", ""),
        ("-w 1", ""),
        ("tensorflow --workers 1:4 --output 'x, y'", "tensorflow -w 1:4 -o 'x, y'"),
        ("--pip a --pip 'b<2' --chief", "--chief --pip a --pip 'b<2'"),
    ],
)
def test_the_shortest_line(line, shortest):
    assert write_line(train_parser().read(line)) == shortest
