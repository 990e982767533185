"""What a cell finds that its image may lack: cloudpickle, and the notebook's own modules.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import base64
import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from types import ModuleType
from typing import Any


class CannotRun(Exception):
    """A cell cannot run in this pod; the text is all that its user needs to know."""


def check_python(cell: Mapping[str, Any]) -> None:
    """Refuse functions of another version of Python: their bytecode would crash this one.

    Raises
    ------
    CannotRun
        If the versions differ and code travels.

    """
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if cell["python"] != here and b"marshal" in base64.b64decode(cell["values"]):
        msg = (
            f"the notebook runs Python {cell['python']}, this image {here}: functions cannot "
            "travel between them. Use an image of the same version, or define them in the cell."
        )
        raise CannotRun(msg)


def provide_cloudpickle(source: str) -> None:
    """Make the notebook's own version of cloudpickle importable, whatever the image has."""
    package, module = ModuleType("cloudpickle"), ModuleType("cloudpickle.cloudpickle")
    package.__path__ = []
    sys.modules["cloudpickle"] = package
    sys.modules["cloudpickle.cloudpickle"] = module
    exec(compile(source, "<cloudpickle>", "exec"), vars(module))  # noqa: S102 - a library
    public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    vars(package).update(public, cloudpickle=module)


def provide_modules(archive: str) -> None:
    """Unpack the notebook's modules to where they are imported from first."""
    if not archive:
        return
    folder = tempfile.mkdtemp(prefix="code-", dir=os.environ.get("JUPYTER_KUBE_SCRATCH"))
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))) as packed:
        packed.extractall(folder)
    first_on_path(folder)


def first_on_path(folder: str) -> None:
    """Have this process, and those that it starts, import from a folder before all others."""
    sys.path.insert(0, folder)
    given = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{folder}{os.pathsep}{given}" if given else folder
