"""What the front end promises to the package around it; labextension/ has its own tests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from jupyter_kube import __version__, handlers

FRONT_END = Path(__file__).parent.parent / "labextension"


def test_the_front_end_has_the_packages_version() -> None:
    assert json.loads((FRONT_END / "package.json").read_text())["version"] == __version__


def test_the_front_end_has_types_of_all_paths_that_are_described() -> None:
    described = yaml.safe_load((Path(handlers.__file__).parent / "openapi.yaml").read_text())
    types = (FRONT_END / "src" / "openapi.ts").read_text()
    paths = types[types.index("export interface paths {") : types.index("export type webhooks")]
    assert set(re.findall(r'^    "(/.*)": {$', paths, re.MULTILINE)) == set(described["paths"])


def test_the_lock_file_names_no_registry() -> None:
    assert not re.search(r"https?://", (FRONT_END / "yarn.lock").read_text())
