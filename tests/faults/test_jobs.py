"""What goes wrong around a training job, and what its user learns of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jupyter_kube.errors import JobFailed
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.train import attach, submit
from tests.conformance.conftest import Target
from tests.conformance.test_elastic import settings
from tests.conformance.test_jobs import _nothing_stays, ipython, output  # noqa: F401 - a fixture


@pytest.mark.timeout(180)
async def test_f13_a_rank_that_runs_out_of_memory_is_named_with_its_limit(
    target: Target, client: KubeClient
) -> None:
    if not target.real:
        pytest.skip("the local cluster has no memory limits")
    source = (
        "import time\nprint('rank', kube.rank, flush=True)\n"
        "if kube.rank == 2:\n  held = [bytearray(b'x' * 2**24) for _ in range(100)]\n"
        "time.sleep(600)"
    )

    def run() -> None:
        submit(source, workers=3, memory="128Mi", retries=0, settings=settings(target)).result(120)

    with pytest.raises(JobFailed, match=r"rank 2.*out of memory.*128Mi"):
        await asyncio.to_thread(run)


@pytest.mark.timeout(180)
async def test_a_rank_that_crashes_in_compiled_code_is_named_with_what_that_wrote(
    target: Target, client: KubeClient
) -> None:
    source = (
        "import os, time\n"
        "if kube.rank == 0:\n  os.write(2, b'terminate called\\n')\n  os.abort()\n"
        "time.sleep(600)"
    )
    words = (
        "rank 0 was killed (SIGABRT) (2 starts failed). It printed last:\n"
        "    terminate called\n"
        "    Fatal Python error: Aborted\n"
        '      File "<cell>", line 4 in <module>\n'
    )

    def run() -> str:
        job = submit(source, workers=2, retries=1, settings=settings(target))
        with pytest.raises(JobFailed) as seen:
            job.result(120)
        with pytest.raises(JobFailed) as later:  # by then rank 0's pod may be gone
            attach(job.name, settings=settings(target)).result(60)
        assert str(later.value) == str(seen.value)
        return str(seen.value)

    assert (await asyncio.to_thread(run)).startswith(words)


@pytest.mark.timeout(180)
async def test_f22_a_job_outlives_the_notebook_that_was_killed(
    target: Target, tmp_path: Path, client: KubeClient
) -> None:
    first = ipython(
        target,
        tmp_path,
        "%%kubetrain python -w 2 --name outlives -o answer\n"
        "import time\n"
        "print('begun', flush=True)\n"
        "time.sleep(5)\n"
        "answer = 42",
    )
    assert first.stdout is not None
    read = ""
    while "begun" not in (line := await asyncio.to_thread(first.stdout.readline)):
        assert line, read
        read += line
    first.kill()
    await output(first)
    name = read[read.index("outlives-") :].split()[0].rstrip(":·,")
    second = ipython(target, tmp_path, f"%kube attach {name}", "print('got', answer)")
    code, text = await output(second)
    assert code == 0, text
    assert "begun" in text
    assert "got 42" in text


@pytest.mark.timeout(180)
async def test_f32_a_rank_that_stands_still_is_named_and_replaced(
    target: Target, client: KubeClient
) -> None:
    source = (
        "import os, signal, time\n"
        "if kube.generation == 1 and kube.rank == 1: os.kill(os.getpid(), signal.SIGSTOP)\n"
        "if kube.generation == 1: time.sleep(600)\n"
        "g = kube.generation"
    )

    def run() -> tuple[int, list[str]]:
        job = submit(source, workers=2, outputs=("g",), settings=settings(target))
        value = job.result(120)
        return value, [line.text for line in job.feed.take().lines]

    value, lines = await asyncio.to_thread(run)
    assert value == 2
    assert any("rank 1 stood still for 10 s (SIGSTOP)" in line for line in lines)
