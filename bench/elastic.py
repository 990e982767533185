"""How soon an elastic job trains at a new size, beside the same ranks started by themselves.

Both run on loopback addresses of this machine, without a cluster: ours as the supervisors that run
in pods, which grow from 2 to 4 ranks and then lose one; ``bare`` as processes with the same cell,
environment and threads and nothing around them. Time runs from the start of the newcomers, or the
signal to the one that goes, to the end of a first epoch in all ranks of the new size.

    python -m bench.elastic [--frameworks pytorch paddle] [-n 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from jupyter_kube.train.cell import pack
from jupyter_kube.train.environment import Member, Place, environment, ports_for
from jupyter_kube.train.host import free_ports
from jupyter_kube.train.roles import Roles
from tests.cluster import images
from tests.train.trainings import BEGIN, TRAININGS
from tests.train.workers import Workers

FOREVER = """
import time
train()
print(f"first epoch of {kube.world_size}", flush=True)
if kube.rank == 0:
    new = kept.with_name("new.h5")
    save(new)
    new.replace(kept)
    epochs.write_text(str(epoch + 1))
    print("kept", flush=True)
while True:
    time.sleep(0.1)
    train()
"""
"""Trains on, as a job does while others come or go."""

BARE = """
import json, os, sys, zlib
from jupyter_kube.train import child, collective

class Told:
    report = display = over = print

cell = json.loads(zlib.decompress(sys.stdin.buffer.read()))
about = json.loads(sys.argv[1])
os.environ.update(cell["env"])
collective.connect(cell["framework"])
child.run(cell, about["identity"], Told, about["strategy"])
"""

_LONGEST = 180.0
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def ours(framework: str) -> dict[int, float]:
    """Grow a job from 2 to 4 ranks and take one away; returns seconds by new size."""
    env = {"PYTHONPATH": str(images.frameworks())}
    source = BEGIN + TRAININGS[framework] + FOREVER
    with Workers(source, framework=framework, workers=4, least=1, storage=True, env=env) as job:
        job.start(0, 1).pods[0].wait_for(lambda pod: "kept" in pod.lines, _LONGEST)
        begun = time.perf_counter()
        job.start(2, 3)
        took = {4: _first(job, (0, 1, 2, 3), begun)}
        job.pods[0].wait_for(lambda pod: pod.lines.count("kept") >= 2, _LONGEST)
        begun = time.perf_counter()
        job.pods[1].process.send_signal(signal.SIGTERM)
        return took | {3: _first(job, (0, 2, 3), begun)}


def _first(job: Workers, indexes: tuple[int, ...], begun: float) -> float:
    line = f"first epoch of {len(indexes)}"
    for index in indexes:
        job.pods[index].wait_for(lambda pod: line in pod.lines, _LONGEST)
    return time.perf_counter() - begun


def bare(framework: str, size: int) -> float:
    """Start so many ranks by themselves; returns the seconds to their first epoch's end."""
    cell = pack(BEGIN + TRAININGS[framework] + FOREVER, {}, framework=framework).payload
    roles = Roles(size)
    members = [Member(f"127.0.9.{rank + 1}", free_ports(ports_for(1))) for rank in range(size)]
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(images.frameworks())])
    with tempfile.TemporaryDirectory() as folder:
        started = []
        begun = time.perf_counter()
        try:
            for rank in range(size):
                identity = {"rank": rank, "world_size": size}
                about = {"identity": identity, "strategy": roles.strategy(rank)}
                process = subprocess.Popen(
                    [sys.executable, "-uc", BARE, json.dumps(about)],
                    env={
                        "PATH": os.environ["PATH"],
                        "HOME": folder,
                        "PYTHONPATH": path,
                        "JUPYTER_KUBE_STORAGE": folder,
                        **dict.fromkeys(_THREADS, "1"),
                        **environment(framework, Place(members, rank, roles)),
                    },
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
                started.append(process)
                assert process.stdin is not None
                process.stdin.write(cell)
                process.stdin.close()
            for process in started:
                assert process.stdout is not None
                while not (line := process.stdout.readline()).startswith(b"first epoch"):
                    assert line, "a rank has ended"
            return time.perf_counter() - begun
        finally:
            for process in started:
                process.kill()
                process.wait()
                if process.stdout is not None:
                    process.stdout.close()


def main() -> None:
    """Do what the command line says."""
    described = (__doc__ or "").partition("    python")[0]
    parser = argparse.ArgumentParser(prog="python -m bench.elastic", description=described)
    parser.add_argument("--frameworks", nargs="+", default=list(TRAININGS), choices=TRAININGS)
    parser.add_argument("-n", type=int, default=3, help="rounds, in which ours and bare alternate")
    parser.add_argument("--json", default="", help="file for the figures")
    options = parser.parse_args()
    taken: dict[str, dict[str, list[float]]] = {}
    print(f"| {os.cpu_count()} cores | ours, s | bare, s | ratio |\n| --- | --- | --- | --- |")
    for framework in options.frameworks:
        figures = taken[framework] = {}
        for _ in range(options.n):
            for size in (4, 3):
                figures.setdefault(f"bare {size}", []).append(bare(framework, size))
            for size, seconds in ours(framework).items():
                figures.setdefault(f"ours {size}", []).append(seconds)
        for size, change in ((4, "2 → 4"), (3, "4 → 3")):
            mine, alone = (statistics.median(figures[f"{arm} {size}"]) for arm in ("ours", "bare"))
            print(f"| {framework} {change} | {mine:.1f} | {alone:.1f} | {mine / alone:.2f} |")
    if options.json:
        Path(options.json).write_text(json.dumps(taken, indent=1))


if __name__ == "__main__":
    main()
