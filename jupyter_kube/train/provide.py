"""What a cell finds that its image may lack: cloudpickle, and the notebook's own modules.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import base64
import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
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
    """Make the notebook's own version of cloudpickle importable, whatever the image has.

    It may have imported its own already, as by a ``.pth`` file.
    """
    for name in ("cloudpickle", "cloudpickle.cloudpickle"):
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, _Cloudpickle(source))


class _Cloudpickle:
    """Finds cloudpickle, which few cells need and a rank would wait for."""

    def __init__(self, source: str) -> None:
        self._source = source

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, module = name.partition(".")
        if package != "cloudpickle" or module not in ("", "cloudpickle"):
            return None
        loader: Any = self
        return ModuleSpec(name, loader, is_package=not module)

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == "cloudpickle":  # a package that has what its one module has
            found = vars(importlib.import_module("cloudpickle.cloudpickle"))
            vars(module).update(
                (key, found[key])
                for key in found
                if key == "__version__" or not key.startswith("_")
            )
        else:
            exec(compile(self._source, "<cloudpickle>", "exec"), vars(module))  # noqa: S102 - a library


def provide_modules(archive: str) -> None:
    """Unpack the notebook's modules to where they are imported from first."""
    if not archive:
        return
    import tempfile
    import zipfile

    folder = tempfile.mkdtemp(prefix="code-", dir=os.environ.get("JUPYTER_KUBE_SCRATCH"))
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))) as packed:
        packed.extractall(folder)
    first_on_path(folder)


def first_on_path(folder: str) -> None:
    """Have this process, and those that it starts, import from a folder before all others."""
    sys.path.insert(0, folder)
    given = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{folder}{os.pathsep}{given}" if given else folder
