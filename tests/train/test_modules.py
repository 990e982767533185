"""Modules beside the notebook: which travel, as what, and which are refused."""

from __future__ import annotations

import base64
import importlib
import io
import json
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from jupyter_kube.errors import InvalidInput
from jupyter_kube.train.cell import Bundle, pack
from jupyter_kube.train.modules import gather

from .workers import Workers

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write files of a notebook's folder, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def add(files: Mapping[str, str | bytes]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        importlib.invalidate_caches()

    yield add
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def names(bundle: Bundle) -> list[str]:
    packed = base64.b64decode(json.loads(zlib.decompress(bundle.payload))["code"])
    return zipfile.ZipFile(io.BytesIO(packed)).namelist() if packed else []


def notebook(source: str = "", **values: Any) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__", **values}
    exec(source, namespace)
    return namespace


def test_what_the_cell_imports_travels_with_what_that_imports(write: Write) -> None:
    write(
        {
            "mine.py": "import theirs, numpy\n",
            "theirs.py": "def f():\n  from folder.part import x\n",
            "folder/part.py": "x = 1",
            "folder/words.txt": "words",
            "unused.py": "",
        }
    )
    bundle = pack("def later():\n  import mine as m\n", {})
    assert names(bundle) == ["folder/part.py", "folder/words.txt", "mine.py", "theirs.py"]
    assert [(item.name, item.kind) for item in bundle.code] == [
        ("folder", "package, 2 files"),
        ("mine", "module"),
        ("theirs", "module"),
    ]


@pytest.mark.parametrize(
    "earlier",
    [
        "import helpers",
        "from helpers import times",
        "from helpers import Kind; thing = [Kind()]",
        "def thing():\n  import helpers",
        "class thing:\n  def f(self):\n    from helpers import Kind",
    ],
)
def test_what_the_notebooks_values_need_travels(write: Write, earlier: str) -> None:
    write({"helpers.py": "class Kind: pass\ndef times(x): return x\n"})
    space = notebook(earlier)
    used = next(name for name in ("thing", "times", "helpers") if name in space)
    assert names(pack(used, space)) == ["helpers.py"]


def test_without_modules_nothing_of_the_folder_travels(write: Write) -> None:
    write({"numpy/fake.py": ""})  # a folder of a package's name is not that package
    assert pack("import os, numpy, nowhere.at_all", {}).code == ()


def test_what_a_module_uses_counts_for_the_framework(write: Write) -> None:
    write({"nets.py": "import torch.nn\n", "own.py": "import torch\ntorch.init_process_group()"})
    assert pack("import nets", {}).framework == "pytorch"
    payload = json.loads(zlib.decompress(pack("import own", {}).payload))
    assert payload["connects"]


def test_what_is_ignored_stays(write: Write) -> None:
    write(
        {
            ".kubeignore": "*.csv\n/secret.py\n",
            "pkg/__init__.py": "import secret",
            "pkg/data.csv": "1",
            "pkg/__pycache__/x.pyc": "",
            "secret.py": "",
        }
    )
    assert names(pack("import pkg", {})) == ["pkg/__init__.py"]


def test_too_much_is_refused_in_words(write: Write) -> None:
    write({"big/part.py": "x = 1", "big/data.bin": bytes(5 << 20)})
    with pytest.raises(InvalidInput) as caught:
        pack("import big.part", {})
    assert str(caught.value) == (
        'the code of "big", from the notebook\'s folder, is 5 MiB, big/data.bin alone 5 MiB; it'
        " travels with a cell up to 4 MiB. Name what workers do not need in .kubeignore, or keep it"
        " on shared storage."
    )
    Path("big/data.bin").write_bytes(bytes(2 << 20))
    with pytest.raises(InvalidInput, match=r'together \("x" 3 MiB, "big" 2 MiB\)'):
        pack("import big.part; x", notebook(x=bytes(3 << 20)))
    with pytest.raises(InvalidInput, match='the code of "big"'):
        gather(["big"], 1 << 20)


def test_a_worker_imports_them_as_the_notebook_does(write: Write) -> None:
    write(
        {
            "model.py": (
                "import json, pathlib\n"
                "class Model:\n"
                "  def __init__(self): self.size = parameters()['size']\n"
                "def parameters():\n"
                "  return json.loads(pathlib.Path(__file__).with_name('pkg').joinpath('p.json')"
                ".read_text())\n"
            ),
            "pkg/p.json": '{"size": 3}',
            "pkg/sub/more.py": "from ..other import double",
            "pkg/other.py": "def double(x): return 2 * x",
        }
    )
    source = (
        "import subprocess, sys\n"
        "from pkg.sub.more import double\n"
        "made = make()\n"
        "made.size = double(made.size)\n"
        "code = 'import model; print(model.parameters())'\n"
        "print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout)"
    )
    space = notebook("import model\ndef make(): return model.Model()")
    with Workers(source, space, workers=1, outputs=("made",)).start() as job:
        assert job.codes() == [0], job.pods[0].raw
        made = job.values()["made"]
        assert made.size == 6
        assert type(made) is space["model"].Model  # the notebook's own class
        assert "{'size': 3}" in job.pods[0].lines
