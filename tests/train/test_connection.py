"""One connection for each state of a kubeconfig."""

import asyncio

import pytest

from jupyter_kube.config import KubeConfig
from jupyter_kube.kube.client import KubeClient
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


def test_a_connection_of_a_loop_that_is_gone_leaves_none_of_the_next_open(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, "http://127.0.0.1:1")))

    async def elsewhere():
        client = await connection(KubeConfig())
        await client.close()

    asyncio.run(elsewhere())
    background.close()  # it has no loop to close anything on
    kubeconfig(tmp_path, "http://127.0.0.1:20")
    client = background.run(connection(KubeConfig()))
    background.close()
    assert client._session.closed


def test_all_who_ask_at_once_get_the_same_and_none_is_left_open(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, "http://127.0.0.1:1")))
    made = []
    connect = KubeClient.connect

    async def noted(settings):
        made.append(client := await connect(settings))
        await asyncio.sleep(0)
        return client

    monkeypatch.setattr(KubeClient, "connect", noted)

    async def ask():
        return await asyncio.gather(*(connection(KubeConfig()) for _ in range(3)))

    assert len({id(client) for client in background.run(ask())}) == 1
    background.close()
    assert [client._session.closed for client in made] == [True] * len(made)
