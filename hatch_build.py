"""The build hook: put the front end, built from ``labextension/``, into wheels.

Node.js is needed for that alone. An editable install goes without it, in one clear line; a wheel
without its front end would be broken, so there it is an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCES = ("src", "style", "schema", "package.json", "yarn.lock", "tsconfig.json", "install.json")


class FrontEnd(BuildHookInterface):
    """Builds the JupyterLab extension where the one that is there is not as its sources are."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build it, unless this is a source distribution's tree or nothing has changed."""
        root = Path(self.root)
        source, built = root / "labextension", root / "jupyter_kube" / "labextension"
        editable = version == "editable"
        if (root / "PKG-INFO").exists() or _fresh(source, built, editable):
            return
        if os.environ.get("SKIP_JUPYTER_BUILDER"):
            self._say("is left out, as SKIP_JUPYTER_BUILDER asks")
            return
        missing = next((tool for tool in ("node", "jlpm") if not shutil.which(tool)), None)
        if missing and editable:
            self._say(f"is not built: no {missing} here. All else works without it")
            return
        if missing:
            raise RuntimeError(
                f"The JupyterLab extension cannot be built: no {missing} here. Install"
                " Node.js 20 or newer, or set SKIP_JUPYTER_BUILDER=1 to go without the extension."
            )
        shutil.rmtree(built, ignore_errors=True)
        for command in (["jlpm", "install", "--immutable"], ["jlpm", "build:prod"]):
            subprocess.run(command, cwd=source, check=True)

    def _say(self, words: str) -> None:
        self.app.display_warning(f"The JupyterLab extension {words}.")


def _fresh(source: Path, built: Path, editable: bool) -> bool:
    """Say whether there is a build newer than its sources; one for development is not shipped."""
    entry = built / "static" / "style.js"
    if not entry.exists():
        return False
    if any(built.rglob("*.map")):
        return editable
    files = [p for name in _SOURCES for p in (source / name, *(source / name).rglob("*"))]
    return entry.stat().st_mtime >= max(p.stat().st_mtime for p in files if p.is_file())
