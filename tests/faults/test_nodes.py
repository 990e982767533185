"""A node that Kubernetes hears nothing from, while what runs on it goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from jupyter_kube.kube.watch import Reflector
from tests.cluster import Cluster
from tests.conformance.conftest import Target
from tests.conformance.test_kernels import end, start, value
from tests.conformance.test_reasons import model, reason, running, said, serving

pytestmark = [pytest.mark.cluster, pytest.mark.alone, pytest.mark.timeout(240)]


@pytest.mark.parametrize("target", ["real"], indirect=True)
async def test_f09_a_node_is_missed_by_us_within_ten_seconds_and_then_by_kubernetes(
    target: Target, real_cluster: Cluster, pods: Reflector, tmp_path: Path
) -> None:
    """A port-forward leads through the kubelet: with that stopped the kernel is out of reach."""
    if "kubelet" not in real_cluster.processes:
        pytest.skip("the kubelet of a foreign cluster is not ours to stop")
    async with serving(target, tmp_path, reach="port-forward") as server:
        kernel, socket = await start(server)
        await running(pods, kernel)
        pid = await value(socket, "__import__('os').getpid()")
        cell = socket.send_code(
            "print('begun', flush=True)\nimport time; time.sleep(15)\nprint('x')"
        )
        await said(socket, cell, "begun")
        os.kill(real_cluster.processes["kubelet"], signal.SIGSTOP)
        try:
            async with asyncio.timeout(10):
                words = await said(socket, cell, "No answer from the kernel's pod since")
            assert "may be lost" in words
            async with asyncio.timeout(120):
                await reason(server, kernel, "does not answer Kubernetes either")
            assert (await model(server, kernel))["execution_state"] not in {"dead", "restarting"}
        finally:
            os.kill(real_cluster.processes["kubelet"], signal.SIGCONT)
        reply = await socket.collect(cell, 60)
        assert reply.status == "ok"
        assert "answers again" in reply.text
        assert reply.text.endswith("x\n")
        assert await value(socket, "__import__('os').getpid()") == pid
        await end(server, kernel, socket)
