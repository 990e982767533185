"""Ending the cluster without a trace, and the proof of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.cluster import build, network
from tests.cluster.layout import (
    CACHE,
    CNI_RESULTS,
    CONTAINER_LINKS,
    CONTAINERD_ROOT,
    CONTAINERD_SOCKET,
    DEVICE_PLUGINS,
    PODS_LOGS,
    SHIM_SOCKETS,
    STATE,
)
from tests.cluster.process import Process, stop
from tests.cluster.state import State

_CGROUPS = Path("/sys/fs/cgroup")
_PODS_CGROUP = "kubepods"


def leftovers() -> list[str]:
    """Return what is there of a cluster, one line each: nothing after a `down`."""
    return [
        *(f"process {process.pid}: {_command(process.pid)}" for process in _processes()),
        *(f"mount {path}" for path in _mounts()),
        *(f"interface {name}" for name in network.interfaces()),
        *(f"routing rule {priority}" for priority in network.rules()),
        *(f"packet rules {line}" for line in network.chains()),
        *(f"address lease {path}" for path in network.results()),
        *(f"cgroup {path}" for path in _cgroups()),
        *(f"log link {path}" for path in _log_links()),
        *(f"folder {path}" for path in (STATE, DEVICE_PLUGINS) if path.exists()),
    ]


def clean() -> None:
    """End every process of the cluster and undo all that it did to the machine.

    Works from any state, a half-started cluster's and a crashed one's too.
    """
    state = State.load()
    # containerd last: it has to forget its containers, which nothing may start again by then.
    # What the others know is thrown away, so they need no time to end well.
    own = state.processes if state else {}
    stop((process for name, process in own.items() if name != "containerd"), grace=0)
    stop(_pods(), grace=0)
    if "containerd" in own and own["containerd"].alive:
        _forget_containers()
    stop(_processes())
    for path in _mounts():
        subprocess.run(["umount", "--lazy", path], check=False, capture_output=True)
    network.remove()
    network.remove_chains()
    for cgroup in _cgroups():
        with suppress(OSError):
            cgroup.rmdir()
    for link in _log_links():
        link.unlink()
    if not _mounts():  # a mount that stayed must not be emptied
        shutil.rmtree(STATE, ignore_errors=True)
    shutil.rmtree(DEVICE_PLUGINS, ignore_errors=True)
    _remove_if_empty(DEVICE_PLUGINS.parent, CONTAINER_LINKS, SHIM_SOCKETS, SHIM_SOCKETS.parent)
    _remove_if_empty(CNI_RESULTS, CNI_RESULTS.parent)
    if state is not None:
        network.restore_sysctls(state.sysctls)


def _forget_containers() -> None:
    """Tell containerd that its containers are no more: it keeps its images, and would keep them."""
    base = ["ctr", "--address", str(CONTAINERD_SOCKET), "--namespace", "k8s.io"]
    for kind, remove in (("tasks", ["delete", "--force"]), ("containers", ["delete"])):
        listed = subprocess.run(
            [*base, kind, "list", "--quiet"], check=False, capture_output=True, text=True
        )
        if names := listed.stdout.split():
            subprocess.run([*base, kind, *remove, *names], check=False, capture_output=True)


def _processes() -> list[Process]:
    """Return all living processes of the cluster: recorded ones, shims, pods, and lost ones."""
    state = State.load()
    recorded = list(state.processes.values()) if state else []
    ours = {process for process in recorded if process.alive} | set(_pods())
    programs = tuple(f"{CACHE}/{name}-" for name in (*build.MODULES, *build.EXTRAS))
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            words = _command(int(entry.name)).split()
            program = words[0] if words else ""
            shim = program.endswith("containerd-shim-runc-v2") and str(CONTAINERD_SOCKET) in words
            if (shim or program.startswith(programs)) and (process := Process.of(int(entry.name))):
                ours.add(process)
    return sorted(ours, key=lambda process: process.pid)


def _pods() -> list[Process]:
    """Return the processes in pods, by their cgroups."""
    pids = {int(pid) for path in _cgroups() for pid in _read(path / "cgroup.procs").split()}
    return [process for pid in sorted(pids) if (process := Process.of(pid))]


def _cgroups() -> list[Path]:
    """Return the cgroups of pods, the deepest first."""
    tops = [_CGROUPS / _PODS_CGROUP, *_CGROUPS.glob(f"*/{_PODS_CGROUP}")]
    # cpu and cpuacct may be two names of one hierarchy.
    tops = sorted({top.resolve() for top in tops if top.exists()})
    return [Path(folder) for top in tops for folder, _, _ in os.walk(top, topdown=False)]


def _mounts() -> list[str]:
    """Return the mount points under the cluster's folders, the deepest first."""
    points = [line.split()[4] for line in _read(Path("/proc/self/mountinfo")).splitlines()]
    folders = (f"{STATE}/", f"{CONTAINERD_ROOT}/")
    return [point for point in reversed(points) if point.startswith(folders)]


def _log_links() -> Iterator[Path]:
    for link in CONTAINER_LINKS.glob("*"):
        if link.is_symlink() and link.readlink().is_relative_to(PODS_LOGS):
            yield link


def _command(pid: int) -> str:
    return _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ").strip()


def _read(path: Path) -> str:
    """Return a kernel file's text; empty if what it tells of has just ended."""
    try:
        return path.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        with suppress(OSError):  # not there, or someone else's files are in it
            folder.rmdir()
