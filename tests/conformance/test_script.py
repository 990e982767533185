"""What we promise of training jobs, from a plain script."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from jupyter_kube import naming
from jupyter_kube.kube import objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector

from .conftest import Target

SCRIPT = """
import asyncio
import shapes.square
from jupyter_kube import train

def area():
    from shapes.circle import PI  # in a worker only
    return shapes.square.Square(kube.world_size + 1), int(PI)

job = train.submit(area, workers=2, name="script")
square, pi = job.result(100)
print("result", square.area, type(square) is shapes.square.Square, pi)

async def main():
    first = train.attach(job.name)
    second = train.submit("import asyncio\\nx = await asyncio.sleep(0, 5)", outputs=["x"])
    print("awaited", await asyncio.gather(first, second))
    second.cancel()

asyncio.run(main())
job.cancel()
"""


async def test_a_script_submits_functions_and_source_and_waits_either_way(
    target: Target, client: KubeClient, tmp_path: Path
) -> None:
    (tmp_path / "jupyter_kube_config.json").write_text(
        json.dumps({"KubeConfig": target.settings()})
    )
    project = tmp_path / "project"
    (project / "shapes").mkdir(parents=True)
    (project / "work.py").write_text(SCRIPT)
    (project / "shapes/square.py").write_text(
        "class Square:\n"
        "    def __init__(self, side): self.area = side ** 2\n"
        "    def __repr__(self): return f'square of {self.area}'\n"
    )
    (project / "shapes/circle.py").write_text("PI = 3.14")
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, project / "work.py"],
        cwd=tmp_path,  # what travels lies beside the script
        env={**os.environ, "JUPYTER_CONFIG_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "result 9 True 3\nawaited [(square of 9, 3), 5]\n"
    assert done.stderr == ""
    left = Reflector(client, objects.PODS, labels=naming.SELECTOR)
    await left.start()
    await left.synced()
    for name in list(left.items):
        await left.wait_for(name, lambda pod: pod is None or None, 30)
    await left.close()
