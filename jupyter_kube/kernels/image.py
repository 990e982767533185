"""Whether the image a pod runs can run our kernel at all.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import os
import re
import site
import sys
from importlib import metadata


def ipykernel_problem(*, encrypted: bool) -> str:
    """Say what is wrong with the image's ipykernel; empty if nothing is.

    One that is too old would ignore the CURVE keys without a word.
    """
    version = _version("ipykernel")
    if version is None:
        return f"the image has no ipykernel for {sys.executable}: install ipykernel>=7.3 in it"
    numbers = [int(digits) for digits in re.findall(r"\d+", version)[:2]]
    if encrypted and numbers < [7, 3]:
        return (
            f"the image's ipykernel {version} cannot encrypt its connections: "
            "install ipykernel>=7.3 in it"
        )
    return ""


def _version(package: str) -> str | None:
    """Return the version of a package that the kernel will find, though we have no path to it."""
    site.main()
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = [*filter(None, given), *sys.path]
    found = next(iter(metadata.distributions(name=package, path=path)), None)
    return found.version if found is not None else None
