"""One connection for each state of a kubeconfig."""

import pytest

from jupyter_kube.config import KubeConfig
from jupyter_kube.train.background import background
from jupyter_kube.train.connection import connection

from ..kube.fake import kubeconfig


@pytest.fixture(autouse=True)
def closed():
    yield
    background.close()


def test_a_kubeconfig_that_has_changed_is_read_again(tmp_path, monkeypatch):
    def connect():
        return background.run(connection(KubeConfig()))

    path = kubeconfig(tmp_path, "http://127.0.0.1:1")
    monkeypatch.setenv("KUBECONFIG", str(path))
    first = connect()
    assert connect() is first
    kubeconfig(tmp_path, "http://127.0.0.1:20")
    assert connect().server == "http://127.0.0.1:20"
