"""What a cell says while it waits for the cluster."""

import socket
import threading
from concurrent.futures import Future

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from jupyter_kube.errors import ClusterUnavailable
from jupyter_kube.train import waiting
from jupyter_kube.train.background import background

from ..kube.fake import kubeconfig

SAID = "Waiting for the cluster …\n"


class Slow(Future):
    """Done once somebody waits for it without an end."""

    def result(self, timeout=None):
        if not self.done():
            self.set_result(None)
        return super().result(timeout)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(waiting, "_QUIET", 0)


def test_only_the_thread_of_cells_says_what_it_waits_for(capsys):
    panel = threading.Thread(target=waiting.aloud, args=[Slow()])
    panel.start()
    panel.join()
    assert capsys.readouterr() == ("", "")
    waiting.aloud(Slow())
    assert capsys.readouterr() == ("", SAID)


def test_an_answer_that_is_there_is_not_waited_for(capsys):
    answered = Future()
    answered.set_result(None)
    waiting.aloud(answered)
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """A shell with the extension loaded, and a cluster that takes connections and says nothing."""
    for variable in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "jupyter_kube_config.py").write_text(
        'c.KubeConfig.request_timeout = 0.2\nc.KubeConfig.profiles = {"small": {"image": "py:1"}}'
    )
    made = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    made.run_line_magic("load_ext", "jupyter_kube")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        path = kubeconfig(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("KUBECONFIG", str(path))
        yield made
        background.close()


@pytest.mark.parametrize(
    "cell",
    [
        "%kube status",
        "%kube status digits",
        "%kube logs digits",
        "%kube why digits",
        "%kube kill digits",
        "%kube rerun digits",
        "%%kubetrain -w 2\nx = 1",
    ],
)
def test_a_cell_whose_cluster_does_not_answer_says_so_before_its_error(shell, capsys, cell):
    result = shell.run_cell(cell)
    assert isinstance(result.error_in_exec, ClusterUnavailable)
    assert capsys.readouterr().err == SAID
