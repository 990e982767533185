"""What users may vary of a profile, and within which bounds (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import check_quantity, clip, suggest
from .errors import InvalidInput
from .quantity import amount
from .rules import Rule, is_whole, read_image

OPTIONS = ("cpu", "memory", "gpus", "image")
"""What may be left to users at all."""

_LONGEST_LIST = 200


def read_options(key: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check the bounds a platform engineer has set; quantities become text.

    Raises
    ------
    InvalidInput
        In one sentence, beginning with the key.

    """
    for name in value:
        if name not in OPTIONS:
            hint = suggest(str(name), OPTIONS)
            raise InvalidInput(f'{key} has "{clip(name)}"{hint}', f"there are {_listed(OPTIONS)}")
    return {
        name: _read_images(key, bounds) if name == "image" else _read_bounds(key, name, bounds)
        for name, bounds in value.items()
    }


def _read_images(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not 0 < len(value) <= _LONGEST_LIST:
        raise InvalidInput(f"{key}: image must be a list of images (got {clip(repr(value))})")
    return tuple(read_image(f"{key}: image", each) for each in value)


def _read_bounds(key: str, name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not value or set(value) - {"min", "max"}:
        raise InvalidInput(
            f'{key}: {name} must have "min", "max" or both (got {clip(repr(value))})'
        )
    ends = {end: read(f"{key}: {name} {end}", name, bound) for end, bound in value.items()}
    if {"min", "max"} <= set(ends) and amount(str(ends["min"])) > amount(str(ends["max"])):
        raise InvalidInput(f"{key}: {name} min {ends['min']} is above its max {ends['max']}")
    return ends


def read(what: str, name: str, value: Any) -> Any:
    """Return one value of an option as a profile keeps it; ``what`` is its name in a refusal.

    Raises
    ------
    InvalidInput
        If it is no such value at all.

    """
    if name == "gpus":
        if isinstance(value, float) or (isinstance(value, str) and "." in value):
            raise InvalidInput(
                f"{what}: GPUs are whole devices (got {clip(value)})",
                next="For a share of one ask your administrator for a MIG or time-sliced resource.",
            )
        if not is_whole(value):
            raise InvalidInput(f"{what} must be a whole number (got {clip(repr(value))})")
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidInput(f"{what} must be a quantity such as 2 or 4Gi (got {clip(repr(value))})")
    return read_image(what, value) if name == "image" else check_quantity(str(value), what, name)


def choose(options: Mapping[str, Any], own_image: str, name: str, value: Any) -> Any:
    """Return a user's value of one option as a profile keeps it.

    Parameters
    ----------
    options
        The profile's, read by :func:`read_options`.
    own_image
        The profile's image, which may always be chosen.
    name, value
        What the user chose.

    Raises
    ------
    InvalidInput
        If the option is not left to users, or the value is out of its bounds.

    """
    if name not in options:
        offered = f"you may choose {_listed(options)}" if options else "it leaves nothing to choose"
        raise InvalidInput(f'"{clip(name)}" cannot be chosen{suggest(name, options)}', offered)
    chosen = read(name, name, value)
    if name != "image":
        within(options[name], name, chosen)
    elif chosen not in (own_image, *options["image"]):
        allowed = dict.fromkeys((own_image, *options["image"]))
        raise InvalidInput(
            f'image "{clip(chosen)}" is not offered', f"there are {_listed(allowed)}"
        )
    return chosen


def within(bounds: Mapping[str, Any], name: str, value: Any) -> None:
    """Refuse what is out of bounds.

    Raises
    ------
    InvalidInput
        With the bounds.

    """
    number = amount(str(value))
    if "max" in bounds and number > amount(str(bounds["max"])):
        raise InvalidInput(f"{name} {value} is above what is allowed", _range(bounds))
    if "min" in bounds and number < amount(str(bounds["min"])):
        raise InvalidInput(f"{name} {value} is below what is allowed", _range(bounds))


def _range(bounds: Mapping[str, Any]) -> str:
    if len(bounds) == 2:
        return f"from {bounds['min']} to {bounds['max']}"
    return f"at most {bounds['max']}" if "max" in bounds else f"at least {bounds['min']}"


def _listed(words: Any) -> str:
    return ", ".join(map(clip, words))


RULE = Rule(
    'a dictionary as {"gpus": {"min": 0, "max": 4}}',
    lambda v: isinstance(v, Mapping),
    read_options,
)
