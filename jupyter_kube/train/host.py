"""What a worker finds in its pod: names of others, free ports, and a home for the cell.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import random
import socket
from collections.abc import Mapping
from pathlib import Path

_LOW, _HIGH = 20000, 32000  # ports below those that outgoing connections take


def look_up(hosts: Path, name: str) -> str:
    """Find a name in a hosts file.

    Raises
    ------
    socket.gaierror
        If it is not there.

    """
    for line in hosts.read_text().splitlines():
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


def surroundings(env: Mapping[str, str]) -> dict[str, str]:
    """Give the cell a home it can write to, and a name: an image may have neither for this user."""
    out = dict(env)
    scratch = env.get("JUPYTER_KUBE_SCRATCH")
    home = env.get("HOME", "/")
    if scratch and not (home != "/" and os.access(home, os.W_OK)):
        out["HOME"] = scratch
    try:
        getpass.getuser()
    except (KeyError, OSError):
        out["USER"] = "jovyan"
    return out
