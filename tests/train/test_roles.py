"""Jobs with roles: real supervisors of a chief, workers, a parameter server and an evaluator."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from .workers import Workers, ends

TENSORFLOW = """
import json, os, time

class TFConfigClusterResolver:
    def __init__(self):
        self._config = json.loads(os.environ["TF_CONFIG"])
        self.task_type, self.task_id = self._config["task"].values()
        self.rpc_layer = None

    def cluster_spec(self):
        return self._config["cluster"]

class Server:
    def __init__(self, spec, *, job_name, task_index, protocol):
        print("serves at", spec[job_name][task_index], os.getpid(), flush=True)

    def join(self):
        time.sleep(600)

class ParameterServerStrategy:
    def __init__(self, resolver):
        print("leads", json.dumps(resolver.cluster_spec()), flush=True)

    def scope(self):
        import contextlib
        return contextlib.nullcontext()

class distribute:
    class cluster_resolver:
        TFConfigClusterResolver = TFConfigClusterResolver
    Server, ParameterServerStrategy = Server, ParameterServerStrategy
"""
"""What a job with roles uses of TensorFlow; the real one is in test_frameworks.py."""


@pytest.fixture
def tensorflow(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tensorflow.py").write_text(TENSORFLOW)
    return {"PYTHONPATH": str(tmp_path)}


def roles(source: str, env: dict[str, str], **more: Any) -> Workers:
    asked = {"chief": True, "ps": 1, "evaluator": True, **more}
    return Workers(source, framework="tensorflow", workers=1, env=env, **asked).start()


def test_servers_and_the_evaluator_end_when_the_chief_is_done(
    tensorflow: dict[str, str], tmp_path: Path
) -> None:
    end = tmp_path / "end"
    source = f"""
import pathlib, time
print(kube.role, kube.rank, kube.world_size, kube.shard([1, 2]), flush=True)
while kube.role == "evaluator" or not pathlib.Path("{end}").exists(): time.sleep(0.01)
rank = kube.rank
"""
    with roles(source, tensorflow, outputs=("rank",)) as job:
        chief, worker, server, evaluator = job.pods
        for pod in job.pods:
            pod.wait_for(lambda pod: pod.lines)
        end.touch()
        assert job.codes() == [0, 0, 0, 0]
        assert chief.lines[0].startswith("leads")
        assert chief.lines[1:] == ["chief 0 1 [1, 2]"]
        assert evaluator.lines == ["evaluator 3 1 [1, 2]"]
        for pod in (worker, server):
            (line,) = pod.lines
            assert line.split()[2] in chief.lines[0]
            assert ends(int(line.split()[3]))
        assert job.values() == {"rank": 0}
        assert [frame.data["ok"] for frame in job.all_frames("end")] == [True] * 4


EVALUATOR = """
import pathlib, time
made, known = pathlib.Path("{folder}", "made"), pathlib.Path("{folder}", "known")
if kube.role == "chief":
    while not known.exists(): time.sleep(0.01)
    made.touch()
else:
    last = False
    while not last:
        last = kube.over
        known.touch()
        time.sleep(0.01)
    print("made" if made.exists() else "cut", flush=True)
    {then}
"""
EVALUATES = """
    while not pathlib.Path("{folder}", "evaluated").exists(): time.sleep(0.01)
    print("evaluated")
"""


def test_an_evaluator_that_asks_comes_to_its_end_and_the_job_waits_for_it(
    tensorflow: dict[str, str], tmp_path: Path
) -> None:
    source = EVALUATOR.format(folder=tmp_path, then=EVALUATES.format(folder=tmp_path))
    with roles(source, tensorflow) as job:
        chief, *_, evaluator = job.pods
        evaluator.wait_state("finishing")
        assert chief.process.poll() is None
        (tmp_path / "evaluated").touch()
        assert job.codes() == [0, 0, 0, 0]
        assert evaluator.lines == ["made", "evaluated"]
        assert [frame.data["ok"] for frame in job.all_frames("end")] == [True] * 4


def test_what_an_evaluator_raises_in_its_last_round_is_shown_and_fails_nothing(
    tensorflow: dict[str, str], tmp_path: Path
) -> None:
    source = EVALUATOR.format(folder=tmp_path, then="1 / 0")
    with roles(source, tensorflow) as job:
        assert job.codes() == [0, 0, 0, 0]
        *_, evaluator = job.pods
        assert evaluator.lines[0] == "made"
        assert evaluator.lines[-1] == "ZeroDivisionError: division by zero"


def test_an_evaluator_told_to_go_in_its_last_round_goes(
    tensorflow: dict[str, str], tmp_path: Path
) -> None:
    source = EVALUATOR.format(folder=tmp_path, then="time.sleep(600)")
    with roles(source, tensorflow) as job:
        *_, evaluator = job.pods
        evaluator.wait_line("made")
        evaluator.process.send_signal(signal.SIGTERM)
        assert job.codes() == [0, 0, 0, 143]


def test_a_server_that_dies_starts_all_again_and_one_too_many_fails(
    tensorflow: dict[str, str],
) -> None:
    source = "import time\nprint('begun', kube.generation, flush=True)\ntime.sleep(600)"
    with roles(source, tensorflow, retries=1) as job:
        chief, _, server, _ = job.pods
        for generation in (1, 2):
            chief.wait_line(f"begun {generation}")
            found = server.wait_for(lambda pod, n=generation: pod.lines[n - 1 :])
            os.kill(int(found[0].split()[3]), signal.SIGKILL)
        assert job.codes() == [42, 42, 42, 42]
        text = "rank 2 was killed (SIGKILL) (2 starts failed)"
        said = chief.frames[-1].data
        assert (said["ok"], said["text"], said["cause"]) == (False, text, 2)
