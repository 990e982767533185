"""Long lists are read some at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_kube.config import KubeConfig
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.localcluster.faults import Fault
from jupyter_kube.localcluster.store import SECRET


@pytest.mark.parametrize("status", [0, 410], ids=["remembered", "forgotten meanwhile"])
async def test_every_object_is_there_once_however_many_pages(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PAGE", 2)
    names = [f"s{number}" for number in range(5)]
    with LocalCluster().run_in_thread() as cluster:
        for name in names:
            cluster.call(cluster.store.create, SECRET, {"metadata": {"name": name}})
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        second = Fault("/secrets.*continue=", "GET", times=1, status=status)
        cluster.call(cluster.faults.add, second)
        client = await KubeClient.connect(KubeConfig(kubeconfig=str(tmp_path / "kubeconfig")))
        try:
            found = await objects.every(client, objects.SECRETS)
        finally:
            await client.close()
        assert [each["metadata"]["name"] for each in found] == names
        assert second.hits == 1
