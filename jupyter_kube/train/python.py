"""Which Python workers will have, as far as a profile tells before there are any (pure)."""

from __future__ import annotations

import re

from ..errors import InvalidInput
from ..models import Profile

_OLDEST = (3, 11)

_INTERPRETER = re.compile(r"(?:.*/)?python([0-9]+\.[0-9]+)")
_PLAIN = re.compile(r"(?:/usr/(?:local/)?bin/)?python3?")
_TAGS = (
    re.compile(r"(?:.*/)?python:([0-9]+\.[0-9]+)(?![0-9]).*"),  # the official image and its mirrors
    re.compile(r".*:(?:.*-)?python-([0-9]+\.[0-9]+)(?![0-9]).*"),  # Jupyter's own images
)


def known_python(profile: Profile) -> str:
    """Tell the minor version of a profile's Python, as in ``3.12``; empty if nothing tells it.

    What tells is an interpreter with its version (``python3.12``), or the tag of an image that is
    named for it (``python:3.12-slim``, ``scipy-notebook:python-3.12``).
    """
    if match := _INTERPRETER.fullmatch(profile.python):
        return match[1]
    if not _PLAIN.fullmatch(profile.python):
        return ""
    return next((match[1] for tag in _TAGS if (match := tag.fullmatch(profile.image))), "")


def check_python(needed: str, profile: Profile) -> None:
    """Refuse a profile of which it is known that what travels cannot be loaded there.

    Parameters
    ----------
    needed
        The kernel's version where functions travel, else empty.
    profile
        The workers'.

    Raises
    ------
    InvalidInput
        With both versions.

    """
    there = known_python(profile)
    whose = f'profile "{profile.name}"' if profile.name else "the workers' image"
    if there and tuple(map(int, there.split("."))) < _OLDEST:
        raise InvalidInput(f"{whose} has Python {there}; workers need 3.11 or newer")
    if there and needed and needed != there:
        raise InvalidInput(
            f"this kernel runs Python {needed}, {whose} has {there}",
            "functions and classes of the notebook cannot travel between them",
            "Choose a --profile with the same version, or define them in the cell.",
        )
