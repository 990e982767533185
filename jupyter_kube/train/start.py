"""What a worker's container runs: its supervisor, and a door to its files.

The same container with :data:`FILES_ONLY` set gives files away and ends: so what a job has left on
a volume is fetched when its own pods are gone.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Any

from .door import Door
from .frames import FAIL_JOB
from .host import SCRATCH, bundle_from_folder, clear, job_folder, leave_word, scratch_folder
from .worker import Supervisor

FILES_ONLY = "JUPYTER_KUBE_FILES_ONLY"
"""Variable that makes a container wait so many seconds for who wants its files, and do no more."""


def main(launch: Mapping[str, Any], bundle: bytes) -> int:
    """Run until the end; return the container's exit code."""
    logging.basicConfig(level=logging.WARNING, format="[jupyter-kube] %(message)s")
    given = os.environ.get(SCRATCH)
    try:
        scratch = os.environ[SCRATCH] = scratch_folder(os.environ)
    except OSError as error:
        leave_word({"text": str(error)})
        print(error)
        return FAIL_JOB
    try:
        return asyncio.run(_run(launch, bundle))
    finally:
        if not given:
            clear(scratch)


async def _run(launch: Mapping[str, Any], bundle: bytes) -> int:
    folder = job_folder(os.environ, launch["options"]["job"])
    door = Door(bytes.fromhex(launch["key"]), f"{folder}/output")
    await door.open(os.environ.get("POD_IP") or "127.0.0.1")
    try:
        if seconds := os.environ.get(FILES_ONLY):
            await door.wait(float(seconds))
            return 0
        return await Supervisor(launch, bundle or bundle_from_folder()).run()
    finally:
        await door.close()
