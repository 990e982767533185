"""The magics in a real IPython shell, their jobs on the local cluster."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from jupyter_kube import config, magics, naming, needs, train
from jupyter_kube.errors import JobFailed, RemoteError
from jupyter_kube.kube import objects
from jupyter_kube.kube.watch import Reflector
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.train import display
from jupyter_kube.train.background import background
from jupyter_kube.train.connection import connection
from jupyter_kube.train.view import job_view

ALL = (objects.JOBS, objects.PODS, objects.SERVICES, objects.SECRETS)


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory):
    path = tmp_path_factory.mktemp("cluster") / "kubeconfig"
    with LocalCluster(gpus=2, images_missing=["missing:1"]).run_in_thread() as cluster:
        cluster.write_kubeconfig(path)
        yield path


@pytest.fixture
def shell(kubeconfig, monkeypatch, tmp_path):
    """A shell with the extension loaded; afterwards nothing is left on the cluster."""
    for variable in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    (tmp_path / "jupyter_kube_config.py").write_text(
        'c.KubeConfig.profiles = {"small": {"image": "py:1", "env": {"PIP_NO_INDEX": "1"}},'
        ' "broken": {"image": "missing:1"}}'
    )
    monkeypatch.setattr(magics.KubeMagics, "second_thought", 0)
    made = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    made.run_line_magic("load_ext", "jupyter_kube")
    yield made
    for view in train.jobs():
        train.kill(view.name)
    background.run(emptied())
    background.close()


async def emptied():
    """Wait until nothing of ours is left."""
    client = await connection(config.load())
    for resource in ALL:
        watch = Reflector(client, resource, labels=naming.SELECTOR)
        await watch.start()
        await watch.synced()
        for name in list(watch.items):
            await watch.wait_for(name, lambda item: item is None or None, 30)
        await watch.close()


def anything():
    """Name what of ours is on the cluster now."""

    async def find():
        client = await connection(config.load())
        lists = [await objects.list_(client, kind, labels=naming.SELECTOR) for kind in ALL]
        return [item["metadata"]["name"] for found in lists for item in found["items"]]

    return background.run(find())


async def settled(name):
    """Wait until the cluster knows of a job's end, which a follower is told of before."""
    watch = Reflector(await connection(config.load()), objects.JOBS, labels=naming.SELECTOR)
    await watch.start()
    await watch.wait_for(name, lambda job: job_view(job).finished or None, 30)
    await watch.close()


def name_in(text):
    return re.search(r"\b[a-z]+-[a-z0-9]{4}\b", text)[0]


HELPER = "def double(x):\n    return 2 * x\nbase = 21"


def test_a_cell_runs_on_two_workers_and_its_output_comes_back(shell, capsys):
    shell.run_cell(HELPER)
    result = shell.run_cell(
        "%%kubetrain -w 2 --name happy -o answer\n"
        "print('this is', kube.rank, 'of', kube.world_size)\n"
        "answer = double(base) + kube.rank"
    )
    assert result.success
    assert shell.user_ns["answer"] == 42
    out = capsys.readouterr().out
    assert "[0] this is 0 of 2" in out
    assert "[1] this is 1 of 2" in out
    assert re.search(r"happy-\w{4} · python · 2 workers · small", out)
    assert re.search(r"^answer ← rank 0, \d+ B$", out, re.MULTILINE)
    background.run(settled(name_in(out)))
    shell.run_line_magic("kube", "status")
    assert re.search(r"happy-\w{4} +python +2 +succeeded", capsys.readouterr().out)


def test_what_cannot_come_back_is_named_after_the_rest_came(shell, capsys):
    cell = "%%kubetrain --name part -o lock,a\nimport threading\nlock = threading.Lock()\na = 1"
    result = shell.run_cell(cell)
    assert isinstance(result.error_in_exec, JobFailed)
    assert '"lock" could not come back: a lock cannot be sent' in str(result.error_in_exec)
    assert shell.user_ns.pop("a") == 1
    out = capsys.readouterr().out
    assert "a ← rank 0" in out
    name = name_in(out)
    assert shell.run_cell(f"%kube attach {name} -o a").success
    assert shell.user_ns["a"] == 1
    with pytest.raises(JobFailed, match='"lock" could not come back'):
        train.attach(name).result(60)
    wrong = shell.run_cell(f"%kube attach {name} -o b")
    assert 'has no output "b"' in str(wrong.error_in_exec)


def test_logs_and_why_after_the_end(shell, capsys, tmp_path):
    shell.run_cell("%%kubetrain -w 2 --name ends\nfor n in range(3): print(kube.rank, n)")
    name = name_in(capsys.readouterr().out)
    shell.run_line_magic("kube", f"logs {name} -r 1 --tail 2")
    assert capsys.readouterr().out == "[1] 1 1\n[1] 1 2\n"
    shell.run_line_magic("kube", f"logs {name} --follow")
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(
        f"[{rank}] {rank} {n}" for rank in (0, 1) for n in range(3)
    )
    shell.run_line_magic("kube", f"logs {name} --file {tmp_path}/all.log")
    assert capsys.readouterr().out == f"Written: {tmp_path}/all.log, 6 lines.\n"
    assert (tmp_path / "all.log").read_text() == "".join(
        f"[{rank}] {rank} {n}\n" for rank in (0, 1) for n in range(3)
    )
    for wrong in (f"--file {tmp_path}", "--file x --tail 1", "-f --tail 0"):
        assert not shell.run_cell(f"%kube logs {name} {wrong}").success
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith(f"UsageError: --file {tmp_path} cannot be written: ")
    assert told[1] == "UsageError: --file takes all that was said: leave -f and --tail out"
    assert told[2] == "UsageError: -f begins with a job's first line: leave --tail out, or -f"
    background.run(settled(name))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("JUPYTER_KUBE_USER", "somebody-else")
        shell.run_line_magic("kube", "status")
        shell.run_line_magic("kube", "status --all")
    mine, heading, row = capsys.readouterr().out.splitlines()
    assert mine == "You have no jobs here."
    assert heading.split() == ["NAME", "OWNER", "FRAMEWORK", "WORKERS", "STATE", "AGE"]
    assert row.split()[:3] == [name, config.user_name(), "python"]
    gone = shell.run_cell(f"%kube cp {name}:x {tmp_path}").error_in_exec
    assert str(gone).startswith(f"the files of rank 0 of {name} are not to be had: they are in its")
    capsys.readouterr()
    shell.run_line_magic("kube", f"why {name}")
    assert capsys.readouterr().out == f"{name} succeeded.\n"
    shell.run_line_magic("kube", f"status {name}")
    assert "  1  succeeded" in capsys.readouterr().out


def test_an_exception_in_a_rank_is_raised_here_with_its_own_traceback(shell, capsys):
    result = shell.run_cell(
        "%%kubetrain -w 2 --name bad\n"
        "if kube.rank == 1:\n"
        "    raise ValueError('no luck')\n"
        "import time; time.sleep(600)"
    )
    error = result.error_in_exec
    assert isinstance(error, RemoteError)
    assert (error.rank, error.etype, error.message) == (1, "ValueError", "no luck")
    shown = capsys.readouterr().out
    assert "raise ValueError('no luck')" in shown
    assert re.search(r"rank 1 raised ValueError: no luck \(pod bad-\w{4}-1-\w+\)", shown)
    assert "magics.py" not in shown
    name = name_in(shown)
    shell.run_line_magic("kube", f"why {name}")
    assert "rank 1 raised ValueError: no luck" in capsys.readouterr().out


def test_ranks_that_find_no_gpu_say_so_in_the_schedulers_words(shell, capsys):
    shell.run_cell("%%kubetrain -w 3 --gpus 1 --name gpus --detach\nprint(1)")
    name = name_in(capsys.readouterr().out)
    job = train.attach(name)
    job.follow()
    while not any("Insufficient" in rank.reason for rank in job.feed.view.ranks):
        assert job.feed.wait(30)
        job.feed.take()
    job.detach()
    shell.run_line_magic("kube", f"why {name}")
    said = capsys.readouterr().out
    assert "is waiting: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu" in said
    assert re.search(rf"platform engineer: job/{name}, pod/{name}-\d-\w+ in namespace ", said)
    shell.run_line_magic("kube", f"kill {name}")
    assert capsys.readouterr().out.startswith(f"Stopped: {name}")
    background.run(emptied())
    result = shell.run_cell(f"%kube status {name}")
    assert f'there is no job "{name}"' in str(result.error_in_exec)


def test_an_image_that_cannot_be_had_ends_the_cell_and_the_job(shell, capsys):
    result = shell.run_cell("%%kubetrain -w 1 -p broken --name image\nprint(1)")
    assert "rank 0 of image-" in str(result.error_in_exec)
    assert "cannot start" in str(result.error_in_exec)
    background.run(emptied())


def test_a_package_that_is_nowhere_is_said_without_a_traceback(shell, capsys):
    result = shell.run_cell("%%kubetrain -w 1 --name pip --pip jk-nowhere\nprint('never')")
    assert isinstance(result.error_in_exec, JobFailed)
    out = capsys.readouterr().out
    assert "[0] installing jk-nowhere …" in out
    assert out.endswith(
        "JobFailed: rank 0 cannot run the cell: could not install jk-nowhere: No matching"
        " distribution found for jk-nowhere\n"
    )


WAITING = """%%kubetrain -w 2 --name waits -o found
import pathlib, time
print("ready", flush=True)
while not pathlib.Path(signal_file).exists():
    time.sleep(0.02)
found = kube.world_size"""


class InterruptedScreen(display.PlainScreen):
    """Interrupts as a user would who has seen a rank's line."""

    def show(self, batch):
        super().show(batch)
        if any(line.text == "ready" for line in batch.lines):
            signal.raise_signal(signal.SIGINT)


def test_an_interrupt_detaches_and_another_process_attaches(shell, capsys, monkeypatch, tmp_path):
    shell.user_ns["signal_file"] = str(tmp_path / "go")
    with monkeypatch.context() as patched:
        patched.setattr(display, "PlainScreen", InterruptedScreen)
        result = shell.run_cell(WAITING)
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    out = capsys.readouterr().out
    name = name_in(out)
    assert (
        f"Detached: {name} goes on. Follow it again with %kube attach {name};"
        f" stop it with %kube kill {name}.\n"
    ) in out
    (tmp_path / "go").touch()
    script = f"from jupyter_kube import train; print(train.attach({name!r}).result(60))"
    other = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=90
    )
    assert other.stdout == "2\n"
    assert other.stderr == ""
    shell.run_line_magic("kube", f"attach {name}")
    assert shell.user_ns["found"] == 2
    assert "found ← rank 0" in capsys.readouterr().out


def test_a_second_interrupt_stops_the_job(shell, capsys, monkeypatch, tmp_path):
    shell.user_ns["signal_file"] = str(tmp_path / "never")
    with monkeypatch.context() as patched:
        patched.setattr(display, "PlainScreen", InterruptedScreen)
        patched.setattr(magics.time, "sleep", lambda _s: signal.raise_signal(signal.SIGINT))
        result = shell.run_cell(WAITING)
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert "Stopped: waits-" in capsys.readouterr().out
    background.run(emptied())


def test_in_this_kernel(shell, capsys):
    shell.run_cell(HELPER)
    result = shell.run_cell(
        "%%kubetrain -w 0 -o y\nkube.report(loss=1)\ny = double(4)\ny + kube.rank"
    )
    assert result.result == 8
    assert shell.user_ns["y"] == 8
    assert "kube" not in shell.user_ns
    shell.run_cell("%%kubetrain -w 0\nz = 1\nz / 0")
    shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert "ZeroDivisionError" in shown
    assert "z / 0" in shown
    assert "inprocess.py" not in shown
    assert anything() == []


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("-w 0\nawait work()", "awaits at top level cannot run in this kernel by -w 0. Run it"),
        ("-w 0\nreturn 1", "line 1: 'return' outside function"),
        ("-w 0 --memory 4GB\nran = 1", 'memory "4GB" is not a Kubernetes quantity'),
        ("-w 0 --cpu x\nran = 1", 'cpu "x" is not'),
        (
            "-w 0 --detach\nran = 1",
            "--detach is for jobs on the cluster, and -w 0 runs the cell in",
        ),
        (
            "-w 0 --export /x\nran = 1",
            "--export is for jobs on the cluster, and -w 0 runs the cell",
        ),
    ],
)
def test_what_is_wrong_is_refused_in_this_kernel_too(shell, capsys, cell, words):
    assert not shell.run_cell(f"%%kubetrain {cell}").success
    said = capsys.readouterr().err
    assert said.startswith("UsageError: ")
    assert words in said
    assert "ran" not in shell.user_ns


def test_a_dry_run_in_this_kernel_runs_nothing(shell, capsys):
    assert shell.run_cell("%%kubetrain -w 0 --dry-run\nran = 1").success
    assert capsys.readouterr().out.startswith("Would run in this kernel")
    assert "ran" not in shell.user_ns


def test_a_dry_run_shows_all_and_creates_nothing(shell, capsys):
    shell.run_cell(HELPER)
    shell.run_cell("%%kubetrain tensorflow -w 3 --dry-run --memory 4Gi -o z\nz = double(base)")
    out = capsys.readouterr().out
    assert "  base  int, " in out
    assert "  double  function, " in out
    assert "kind: Job" in out
    assert "completions: 3" in out
    assert 'memory: "4Gi"' in out
    for secret in re.findall(r"^  (?:key|worker|bundle): (.*)$", out, re.MULTILINE):
        assert re.fullmatch(r'"\([\d.]+ k?B\)"', secret)
    assert anything() == []


def test_what_is_wrong_is_refused_in_one_sentence_before_anything_is_created(shell, capsys):
    """All there is to refuse is in test_bad_inputs.py."""
    for cell, words in {
        "%%kubetrain -w 1.5\nx = 1": 'or 0 to run in this kernel (got "1.5")',
        "%%kubetrain -p large\nx = 1": 'there is no profile "large": there are: small, broken',
        "%%kubetrain -w 2\nprint(bas)": "nor in the notebook; did you mean base?",
        "%%kubetrain -w 0 --pip x\nx = 1": "-w 0 has none. Run %pip install in a cell of its own.",
    }.items():
        assert not shell.run_cell(f"{HELPER}\n").error_in_exec
        assert not shell.run_cell(cell).success
        err = capsys.readouterr().err
        assert err.startswith("UsageError: ")
        assert err.endswith(f"{words}\n")
        assert err.count("\n") == 1
    assert anything() == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "statsu",
            (
                'unknown command "statsu"; did you mean status? '
                "(status, panel, logs, cp, attach, scale, kill, rerun, why, push, pull, files)"
            ),
        ),
        ("logs", "the following arguments are required: NAME"),
        ("logs x --rnk 1", "unknown option --rnk; did you mean --rank?"),
        ("logs x -r one", '--rank must be a whole number (got "one")'),
    ],
)
def test_a_wrong_command_is_refused(shell, capsys, line, said):
    shell.run_cell(f"%kube {line}")
    assert capsys.readouterr().err == f"UsageError: {said}\n"


def test_help_is_printed(shell, capsys):
    assert shell.run_cell("%%kubetrain -h\n1").success
    assert "--workers N" in capsys.readouterr().out
    assert shell.run_cell("%kube").success
    assert "attach" in capsys.readouterr().out


def test_loading_the_extension_imports_nothing_heavy():
    script = (
        "import sys, IPython.core.magic, IPython.core.error; before = set(sys.modules);"
        "import jupyter_kube.magics;"
        "new = {m.partition('.')[0] for m in set(sys.modules) - before};"
        "print(sorted(new & {'aiohttp', 'kubernetes', 'asyncio', 'cloudpickle', 'yaml', 'numpy'}))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"


def test_tensorflow_trains_one_model_on_two_workers(shell, capsys):
    pytest.importorskip("tf_keras")
    shell.run_cell(
        "import numpy as np\n"
        "xs = np.linspace(-1, 1, 64, dtype='float32').reshape(-1, 1)\n"
        "def build():\n"
        "    import tf_keras as keras\n"
        "    model = keras.Sequential([keras.layers.Dense(1, kernel_initializer='zeros')])\n"
        "    model.compile(keras.optimizers.SGD(0.1), 'mse')\n"
        "    return model"
    )
    result = shell.run_cell(
        "%%kubetrain -w 2 --name fit -o losses,weights,replicas\n"
        "model = build()\n"
        "mine = kube.shard(xs)\n"
        "losses = model.fit(mine, 3 * mine, epochs=3, batch_size=8, verbose=0).history['loss']\n"
        "weights = model.get_weights()\n"
        "replicas = kube.strategy.num_replicas_in_sync"
    )
    assert result.success
    assert re.search(r"fit-\w{4} · tensorflow · 2 workers", capsys.readouterr().out)
    assert shell.user_ns["replicas"] == 2
    losses = shell.user_ns["losses"]
    assert losses[0] > losses[1] > losses[2]
    assert 0 < shell.user_ns["weights"][0][0][0] < 3


def test_a_file_is_written_where_rights_cannot_be_set(tmp_path, monkeypatch):
    monkeypatch.delattr("os.fchmod")  # as on Windows
    magics.KubeMagics._write_private(None, str(tmp_path / "job.yaml"), "a: 1")
    assert (tmp_path / "job.yaml").read_text() == "a: 1"


def test_the_panel_is_text_where_there_is_no_front_end(shell, capsys):
    assert shell.run_cell("%kube panel").success
    said = capsys.readouterr().out.splitlines()
    assert said == ["You have no jobs here.", magics._STEERED_BY]
    shell.run_cell("%%kubetrain --name shown --detach\nprint(1)")
    name = name_in(capsys.readouterr().out)
    assert shell.run_cell(f"%kube panel {name}").success
    assert capsys.readouterr().out.startswith(f"{name} · python · 1 worker")


def test_the_panel_says_what_it_needs(shell, monkeypatch):
    monkeypatch.setattr(shell, "kernel", object(), raising=False)
    monkeypatch.setattr(needs, "find_spec", lambda _name: None)
    error = shell.run_cell("%kube panel").error_in_exec
    assert str(error).startswith("The panel needs ipywidgets: not installed in ")
    assert str(error).endswith("Install with: pip install ipywidgets")
