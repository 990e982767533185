"""Supervisors as real processes, on loopback addresses of their own."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest

from .workers import KEY, Pod, Workers, ends


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def cause(pod: Pod) -> str:
    (end,) = pod.of("end")
    assert end.data["ok"] is False
    return str(end.data["text"])


def test_three_ranks_run_the_cell_together_and_rank_0s_values_come_back() -> None:
    source = """
import os
print("rank", kube.rank, "of", kube.world_size)
kube.report(step=kube.rank, loss=0.5)
seen = {name: os.environ[name] for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")}
y = helper(5)
"""
    namespace: dict[str, Any] = {"__name__": "__main__", "scale": 3}
    exec("def helper(x): return x * scale + kube.rank", namespace)
    with Workers(source, namespace, workers=3, outputs=("y", "seen")).start() as job:
        assert job.codes() == [0, 0, 0]
        for pod in job.pods:
            assert pod.lines == [f"rank {pod.index} of 3"]
            (report,) = pod.of("report")
            ((number, generation, rank, _, *told),) = report.data["rows"]
            assert (number, generation, rank) == (1, 1, pod.index)
            assert told == [pod.index, {"loss": 0.5}]
        assert [frame.rank for frame in job.all_frames("result")] == [0]
        for pod in job.pods:
            assert pod.frames[-1].data == {"ok": True}
        values = job.values()
        assert values["y"] == 15
        assert values["seen"]["WORLD_SIZE"] == "3"
        assert values["seen"]["MASTER_ADDR"].startswith("127.")


def test_a_worker_leaves_nothing_on_storage_that_it_has_found_for_what_it_writes() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as storage:  # another device than the image's
        source = "kept = open(f'{kube.output_dir}/big', 'w').name"
        env = {"JUPYTER_KUBE_SCRATCH": "", "TMPDIR": storage}
        with Workers(source, workers=1, outputs=("kept",), env=env).start() as job:
            assert job.codes() == [0]
            assert job.values()["kept"].startswith(f"{storage}/jupyter-kube-")
            assert list(Path(storage).iterdir()) == []


@pytest.mark.parametrize(("end", "code"), [("", 0), ("raise ValueError('bad')", 42)])
def test_a_cell_that_removes_what_its_worker_writes_ends_as_any_other(end: str, code: int) -> None:
    with tempfile.TemporaryDirectory() as storage:
        source = f"import os, shutil\nshutil.rmtree(os.environ['JUPYTER_KUBE_SCRATCH'])\n{end}"
        env = {"JUPYTER_KUBE_SCRATCH": "", "TMPDIR": storage}
        with Workers(source, workers=2, env=env).start() as job:
            assert job.codes() == [code, code]
            assert list(Path(storage).iterdir()) == []


def test_an_exception_in_one_rank_fails_the_job_and_is_told_once() -> None:
    source = """
import time
def deep():
    raise ValueError("no such digit")
if kube.rank == 1:
    deep()
time.sleep(600)
"""
    with Workers(source, workers=3).start() as job:
        assert job.codes() == [42, 42, 42]
        (raised,) = job.all_frames("exception")
        assert (raised.rank, raised.data["type"]) == (1, "ValueError")
        assert raised.data["message"] == "no such digit"
        for pod in job.pods:  # whichever of them Kubernetes leaves, tells
            (end,) = pod.of("end")
            assert end.data["about"]["message"] == "no such digit"
            assert 'raise ValueError("no such digit")' in end.data["about"]["traceback"]
            assert json.loads(pod.message)["pod"] == "job-ab12-1"
        assert raised.data["pod"] == "job-ab12-1"
        text = raised.data["traceback"]
        assert 'File "<cell>", line 4, in deep' in text
        assert 'raise ValueError("no such digit")' in text
        assert "podside" not in text
        assert "rank 1 raised ValueError: no such digit" in cause(job.pods[0])
        assert json.loads(job.pods[1].message)["type"] == "ValueError"
        assert list(job.all_frames("result")) == []


@pytest.mark.parametrize("text", [r'"\ud800"', '"😀" * 300_000', r'"\ud800" * 300_000'])
def test_an_exceptions_text_never_hides_the_exception(text: str) -> None:
    with Workers(f"raise ValueError({text})", workers=1).start() as job:
        assert job.codes() == [42]
        (raised,) = job.all_frames("exception")
        assert raised.data["type"] == "ValueError"
        for said in (raised.data, json.loads(job.pods[0].message)):
            assert said["message"][:1] in {"\\", "😀"}
            "".join(map(str, said.values())).encode()
        assert raised.generation == 1


def test_half_a_character_in_a_report_arrives_as_its_number() -> None:
    with Workers(r'kube.report(name="\ud800")', workers=1).start() as job:
        assert job.codes() == [0]
        (report,) = job.all_frames("report")
        assert report.data["rows"][0][5] == {"name": r"\ud800"}


def test_more_than_a_supervisor_reads_is_an_exception_and_not_tried_again() -> None:
    source = "kube._report.__self__._say({'kind': 'exception', 'text': 'x' * 2**21})"
    with Workers(f"{source}\nimport time\ntime.sleep(600)", workers=1).start() as job:
        assert job.codes() == [42]
        assert "rank 0 raised" in cause(job.pods[0])
        assert len(list(job.all_frames("exception"))) == 1


def test_a_traceback_shows_the_lines_of_earlier_cells_too() -> None:
    import linecache

    earlier = "def check(x):\n    assert x > 0, 'too small'\n"
    linecache.cache["<cell 3>"] = (len(earlier), None, earlier.splitlines(True), "<cell 3>")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(earlier, "<cell 3>", "exec"), namespace)
    with Workers("check(-1)", namespace, workers=1).start() as job:
        assert job.codes() == [42]
        (raised,) = job.all_frames("exception")
        assert 'File "<cell 3>", line 2, in check' in raised.data["traceback"]
        assert "assert x > 0, 'too small'" in raised.data["traceback"]
    del linecache.cache["<cell 3>"]


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("os.kill(os.getpid(), 9)", "was killed (SIGKILL)"),
        ("os.abort()", "was killed (SIGABRT)"),
        ("os._exit(3)", "ended with exit code 3"),
    ],
)
def test_what_other_ranks_raise_because_of_one_that_died_is_not_the_cause(
    end: str, words: str
) -> None:
    source = """
import os, socket, time
address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if kube.generation == 1:
    if kube.rank == 1:
        server = socket.create_server(address)
        peer, _ = server.accept()
        peer.recv(1)
        END
    while True:
        try:
            wire = socket.create_connection(address)
            break
        except ConnectionRefusedError:
            time.sleep(0.01)
    wire.send(b"x")
    if not wire.recv(1):
        raise ConnectionError("the other rank is gone")
generation = kube.generation
"""
    with Workers(source.replace("END", end), outputs=("generation",)).start() as job:
        assert job.codes() == [0, 0]
        assert job.values() == {"generation": 2}
        assert list(job.all_frames("exception")) == []
        restart = job.pods[0].wait_state("restarting")
        assert f"rank 1 {words}" in restart.data["text"]


def test_deaths_above_the_retries_fail_the_job_with_the_cause() -> None:
    source = "import os, time\nif kube.rank == 1: os.kill(os.getpid(), 9)\ntime.sleep(600)"
    with Workers(source, retries=1).start() as job:
        assert job.codes() == [42, 42]
        assert cause(job.pods[0]) == "rank 1 was killed (SIGKILL) (2 starts failed)"
        assert "rank 1 was killed" in json.loads(job.pods[1].message)["text"]
        assert max(frame.generation for frame in job.pods[0].frames) == 2


def test_of_two_ranks_that_raise_at_once_all_name_the_same_one(tmp_path: Path) -> None:
    source = """
import pathlib, time
pathlib.Path(here, str(kube.rank)).touch()
while len(list(pathlib.Path(here).iterdir())) < 2: time.sleep(0.001)
raise ValueError(f"of rank {kube.rank}")
"""
    with Workers(source, {"here": str(tmp_path)}).start() as job:
        assert job.codes() == [42, 42]
        (raised,) = job.all_frames("exception")
        for said in (end.data for end in job.all_frames("end")):
            assert said["text"] == f"rank {raised.rank} raised ValueError: of rank {raised.rank}"
            assert said["about"]["pod"] == f"job-ab12-{raised.rank}"
        assert [json.loads(pod.message)["rank"] for pod in job.pods] == [raised.rank] * 2


def test_a_native_crash_is_told_by_all_ranks_with_what_was_written_last() -> None:
    source = """
import os, time
if kube.rank == 1:
    for word in (b"loaded\\n", b"terminate called\\n"): os.write(2, word)
    os.abort()
time.sleep(600)
"""
    with Workers(source, retries=0).start() as job:
        assert job.codes() == [42, 42]
        for pod in job.pods:
            assert cause(pod) == "rank 1 was killed (SIGABRT)"
            said = [
                "loaded",
                "terminate called",
                "Fatal Python error: Aborted",
                '  File "<cell>", line 5 in <module>',
            ]
            assert pod.of("end")[0].data["about"]["last"].splitlines() == said
            assert json.loads(pod.message)["last"].splitlines() == said


def test_a_crash_while_tensorflow_is_imported_is_told_with_what_was_held_back(
    tmp_path: Path,
) -> None:
    (tmp_path / "tensorflow.py").write_text(
        "import os\n"
        "os.write(2, b'I0000 00:00:1.5 1 cudart_stub.cc:31] Could not find cuda drivers\\n')\n"
        "os.write(2, b'terminate called\\n')\n"
        "os.abort()\n"
    )
    env = {"PYTHONPATH": str(tmp_path)}
    with Workers("1", framework="tensorflow", workers=1, retries=0, env=env).start() as job:
        assert job.codes() == [42]
        assert cause(job.pods[0]) == "rank 0 was killed (SIGABRT)"
        (end,) = job.pods[0].of("end")
        assert end.data["about"]["last"].splitlines() == [
            "terminate called",
            "Fatal Python error: Aborted",
            f'  File "{tmp_path}/tensorflow.py", line 4 in <module>',
        ]
        assert "terminate called" in job.pods[0].lines


def test_a_process_that_leaves_before_the_cells_end_counts_as_dead() -> None:
    with Workers("import os\nos._exit(0)", workers=1, retries=0).start() as job:
        assert job.codes() == [42]
        assert cause(job.pods[0]) == "rank 0 ended with exit code 0 before the cell's end"


def test_a_supervisor_told_to_go_ends_with_143_and_takes_its_child_along() -> None:
    source = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("pid", os.getpid(), flush=True)
time.sleep(600)
"""
    with Workers(source, workers=1).start() as job:
        (pod,) = job.pods
        child = int(pod.wait_line("pid").split()[1])
        pod.process.send_signal(signal.SIGTERM)
        assert pod.code() == 143
        assert ends(child)


@pytest.mark.parametrize("end", ["time.sleep(600)", "x = 1"])
def test_a_killed_supervisor_takes_the_cell_and_what_it_started_along(end: str) -> None:
    source = f"""
import os, subprocess, time
other = subprocess.Popen(["sleep", "600"])
print("pids", os.getpid(), other.pid, flush=True)
if kube.rank == 0: {end}
else: time.sleep(600)
"""
    with Workers(source).start() as job:
        pids = [int(pid) for pid in job.pods[0].wait_line("pids").split()[1:]]
        if end == "x = 1":
            job.pods[0].wait_state("done")
        job.pods[0].process.kill()
        assert all(map(ends, pids))


def test_what_the_cell_started_ends_with_it() -> None:
    source = """
import subprocess, sys
other = subprocess.Popen(["sleep", "600"])
pid = other.pid
"""
    with Workers(source, workers=1, outputs=("pid",)).start() as job:
        assert job.codes() == [0]
        assert ends(job.values()["pid"])


def test_a_worker_says_whom_it_waits_for() -> None:
    with Workers("x = 1", workers=4).start(0, 2) as job:
        waiting = job.pods[0].wait_for(
            lambda pod: next((f for f in pod.of("state") if f.data["missing"] == [1, 3]), None)
        )
        assert waiting.data["text"] == "waiting for ranks 1 and 3"
        job.start(1, 3)
        assert job.codes() == [0, 0, 0, 0]


def test_a_worker_without_rank_0_says_so_and_joins_when_it_comes() -> None:
    with Workers("x = 1").start(1) as job:
        state = job.pods[0].wait_state("joining")
        assert "job-ab12-0.job-ab12" in state.data["text"]
        assert state.data["missing"] == [0]
        job.start(0)
        assert job.codes() == [0, 0]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_cells_process_is_ready_before_the_others_are_there(end: int) -> None:
    with Workers("x = 1").start(1) as job:
        (pod,) = job.pods
        pod.wait_state("joining")
        (child,) = children(pod.process.pid)
        pod.process.send_signal(end)
        pod.code()
        assert ends(child)


def test_a_worker_gives_up_when_rank_0_never_comes() -> None:
    job = Workers("x = 1", patience=1)
    with job.start(1):
        assert job.codes() == [1]
        assert "rank 0 was not there" in json.loads(job.pods[0].message)["text"]


def test_a_pod_lost_and_replaced_starts_a_new_generation() -> None:
    source = """
import time
print("begun", kube.generation, flush=True)
if kube.generation == 1: time.sleep(600)
g = kube.generation
"""
    with Workers(source, outputs=("g",)).start() as job:
        job.pods[1].wait_line("begun 1")
        job.pods[1].process.kill()
        job.start(1)
        assert [job.pods[0].code(), job.pods[2].code()] == [0, 0]
        assert job.values() == {"g": 2}


def test_rank_0_lost_and_replaced_at_another_address_is_found_again() -> None:
    source = """
import time
print("begun", kube.generation, flush=True)
if kube.generation == 1: time.sleep(600)
g = kube.generation
"""
    with Workers(source, outputs=("g",)).start() as job:
        for pod in job.pods:
            pod.wait_line("begun 1")
        job.pods[0].process.kill()
        job.pods[0].code()
        replaced = job.move(0)
        assert [job.pods[1].code(), replaced.code()] == [0, 0]
        assert "begun 2" in replaced.lines
        assert replaced.of("result")


def test_a_large_cell_and_a_large_result_travel_whole() -> None:
    data = os.urandom(3 << 20)
    with Workers("back = data[::-1]", {"data": data}, workers=1, outputs=("back",)).start() as job:
        assert len(job.manifests.secrets) > 3
        assert job.codes() == [0]
        assert job.values()["back"] == data[::-1]
        assert all(len(line) < 16 * 1024 for line in job.pods[0].raw)


def test_a_value_that_cannot_come_back_is_named_and_the_others_do() -> None:
    source = """
import os, threading
lock = threading.Lock()
huge = os.urandom(5 << 20)
fine = 1
if False: absent = 2
"""
    outputs = ("lock", "huge", "fine", "absent")
    with Workers(source, workers=1, outputs=outputs).start() as job:
        assert job.codes() == [0]
        (result,) = job.pods[0].of("result")
        assert job.values() == {"fine": 1}
        missing = result.data["missing"]
        assert set(missing) == {"lock", "huge", "absent"}
        assert "lock" in missing["lock"]
        assert "4 MiB" in missing["huge"]


def test_everything_that_can_be_said_of_many_outputs_fits_into_a_frame() -> None:
    names = tuple(f"a_rather_long_name_{number}" for number in range(40))
    source = "\n".join(
        ["class No:", "  def __reduce__(self): raise ValueError('é' * 1000)", "no = No()"]
        + [f"{name} = no" for name in names]
    )
    with Workers(source, workers=1, outputs=names).start() as job:
        assert job.codes() == [0]
        (result,) = job.pods[0].of("result")
        assert set(result.data["missing"]) == set(names)


def test_a_process_that_says_nonsense_counts_as_dead() -> None:
    source = "kube._report.__self__._sock.sendall(b'nonsense\\n')\nimport time\ntime.sleep(600)"
    with Workers(source, workers=1, retries=0).start() as job:
        assert job.codes() == [42]
        assert "nobody understands" in cause(job.pods[0])


def test_notebook_functions_share_their_globals_with_the_cell() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__", "rate": 1}
    exec("def show(): return rate, kube.rank\ndef bump():\n  global rate; rate += 1", namespace)
    source = "before = show()\nrate = 5\nbump()\nafter = show(), rate"
    with Workers(source, namespace, workers=1, outputs=("before", "after")).start() as job:
        assert job.codes() == [0]
        assert job.values() == {"before": (1, 0), "after": ((6, 0), 6)}


def test_a_class_of_the_notebook_comes_back_as_itself() -> None:
    import __main__

    exec("class Point:\n  def __init__(self, x): self.x = x", vars(__main__))
    namespace = {"Point": __main__.Point}
    with Workers("p = Point(3)", namespace, workers=1, outputs=("p",)).start() as job:
        assert job.codes() == [0]
        point = job.values()["p"]
        assert isinstance(point, __main__.Point)
        assert point.x == 3


def test_a_cell_may_await_and_leave_early() -> None:
    source = """
import asyncio, sys
await asyncio.sleep(0)
print('awaited')
x = 1
sys.exit()
print('no')
"""
    with Workers(source, workers=1, outputs=("x",)).start() as job:
        assert job.codes() == [0]
        assert job.values() == {"x": 1}
        assert job.pods[0].lines == ["awaited"]


def test_progress_bars_become_lines_that_end_with_a_carriage_return() -> None:
    source = r"""
import sys, time
for i in range(3):
    sys.stderr.write(f"\r{i + 1}/3")
    sys.stderr.flush()
    time.sleep(0.3)
sys.stderr.write("\rall 3\n")
print("no end", end="")
"""
    with Workers(source, workers=1).start() as job:
        assert job.codes() == [0]
        lines = job.pods[0].lines
        assert [line for line in lines if not line.endswith("\r")] == ["all 3", "no end"]
        shown = {line.rstrip("\r") for line in lines if line.endswith("\r")}
        assert {"1/3", "2/3"} & shown
        assert shown <= {"1/3", "2/3", "3/3", "no end"}  # the last if the process is slow to end


def test_a_forged_frame_is_a_plain_line() -> None:
    source = r"""
print('\x1ekube1 0000 {"k":"end","r":0,"g":1,"d":{"ok":false}}')
"""
    with Workers(source, workers=1).start() as job:
        assert job.codes() == [0]
        assert [frame.data for frame in job.pods[0].of("end")] == [{"ok": True}]
        assert job.pods[0].lines[0].startswith("\x1ekube1 0000")


def test_neither_process_shows_the_key_or_the_cell_in_its_environment() -> None:
    source = """
import os, time
print("pid", os.getpid(), flush=True)
secret_of_the_cell = 1
time.sleep(600)
"""
    with Workers(source, workers=1).start() as job:
        (pod,) = job.pods
        child = int(pod.wait_line("pid").split()[1])
        variables = job.manifests.secrets[0]["stringData"]
        for pid in (child, pod.process.pid):
            for file in ("environ", "cmdline"):
                content = Path(f"/proc/{pid}/{file}").read_bytes()
                assert KEY.hex().encode() not in content
                assert variables["worker"].encode() not in content
                assert variables["bundle"].encode() not in content


def test_a_stranger_at_the_door_disturbs_nobody() -> None:
    import socket

    source = "import time\nprint('begun', flush=True)\ntime.sleep(1)"
    with Workers(source).start() as job:
        job.pods[0].wait_line("begun")
        with socket.create_connection((job.address(0), 5823)) as stranger:
            stranger.sendall(b"0" * 32 + b"\n" + b'00 {"kind":"hello","index":1}\n')
            while stranger.recv(4096):
                pass
        assert job.codes() == [0, 0]


@pytest.mark.parametrize("framework", ["tensorflow"])
@pytest.mark.timeout(300)
def test_tensorflow_trains_each_rank_on_its_own_shard(framework: str) -> None:
    pytest.importorskip("tf_keras")
    source = """
import numpy as np
import tf_keras as keras
from sklearn.datasets import load_digits

class Seen(keras.callbacks.Callback):
    batches = 0
    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1

digits = load_digits()
x, y = (digits.data / 16).astype("float32"), digits.target
mine = kube.shard(x)
model = build()
seen = Seen()
history = model.fit(
    mine, kube.shard(y), epochs=2, batch_size=32, verbose=0, callbacks=[seen]
).history
print("rank", kube.rank, "first", mine[0].sum(), "losses", history["loss"], "batches", seen.batches)
print("replicas", kube.strategy.num_replicas_in_sync)
"""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(
        "def build():\n"
        "  import tf_keras as keras\n"
        "  model = keras.Sequential([keras.layers.Input((64,)), keras.layers.Dense(10)])\n"
        "  loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)\n"
        "  model.compile('sgd', loss)\n"
        "  return model",
        namespace,
    )
    with Workers(
        source, namespace, outputs=("history", "model"), framework=framework
    ).start() as job:
        assert [pod.code(280) for pod in job.pods] == [0, 0], [pod.raw for pod in job.pods]
        said = [pod.wait_line("losses") for pod in job.pods]
        for pod, line in zip(job.pods, said, strict=True):
            assert pod.lines == [line, "replicas 2"]  # and nothing about CUDA
        losses = [line.partition("losses ")[2] for line in said]
        assert losses[0] == losses[1]  # one model
        assert losses[0].endswith("batches 58")  # 898 images a rank, 29 batches of 32, twice
        assert said[0].partition("losses")[0][7:] != said[1].partition("losses")[0][7:]
        (result,) = job.all_frames("result")
        assert result.data["missing"] == {}
        assert set(result.data["sizes"]) == {"history", "model"}
