"""What must not get out: the server's environment, and the keys of its kernels."""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_kube import naming
from jupyter_kube.kernels.payload import open_payload
from jupyter_kube.kernels.podspec import SECRET_KEY
from jupyter_kube.kube import logs, objects
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.watch import Reflector
from jupyter_kube.session import running_server
from tests.conformance.conftest import Target
from tests.conformance.test_kernels import end, start, value
from tests.conformance.test_reasons import running

from .serving import gone

LOOK = """
import glob, os, stat
from IPython import get_ipython
key = get_ipython().kernel.session.key
found = []
def look(path):
    try:
        with open(path, "rb") as file:
            if key in file.read(10**7):
                found.append(path)
    except OSError:
        pass
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
    look(path)
for top in {"/tmp", "/dev/shm", "/run", os.path.expanduser("~"), os.getcwd()} - {"/"}:
    for folder, folders, files in os.walk(top):
        folders[:] = [f for f in folders if os.lstat(os.path.join(folder, f)).st_mode & 0o011]
        for name in files:
            path = os.path.join(folder, name)
            try:
                mode = os.lstat(path)
            except OSError:  # gone
                continue
            if stat.S_ISREG(mode.st_mode) and mode.st_mode & 0o044 and mode.st_size < 10**7:
                look(path)
print(found)
"""
"""Code that finds the kernel's key in what others may read in its pod."""


@pytest.mark.timeout(180)
async def test_no_key_and_no_variable_of_the_server_gets_out(
    target: Target,
    client: KubeClient,
    pods: Reflector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    canary = secrets.token_hex(16)
    monkeypatch.setenv("JK_TEST_CANARY", canary)
    profile = {"image": target.image, "cpu": "10m", "memory": "256Mi"}
    settings = {
        "KubeConfig": target.settings(python=profile),
        "ServerApp": {"log_level": "DEBUG"},
    }
    said: dict[str, str] = {}
    async with running_server(tmp_path, settings) as server:
        token = server.token
        kernel, socket = await start(server)
        name = naming.kernel_name(kernel)
        # all that makes us talk: output, an error, a death and its repair, a restart
        said["environment"] = await value(socket, "dict(__import__('os').environ)")
        await socket.run("1 / 0", 60)
        await socket.run("import os; os.kill(os.getpid(), 9)", 60)
        await server.request("POST", f"api/kernels/{kernel}/restart")
        looked = await socket.run(LOOK, 60)
        assert looked.text.splitlines()[-1:] == ["[]"], looked
        secret = await objects.get(client, objects.SECRETS, name)
        await running(pods, kernel)  # before that there is no log to read
        said["pod"] = json.dumps(await objects.get(client, objects.PODS, name))
        said["events"] = json.dumps(await objects.list_(client, objects.EVENTS))
        said["pod's log"] = "\n".join(line.text for line in await logs.read(client, name))
        for path in ("kernels", f"kernels/{kernel}", "sessions", "kernelspecs", "status", "me"):
            said[f"api/{path}"] = json.dumps(await server.request("GET", f"api/{path}"))
        canaries = {"variable": canary, "server's token": token, **_keys(secret)}
        for path in _readable_by_others(tmp_path):
            said[str(path)] = path.read_bytes().decode(errors="replace")
        await end(server, kernel, socket)
    said["server's log"] = capfd.readouterr().err
    assert kernel in said["server's log"], "the log is looked at"
    found = [
        f"{what} in {where}"
        for where, text in said.items()
        for what, canary in canaries.items()
        if canary in text
    ]
    assert found == []
    await gone(client)


def _keys(secret: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return what a kernel's Secret holds and nobody else may know."""
    launch = base64.b64decode(secret["data"][SECRET_KEY]).decode()
    told = open_payload(launch)
    return {
        "launch variable": launch[:60],
        "HMAC key": told["key"],
        "CURVE key": told["curve_secretkey"],
    }


def _readable_by_others(*more: Path) -> Iterator[Path]:
    """Give the files of ours, in their folders and in the temporary one, that others may read."""
    ours = [path for path in Path(tempfile.gettempdir()).glob("jk-*") if path.is_dir()]
    for top in (*ours, *more):
        for folder, folders, files in os.walk(top):
            folders[:] = [f for f in folders if _opens(Path(folder, f), 0o011)]
            for name in files:
                path = Path(folder, name)
                if stat.S_ISREG(path.lstat().st_mode) and _opens(path, 0o044):
                    yield path


def _opens(path: Path, mode: int) -> bool:
    try:
        return bool(path.lstat().st_mode & mode)
    except OSError:
        return False
