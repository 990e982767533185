"""Where a notebook's folder is, and where it is not."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyter_server.services.contents.manager import ContentsManager

from jupyter_kube.kernels.folder import LIMITS
from jupyter_kube.kernels.home import NoHomeError, NotebookFiles, home_of


def test_it_is_the_one_the_notebook_is_in(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    contents = AsyncLargeFileManager(root_dir=str(tmp_path))
    assert home_of(contents, "a/b/n.ipynb") == tmp_path / "a" / "b"
    assert home_of(contents, "n.ipynb") == tmp_path


@pytest.mark.parametrize("notebook", ["", "missing/n.ipynb", "../n.ipynb", "out/n.ipynb"])
def test_there_is_none_outside(tmp_path: Path, notebook: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    with pytest.raises(NoHomeError):
        home_of(AsyncLargeFileManager(root_dir=str(root)), notebook)


def test_there_is_none_where_the_files_are_elsewhere() -> None:
    with pytest.raises(NoHomeError, match="kept by ContentsManager"):
        home_of(ContentsManager(), "n.ipynb")


async def test_a_pod_that_says_nonsense_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Nonsense:
        def __init__(self, *_args: Any, **_kwargs: Any) -> None: ...

        async def ask(self, *_args: Any, **_kwargs: Any) -> Any:
            return {"files": [["a"]], "left": [], "links": [], "known": 1, "root": ""}, []

    monkeypatch.setattr("jupyter_kube.kernels.home.Line", Nonsense)
    log = logging.getLogger("tests.home")
    files = NotebookFiles(lambda: tmp_path, LIMITS, copied=True, log=log)
    files.connect("", key=b"", public=b"", secret=b"", more={})
    await files.bring_back(5.0)
    assert "not brought back" in caplog.text
