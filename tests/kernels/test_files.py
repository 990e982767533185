"""The user's files: a notebook's folder and its kernel's, through all of a kernel's life."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from .serving import POD, PROFILES, Server, live, settings

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
        "name": "my work/analysis.ipynb",  # a name is what the front end likes
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
    return "\n".join([reply.text, *reply.content["traceback"]])


BARE = "import sys; sys.meta_path.insert(0, sys.meta_path.pop())"
"""As in an image without jupyter-kube: what stands in for the package is found first."""


@pytest.mark.parametrize("bare", [True, False], ids=["bare image", "with the package"])
async def test_a_notebooks_folder_is_there_and_what_changes_comes_back(
    server: Server, folder: Path, bare: bool
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
        "open('data/numbers.csv', 'w').write('there')\n" + (BARE if bare else ""),
    )
    await run(socket, "%load_ext jupyter_kube")
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
    why = 'there is no "nothing.txt" in my work/'
    assert why in await refused(socket, "%kube push nothing.txt")
    assert "not a path inside" in await refused(socket, "%kube pull ../../etc/passwd")
    assert "unknown option --force" in await refused(socket, "%kube push --force")
    if bare:
        assert await run(socket, "%kube status") == "You have no jobs here.\n"
        assert "steer" in await run(socket, "%kube")  # by now the package itself
        assert "has it all" in await run(socket, "%kube pull")


async def test_what_changed_comes_back_when_the_kernel_ends(server: Server, folder: Path) -> None:
    kernel = await open_notebook(server)
    socket = await server.connect(kernel["id"])
    await run(
        socket,
        "open('late.txt', 'w').write('late'); open('huge.bin', 'wb').write(bytes(5 * 2**20))\n"
        "import os; os.remove('model.py')\n",
    )
    await server.delete(kernel["id"])
    assert (folder / "late.txt").read_text() == "late"
    assert not (folder / "huge.bin").exists()  # more than may travel
    assert (folder / "model.py").exists()


async def test_a_restart_keeps_the_files_and_any_kernel_can_have_them(
    server: Server, folder: Path
) -> None:
    kernel = await open_notebook(server)
    socket = await server.connect(kernel["id"])
    await run(socket, "open('kept.txt', 'w').write('kept'); import os; os.chdir('data')")
    await server.call("POST", "api/kernels", kernel["id"], "restart")
    assert await run(socket, "print(open('kept.txt').read(), end='')") == "kept"
    await run(socket, "%load_ext jupyter_kube\n%kube pull kept.txt")
    assert (folder / "kept.txt").read_text() == "kept"


async def test_too_large_a_folder_is_refused_before_there_is_a_pod(
    server: Server, folder: Path, cluster: Any
) -> None:
    (folder / "data" / "big.bin").write_bytes(bytes(5 * 2**20))
    with pytest.raises(HTTPClientError) as error:
        await open_notebook(server)
    assert error.value.response is not None
    words = json.loads(error.value.response.body)["message"]
    assert "4 files of 5 MiB" in words
    assert "data/big.bin (5 MiB)" in words
    assert ".kubeignore" in words
    assert live(cluster, POD) == []
    (folder / ".kubeignore").write_text("*.bin\n")
    kernel = await open_notebook(server)
    assert kernel["execution_state"] != "dead"


async def test_a_kernel_without_a_notebook_has_no_folder(server: Server, folder: Path) -> None:
    kernel = await server.start("kube-copy")
    socket = await server.connect(kernel["id"])
    await run(socket, "%load_ext jupyter_kube")
    assert "belongs to no notebook" in await refused(socket, "%kube push")


async def test_a_local_kernel_has_the_files_already(server: Server, folder: Path) -> None:
    kernel = await server.start("python3")
    socket = await server.connect(kernel["id"])
    await run(socket, "%load_ext jupyter_kube")
    assert "has the files already" in await run(socket, "%kube push")


async def test_a_kernel_that_no_server_is_attached_to_says_so(server: Server, folder: Path) -> None:
    kernel = await open_notebook(server)
    socket = await server.connect(kernel["id"])
    await run(socket, "%load_ext jupyter_kube")
    await server.manager(kernel["id"]).provisioner._hang_up()
    assert "no Jupyter Server is connected" in await refused(socket, "%kube push")


async def test_the_environment_of_what_the_kernel_starts_is_its_own(
    server: Server, folder: Path
) -> None:
    kernel = await open_notebook(server, "kube-python")
    socket = await server.connect(kernel["id"])
    said = await run(
        socket,
        "import os, sys, subprocess\n"
        "print('/jk-' in os.environ.get('PYTHONPATH', ''), [p for p in sys.path if '/jk-' in p])\n"
        "print(subprocess.run([sys.executable, '-c', 'import jupyter_kube_pod'],"
        " capture_output=True).returncode, 'exec' in dir())",
    )
    assert said == "False []\n1 False\n"
