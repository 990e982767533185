"""Packages that a cell asked for, installed in its pod before the cell runs.

They go into a folder of the pod, since its image may be read-only and its user is not root. What
the image has already stays as it is, so that a framework keeps the libraries that it was built for:
pip is first asked what is missing, and then told to install exactly that.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .provide import CannotRun, first_on_path

_PIP = (
    *("-m", "pip", "install", "--no-input", "--no-color", "--progress-bar", "off"),
    *("--disable-pip-version-check", "--no-warn-script-location"),
)
_ANOTHER_PLACE = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")


def install(requirements: Sequence[str]) -> None:
    """Make packages importable; the first process of a pod installs them, others find them.

    Parameters
    ----------
    requirements
        As pip takes them, each checked to be no option.

    Raises
    ------
    CannotRun
        With the requirement and pip's own words.

    """
    if not requirements:
        return
    scratch = Path(os.environ["JUPYTER_KUBE_SCRATCH"])
    folder = scratch / "packages"
    with (scratch / "packages.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(requirements, scratch, folder)
    first_on_path(str(folder))
    os.environ["PATH"] = f"{folder}/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def _install(requirements: Sequence[str], scratch: Path, folder: Path) -> None:
    print(f"installing {', '.join(requirements)} …", flush=True)
    made = Path(tempfile.mkdtemp(prefix="packages-", dir=scratch))
    report = made / "report.json"
    _pip(requirements, ["--dry-run", "--report", str(report), *requirements], scratch)
    missing = _missing(json.loads(report.read_text(encoding="utf-8"))["install"])
    report.unlink()
    if missing:
        _pip(requirements, ["--no-deps", "--target", str(made), *missing], scratch)
    made.rename(folder)  # whole, or not there at all
    names = ", ".join(sorted(each.partition(" @ ")[0].replace("==", " ") for each in missing))
    print(f"installed {names or 'nothing: the image has it all'}", flush=True)


def _missing(found: Iterable[dict[str, Any]]) -> list[str]:
    """Turn what pip would install into requirements that nothing else can satisfy."""
    return [
        f"{each['metadata']['name']} @ {_address(each['download_info'])}"
        if each["is_direct"]
        else f"{each['metadata']['name']}=={each['metadata']['version']}"
        for each in found
    ]


def _address(source: dict[str, Any]) -> str:
    inside = f"#subdirectory={folder}" if (folder := source.get("subdirectory")) else ""
    if vcs := source.get("vcs_info"):
        return f"{vcs['vcs']}+{source['url']}@{vcs['commit_id']}{inside}"
    return f"{source['url']}{inside}"


def _pip(requirements: Sequence[str], arguments: Sequence[str], scratch: Path) -> None:
    """Run pip and show how it goes; its last error is the reason where it fails."""
    env = {key: value for key, value in os.environ.items() if key not in _ANOTHER_PLACE}
    env |= {"TMPDIR": str(scratch), "PIP_USER": "0"}
    env.setdefault("PIP_CACHE_DIR", str(scratch / "pip"))
    error = last = ""
    with subprocess.Popen(
        [sys.executable, *_PIP, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            last = line.strip() or last
            if last.startswith("ERROR: "):
                error = last.removeprefix("ERROR: ")
            sys.stdout.write(f"pip: {last}\r")
            sys.stdout.flush()
    if process.returncode:
        if last.endswith("No module named pip"):
            error = "this image has no pip; choose a --profile with an image that has"
        guilty = [each for each in requirements if _name(each) in error.lower()]
        raise CannotRun(f"could not install {', '.join(guilty or requirements)}: {error or last}")


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()
