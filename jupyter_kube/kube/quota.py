"""A full quota in words: the API's refusal made into what is needed and what is left (pure)."""

from __future__ import annotations

import re

from ..quantity import amount, readable

_REFUSAL = re.compile(
    r"exceeded quota: (?P<quota>[^,]+), requested: (?P<requested>\S+), "
    r"used: (?P<used>\S+), limited: (?P<limited>\S+)"
)
_SIZES = ("memory", "storage", "hugepages-")


def quota_words(refusal: str, namespace: str) -> str:
    """Say what a pod needs and what a quota has left; other texts are returned as they are.

    Parameters
    ----------
    refusal
        The API's text: ``… exceeded quota: gpus, requested: requests.nvidia.com/gpu=4, used:
        requests.nvidia.com/gpu=3, limited: requests.nvidia.com/gpu=4``.
    namespace
        Where the quota holds.

    """
    match = _REFUSAL.search(refusal)
    if match is None:
        return refusal
    try:
        lists = [_amounts(match[name]) for name in ("requested", "used", "limited")]
        short = [_short(name, *(each[name] for each in lists)) for name in lists[0]]
    except (KeyError, ValueError):  # cut off, or of a version that words it in another way
        return refusal
    return f'{", ".join(short)} in namespace {namespace} (quota "{match["quota"]}")'


def _amounts(text: str) -> dict[str, str]:
    """Read ``cpu=1,memory=2Gi``."""
    pairs = (pair.partition("=") for pair in text.split(","))
    return {name: value for name, _, value in pairs}


def _short(resource: str, requested: str, used: str, limited: str) -> str:
    """Say of one resource how much is needed and left."""
    size = is_size(resource)
    need, limit = amount(requested), amount(limited)
    left = max(limit - amount(used), amount("0"))
    needs = f"needs {readable(need, size=size)} {word(resource)}, "
    if need > limit:
        return f"{needs}more than the {readable(limit, size=size)} that are allowed"
    return f"{needs}{readable(left, size=size)} left"


def word(resource: str) -> str:
    """Say what people call a resource, as nodes, pods or quotas name it."""
    name = resource.removeprefix("requests.").removeprefix("limits.").removeprefix("count/")
    # One device is a GPU to people; MIG slices and others keep the name that tells them apart.
    return "GPU" if name.endswith("/gpu") else {"cpu": "CPU"}.get(name, name)


def is_size(resource: str) -> bool:
    """Say whether a resource is counted in bytes."""
    return any(part in resource for part in _SIZES)
