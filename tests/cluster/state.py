"""What is known of the running cluster: one small file, so that any later command can end it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.cluster.errors import ClusterInUse
from tests.cluster.layout import STATE
from tests.cluster.process import Process

FILE = STATE / "state.json"
LOCK = Path("/run/lock/jupyter-kube-cluster.lock")
USERS = Path("/run/lock/jupyter-kube-cluster-users.lock")


@dataclass
class State:
    """The cluster's processes in the order of their start, and what is to be undone at its end."""

    gpus: int
    sysctls: dict[str, str]
    processes: dict[str, Process] = field(default_factory=dict)
    image: str = ""
    complete: bool = False
    """Whether the start went through."""

    @classmethod
    def load(cls) -> State | None:
        """Read the state file; None if there is no cluster."""
        try:
            raw = json.loads(FILE.read_text())
        except FileNotFoundError:
            return None
        raw["processes"] = {name: Process(**p) for name, p in raw["processes"].items()}
        return cls(**raw)

    def save(self) -> None:
        """Write the state file, whole or not at all."""
        partial = FILE.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), indent=1))
        partial.replace(FILE)

    @property
    def dead(self) -> list[str]:
        """Names of components that have ended."""
        return [name for name, process in self.processes.items() if not process.alive]


@contextmanager
def locked(path: Path = LOCK) -> Iterator[None]:
    """Let one command at a time change the machine's cluster."""
    with _flock(path, fcntl.LOCK_EX):
        yield


@contextmanager
def used() -> Iterator[None]:
    """Keep the machine's cluster from being ended meanwhile; any number may use it at a time."""
    with _flock(USERS, fcntl.LOCK_SH):
        yield


@contextmanager
def unused() -> Iterator[None]:
    """Make sure that nobody uses the machine's cluster, and that nobody begins to.

    Raises
    ------
    ClusterInUse
        If somebody does.

    """
    try:
        with _flock(USERS, fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield
    except BlockingIOError as error:
        raise ClusterInUse("Tests are using the cluster. Wait for their end.") from error


@contextmanager
def _flock(path: Path, mode: int) -> Iterator[None]:
    # The kernel lets go of it when its holder ends, however that comes about.
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, mode)
        yield
    finally:
        os.close(handle)
