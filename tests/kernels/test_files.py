"""The user's files: a notebook's folder and its kernel's, through all of a kernel's life."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .serving import PROFILES, Server, settings

COPY = {**PROFILES["python"], "files": "copy"}


@pytest.fixture
def jp_server_config(kubeconfig: Path) -> dict[str, Any]:
    made = settings(kubeconfig)
    made["KubeConfig"]["profiles"] = {"python": PROFILES["python"], "copy": COPY}
    made["KubeConfig"]["files_size"] = "4Mi"
    return made


@pytest.fixture
def folder(jp_root_dir: Path) -> Path:
    """The folder of a notebook, with files."""
    made = jp_root_dir / "my work"
    (made / "data").mkdir(parents=True)
    (made / "data" / "numbers.csv").write_text("1,2\n")
    (made / "model.py").write_text("size = 1\n")
    (made / "secret.txt").write_text("stays")
    (made / ".kubeignore").write_text("secret.txt\n")
    (made / "__pycache__").mkdir()
    (made / "__pycache__" / "x.pyc").write_text("x")
    return made


async def open_notebook(server: Server, kernel: str = "kube-copy") -> dict[str, Any]:
    body = {
        "path": "my work/analysis.ipynb",
        "name": "analysis.ipynb",
        "type": "notebook",
        "kernel": {"name": kernel},
    }
    model: dict[str, Any] = await server.call("POST", "api/sessions", body=json.dumps(body))
    return model["kernel"]  # type: ignore[no-any-return]  # JSON


async def run(socket: Any, code: str) -> str:
    reply = await socket.run(code, 60)
    assert reply.status == "ok", (reply.content, reply.text)
    return str(reply.text)


async def refused(socket: Any, code: str) -> str:
    reply = await socket.run(code, 60)
    assert reply.status == "error", reply.text
    return "\n".join(reply.content["traceback"])


async def test_a_notebooks_folder_is_there_and_what_changes_comes_back(
    server: Server, folder: Path
) -> None:
    kernel = await open_notebook(server)
    socket = await server.connect(kernel["id"])
    assert await run(socket, "print(open('data/numbers.csv').read())") == "1,2\n\n"
    listed = await run(socket, "import os; print(sorted(os.listdir())); print(os.getcwd())")
    assert listed.startswith("['.kubeignore', 'data', 'model.py']\n")
    assert listed.endswith("/my work\n")

    # changed there, changed here, changed on both sides
    await run(
        socket,
        "os.makedirs('out'); open('out/result.csv', 'w').write('3')\n"
        "open('model.py', 'a').write('deep = 2\\n')\n"
        "open('data/numbers.csv', 'w').write('there')\n"
        "%load_ext jupyter_kube",
    )
    (folder / "data" / "numbers.csv").write_text("here")
    (folder / "new.txt").write_text("new")
    said = await run(socket, "%kube files")
    assert "Changed in the notebook's folder (%kube push brings it): new.txt." in said
    assert "(%kube pull brings it): model.py, out/result.csv." in said
    assert "Changed on both sides: data/numbers.csv." in said

    said = await run(socket, "%kube pull")
    assert "Brought 3 files" in said
    assert "data/numbers.csv changed on both sides: the version that came is now" in said
    assert (folder / "out" / "result.csv").read_text() == "3"
    assert (folder / "model.py").read_text() == "size = 1\ndeep = 2\n"
    assert (folder / "data" / "numbers.csv").read_text() == "here"
    assert (folder / "data" / "numbers.from-kernel.csv").read_text() == "there"

    # the user has looked at both: the notebook's version goes there now
    assert "Brought 3 files" in await run(socket, "%kube push")
    assert await run(socket, "print(open('data/numbers.csv').read(), end='')") == "here"
    assert await run(socket, "print(open('new.txt').read(), end='')") == "new"
    assert "has it all" in await run(socket, "%kube pull")

    # what is named goes, ignored or not
    await run(socket, "%kube push secret.txt")
    assert await run(socket, "print(open('secret.txt').read(), end='')") == "stays"
    assert 'there is no "nothing.txt" in my work/' in await refused(
        socket, "%kube push nothing.txt"
    )
    assert "not a path inside" in await refused(socket, "%kube pull ../../etc/passwd")
    assert "needs the jupyter-kube package" in await refused(socket, "%kube status")
