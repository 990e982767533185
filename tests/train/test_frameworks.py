"""What a cell finds of each framework: connected ranks, shares, plain values, and no noise."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import images

from .workers import Workers

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(200)]


FLEET = """
import paddle
from paddle.distributed import fleet

fleet.init(is_collective=True)
model = fleet.distributed_model(paddle.nn.Linear(2, 1))
adam = paddle.optimizer.Adam(0.1, parameters=model.parameters())
optimizer = fleet.distributed_optimizer(adam)
for _ in range(3):
    loss = model(paddle.ones([4, 2]) * (kube.rank + 1)).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.clear_grad()
print("weights", model._layers.weight.numpy().tolist())
"""

DDP = """
import torch
from torch.nn.parallel import DistributedDataParallel

model = DistributedDataParallel(torch.nn.Linear(2, 1))
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for _ in range(3):
    loss = model(torch.ones(4, 2) * (kube.rank + 1)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("weights", model.module.weight.tolist(), kube.world_size, torch.get_num_threads())
"""

LOOP = """
import numpy as np
import tensorflow as tf

strategy = kube.strategy
weight = tf.Variable(1.0)
mine = tf.data.Dataset.from_tensor_slices(kube.shard(np.arange(1, 9, dtype="float32"))).batch(2)

@tf.function
def step(iterator):
    def one(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((weight * x) ** 2)
        gradient = tape.gradient(loss, weight)
        context = tf.distribute.get_replica_context()
        weight.assign_sub(0.01 * context.all_reduce("SUM", gradient))
    strategy.run(one, args=(next(iterator),))

iterator = iter(strategy.experimental_distribute_dataset(mine))
for _ in range(2):
    step(iterator)
print(strategy.num_replicas_in_sync, round(float(weight.numpy()), 4))
"""


def run(
    framework: str,
    source: str,
    *,
    workers: int = 2,
    outputs: tuple[str, ...] = (),
    procs: int = 1,
) -> tuple[list[list[str]], Mapping[str, Any]]:
    """Run a cell to its end; return each rank's lines, and what its outputs became."""
    env = {"PYTHONPATH": str(images.frameworks())}
    with Workers(
        source, framework=framework, workers=workers, outputs=outputs, env=env, procs=procs
    ).start() as job:
        codes = [pod.code(180) for pod in job.pods]
        assert codes == [0] * workers, [pod.raw for pod in job.pods]
        about = next(job.all_frames("result")).data if outputs else {}
        return [pod.lines for pod in job.pods], about


def test_files_are_copied_to_storage_that_fsspec_knows(tmp_path: Path) -> None:
    source = f"""
import pathlib
for name in ("made", "deep/er"):
    file = pathlib.Path(kube.output_dir, str(kube.rank), name)
    file.parent.mkdir(parents=True)
    file.write_text(f"by {{kube.rank}}")
for _ in range(2):
    print(kube.upload("file://{tmp_path}/results/"))
"""
    lines, _ = run("python", source)
    place = f"file://{tmp_path}/results/job-ab12"
    assert lines == [[place, place]] * 2
    files = sorted(f for f in (tmp_path / "results/job-ab12").rglob("*") if f.is_file())
    assert [(str(f.relative_to(tmp_path)), f.read_text()) for f in files] == [
        (f"results/job-ab12/{rank}/{name}", f"by {rank}")
        for rank in (0, 1)
        for name in ("deep/er", "made")
    ]


def test_pytorch_ranks_are_connected_share_data_and_return_plain_models() -> None:
    source = """
import os, torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

total = torch.tensor([kube.rank + 1.0])
dist.all_reduce(total)
digits = torch.utils.data.TensorDataset(torch.arange(5.0))
share = [value.item() for (value,) in kube.shard(digits)]
model = DistributedDataParallel(torch.nn.Linear(1, 1))
model(total).backward()
grad = model.module.weight.grad.item()
print(dist.get_world_size(), total.item(), share, grad, torch.get_num_threads())
kube.report(loss=total)
"""
    lines, about = run("pytorch", source, outputs=("model", "grad"))
    assert lines == [["2 3.0 [0.0, 2.0] 3.0 1"], ["2 3.0 [1.0, 3.0] 3.0 1"]]
    assert about["missing"] == {}


def test_a_pytorch_cell_for_several_workers_runs_in_the_kernel_too(tmp_path: Path) -> None:
    cell = """
import torch
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1))
model(torch.ones(1)).backward()
"""
    script = f"""
from IPython.core.interactiveshell import InteractiveShell
from jupyter_kube.train.inprocess import run_cell
shell = InteractiveShell.instance()
run_cell(shell, {cell!r})
grad = shell.user_ns["model"].module.weight.grad.item()
import torch.distributed as dist
print(grad, dist.is_initialized(), "kube" in shell.user_ns)
"""
    paths = [str(images.frameworks()), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "IPYTHONDIR": str(tmp_path)}
    out = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert out.stdout == "1.0 False False\n", out.stderr


def test_a_pytorch_cell_may_connect_its_ranks_itself() -> None:
    source = """
import torch.distributed as dist
assert not dist.is_initialized()
dist.init_process_group("gloo")
print(dist.get_rank(), dist.get_backend())
dist.destroy_process_group()
"""
    assert run("pytorch", source)[0] == [["0 gloo"], ["1 gloo"]]


def test_paddle_ranks_are_connected_and_return_plain_models() -> None:
    source = """
import paddle
import paddle.distributed as dist

total = paddle.to_tensor([kube.rank + 1.0])
dist.all_reduce(total)
digits = paddle.io.TensorDataset([paddle.arange(5.0)])
share = [value.item() for (value,) in kube.shard(digits)]
model = paddle.DataParallel(paddle.nn.Linear(1, 1))
model(total).backward()
grad = model._layers.weight.grad.item()
print(dist.get_world_size(), total.item(), share, grad)
kube.report(loss=total)
"""
    lines, about = run("paddle", source, outputs=("model", "grad"))
    assert lines == [["2 3.0 [0.0, 2.0] 3.0"], ["2 3.0 [1.0, 3.0] 3.0"]]
    assert about["missing"] == {}


def test_paddle_fleet_trains_one_model_in_the_processes_of_one_worker() -> None:
    ((*lines,), _) = run("paddle", FLEET, workers=1, procs=2)
    weights = dict(line.split(" weights ") for line in lines[0] if " weights " in line)
    assert weights["[0]"] == weights["[1]"]


def test_tensorflow_runs_a_loop_of_ones_own() -> None:
    caught = """
status = open("/proc/self/status").read().partition("SigCgt:")[2].split()[0]
print("SIGTERM caught", int(status, 16) >> 14 & 1)
"""
    lines, _ = run("tensorflow", LOOP + caught)
    first = 1 - 0.01 * 2 * ((1 + 9) / 2 + (4 + 16) / 2)
    second = first - 0.01 * 2 * first * ((25 + 49) / 2 + (36 + 64) / 2)
    assert lines == [[f"2 {round(second, 4)}", "SIGTERM caught 0"]] * 2
