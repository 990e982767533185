"""The panel in a real kernel, its jobs on the local cluster: what a front end receives and does."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from html import unescape

import pytest
from jupyter_client.manager import start_new_kernel

from jupyter_kube.localcluster import LocalCluster

from .frontend import VIEW, FrontEnd

CONFIG = """
c.KubeConfig.profiles = {"small": {"image": "py:1"}, "broken": {"image": "missing:1"}}
"""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """Starts kernels on a cluster with two GPUs."""
    folder = tmp_path_factory.mktemp("panel")
    (folder / "jupyter_kube_config.py").write_text(CONFIG)
    started = []
    with LocalCluster(gpus=2, images_missing=["missing:1"]).run_in_thread() as cluster:
        cluster.write_kubeconfig(folder / "kubeconfig")
        env = {
            **os.environ,
            "KUBECONFIG": str(folder / "kubeconfig"),
            "JUPYTER_CONFIG_DIR": str(folder),
            "IPYTHONDIR": str(folder),
        }

        def start():
            manager, client = start_new_kernel(kernel_name="python3", env=env, cwd=str(folder))
            started.append((manager, client))
            front = FrontEnd(client)
            front.run("%load_ext jupyter_kube")
            return front

        yield start
        for manager, client in started:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
            manager.cleanup_resources()


@pytest.fixture(scope="module")
def kernel(kernels):
    return kernels()


@pytest.fixture
def front(kernel):
    """A front end whose kernel has no jobs, before and after."""
    kernel.run("from jupyter_kube import train")
    yield kernel
    kernel.subshell = None
    reply = kernel.run("for view in train.jobs(): train.kill(view.name)")
    assert reply["status"] == "ok", reply


def said(front, words):
    return front.until(lambda: words in front.text(), words)


def submitted(front):
    """Run what the form says; returns the job's name."""
    front.click("Run on cluster")
    return front.until(
        lambda: re.search(r"Submitted: ([\w-]+)\.", front.text()), "a submitted job"
    )[1]


def test_the_cell_above_runs_on_two_workers_and_its_output_comes_back(front):
    front.run("def double(x): return 2 * x")
    front.run("print('<b>', kube.rank)\nanswer = double(21)")  # fails here: there is no kube
    reply = front.run("%kube panel")
    assert reply["status"] == "ok", "\n".join(reply["traceback"])
    assert VIEW in front.shown[-1]
    assert "%kube attach NAME" in front.shown[-1]["text/plain"]
    assert front.value("Code") == "print('<b>', kube.rank)\nanswer = double(21)"
    front.set("Workers", value="2")
    front.set("Outputs", value="answer")
    front.set("More", value="--name above")
    said(front, "%%kubetrain -w 2 --name above -o answer")
    name = submitted(front)
    assert name.startswith("above-")
    said(front, f"{name} succeeded. answer ← rank 0, ".replace(". ", ".\n", 1))
    text = front.text()
    assert "[0] <b> 0" in text
    assert "[1] <b> 1" in text
    assert "<b> 0" not in front.html()
    front.run("from IPython.display import display; display({'text/plain': str(answer)}, raw=True)")
    assert front.shown.pop()["text/plain"] == "42"


def opened(front, line="", body=""):
    """Show a panel anew, without code of another test."""
    code = f"%%kube panel {line}\n{body}" if body else f"%kube panel {line}"
    assert front.run(code)["status"] == "ok"


def test_the_panels_own_cell_is_this_one_and_is_not_run_here(front):
    opened(front, body="%%kubetrain python -w 1:3 --gpus 2 --retries 7 -o x\nx = kube.world_size")
    assert front.value("Code") == "x = kube.world_size"
    assert front.value("Workers") == "1:3"
    assert front.value("More") == "--retries 7"
    said(front, "%%kubetrain python -w 1:3 --gpus 2 -o x --retries 7")
    said(front, "1 of 3 fit: 2 of 2 GPUs free, each takes 2 GPUs.")


def test_a_cell_by_number_and_what_was_written(front):
    front.run("%kube status")
    number = front.run("written = 1")["execution_count"]
    opened(front)
    front.choose("Cell", "by number")
    front.until(lambda: front.find("Number"), "a field for the number")
    front.set("Number", value=number)
    front.until(lambda: front.value("Code") == "written = 1", "the cell's code")
    front.set("Number", value=9999)
    said(front, "this kernel has run no cell [9999]: it has run [1] to")
    front.set("Code", value="mine = 2")
    front.until(lambda: front.models[front.find("Cell")]["index"] == 2, "the choice 'as written'")
    assert front.value("Code") == "mine = 2"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("Workers", "4:1", "Workers 4:1 goes from 4 to 1"),
        ("Workers", "0", "a job needs at least one worker"),
        ("GPUs", "0.5", "GPUs are whole devices"),
        ("Profile", "large", 'there is no profile "large": there are: small, broken'),
        ("Outputs", "a b", 'Outputs takes Python names, as in "x,y" (got "a b")'),
        ("Code", "print(nowhere)", '"nowhere" is not defined'),
        ("Code", "x =", "invalid syntax"),
        ("More", "--memroy 4Gi", "unknown option --memroy; did you mean --memory?"),
        ("More", "--dry-run", "--dry-run is for %%kubetrain in a cell of its own"),
        ("More", "-h", "-h is for %%kubetrain"),
        ("Inputs", "<b>", 'Inputs takes Python names, as in "x,y" (got "<b>")'),
    ],
)
def test_what_is_wrong_is_refused_in_the_form(front, field, value, words):
    opened(front, body="x = 1")
    front.set(field, value=value)
    front.click("Run on cluster")
    front.until(lambda: words in alerts(front), words)
    assert "<b>" not in alerts(front, raw=True)
    front.run("assert train.jobs() == []")
    assert front.run("assert train.jobs() == []")["status"] == "ok"


def alerts(front, *, raw=False):
    """Return what a screen reader says at once."""
    found = "".join(re.findall(r'<div role="alert"[^>]*>(.*?)</div>', front.html(), re.DOTALL))
    return found if raw else unescape(found)


STEPS = """
import pathlib, time
for step in range(1, 4):
    kube.report(step=step, steps=4, loss=1 / step)
print("ready <script>", kube.rank, flush=True)
while not pathlib.Path("GO").exists():
    time.sleep(0.02)
y = 5
"""


@pytest.fixture
def go(tmp_path):
    """A file that lets jobs end."""
    path = tmp_path / "go"
    yield path
    path.touch()


def steps(go):
    return STEPS.replace("GO", str(go))


@contextmanager
def running_cell(front, tmp_path):
    """Have a cell run all the while."""
    release = tmp_path / "release"
    code = (
        f"import pathlib, time\nwhile not pathlib.Path({str(release)!r}).exists(): time.sleep(0.02)"
    )
    cell = front.client.execute(code)
    try:
        yield
        assert cell not in front.idle
    finally:
        release.touch()
        front.until(lambda: cell in front.idle, "the end of the cell")


def test_it_is_responsive_while_a_cell_runs(front, go, tmp_path):
    """With subshells, as JupyterLab has them: forms, buttons and all that is shown."""
    opened(front, body=steps(go))
    with running_cell(front, tmp_path):
        front.on_subshell()
        front.set("Workers", value="2")
        front.set("More", value="--name busy")
        name = submitted(front)
        said(front, "ready <script> 1")
        said(front, "75 %")
        front.until(lambda: front.html().count("<polyline") == 2, "a curve of each rank")
        front.set("Search", value="ready <script> 0")
        said(front, "1 found in the last 2 of 2 lines")
        front.choose("Rank", "1")
        said(front, "0 found in the last 2 of 2 lines")
        front.click("Detach")
        said(front, f"Detached: {name} goes on.")
        front.click("Follow")
        front.until(lambda: front.find("Detach"), "following again")
        front.click("Kill…")
        front.until(lambda: front.find("Keep it"), "a question")
        front.click("Keep it")
        front.until(lambda: front.find("Kill…"), "no question")
        front.click("Kill…")
        front.until(lambda: front.find("Kill and remove it"), "a question")
        front.click("Kill and remove it")
        said(front, f"Stopped: {name}")
        front.until(lambda: "1 ■ stopped" in " ".join(front.text().split()), "stopped ranks")
    assert front.run("assert train.jobs() == []")["status"] == "ok"


def test_it_goes_on_showing_while_a_cell_runs_in_any_front_end(front, go, tmp_path):
    opened(front, body=steps(go) + "print('over')")
    name = submitted(front)
    said(front, "ready")
    with running_cell(front, tmp_path):
        go.touch()
        said(front, "over")
        said(front, f"{name}: succeeded")


def test_an_elastic_job_waits_in_the_schedulers_words_and_is_scaled(front, go):
    opened(front, body=steps(go))
    front.set("Workers", value="1:3")
    front.set("GPUs", value="1")
    name = submitted(front)
    said(front, "0/1 nodes are available: 1 Insufficient nvidia.com/gpu")
    said(front, "ready <script> 1")
    assert "No storage that outlives pods is mounted" in front.text()
    front.set("Workers at most", value=2)
    front.click("Scale")
    said(front, f"{name} has up to 2 workers now.")
    front.until(lambda: "Insufficient" not in front.text(), "no rank that waits")
    said(front, "1 to 2 workers")


def test_after_a_restart_a_panel_attaches_again_and_brings_the_outputs(kernels, front, go):
    opened(front, body=steps(go))
    front.set("Outputs", value="y")
    name = submitted(front)
    said(front, "ready")
    options = lambda front: front.models[front.find("My jobs")]["_options_labels"]  # noqa: E731
    front.until(lambda: any(label.endswith("running") for label in options(front)), "its phase")
    other = kernels()
    opened(other, name)
    said(other, f"{name} · python · 1 worker")
    said(other, "ready <script> 0")
    other.until(lambda: any(name in label for label in options(other)), "the job in the list")
    go.touch()
    button = other.until(lambda: other.find("Bring y"), "a way to the outputs")
    assert button
    other.click("Bring y")
    said(other, "y ← rank 0, ")
    assert other.run("assert y == 5")["status"] == "ok"


def test_a_rank_that_fails_is_told_with_its_traceback_as_text(front):
    opened(front, body="raise ValueError('<img src=x onerror=alert(1)>')")
    submitted(front)
    said(front, "rank 0 raised ValueError: <img src=x onerror=alert(1)>")
    said(front, "Traceback (most recent call last)")
    assert "<img" not in front.html()
    assert "rank 0 raised" in alerts(front)


def test_a_job_that_can_never_start_is_removed(front):
    opened(front, body="x = 1")
    front.set("Profile", value="broken")
    name = submitted(front)
    front.until(lambda: f"rank 0 of {name} cannot start" in alerts(front), "why it cannot start")
    front.until(
        lambda: front.run("assert train.jobs() == []")["status"] == "ok", "that nothing is left"
    )


def test_a_cell_that_is_run_again_has_one_panel(front):
    front.run("%kube panel", cell="a-cell")
    first = front.panel
    front.run("%kube panel", cell="another")
    assert first in front.models
    before = len(front.models)
    front.run("%kube panel", cell="a-cell")
    assert first not in front.models
    assert len(front.models) == before


def test_what_is_no_panel_takes_no_cell(front):
    reply = front.run("%%kube status\nx = 1")
    assert reply["status"] == "error"
