"""Folders of sockets: private, short, and gone with a killed server."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from jupyter_kube.kernels.sockets import short_folder, sweep


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", tempfile.mkdtemp(dir="/tmp"))


def listening(folder: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(folder / "k-1"))
    sock.listen()
    return sock


def test_a_folder_is_private() -> None:
    assert short_folder().stat().st_mode & 0o777 == 0o700


def test_only_what_a_killed_server_left_is_swept() -> None:
    killed, living, new, foreign = (short_folder() for _ in range(4))
    listening(killed).close()
    (killed / "j-1").symlink_to("k-1")
    (foreign / "k-1").write_text("not a socket")
    with listening(living):
        assert sweep() == [killed]
    assert not killed.exists()
    assert all(folder.exists() for folder in (living, new, foreign))
