"""The magics in a notebook's own kernel: what a front end receives."""

from __future__ import annotations

import os

import pytest
from jupyter_client.manager import start_new_kernel

from jupyter_kube.localcluster import LocalCluster


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """An IPython kernel with the extension loaded, on a cluster of its own."""
    folder = tmp_path_factory.mktemp("notebook")
    with LocalCluster().run_in_thread() as cluster:
        cluster.write_kubeconfig(folder / "kubeconfig")
        env = {
            **os.environ,
            "KUBECONFIG": str(folder / "kubeconfig"),
            "JUPYTER_CONFIG_DIR": str(folder),
            "IPYTHONDIR": str(folder),
        }
        manager, client = start_new_kernel(kernel_name="python3", env=env)
        try:
            client.execute_interactive("%load_ext jupyter_kube", timeout=60)
            client.execute_interactive("from jupyter_kube import train", timeout=60)
            yield manager, client
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
            manager.cleanup_resources()


def run(client, code, on_message=lambda _message: None):
    """Run a cell; returns its reply and its outputs by kind."""
    outputs = []

    def hear(message):
        outputs.append((message["msg_type"], message["content"]))
        on_message(message)

    reply = client.execute_interactive(code, timeout=90, output_hook=hear, allow_stdin=False)
    return reply["content"], outputs


def printed(outputs):
    return "".join(content["text"] for kind, content in outputs if kind == "stream")


def test_one_display_is_renewed_in_place_above_the_lines(kernel):
    _manager, client = kernel
    reply, outputs = run(
        client,
        "%%kubetrain -w 2 --name shown -o x\n"
        "kube.report(step=1, loss=0.25)\nprint('<b>', kube.rank)\nx = 5",
    )
    assert reply["status"] == "ok"
    kinds = [kind for kind, _ in outputs if kind.endswith("display_data")]
    assert kinds[0] == "display_data"
    assert set(kinds[1:]) == {"update_display_data"}
    panels = [content for kind, content in outputs if kind.endswith("display_data")]
    assert len({panel["transient"]["display_id"] for panel in panels}) == 1
    last = panels[-1]["data"]
    assert "succeeded" in last["text/plain"]
    assert "step 1  loss 0.25" in last["text/plain"]
    assert "step 1  loss 0.25" in last["text/html"]
    said = printed(outputs)
    assert "[0] <b> 0\n" in said
    assert "[1] <b> 1\n" in said
    assert "x ← rank 0, " in said
    _reply, outputs = run(client, "print(x)")
    assert printed(outputs) == "5\n"


def test_displays_and_curves_show_and_reports_are_there_afterwards(kernel):
    _manager, client = kernel
    reply, outputs = run(
        client,
        "%%kubetrain -w 2 --name rich\n"
        "class Table:\n    def _repr_html_(self): return '<table>'\n"
        "if kube.rank == 1: display(Table())\n"
        "for step in range(3): kube.report(step=step, loss=3 - step)",
    )
    assert reply["status"] == "ok"
    shown = [content["data"] for kind, content in outputs if kind == "display_data"]
    assert [data["text/html"] for data in shown[1:]] == ["<table>"]
    last = [content["data"] for kind, content in outputs if kind == "update_display_data"][-1]
    assert last["text/html"].count("<polyline") == 2
    name = last["text/plain"].split()[0]
    _reply, outputs = run(
        client,
        f"rows = train.attach('{name}').reports()\n"
        "rows = rows if isinstance(rows, list) else rows.to_dict('records')\n"
        "print([(row['rank'], row['step'], row['loss']) for row in rows])",
    )
    expected = [(rank, step, 3 - step) for rank in (0, 1) for step in (0, 1, 2)]
    assert printed(outputs) == f"{expected}\n"


def test_an_exception_of_a_worker_is_the_cells_error(kernel):
    _manager, client = kernel
    reply, outputs = run(client, "%%kubetrain -w 1 --name bad\nraise KeyError('where')")
    assert (reply["status"], reply["ename"]) == ("error", "RemoteError")
    shown = "\n".join(dict(outputs)["error"]["traceback"])
    assert "raise KeyError('where')" in shown
    assert "magics.py" not in shown


def test_an_interrupt_leaves_the_job_running(kernel):
    manager, client = kernel

    def interrupt(message):
        if message["msg_type"] == "stream" and "[0] ready" in message["content"]["text"]:
            manager.interrupt_kernel()

    reply, outputs = run(
        client,
        "%%kubetrain -w 1 --name goes\nprint('ready', flush=True)\nimport time; time.sleep(600)",
        interrupt,
    )
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    name = printed(outputs).partition("Detached: ")[2].split()[0]
    assert name.startswith("goes-")
    _reply, outputs = run(client, f"%kube status {name}")
    assert "running" in printed(outputs)
    _reply, outputs = run(client, f"%kube kill {name}")
    assert printed(outputs).startswith(f"Stopped: {name}")


def test_a_function_can_be_submitted_and_awaited(kernel):
    _manager, client = kernel
    reply, outputs = run(
        client,
        "def work():\n    return kube.world_size * 21\nawait train.submit(work, workers=2)",
    )
    assert reply["status"] == "ok"
    assert dict(outputs)["execute_result"]["data"]["text/plain"] == "42"
