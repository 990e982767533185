"""Which notebook a kernel belongs to: the path that Jupyter passes on in its environment (pure)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def in_folder(env: Mapping[str, str] | None, folder: Any) -> dict[str, str] | None:
    """Say in a kernel's environment which folder its notebook is in, as the server knows it.

    Jupyter trusts the session's name for that, which a front end may choose freely.
    """
    name = Path((env or {}).get("JPY_SESSION_NAME", "")).name
    if env is None or not name or not isinstance(folder, str):
        return None if env is None else dict(env)
    return {**env, "JPY_SESSION_NAME": f"{folder.strip('/')}/{name}".lstrip("/")}


def notebook_of(env: Mapping[str, str] | None, root: str) -> str:
    """Return the notebook's path as the server knows it, from a kernel's environment."""
    path = (env or {}).get("JPY_SESSION_NAME", "")
    with contextlib.suppress(ValueError):
        path = str(Path(path).relative_to(root)) if path else ""
    return path
