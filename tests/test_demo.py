"""The demo's ends: whatever happens, nothing is left. CI runs the whole of it as a command."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import webbrowser
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from jupyter_kube import cli, config, demo, naming, needs
from jupyter_kube.kube import objects, rbac
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.localcluster.store import JOB
from jupyter_kube.session import ServerError

LOAD = "%load_ext jupyter_kube"
TRAIN = "%%kubetrain python -w 1 --detach\nimport time\ntime.sleep(600)"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster that outlives the demo, as one that is named by a context does."""
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.delenv(config.SETTINGS_ENV, raising=False)
    profile = {"image": "python:3", "cpu": "100m", "memory": "512Mi"}
    settings = {"KubeConfig": {"profiles": {"python": profile}}}
    (tmp_path / "jupyter_kube_config.json").write_text(json.dumps(settings))
    with LocalCluster().run_in_thread() as running:
        running.write_kubeconfig(tmp_path / "kubeconfig")
        yield running


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """Set the cells of the notebook that the demo runs, and which modules it imports."""

    def cells(*sources, imports=()):
        folder = tmp_path / "examples"
        folder.mkdir()
        code = [{"cell_type": "code", "source": [source]} for source in sources]
        notebook = {"cells": code, "metadata": {"kernelspec": {"name": ""}}}
        (folder / demo.NOTEBOOK).write_text(json.dumps(notebook))
        monkeypatch.setattr(demo, "examples", lambda: folder)
        monkeypatch.setattr(demo, "_FRAMEWORKS", imports)

    return cells


def left():
    """What the demo has made and not removed."""

    async def look():
        client = await KubeClient.connect(config.KubeConfig())
        try:
            found = []
            for resource in (objects.PODS, objects.JOBS, objects.SECRETS, objects.SERVICES):
                listed = await objects.list_(client, resource, labels=naming.SELECTOR)
                found += listed["items"]
            for resource in (objects.SERVICE_ACCOUNTS, objects.ROLES, objects.ROLE_BINDINGS):
                listed = await objects.list_(client, resource, fields=f"metadata.name={rbac.NAME}")
                found += listed["items"]
            return [item["metadata"]["name"] for item in found]
        finally:
            await client.close()

    return asyncio.run(look())


def run():
    return demo.run(demo.Options(context="local"))


def test_a_cell_that_fails_is_the_exit_code_and_its_jobs_go(cluster, notebook, capsys):
    notebook(LOAD, TRAIN, "1 / 0", "print('never')")
    assert run() == 1
    captured = capsys.readouterr()
    assert "Submitted: " in captured.out
    assert "ZeroDivisionError" in captured.err
    assert "never" not in captured.out.replace("print('never')", "")
    assert left() == []


def test_an_image_without_what_the_notebook_imports_is_one_sentence(cluster, notebook, capsys):
    notebook("print('never')", imports=("json", "no_such_framework", "nor_this"))
    assert run() == 1
    captured = capsys.readouterr()
    assert captured.err == (
        "The demo cannot go on. 01-digits.ipynb imports no_such_framework, nor_this:"
        " not in the image python:3 of the profile python. Name another with --profile,"
        " or one more in your settings whose image has them.\n"
    )
    assert "never" not in captured.out
    assert captured.out.endswith("Nothing of the demo is left on the cluster.\n")
    assert left() == []


@pytest.mark.parametrize(("problem", "code"), [("signal", 130), ("broken", 1)])
def test_whatever_stops_it_nothing_is_left(problem, code, cluster, notebook, monkeypatch, capsys):
    notebook(LOAD, TRAIN, "stop")
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background job
    real = demo._run_cell

    async def run_cell(kernel, source):
        if source != "stop":
            return await real(kernel, source)
        assert cluster.call(cluster.store.list, JOB)
        if problem == "broken":
            raise ConnectionError("the kernel's websocket was closed")
        signal.raise_signal(signal.SIGTERM)  # goes the way of Ctrl-C, and some more
        return await asyncio.Event().wait()

    monkeypatch.setattr(demo, "_run_cell", run_cell)
    try:
        assert run() == code
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, usual)
    assert ("Stopped." if code == 130 else "websocket was closed") in capsys.readouterr().err
    assert left() == []


@pytest.mark.parametrize(
    ("argv", "missing", "extra"),
    [
        (["demo"], "tensorflow", "demo"),
        (["demo"], "tornado", "local"),
        (["demo", "--lab"], "jupyterlab", "lab"),
        (["demo", "--lab", "--context", "c"], "jupyterlab", "lab"),
        (["demo"], "jupyter_server", "server"),
    ],
)
def test_what_is_not_installed_is_one_sentence_before_anything_starts(
    argv, missing, extra, monkeypatch, capsys
):
    monkeypatch.setattr(needs, "find_spec", lambda name: None if name == missing else object())
    monkeypatch.setattr(demo, "_cluster", lambda _options: pytest.fail("it started"))
    assert cli.main(argv) == 1
    captured = capsys.readouterr()
    assert missing in captured.err
    assert f'pip install -e ".[{extra}]"' in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.timeout(180)
def test_the_tour_goes_from_its_first_cell_to_its_last(cluster):
    tour = nbformat.read(demo.examples() / demo.TOUR, as_version=4)
    NotebookClient(tour, timeout=120, kernel_name="python3").execute()
    said = {cell["id"]: json.dumps(cell.get("outputs")) for cell in tour.cells}
    assert "the line that came back: y = " in said["result"]
    assert "pi is about 3.1" in said["button"]
    assert "rank 2 raised ValueError" in said["fail"]
    assert "Insufficient nvidia.com/gpu" in said["why"]
    assert "Stopped" in said["kill"]
    assert "application/vnd.jupyter.widget-view+json" in said["panel"]
    jobs = cluster.call(cluster.store.list, JOB)
    assert {"growing", "line", "odd"} <= {job["metadata"]["name"].split("-")[0] for job in jobs}


def _program(path, line):
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


@pytest.mark.timeout(180)
def test_jupyterlab_opens_on_the_tour_and_ends_with_ctrl_c(tmp_path):
    pytest.importorskip("jupyterlab")
    opened = tmp_path / "opened"
    part = tmp_path / "part"
    browser = _program(tmp_path / "browser", f'echo "$@" > {part}; mv {part} {opened}')
    env = {**os.environ, "BROWSER": f"{browser} %s &", "TMPDIR": str(tmp_path)}
    env |= {"JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    argv = [sys.executable, "-m", "jupyter_kube.cli", "demo", "--lab"]
    demo = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True)
    try:
        said = next(line for line in demo.stdout if "Ctrl-C" in line)
        (url,) = re.findall(r"http\S+[^:\s]", said)
        place, _, token = url.partition("/lab/tree/00-tour.ipynb?token=")
        asking = urllib.request.Request(f"{place}/api/contents/00-tour.ipynb")
        asking.add_header("Authorization", f"token {token}")
        with urllib.request.urlopen(asking) as answer:
            notebook = json.load(answer)["content"]
        assert notebook["metadata"]["kernelspec"]["name"] == "kube-python"
        with urllib.request.urlopen(url) as answer:
            assert "JupyterLab" in answer.read().decode()
        while not opened.exists():
            time.sleep(0.02)
        seen_by_all = opened.read_text().strip()
        assert token not in seen_by_all
        page = Path(urllib.parse.urlsplit(seen_by_all).path)
        assert page.stat().st_mode & 0o777 == 0o600
        assert f"url={url}" in page.read_text()
    finally:
        demo.send_signal(signal.SIGINT)
        try:
            rest, _ = demo.communicate(timeout=60)
        finally:
            demo.kill()
    assert demo.returncode == 0, rest
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("jk-")] == []


def test_a_browser_that_would_take_over_the_terminal_is_not_opened(tmp_path, monkeypatch):
    browser = _program(tmp_path / "w3m", f"touch {tmp_path / 'opened'}")
    monkeypatch.setattr(webbrowser, "get", lambda *_: webbrowser.GenericBrowser(str(browser)))
    demo._browse("http://127.0.0.1:1/?token=t", tmp_path / "open.html")
    assert [path.name for path in tmp_path.iterdir()] == ["w3m"]


def test_a_browser_named_by_its_path_alone_is_opened(tmp_path):
    opened, page = tmp_path / "opened", tmp_path / "open.html"
    browser = _program(tmp_path / "browser", f'echo "$@" > {opened}')
    code = "import sys, pathlib; from jupyter_kube import demo; "
    code += "demo._browse(sys.argv[1], pathlib.Path(sys.argv[2]))"
    argv = [sys.executable, "-c", code, "http://127.0.0.1:1/?token=t", str(page)]
    subprocess.run(argv, env={**os.environ, "BROWSER": str(browser)}, check=True)
    assert opened.read_text().strip() == page.as_uri()


def test_without_a_browser_the_address_is_all(tmp_path, monkeypatch):
    def none():
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", none)
    demo._browse("http://127.0.0.1:1/?token=t", tmp_path / "open.html")
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_of_the_server_is_told(monkeypatch, capsys):
    def refuse(_options):
        raise ServerError(503, "no room")

    monkeypatch.setattr(demo, "_check", refuse)
    assert demo.run(demo.Options()) == 1
    assert "no room" in capsys.readouterr().err
