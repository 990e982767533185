"""What a worker finds in its pod, and leaves there: names, ports, a home for the cell, last words.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import random
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCRATCH = "JUPYTER_KUBE_SCRATCH"
"""Variable with a folder of this pod in which its processes write."""
LONGEST_WORD = 4000
"""Bytes of Kubernetes' termination message."""

_LOW, _HIGH = 20000, 32000  # ports below those that outgoing connections take


def look_up(hosts: Path, name: str) -> str:
    """Find a name in a hosts file.

    Raises
    ------
    socket.gaierror
        If it is not there.

    """
    for line in hosts.read_text(encoding="utf-8").splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if name in names:
            return address
    raise socket.gaierror(socket.EAI_NONAME, f"{name} is not known")


def free_ports(count: int) -> list[int]:
    """Find ports that nothing listens on, at any address: frameworks bind them all."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            sock = socket.socket()
            held.append(sock)
            while True:
                with contextlib.suppress(OSError):  # taken
                    sock.bind(("", random.randrange(_LOW, _HIGH)))  # noqa: S311 - not a secret
                    break
        return [sock.getsockname()[1] for sock in held]
    finally:
        for sock in held:
            sock.close()


def memory_file(name: str) -> int:
    """Make a file without a place, for who is started with its descriptor, too.

    conda's Python, among others, is built for a libc too old to have this; the one here has it.
    """
    try:
        return os.memfd_create(name, 0)
    except AttributeError:
        import ctypes

        return int(ctypes.CDLL(None).memfd_create(name.encode(), 0))


def scratch_folder(env: Mapping[str, str]) -> str:
    """Find room for what is written in this pod, and make a folder there that only its user enters.

    Raises
    ------
    OSError
        If nothing is writable, in words for the platform engineer.

    """
    if given := env.get(SCRATCH):
        return given
    # Last the one in memory: there are 64 MiB, and no compiled module may be loaded from there.
    named = [env.get("TMPDIR", ""), "/tmp", env.get("HOME", ""), "/dev/shm"]  # noqa: S108
    places = [place for place in named if place.startswith("/")]
    for place in places:
        folder = f"{place.rstrip('/')}/jupyter-kube-{os.urandom(4).hex()}"
        with contextlib.suppress(OSError):
            os.mkdir(folder, 0o700)  # noqa: PTH102 - a Path would be made a string again
            return folder
    known = ", ".join(places)
    raise OSError(f"the worker finds no place to write: none of {known} is writable")


def clear(folder: str) -> None:
    """Remove a folder if it is on storage that is mounted; all else goes with the pod."""
    with contextlib.suppress(OSError):  # the cell may have: how it ended must still be told
        if os.stat(folder).st_dev != os.stat("/").st_dev:  # noqa: PTH116 - as above
            import shutil

            shutil.rmtree(folder, ignore_errors=True)


def job_folder(env: Mapping[str, str], job: str) -> str:
    """Tell where a job's files are: on storage that outlives pods, else in this pod; else empty."""
    if storage := env.get("JUPYTER_KUBE_STORAGE"):
        return str(Path(storage) / ".jupyter-kube" / (job or "notebook"))
    scratch = env.get(SCRATCH)
    return str(Path(scratch) / "work") if scratch else ""


def surroundings(env: Mapping[str, str]) -> dict[str, str]:
    """Give the cell a home it can write to, and a name: an image may have neither for this user."""
    out = dict(env)
    scratch = env.get(SCRATCH)
    home = env.get("HOME", "/")
    if scratch and not (home != "/" and os.access(home, os.W_OK)):
        out["HOME"] = scratch
    try:
        getpass.getuser()
    except (KeyError, OSError):
        out["USER"] = "jovyan"
    return out


def leave_word(about: Mapping[str, Any]) -> None:
    """Write why this pod ends to where Kubernetes keeps it with the pod's status."""
    path = os.environ.get("JUPYTER_KUBE_MESSAGE", "/dev/termination-log")
    text = json.dumps(fitting(about, LONGEST_WORD))
    with contextlib.suppress(OSError):  # not there outside Kubernetes
        Path(path).write_text(text, encoding="utf-8")


def fitting(about: Mapping[str, Any], longest: int) -> dict[str, Any]:
    """Shorten the longest texts until all is at most ``longest`` bytes of JSON."""
    out = dict(about)
    while len(json.dumps(out)) > longest:
        key = max((k for k, v in out.items() if isinstance(v, str)), key=lambda k: len(out[k]))
        text = out[key]
        keep = len(text) * 2 // 5
        out[key] = f"{text[: keep // 2]}\n…\n{text[-keep:]}" if len(text) > 20 else ""
    return out


def place_in_job(env: Mapping[str, str]) -> int:
    """Tell a pod's number in its job: its Job of Kubernetes may hold one role of several."""
    first = env.get("JUPYTER_KUBE_FIRST_RANK", "0")
    return int(first) + int(env.get("JOB_COMPLETION_INDEX", "0"))


def bundle_from_folder() -> bytes:
    """Read a packed cell from the volume that carries its parts."""
    folder = Path(os.environ["JUPYTER_KUBE_BUNDLE_DIR"])
    parts = sorted(path for path in folder.iterdir() if path.name.isdigit())
    return b"".join(path.read_bytes() for path in parts)
