"""The small parts of a worker: environment, output, messages, the cell's kube."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.boot import MEMORY_FILE
from jupyter_kube.train.cell import pack
from jupyter_kube.train.environment import Member, Place, environment, ports_for
from jupyter_kube.train.frames import Frame, Parser
from jupyter_kube.train.host import (
    free_ports,
    look_up,
    memory_file,
    place_in_job,
    scratch_folder,
    surroundings,
)
from jupyter_kube.train.kube import Kube
from jupyter_kube.train.messages import Channel, NotOurs
from jupyter_kube.train.output import Output
from jupyter_kube.train.process import is_stopped, oom_kills
from jupyter_kube.train.provide import CannotRun, check_python
from jupyter_kube.train.roles import Roles

KEY = b"k" * 32
MEMBERS = [Member("10.0.0.7", [2222, 3333]), Member("fd00::1", [4444, 5555])]


def place(rank: int, members: list[Member] = MEMBERS, **roles: Any) -> Place:
    ranks = sum(len(member.endpoints) for member in members)
    return Place(members, rank, Roles(roles.pop("workers", ranks), **roles))


def test_tensorflow_gets_its_cluster() -> None:
    env = environment("tensorflow", place(1))
    assert json.loads(env["TF_CONFIG"]) == {
        "cluster": {"worker": ["10.0.0.7:2222", "[fd00::1]:4444"]},
        "task": {"type": "worker", "index": 1},
    }
    assert "GRPC_FAIL_FAST" not in env
    assert "TF_CONFIG" not in environment("tensorflow", place(0, MEMBERS[:1]))


@pytest.mark.parametrize(
    ("rank", "role", "index", "serves", "strategy"),
    [
        (0, "chief", 0, False, "ParameterServerStrategy"),
        (1, "worker", 0, True, ""),
        (2, "worker", 1, True, ""),
        (3, "ps", 0, True, ""),
        (4, "evaluator", 0, False, ""),
    ],
)
def test_each_role_gets_its_task(
    rank: int, role: str, index: int, serves: bool, strategy: str
) -> None:
    members = [Member(f"10.0.0.{number}", [2000 + number, 3000]) for number in range(5)]
    roles = Roles(2, chief=True, ps=1, evaluator=True)
    env = environment("tensorflow", Place(members, rank, roles))
    assert json.loads(env["TF_CONFIG"]) == {
        "cluster": {
            "chief": ["10.0.0.0:2000"],
            "worker": ["10.0.0.1:2001", "10.0.0.2:2002"],
            "ps": ["10.0.0.3:2003"],
        },
        "task": {"type": role, "index": index},
    }
    assert env["GRPC_FAIL_FAST"] == "use_caller"
    assert (roles.of(rank), roles.first(role)) == ((role, index), rank - index)
    assert (roles.serves(rank), roles.strategy(rank)) == (serves, strategy)


@pytest.mark.parametrize(
    ("roles", "trainers", "strategies"),
    [
        (Roles(2), 2, ["MultiWorkerMirroredStrategy"] * 2),
        (Roles(1), 1, [""]),
        (Roles(1, chief=True), 2, ["MultiWorkerMirroredStrategy"] * 2),
        (Roles(1, evaluator=True), 1, ["", ""]),
        (Roles(2, ps=1), 2, ["", "", ""]),
        (Roles(2, chief=True, ps=2), 1, ["ParameterServerStrategy", "", "", "", ""]),
    ],
)
def test_who_trains_together_and_how(roles: Roles, trainers: int, strategies: list[str]) -> None:
    assert roles.trainers == trainers
    assert [roles.strategy(rank) for rank in range(roles.size)] == strategies
    serving = [roles.of(rank)[0] for rank in range(roles.size) if roles.serves(rank)]
    assert (
        serving == ["worker"] * roles.workers * (roles.chief and roles.ps > 0) + ["ps"] * roles.ps
    )


def test_a_pod_knows_its_number_in_the_job() -> None:
    assert place_in_job({}) == 0
    env = {"JOB_COMPLETION_INDEX": "1", "JUPYTER_KUBE_FIRST_RANK": "3"}
    assert place_in_job(env) == 4


def test_everybody_gets_the_common_variables() -> None:
    everybodys = {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "GROUP_RANK": "1",
        "GROUP_WORLD_SIZE": "2",
        "MASTER_ADDR": "10.0.0.7",
        "MASTER_PORT": "3333",
    }
    assert environment("python", place(1)) == environment("pytorch", place(1)) == everybodys
    assert everybodys.items() < environment("tensorflow", place(1)).items()


def test_ranks_that_share_a_pod_share_its_gpus() -> None:
    members = [Member("10.0.0.7", [1, 2, 9]), Member("10.0.0.8", [3, 4, 8])]
    assert len(members[0].ports) == ports_for(2)
    env = environment("paddle", place(3, members), gpus=4)
    expected = {
        "RANK": "3",
        "WORLD_SIZE": "4",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "1",
        "GROUP_WORLD_SIZE": "2",
        "MASTER_ADDR": "10.0.0.7",
        "MASTER_PORT": "9",
        "CUDA_VISIBLE_DEVICES": "2,3",
        "PADDLE_TRAINER_ID": "3",
        "PADDLE_TRAINERS_NUM": "4",
        "PADDLE_TRAINER_ENDPOINTS": "10.0.0.7:1,10.0.0.7:2,10.0.0.8:3,10.0.0.8:4",
        "PADDLE_CURRENT_ENDPOINT": "10.0.0.8:4",
        "PADDLE_RANK_IN_NODE": "1",
    }
    assert expected.items() < env.items()
    assert "CUDA_VISIBLE_DEVICES" not in environment("pytorch", place(3, members), gpus=4)
    assert "CUDA_VISIBLE_DEVICES" not in environment("paddle", place(3, members))
    assert "CUDA_VISIBLE_DEVICES" not in environment("paddle", place(1), gpus=4)


def test_paddle_gets_its_trainers() -> None:
    env = environment("paddle", place(1))
    assert {name: value for name, value in env.items() if name.startswith("PADDLE_")} == {
        "PADDLE_TRAINER_ID": "1",
        "PADDLE_TRAINERS_NUM": "2",
        "PADDLE_TRAINER_ENDPOINTS": "10.0.0.7:2222,[fd00::1]:4444",
        "PADDLE_CURRENT_ENDPOINT": "[fd00::1]:4444",
        "PADDLE_RANK_IN_NODE": "0",
    }


def test_gloo_keeps_to_loopback_where_members_are_there() -> None:
    local = [Member("127.9.0.1", [1, 2]), Member("127.9.0.2", [3, 4])]
    assert environment("pytorch", place(0, local))["GLOO_SOCKET_IFNAME"] == "lo"


class Log:
    """An output whose log is a file in memory and whose clock is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self._file = os.memfd_create("log")
        self._seen = 0
        self.out = Output(self._file, KEY, 0, later=self._later, clock=lambda: self.now)

    def _later(self, seconds: float, function: Callable[[], None]) -> None:
        self.timers.append((self.now + seconds, function))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        due = [each for each in self.timers if each[0] <= self.now]
        self.timers = [each for each in self.timers if each[0] > self.now]
        for _, function in due:
            function()

    def bytes(self) -> bytes:
        """What was written since the last time."""
        fresh = os.pread(self._file, 1 << 20, self._seen)
        self._seen += len(fresh)
        return fresh

    def text(self) -> str:
        return self.bytes().decode()

    def tail(self, size: int) -> str:
        """Return the whole lines among the newest bytes."""
        length = os.fstat(self._file).st_size
        return os.pread(self._file, size, max(0, length - size)).decode().partition("\n")[2]

    def close(self) -> None:
        os.close(self._file)


@pytest.fixture
def log():
    it = Log()
    yield it
    it.close()


def test_lines_go_out_when_they_are_whole(log: Log) -> None:
    log.out.feed(b"one\ntw")
    assert log.text() == "one\n"
    log.out.feed(b"o\r\nthree\n")
    assert log.text() == "two\nthree\n"
    log.out.feed(b"last")
    log.out.finish()
    assert log.text() == "last\n"


def test_an_unfinished_line_is_shown_after_a_while_and_then_replaced(log: Log) -> None:
    log.out.feed(b"loading...")
    assert log.text() == ""
    log.pass_time(0.6)
    assert log.text() == "loading...\r\n"
    log.out.feed(b" done\n")
    assert log.text() == "loading... done\n"


def test_progress_goes_out_a_few_times_a_second(log: Log) -> None:
    for number in range(100):
        log.now += 0.01
        log.out.feed(f"\r{number}%".encode())
    log.out.feed(b"\rall\n")
    lines = log.text().split("\n")[:-1]
    assert lines[-1] == "all"
    assert all(line.endswith("%\r") for line in lines[:-1])
    assert 4 <= len(lines) <= 7


def test_a_frame_never_begins_inside_a_line(log: Log) -> None:
    log.out.feed(b"half a line")
    log.out.frame("state", phase="running")
    log.out.feed(b", whole\n")
    frame, line = log.text().split("\n")[:2]
    assert isinstance(Parser(KEY).feed(frame), Frame)
    assert line == "half a line, whole"


def test_a_line_without_end_is_cut(log: Log) -> None:
    log.out.feed(b"x" * 70_000)
    assert log.text() == "x" * 70_000 + "\n"
    for _ in range(153):
        log.out.feed(bytes(65_536))
    log.out.feed(b"\n")
    whole = log.tail(11_000_000).split("\n")
    assert sum(map(len, whole)) == 153 * 65_536
    assert max(map(len, whole)) < 2 * 65_536 + 1


@given(st.binary(max_size=300).map(lambda b: b.replace(b"\r", b"")), st.integers(1, 7))
def test_however_output_is_cut_nothing_is_lost(data: bytes, size: int) -> None:
    it = Log()
    try:
        for at in range(0, len(data), size):
            it.out.feed(data[at : at + size])
        it.out.finish()
        written = it.bytes()
    finally:
        it.close()
    assert written == (data if data.endswith(b"\n") or not data else data + b"\n")


def rows(text: str) -> list[list[Any]]:
    """The reports in a log: number, step, metrics."""
    parser = Parser(KEY)
    fed = [parser.feed(line) for line in text.split("\n")[:-1]]
    found = [row for frame in fed if isinstance(frame, Frame) for row in frame.data["rows"]]
    return [[number, step, metrics] for number, _, _, _, step, metrics in found]


def test_reports_are_written_together_and_of_too_many_the_last_values(log: Log) -> None:
    for step in range(50):
        log.out.report(step, {"loss": step / 10})
    log.out.report(50, {"accuracy": 1})
    assert rows(log.text()) == [[1, 0, {"loss": 0.0}]]
    log.pass_time(0.2)
    together = rows(log.text())
    assert together[:-1] == [[step + 1, step, {"loss": step / 10}] for step in range(1, 30)]
    assert together[-1] == [51, 50, {"loss": 4.9, "accuracy": 1}]
    log.out.report(51, {"loss": 1})
    log.out.report(52, {"loss": 2})
    log.out.finish()
    assert [step for _, step, _ in rows(log.text())] == [51, 52]


def test_reports_too_large_to_be_written_together_go_out_one_by_one(log: Log) -> None:
    for number in range(3):
        log.out.report(number, {f"{number}": "x" * 4000})
    log.out.finish()
    assert [step for _, step, _ in rows(log.text())] == [0, 1, 2]
    log.out.report(10**4000, {"x": "x" * 2000})
    log.out.report(10**4000, {"y": "y" * 90})
    log.pass_time(1)
    assert [set(metrics) for _, _, metrics in rows(log.text())] == [{"x"}, {"y"}]


def test_reports_are_repeated_in_a_long_log(log: Log) -> None:
    for step in range(1000):
        log.out.report(step, {"loss": 1})
        log.pass_time(1)
    assert [number for number, _, _ in rows(log.text())] == list(range(1, 1001))
    for _ in range(33):
        log.out.feed(b"x" * 65_000 + b"\n")
    log.out.feed(b"the last line\n")
    text = log.tail(300_000)
    again = [number for number, _, _ in rows(text)]
    assert 100 <= len(again) <= 201
    assert again[-1] == 1000
    assert text.endswith("the last line\n")
    log.out.finish()
    assert [number for number, _, _ in rows(log.tail(300_000))][-1] == 1000
    assert log.tail(300_000).count("report") > text.count("report")


# messages


async def pair(key_c: bytes = KEY, key_m: bytes = KEY) -> tuple[Channel, Channel]:
    one, other = socket.socketpair()
    (r1, w1), (r2, w2) = await asyncio.gather(
        asyncio.open_connection(sock=one), asyncio.open_connection(sock=other)
    )
    channels = await asyncio.gather(
        Channel.open(r1, w1, key_c, "C"), Channel.open(r2, w2, key_m, "M")
    )
    return channels[0], channels[1]


def test_messages_arrive_in_both_directions() -> None:
    async def work() -> None:
        coordinator, member = await pair()
        member.send("hello", index=1)
        coordinator.send("start", members=["é"])
        assert await coordinator.receive() == {"kind": "hello", "index": 1}
        assert await member.receive() == {"kind": "start", "members": ["é"]}
        await member.close()
        assert await coordinator.receive() is None
        await coordinator.close()

    asyncio.run(work())


def test_another_key_is_not_ours() -> None:
    async def work() -> None:
        coordinator, member = await pair(key_m=b"other")
        member.send("hello", index=1)
        with pytest.raises(NotOurs):
            await coordinator.receive()
        await asyncio.gather(member.close(), coordinator.close())

    asyncio.run(work())


def test_a_message_sent_back_or_repeated_is_not_ours() -> None:
    async def work(repeat: bool) -> None:
        coordinator, member = await pair()
        member.send("beat")
        reader, writer = coordinator._reader, member._writer
        line = await reader.readline()
        reader.feed_data(line * (2 if repeat else 1))
        if repeat:
            await coordinator.receive()
            victim = coordinator
        else:
            coordinator._writer.write(line)
            victim = member
        with pytest.raises(NotOurs):
            await victim.receive()
        assert not writer.is_closing()
        await asyncio.gather(member.close(), coordinator.close())

    asyncio.run(work(repeat=True))
    asyncio.run(work(repeat=False))


# small helpers of the supervisor


def test_names_are_found_in_the_hosts_file(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n\n127.1.2.3 a-0.a.ns.svc a-0.a # a comment\n")
    assert look_up(hosts, "a-0.a") == "127.1.2.3"
    with pytest.raises(socket.gaierror):
        look_up(hosts, "comment")


def test_free_ports_are_different_and_can_be_bound() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    with socket.socket() as sock:
        sock.bind(("", ports[0]))


def test_files_in_memory_need_no_python_that_was_built_for_a_new_libc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names: dict[str, Any] = {"os": os}
    exec(MEMORY_FILE, names)
    monkeypatch.delattr(os, "memfd_create")
    for make in (memory_file, names["memory_file"]):
        with os.fdopen(make("any"), "r+b") as file:
            file.write(b"secret")
            file.flush()
            assert os.pread(file.fileno(), 10, 0) == b"secret"


def test_a_worker_writes_where_it_is_told_to_else_where_it_can(tmp_path: Path) -> None:
    assert scratch_folder({"JUPYTER_KUBE_SCRATCH": "/given"}) == "/given"
    first, second = (Path(scratch_folder({"TMPDIR": str(tmp_path)})) for _ in range(2))
    assert first != second
    assert first.parent == second.parent == tmp_path
    assert first.stat().st_mode & 0o777 == 0o700


def test_a_worker_that_can_write_nowhere_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, mode: int) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(OSError, match=r"none of /tmp, /home, /dev/shm is writable"):
        scratch_folder({"HOME": "/home", "TMPDIR": "here"})  # its processes are elsewhere


def test_a_user_without_a_home_gets_one(tmp_path: Path) -> None:
    env = {"JUPYTER_KUBE_SCRATCH": str(tmp_path), "HOME": "/"}
    assert surroundings(env)["HOME"] == str(tmp_path)
    assert surroundings({**env, "HOME": "/nowhere"})["HOME"] == str(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    assert surroundings({**env, "HOME": str(home)})["HOME"] == str(home)


@pytest.mark.parametrize("name", ["memory.events", "memory/memory.oom_control"])
def test_kills_for_want_of_memory_are_counted(tmp_path: Path, name: str) -> None:
    assert oom_kills(tmp_path) == 0
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("oom 3\noom_kill 2\n")
    assert oom_kills(tmp_path) == 2


def test_functions_do_not_travel_between_versions_of_python() -> None:
    def elsewhere(source: str, **values: Any) -> dict[str, Any]:
        payload = zlib.decompress(pack(source, values).payload)
        return {**json.loads(payload), "python": "3.9"}

    with pytest.raises(CannotRun, match=r"the notebook runs Python 3\.9, this image 3\."):
        check_python(elsewhere("f()", f=eval("lambda: 1", {"__name__": "__main__"})))
    check_python(elsewhere("x", x=1))


IMAGE = """
import sys, types
sys.modules["cloudpickle"] = sys.modules["cloudpickle.cloudpickle"] = types.ModuleType("older")
sys.path.insert(0, sys.argv[2])
from jupyter_kube.train.provide import provide_cloudpickle
provide_cloudpickle(open(sys.argv[1]).read())
import cloudpickle
print(cloudpickle.__version__, cloudpickle.loads(cloudpickle.dumps(lambda: 42))())
"""


def test_the_notebooks_cloudpickle_is_whole_whatever_the_image_has_imported(tmp_path: Path) -> None:
    packed = json.loads(zlib.decompress(pack("pass", {}).payload))
    (tmp_path / "source").write_text(packed["cloudpickle"])
    argv = [sys.executable, "-c", IMAGE, str(tmp_path / "source"), str(Path(__file__).parents[2])]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [cloudpickle.__version__, "42"]


# kube in the cell


@given(st.integers(1, 6), st.integers(0, 60))
def test_shards_are_equal_disjoint_and_leave_out_less_than_one_each(world: int, n: int) -> None:
    kubes = [Kube(rank=rank, world_size=world) for rank in range(world)]
    if n < world:
        if world > 1:
            with pytest.raises(ValueError, match="cannot be shared"):
                kubes[0].shard(list(range(n)))
        return
    shards = [kube.shard(list(range(n))) for kube in kubes]
    assert len({len(shard) for shard in shards}) == 1
    joined = [value for shard in shards for value in shard]
    assert len(set(joined)) == len(joined) > n - world
    arrays = [kube.shard(np.arange(n)).tolist() for kube in kubes]
    assert arrays == shards


def test_tables_and_data_sets_are_shared_their_own_way() -> None:
    class Table:
        shape = (4, 2)
        iloc = list("abcd")

    class DataSet:
        def shard(self, count: int, index: int) -> tuple[int, int]:
            return count, index

    class Counted(DataSet):
        taken = 0

        def cardinality(self) -> int:
            return 29

        def take(self, count: int) -> DataSet:
            Counted.taken = count
            return self

    kube = Kube(rank=1, world_size=2)
    assert kube.shard(Table()) == ["b", "d"]
    assert kube.shard(DataSet()) == (2, 1)
    assert kube.shard(Counted()) == (2, 1)
    assert Counted.taken == 28


def test_reports_take_plain_values_only() -> None:
    told: list[tuple[Any, Any]] = []
    kube = Kube(report=lambda step, metrics: told.append((step, dict(metrics))))
    kube.report(np.int64(3), loss=np.float32(0.5), name="x", ok=True, bad=float("nan"))
    assert told == [(3, {"loss": 0.5, "name": "x", "ok": True, "bad": "nan"})]
    with pytest.raises(TypeError, match="loss is a list"):
        kube.report(loss=[1])
    with pytest.raises(ValueError, match="4096"):
        kube.report(text="x" * 5000)
    with pytest.raises(ValueError, match="4096"):
        kube.report(step=10**4100)
    for step in ("3", True, float("inf")):
        with pytest.raises(TypeError, match="step must be a number"):
            kube.report(step=step)
    Kube().report(loss=1)


def test_folders_are_on_storage_where_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_KUBE_SCRATCH", str(tmp_path / "scratch"))
    assert Kube().checkpoint_dir == str(tmp_path / "scratch" / "work" / "checkpoints")
    monkeypatch.setenv("JUPYTER_KUBE_STORAGE", str(tmp_path / "disk"))
    folder = Path(Kube(job="digits-1").output_dir)
    assert folder == tmp_path / "disk" / ".jupyter-kube" / "digits-1" / "output"
    assert folder.is_dir()


def test_a_process_whose_name_was_cut_within_a_letter_is_looked_at_all_the_same():
    name = "import sys; open('/proc/self/comm', 'wb').write('fourteen-chars\xfc'.encode())"
    wait = "print(flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", f"{name}; {wait}"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as named:
        assert named.stdout is not None
        named.stdout.readline()
        assert not is_stopped(named.pid)
        named.communicate()
