"""The demo on a real cluster; on the local one CI runs the command itself."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_kube.kube.client import KubeClient

from .conftest import Target

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


async def test_the_demo_trains_on_two_workers_and_leaves_nothing(
    real_target: Target, tmp_path: Path
) -> None:
    client: KubeClient = await real_target.connect()
    context = client.context
    await client.close()
    profiles = {"python": {**real_target.profile, "memory": "2Gi"}}
    (tmp_path / "jupyter_kube_config.json").write_text(
        json.dumps({"KubeConfig": {"profiles": profiles}})
    )
    argv = [sys.executable, "-m", "jupyter_kube.cli", "demo", "--context", context]
    done = await asyncio.to_thread(
        subprocess.run,
        [*argv, "--namespace", real_target.namespace],
        env={
            **os.environ,
            "KUBECONFIG": str(real_target.kubeconfig),
            "JUPYTER_CONFIG_DIR": str(tmp_path),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "accuracy after 5 epochs: 0." in done.stdout
    places = done.stdout.partition("Where things ran:")[2]
    assert places.count("job     digits-") == 2
    assert places.count("kernel  kernel-") == 1
    assert "Nothing of the demo is left on the cluster." in places
