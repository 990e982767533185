"""Private folders for kernels' local sockets: made for each kernel, swept after a killed server."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from pathlib import Path

_PREFIX = "jk-"
_LONGEST = 90  # bytes of a folder's path: a unix socket's ends at 107
_SOCKET = "k-1"  # the first of a relay's


def short_folder() -> Path:
    """Make a private folder with a path short enough for unix sockets."""
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_base()))


def sweep() -> list[Path]:
    """Remove the folders of servers that were killed; returns them."""
    swept = []
    for folder in Path(_base()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.getuid() and _deserted(folder / _SOCKET):
                shutil.rmtree(folder)
                swept.append(folder)
    return swept


def _base() -> str:
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) < _LONGEST else "/tmp"  # noqa: S108 - mkdtemp's is private


def _deserted(path: Path) -> bool:
    """Return whether there is a socket that nobody listens at."""
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
    return False
