"""Which cell is meant."""

import pytest

from jupyter_kube.errors import InvalidInput
from jupyter_kube.widgets import cells

RAN = [
    "",
    "%load_ext jupyter_kube",
    "x = 1",
    "  ",
    "%%kubetrain -w 2\ny = x",
    "%kube panel",
    "%%kube panel\nz",
]


def test_the_one_above_is_the_newest_that_is_not_ours():
    assert cells.above(RAN) == "%%kubetrain -w 2\ny = x"
    assert cells.above(RAN[:4]) == "x = 1"
    with pytest.raises(InvalidInput, match="no cell was run before this one"):
        cells.above(RAN[:2])


def test_by_number():
    assert cells.numbered(RAN, 2) == "x = 1"
    for wrong in (0, 3, 7, -1):
        with pytest.raises(
            InvalidInput, match=r"has run no cell \[-?\d\]: it has run \[1\] to \[6\]"
        ):
            cells.numbered(RAN, wrong)
    with pytest.raises(InvalidInput, match="it has run none yet"):
        cells.numbered([""], 1)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("x = 1", ("", "x = 1")),
        ("%%kubetrain\nx", ("", "x")),
        ("%%kubetrain tensorflow -w 4\nx\ny", ("tensorflow -w 4", "x\ny")),
        ("\n%%kubetrain  -w 4 \nx", ("-w 4", "x")),
        ("%%kubetrainer\nx", ("", "%%kubetrainer\nx")),
        ("", ("", "")),
    ],
)
def test_a_cells_line_and_its_code(source, parts):
    assert cells.split(source) == parts
