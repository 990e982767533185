"""What the front end promises to the package around it; labextension/ has its own tests."""

from __future__ import annotations

import json
import re
from pathlib import Path

from jupyter_kube import __version__

FRONT_END = Path(__file__).parent.parent / "labextension"


def test_the_front_end_has_the_packages_version() -> None:
    assert json.loads((FRONT_END / "package.json").read_text())["version"] == __version__


def test_the_lock_file_names_no_registry() -> None:
    assert not re.search(r"https?://", (FRONT_END / "yarn.lock").read_text())
