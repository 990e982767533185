"""A user's options: read from the notebook, whatever that looks like."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_server.services.contents.filemanager import AsyncFileContentsManager
from jupyter_server.services.contents.largefilemanager import LargeFileManager

from jupyter_kube.errors import InvalidInput
from jupyter_kube.kernels.choice import choice_of, read_choice

LOG = logging.getLogger("tests.choice")
CHOICE = {"jupyter_kube": {"options": {"gpus": 2}}}


def test_the_options_are_in_the_metadata() -> None:
    assert choice_of(CHOICE) == choice_of(CHOICE, "gpu") == {"gpus": 2}
    assert choice_of({}) == choice_of({"jupyter_kube": {}}) == {}


def test_options_of_another_profile_do_not_count() -> None:
    metadata = {"jupyter_kube": {"profile": "gpu", "options": {"gpus": 2}}}
    assert choice_of(metadata, "gpu") == choice_of(metadata) == {"gpus": 2}
    assert choice_of(metadata, "python") == {}


@pytest.mark.parametrize(
    "entry", [None, [], "gpus", 1, {"options": []}, {"options": None}, {"profile": 1}]
)
def test_a_choice_that_cannot_be_read_is_refused_in_words(entry: Any) -> None:
    with pytest.raises(InvalidInput, match="the notebook's metadata, jupyter_kube: "):
        choice_of({"jupyter_kube": entry})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_JSON)
def test_any_metadata_is_read_or_refused(entry: Any) -> None:
    with suppress(InvalidInput):
        assert isinstance(choice_of({"jupyter_kube": entry}, "p"), dict)


@pytest.fixture(params=[AsyncFileContentsManager, LargeFileManager])
def contents(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return request.param(root_dir=str(tmp_path))


def write(contents: Any, name: str, text: str) -> None:
    Path(contents.root_dir, name).write_text(text)


async def test_a_notebook_is_read_through_the_contents_manager(contents: Any) -> None:
    notebook = nbformat.v4.new_notebook(metadata=CHOICE)
    write(contents, "ä b.ipynb", nbformat.writes(notebook))
    assert await read_choice(contents, "ä b.ipynb", log=LOG) == {"gpus": 2}
    write(contents, "plain.ipynb", nbformat.writes(nbformat.v4.new_notebook()))
    assert await read_choice(contents, "plain.ipynb", log=LOG) == {}
    assert await read_choice(contents, "", log=LOG) == {}
    assert await read_choice(contents, "console", log=LOG) == {}


async def test_a_cell_that_speaks_of_the_key_chooses_nothing(contents: Any) -> None:
    cell = nbformat.v4.new_code_cell("x = 1", metadata=CHOICE)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    write(contents, "a.ipynb", nbformat.writes(notebook))
    assert await read_choice(contents, "a.ipynb", log=LOG) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"jupyter_kube"',
        '["jupyter_kube"]',
        '{"metadata": ["jupyter_kube"]}',
        '{"a": "jupyter_kube", "metadata": null}',
        '"jupyter_kube"' + "[" * 100_000,
        "[" * 100_000 + '"jupyter_kube"',
    ],
)
async def test_a_broken_notebook_chooses_nothing(text: str, contents: Any) -> None:
    write(contents, "a.ipynb", text)
    assert await read_choice(contents, "a.ipynb", log=LOG) == {}


@pytest.mark.parametrize("path", ["gone.ipynb", "../../etc/passwd.ipynb", "a\0.ipynb", "/x.ipynb"])
async def test_a_missing_notebook_chooses_nothing_and_is_logged(
    path: str, contents: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert await read_choice(contents, path, log=LOG) == {}
    assert "No options of its kernel are read" in caplog.text


async def test_a_folder_named_as_a_notebook_chooses_nothing(contents: Any) -> None:
    Path(contents.root_dir, "a.ipynb").mkdir()
    assert await read_choice(contents, "a.ipynb", log=LOG) == {}


async def test_a_choice_in_a_notebook_that_is_wrong_is_refused(contents: Any) -> None:
    write(contents, "a.ipynb", json.dumps({"metadata": {"jupyter_kube": 5}}))
    with pytest.raises(InvalidInput, match="must be as in"):
        await read_choice(contents, "a.ipynb", log=LOG)
