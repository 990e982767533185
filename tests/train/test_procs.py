"""Workers of several processes: each a rank of its own, in one pod and one log."""

from __future__ import annotations

import os
import signal

from jupyter_kube.train.feed import Line, line_of

from .workers import Workers


def test_ranks_go_through_all_pods_and_say_whose_their_lines_are() -> None:
    source = """
import os
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_PORT")
print(kube.rank, kube.local_rank, kube.world_size, *(os.environ[name] for name in names))
kube.report(step=kube.rank, rank=kube.rank)
display(kube.rank)
end = kube.rank
"""
    with Workers(source, procs=2, outputs=("end",)).start() as job:
        assert job.codes() == [0, 0]
        lines = [sorted(pod.lines) for pod in job.pods]
        port = lines[0][0].rpartition(" ")[2]
        assert lines == [
            [f"[0] 0 0 4 0 0 4 2 0 {port}", f"[1] 1 1 4 1 1 4 2 0 {port}"],
            [f"[2] 2 0 4 2 0 4 2 1 {port}", f"[3] 3 1 4 3 1 4 2 1 {port}"],
        ]
        rows = [row for frame in job.all_frames("report") for row in frame.data["rows"]]
        assert sorted((row[2], row[4]) for row in rows) == [(n, n) for n in range(4)]
        assert {(row[0], row[2] // 2) for row in rows} == {(1, 0), (2, 0), (1, 1), (2, 1)}
        assert sorted(frame.rank for frame in job.all_frames("display")) == [0, 1, 2, 3]
        assert job.values() == {"end": 0}


def test_a_process_that_is_killed_is_named_by_its_rank_and_all_start_again() -> None:
    source = """
import os, time
print("pid", os.getpid(), flush=True)
if kube.generation == 1: time.sleep(600)
"""
    with Workers(source, procs=2).start() as job:
        pid = int(job.pods[1].wait_line("[3] pid").split()[2])
        os.kill(pid, signal.SIGKILL)
        assert job.codes() == [0, 0]
        restart = job.pods[0].wait_state("restarting")
        assert restart.data["cause"] == "rank 3 was killed (SIGKILL)"


def test_an_exception_is_its_ranks_own() -> None:
    source = "import time\nif kube.rank == 3: raise ValueError('odd')\ntime.sleep(600)"
    with Workers(source, procs=2).start() as job:
        assert job.codes() == [42, 42]
        (raised,) = job.all_frames("exception")
        assert (raised.rank, raised.data["message"]) == (3, "odd")
        assert '"rank": 3' in job.pods[1].message
        end = job.pods[0].frames[-1].data
        assert (end["cause"], end["text"]) == (3, "rank 3 raised ValueError: odd")


def test_a_lost_pod_takes_all_its_ranks_along() -> None:
    source = "import time\nprint('begun', flush=True)\ntime.sleep(600)"
    with Workers(source, procs=2, patience=1).start() as job:
        job.pods[0].wait_line("[0] begun")
        job.pods[1].wait_line("[3] begun")
        job.pods[1].process.send_signal(signal.SIGTERM)
        assert job.codes() == [42, 143]
        words = "ranks 2 and 3 were lost and did not come back for 1 seconds"
        assert job.pods[0].frames[-1].data == {"ok": False, "text": words, "cause": 2, "about": {}}


def test_only_a_number_of_the_pods_own_at_a_lines_beginning_says_whose_it_is() -> None:
    assert line_of(2, 2, "[3] [2] x") == Line(3, "[2] x")
    assert line_of(2, 2, "[4] x") == Line(2, "[4] x")
    assert line_of(2, 2, "x [3] ") == Line(2, "x [3] ")
    assert line_of(2, 1, "[2] x") == Line(2, "[2] x")
