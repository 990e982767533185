"""Fill in whose, and which folder's, a profile's storage is: ``{user}`` and ``{folder}`` (pure)."""

from __future__ import annotations

import hashlib
import re

from .checks import clip
from .errors import InvalidInput

USER, FOLDER = "{user}", "{folder}"
_SAMPLE = {USER: "ann", FOLDER: "some/where"}
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_PLAIN = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST = 21  # readable characters of a user's name that is not plain
_HASH = 8


def is_template(text: str) -> bool:
    """Tell whether something is to be filled in."""
    return "{" in text or "}" in text


def sample(key: str, text: str) -> str:
    """Fill in an example, to see whether the rest is right.

    Raises
    ------
    InvalidInput
        If something else than a user and a folder is asked for.

    """
    for found in _PLACEHOLDER.findall(text):
        if found not in _SAMPLE:
            raise InvalidInput(
                f"{key} has {clip(found)}, which means nothing", f"there are {USER} and {FOLDER}"
            )
    return fill(text, _SAMPLE[USER], _SAMPLE[FOLDER])


def fill(text: str, user: str, folder: str) -> str:
    """Fill in what :func:`user_slug` and :func:`plain_folder` have made."""
    values = {USER: user, FOLDER: folder}
    filled = _PLACEHOLDER.sub(lambda found: values.get(found[0], found[0]), text)
    return filled if filled == text else filled.rstrip("/") or "/"


def user_slug(user: str) -> str:
    """Write a user's name as KubeSpawner does in the names of claims (``{user_server}`` since 7).

    A name that could be an object's stays as it is; others are reduced, with a hash behind.
    """
    if _PLAIN.fullmatch(user) and "--" not in user:
        return user
    readable = re.sub(r"[^a-z0-9]+", "-", user.lower()).lstrip("-")[:_LONGEST].rstrip("-")
    if readable and not readable[0].isalpha():
        readable = f"x-{readable[: _LONGEST - 2]}"
    digest = hashlib.sha256(user.encode("utf-8", "surrogateescape")).hexdigest()[:_HASH]
    return f"{readable or 'x'}---{digest}"


def plain_folder(folder: str) -> str:
    """Check a notebook's folder, relative to the server's root, for use in a path.

    Raises
    ------
    InvalidInput
        If it leads elsewhere, or cannot be part of a path in a pod.

    """
    parts = [part for part in folder.split("/") if part not in {"", "."}]
    if ".." in parts or folder.startswith("/") or not folder.isprintable() or ":" in folder:
        raise InvalidInput(f"the notebook's folder {clip(repr(folder))} cannot be a path in a pod")
    return "/".join(parts)
