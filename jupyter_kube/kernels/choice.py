"""What a user chose of a profile's options: it travels in the notebook's metadata.

::

    "jupyter_kube": {"options": {"gpus": 2, "memory": "16Gi"}, "profile": "gpu"}

``profile`` may be missing; where it is there, the options are for kernels of that profile only.
What may be chosen, and within which bounds, is the profile's to say
(:meth:`jupyter_kube.models.Profile.vary`).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

from jupyter_core.utils import ensure_async
from tornado.web import HTTPError

from ..checks import clip
from ..errors import InvalidInput

KEY = "jupyter_kube"
"""Key in a notebook's metadata."""

_LARGEST = 100 * 2**20  # bytes of a notebook that is looked into


def choice_of(metadata: Mapping[str, Any], profile: str = "") -> Mapping[str, Any]:
    """Return the options chosen in a notebook's metadata, {} where there are none.

    Parameters
    ----------
    metadata
        The notebook's.
    profile
        Name of the profile that is being started; empty if it does not matter.

    Raises
    ------
    InvalidInput
        If there is a choice that cannot be read.

    """
    if KEY not in metadata:
        return {}
    entry = metadata[KEY]
    where = f"the notebook's metadata, {KEY}"
    if not isinstance(entry, Mapping):
        raise InvalidInput(
            f'{where}: must be as in {{"options": {{"gpus": 1}}}} (got {_got(entry)})'
        )
    meant = entry.get("profile", "")
    if not isinstance(meant, str):
        raise InvalidInput(f"{where}: profile must be text (got {_got(meant)})")
    options = entry.get("options", {})
    if not isinstance(options, Mapping):
        raise InvalidInput(f"{where}: options must be a dictionary (got {_got(options)})")
    return {} if meant and profile and meant != profile else dict(options)


async def read_choice(
    contents: Any, path: str, profile: str = "", *, log: logging.Logger | Any
) -> Mapping[str, Any]:
    """Return the options chosen in a notebook, {} where it cannot be read.

    The file is read as text, without the checks a notebook is opened with, and looked into only if
    our key is in it.

    Parameters
    ----------
    contents
        The server's contents manager, synchronous or not.
    path
        The notebook's path as the server knows it; empty if there is none.
    profile
        As for :func:`choice_of`.
    log
        Told why a notebook could not be read.

    Raises
    ------
    InvalidInput
        If there is a choice that cannot be read.

    """
    if not path.endswith(".ipynb"):
        return {}
    try:
        about = await ensure_async(contents.get(path, content=False))
        if (about.get("size") or 0) > _LARGEST:
            log.warning("%s is too large to be looked into for options of its kernel", path)
            return {}
        model = await ensure_async(contents.get(path, content=True, type="file", format="text"))
        text = model["content"]
        if f'"{KEY}"' not in text:
            return {}
        metadata = (await asyncio.to_thread(json.loads, text)).get("metadata", {})
    except (HTTPError, OSError, ValueError, AttributeError, RecursionError) as error:
        log.warning("No options of its kernel are read from %s: %s", path, clip(error, 200))
        return {}
    return choice_of(metadata, profile) if isinstance(metadata, Mapping) else {}


def _got(value: Any) -> str:
    return clip(repr(value))
