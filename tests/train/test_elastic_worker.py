"""Elastic jobs of real supervisors: they grow, shrink, lose rank 0, and end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from .workers import Pod, Workers, ends

STEPS = """
import pathlib, time
kept = pathlib.Path(kube.checkpoint_dir, "step")
first = step = int(kept.read_text()) if kept.exists() else 0
source = "a checkpoint" if step else "nothing"
print(f"rank {kube.rank} of {kube.world_size} from {source}", flush=True)
while not pathlib.Path(end).exists():
    step += 1
    if kube.rank == 0:
        kept.with_name("new").write_text(str(step))
        kept.with_name("new").replace(kept)
        if step == first + 1: print("kept", flush=True)
    time.sleep(0.01)
size = kube.world_size
"""


def begun(pod: Pod, rank: int, size: int, *, times: int = 1, source: str = "") -> None:
    line = f"rank {rank} of {size} from {source}"
    pod.wait_for(lambda pod: sum(line in each for each in pod.lines) >= times)


@pytest.mark.timeout(120)
def test_a_job_grows_shrinks_loses_rank_0_and_ends_well(tmp_path: Path) -> None:
    end = tmp_path / "end"
    outputs = ("first", "size")
    with Workers(
        STEPS, {"end": str(end)}, workers=4, least=1, outputs=outputs, storage=True
    ) as job:
        zero, one = job.start(0, 1).pods
        begun(zero, 0, 2, source="nothing")
        begun(one, 1, 2)
        zero.wait_line("kept")
        two, three = job.start(2, 3).pods[2:]
        for rank, pod in enumerate((zero, one, two, three)):
            begun(pod, rank, 4, source="a checkpoint")
        one.process.send_signal(signal.SIGTERM)
        assert one.code() == 143
        for rank, pod in enumerate((zero, two, three)):
            begun(pod, rank, 3)
        zero.process.kill()
        zero.code()
        zero = job.move(0)
        begun(zero, 0, 3, source="a checkpoint")
        for rank, pod in enumerate((two, three), 1):
            begun(pod, rank, 3, times=2)
        assert "rank 0 of 1" not in "".join(zero.lines)  # it waited for those who were there
        for pod in (two, three):
            pod.process.kill()
        begun(zero, 0, 1, source="a checkpoint")
        end.touch()
        assert zero.code() == 0
        result = zero.of("result")
        assert len(result) == 1
        from jupyter_kube.train.cell import unpack_result

        values = unpack_result(result[0].blob)
        assert values["first"] > 0
        assert values["size"] == 1


def test_f32_a_process_that_stands_still_is_replaced_and_named() -> None:
    source = """
import os, time
print("pid", os.getpid(), flush=True)
if kube.generation == 1: time.sleep(600)
"""
    with Workers(source).start() as job:
        pid = int(job.pods[1].wait_line("pid").split()[1])
        os.kill(pid, signal.SIGSTOP)
        assert job.codes() == [0, 0]
        assert ends(pid)
        restart = job.pods[0].wait_state("restarting")
        assert restart.data["cause"] == "rank 1 stood still for 10 s (SIGSTOP)"
        assert "attempt 2 of 4" in restart.data["text"]


def test_f32_a_pod_that_stands_still_is_left_behind_and_comes_back(tmp_path: Path) -> None:
    end = tmp_path / "end"
    with Workers(STEPS, {"end": str(end)}, workers=2, least=1, storage=True).start() as job:
        zero, one = job.pods
        begun(one, 1, 2)
        zero.wait_line("kept")
        one.process.send_signal(signal.SIGSTOP)
        begun(zero, 0, 1, source="a checkpoint")
        one.process.send_signal(signal.SIGCONT)
        begun(one, 1, 2, times=2)
        end.touch()
        assert job.codes() == [0, 0]


@pytest.mark.parametrize("least", [0, 2])
def test_f32_ranks_that_do_not_come_back_are_named_when_patience_ends(least: int) -> None:
    source = "import time\nprint('begun', flush=True)\ntime.sleep(600)"
    with Workers(source, workers=2, least=least, patience=2).start() as job:
        zero, one = job.pods
        zero.wait_line("begun")
        one.wait_line("begun")
        one.process.send_signal(signal.SIGTERM)
        assert job.codes() == [42, 143]
        words = "rank 1 was lost and did not come back for 2 seconds"
        assert zero.frames[-1].data == {"ok": False, "text": words, "cause": 1, "about": {}}
