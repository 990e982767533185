"""The panel in a real kernel, its jobs on the local cluster: what a front end receives and does."""

from __future__ import annotations

import os
import re

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
    yield kernel
    kernel.subshell = None
    reply = kernel.run(
        "from jupyter_kube import train\nfor view in train.jobs(): train.kill(view.name)"
    )
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
