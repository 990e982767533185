"""How often this container's memory limit has killed one of its processes.

This module travels into pods: standard library only.
"""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def oom_kills(root: Path = _ROOT, membership: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return the container's count of out-of-memory kills; None where nobody counts.

    Version 2 of cgroups counts in ``memory.events``, version 1 in ``memory.oom_control``. A
    container sees its own group either at the root or under its full path.
    """
    for file in _candidates(root, membership):
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return None


def _candidates(root: Path, membership: Path) -> list[Path]:
    try:
        groups = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        groups = []
    files = []
    for group in groups:
        _, controllers, path = group.split(":", 2)
        here = path.lstrip("/")
        if controllers == "":
            files += [root / here / "memory.events", root / "memory.events"]
        elif "memory" in controllers.split(","):
            memory = root / "memory"
            files += [memory / here / "memory.oom_control", memory / "memory.oom_control"]
    return files
