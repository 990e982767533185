"""What we promise of training jobs, from a real IPython."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_kube import naming
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector
from jupyter_kube.session import running_server

from ..kubectl import Kubectl
from .conftest import Target
from .test_files import BARE, config, open_notebook, run

SESSION = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("%load_ext jupyter_kube")
ok = all(shell.run_cell(cell).success for cell in CELLS)
sys.exit(0 if ok else 1)
"""


def ipython(target: Target, tmp_path: Path, *cells: str) -> subprocess.Popen[str]:
    """Run cells in an IPython of their own, whose settings are the cluster's."""
    (tmp_path / "jupyter_kube_config.json").write_text(
        json.dumps({"KubeConfig": target.settings()})
    )
    env = {**os.environ, "JUPYTER_CONFIG_DIR": str(tmp_path), "IPYTHONDIR": str(tmp_path)}
    code = f"CELLS = {list(cells)!r}\n{SESSION}"
    return subprocess.Popen(
        [sys.executable, "-uc", code],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


async def output(process: subprocess.Popen[str], seconds: float = 110) -> tuple[int, str]:
    text, _ = await asyncio.to_thread(process.communicate, timeout=seconds)
    return process.returncode, text


@pytest.fixture(autouse=True)
def _nothing_stays(
    request: pytest.FixtureRequest, client: KubeClient, jp_asyncio_loop: asyncio.AbstractEventLoop
):
    """Remove the test's jobs; their pods, Services and Secrets must follow."""
    yield

    async def work() -> None:
        await objects.delete_all(client, objects.JOBS, naming.SELECTOR)
        for resource in (objects.PODS, objects.SERVICES):
            left = Reflector(client, resource, labels=naming.SELECTOR)
            await left.start()
            await left.synced()
            for name in list(left.items):
                await left.wait_for(name, lambda item: item is None or None, 30)
            await left.close()

    jp_asyncio_loop.run_until_complete(work())


async def test_a_cell_runs_on_two_workers_and_its_value_comes_back(
    target: Target, tmp_path: Path, client: KubeClient
) -> None:
    process = ipython(
        target,
        tmp_path,
        "base = 10\ndef double(x): return 2 * x",
        "%%kubetrain python -w 2 --name sums -o total\n"
        "print('rank', kube.rank, 'of', kube.world_size)\n"
        "total = double(base) + kube.world_size",
        "print('total is', total)",
    )
    code, text = await output(process)
    assert code == 0, text
    assert "total is 22" in text
    assert "rank 0 of 2" in text
    assert "rank 1 of 2" in text


async def test_an_exception_of_rank_1_is_raised_here(
    target: Target, tmp_path: Path, client: KubeClient
) -> None:
    process = ipython(
        target,
        tmp_path,
        "%%kubetrain python -w 2\n"
        "import time\n"
        "if kube.rank == 1: raise ValueError('no such digit')\n"
        "time.sleep(600)",
    )
    code, text = await output(process)
    assert code == 1
    assert "ValueError" in text
    assert "no such digit" in text
    assert "rank 1" in text
    assert "if kube.rank == 1: raise" in text


async def test_an_interrupt_detaches_and_another_session_attaches(
    target: Target, tmp_path: Path, client: KubeClient
) -> None:
    first = ipython(
        target,
        tmp_path,
        "%%kubetrain python -w 2 --name long -o answer\n"
        "import os, time\n"
        "print('begun', flush=True)\n"
        "time.sleep(8)\n"
        "answer = 41 + kube.world_size - 1",
    )
    assert first.stdout is not None
    read = []
    while "begun" not in (line := await asyncio.to_thread(first.stdout.readline)):
        assert line, "".join(read)
        read.append(line)
    first.send_signal(signal.SIGINT)
    _, text = await output(first)
    assert "%kube attach long-" in text
    name = text.split("%kube attach ")[1].split()[0].rstrip(".;")
    second = ipython(target, tmp_path, f"%kube attach {name} -o answer", "print('got', answer)")
    code, text = await output(second)
    assert code == 0, text
    assert "got 42" in text


async def test_a_killed_process_is_replaced_and_the_job_still_ends_well(
    target: Target, tmp_path: Path, client: KubeClient
) -> None:
    process = ipython(
        target,
        tmp_path,
        "%%kubetrain python -w 2 -o g\n"
        "import os, time\n"
        "if kube.generation == 1 and kube.rank == 1: os.kill(os.getpid(), 9)\n"
        "time.sleep(1)\n"
        "g = kube.generation",
        "print('generation', g)",
    )
    code, text = await output(process)
    assert code == 0, text
    assert "generation 2" in text


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%%kubetrain python -w 2\nx = (", "SyntaxError"),
        ("%%kubetrain python -w 2\nlen(big)", "MiB"),
    ],
)
async def test_bad_input_is_refused_before_anything_is_created(
    cell: str, words: str, target: Target, tmp_path: Path, client: KubeClient
) -> None:
    setup = "import os\nbig = os.urandom(6 << 20)"
    code, text = await output(ipython(target, tmp_path, setup, cell))
    assert code == 1
    assert words in text, text
    jobs = await objects.list_(client, objects.JOBS, labels=naming.SELECTOR)
    assert jobs["items"] == []


async def test_a_job_that_kubectl_made_from_a_file_runs_again_by_its_short_name(
    target: Target, tmp_path: Path, client: KubeClient
) -> None:
    file = tmp_path / "job.yaml"
    cell = f"%%kubetrain -w 2 --name twice -o n --export {file}\nn = base + kube.world_size"
    code, text = await output(ipython(target, tmp_path, "base = 20", cell))
    assert code == 0, text
    assert f"kubectl apply -f {file} runs it" in text
    assert file.stat().st_mode & 0o777 == 0o600
    kubectl = Kubectl(target.kubeconfig, home=tmp_path)
    await asyncio.to_thread(kubectl, "apply", "-f", str(file))
    code, text = await output(
        ipython(
            target,
            tmp_path,
            "%kube attach twice",
            "print('first', n); del n",
            "%kube rerun twice",
            "print('again', n)",
            "%kube kill twice",
        )
    )
    assert code == 1
    assert "first 22" in text
    assert "again 22" in text
    assert '"twice" is 2 jobs' in text
    made = (await objects.list_(client, objects.JOBS, labels=naming.SELECTOR))["items"]
    specs = [job["spec"]["template"]["spec"] for job in made]
    assert len({job["metadata"]["name"] for job in made}) == 2
    assert specs[0]["containers"][0]["command"] == specs[1]["containers"][0]["command"]
    await asyncio.to_thread(kubectl, "delete", "-f", str(file))


SAME = (
    (
        "import math\n"
        "base = 10\n"
        "class Doubler:\n"
        "    def __call__(self, x): return 2 * x\n"
        "def double(x): return Doubler()(x) + math.floor(0.5)"
    ),
    (
        "%%kubetrain python -w 2 --name same -o total,made\n"
        "print('rank', kube.rank, 'of', kube.world_size)\n"
        "kube.report(step=1, loss=0.5)\n"
        "total = double(base) + kube.world_size\n"
        "made = Doubler()"
    ),
    "print('total is', total, made(4))",
    (
        "%%kubetrain -w 2\nif kube.rank == 1: raise ValueError('no such digit')\n"
        "import time; time.sleep(60)"
    ),
)


def check_same(text: str) -> None:
    assert "total is 22 8" in text
    assert "[0] rank 0 of 2" in text
    assert "[1] rank 1 of 2" in text
    assert "total ← rank 0" in text


@pytest.mark.timeout(240)
async def test_a_cell_gives_the_same_from_a_laptop_and_from_a_kernels_pod_without_rights(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    code, text = await output(ipython(target, tmp_path, *SAME))
    assert code == 1
    check_same(text)
    assert "ValueError: no such digit" in text

    (tmp_path / "notebooks").mkdir()
    async with running_server(tmp_path, config(target)) as server:
        session, socket = await open_notebook(server, "n.ipynb")
        token = "import os; print(os.path.exists('/var/run/secrets/kubernetes.io'))"
        assert await run(socket, token) == "False\n"
        await run(socket, BARE)
        await run(socket, "%load_ext jupyter_kube")
        text = "".join([await run(socket, cell) for cell in SAME[:-1]])
        check_same(text)
        reply = await socket.run(SAME[-1], 60)
        assert (reply.content["ename"], reply.status) == ("RemoteError", "error")
        shown = "\n".join(reply.content["traceback"])
        assert "if kube.rank == 1: raise" in shown
        assert "rank 1 raised ValueError: no such digit" in shown
        socket.close()
        await server.request("DELETE", f"api/sessions/{session}")
