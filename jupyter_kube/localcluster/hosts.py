"""The hosts file that stands in for cluster DNS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class HostsFile:
    """Keep names of pods with a ``subdomain`` in a file of the format of ``/etc/hosts``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[str, str] = {}

    def add(self, pod: Mapping[str, Any], address: str) -> None:
        """Make a pod's names known."""
        if line := host_line(pod, address):
            self._lines[pod["metadata"]["uid"]] = line
            self.write()

    def discard(self, uid: str) -> None:
        """Forget a pod's names."""
        if self._lines.pop(uid, None):
            self.write()

    def write(self) -> None:
        """Write the file anew, at once for all readers."""
        fresh = self.path.with_suffix(".new")
        text = "127.0.0.1 localhost\n" + "".join(self._lines.values())
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.path)


def host_line(pod: Mapping[str, Any], address: str) -> str:
    """Write the line of one pod; empty for a pod without ``hostname`` or ``subdomain``."""
    spec, namespace = pod["spec"], pod["metadata"]["namespace"]
    if not (spec.get("hostname") and spec.get("subdomain")):
        return ""
    short = f"{spec['hostname']}.{spec['subdomain']}"
    names = [f"{short}.{namespace}.svc.cluster.local", f"{short}.{namespace}.svc"]
    return " ".join([address, *names, f"{short}.{namespace}", short, spec["hostname"]]) + "\n"
