"""Example notebooks speak a data scientist's language; the demo and the tests run them."""

import json
import re
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.ipynb"))
FOREIGN = re.compile(
    r"apiVersion|kubectl|\bpods?\b|\bimage:|nodeSelector|namespace|TF_CONFIG|\bport\b"
    r"|\d+\.\d+\.\d+\.\d+|kubernetes",
    re.IGNORECASE,
)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_no_word_of_the_platforms(path):
    notebook = json.loads(path.read_text())
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"])
    assert FOREIGN.findall(text) == []
    assert all(not cell.get("outputs") for cell in notebook["cells"])


def test_there_is_an_example():
    assert [path.stem for path in EXAMPLES] == [
        "00-tour",
        "01-digits",
        "02-pytorch",
        "03-paddle",
        "04-python",
        "05-parameter-server",
    ]
