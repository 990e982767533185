"""Whether the image a pod runs can run our kernel at all.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import re
import site
import sys
from importlib import metadata


def ipykernel_problem(*, encrypted: bool) -> str:
    """Say what is wrong with the image's ipykernel; empty if nothing is.

    One that is too old would ignore the CURVE keys without a word.
    """
    site.main()  # this interpreter was started without its packages
    try:
        version = metadata.version("ipykernel")
    except metadata.PackageNotFoundError:
        return f"the image has no ipykernel for {sys.executable}: install ipykernel>=7.3 in it"
    numbers = [int(digits) for digits in re.findall(r"\d+", version)[:2]]
    if encrypted and numbers < [7, 3]:
        return (
            f"the image's ipykernel {version} cannot encrypt its connections: "
            "install ipykernel>=7.3 in it"
        )
    return ""
