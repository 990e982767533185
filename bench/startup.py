"""What our extension adds to a Jupyter Server's start, and what it imports by then.

Run as a program, it takes the import: it prints the ms that it took, and which modules of
``kubernetes`` came with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.measure import Taken
from jupyter_kube.session import JupyterServer

STOCK, OURS = "stock server", "with jupyter-kube"
_TRIES = 12
_SERVER = "import jupyter_server.serverapp, jupyter_server.services.kernels.kernelmanager"


async def starts(settings: dict[str, Any]) -> list[tuple[str, Taken]]:
    """Start servers in turn, with and without the extension; returns what each took."""
    taken: list[tuple[str, Taken]] = []
    for turn in range(_TRIES + 1):
        arms = [(STOCK, _without(settings)), (OURS, settings)]
        random.shuffle(arms)
        times = {
            arm: 1000 * await asyncio.to_thread(_first_answer, configuration)
            for arm, configuration in arms
        }
        imported = _import()[0]
        if turn:  # the first fills caches
            taken += [(arm, {"server start": ms}) for arm, ms in times.items()]
            taken.append((OURS, {"added": times[OURS] - times[STOCK], "import": imported}))
    return taken


def imported_early() -> list[str]:
    """Return which modules of ``kubernetes`` the server's start imports: there should be none."""
    return _import()[1]


def _without(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "ServerApp": {"jpserver_extensions": {"jupyter_kube": False}}}


def _first_answer(settings: dict[str, Any]) -> float:
    """Time a server's process from its start to its first answer, in seconds."""
    with tempfile.TemporaryDirectory(prefix="jk-bench-") as folder:
        config = Path(folder) / "jupyter_server_config.json"
        config.write_text(json.dumps(settings))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [
            *(sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser"),
            *(f"--config={config}", f"--ServerApp.port={port}", f"--ServerApp.root_dir={folder}"),
            "--ServerApp.log_level=ERROR",
        ]
        env = {**os.environ, "JUPYTER_TOKEN": "bench", "JUPYTER_RUNTIME_DIR": f"{folder}/runtime"}
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL)
        try:
            _until_it_listens(process, port)
            asyncio.run(_ask(port))
            return time.perf_counter() - begun
        finally:
            process.terminate()
            process.wait(20)


def _until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.005)
        else:
            return
    raise RuntimeError("the server ended while starting")


async def _ask(port: int) -> None:
    server = JupyterServer(f"http://127.0.0.1:{port}", "bench")
    try:
        await server.request("GET", "api")
    finally:
        server.close()


def _import() -> tuple[float, list[str]]:
    command = [sys.executable, "-m", "bench.startup"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    milliseconds, modules = json.loads(said)
    return milliseconds, modules


def _main() -> None:
    """Import what every server imports, and then time the rest."""
    exec(_SERVER)
    begun = time.perf_counter()
    import jupyter_kube.app
    import jupyter_kube.kernels.specs

    milliseconds = (time.perf_counter() - begun) * 1000
    del jupyter_kube
    modules = [name for name in sys.modules if name.partition(".")[0] == "kubernetes"]
    print(json.dumps([milliseconds, modules]))


if __name__ == "__main__":
    _main()
