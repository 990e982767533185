"""How many kernels of a profile a user may have: counted right, however many start at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .. import naming
from ..errors import LimitReached
from ..kube import objects
from ..kube.client import KubeClient

_LISTED = 5  # kernels named in a refusal
_OVER = {"Succeeded", "Failed"}


async def check(client: KubeClient, pod: Mapping[str, Any], most: int) -> None:
    """Refuse a kernel's pod, just created or claimed, if its user had enough of its profile before.

    Pods are listed as they were at the very moment this one became the user's (its
    resourceVersion): all who create or claim agree on that order, so that of any number at once
    exactly ``most`` stay. Warm ones do not count.

    Parameters
    ----------
    pod
        As the API answered its creation or claim.
    most
        The profile's ``max_per_user``; 0 allows any number.

    Raises
    ------
    LimitReached
        With the user's kernels. The caller deletes the pod.

    """
    if not most:
        return
    meta = pod["metadata"]
    wanted = {
        key: meta["labels"][label]
        for key, label in (("profile", naming.PROFILE), ("user_hash", naming.USER_HASH))
        if label in meta["labels"]
    }
    selector = naming.selector(component="kernel", **wanted)
    found = await objects.list_(client, objects.PODS, labels=selector, at=meta["resourceVersion"])
    others = [other for other in found["items"] if _counts(other, meta["uid"])]
    if len(others) >= most:
        raise _refusal(meta["labels"].get(naming.PROFILE, ""), most, others)


def _counts(pod: Mapping[str, Any], own_uid: str) -> bool:
    meta = pod["metadata"]
    over = (pod.get("status") or {}).get("phase") in _OVER
    idle = naming.POOL in (meta.get("labels") or {})
    return meta["uid"] != own_uid and not ("deletionTimestamp" in meta or over or idle)


def _refusal(profile: str, most: int, others: Iterable[Mapping[str, Any]]) -> LimitReached:
    oldest = sorted(others, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    names = [_words(pod) for pod in oldest[:most]]  # the younger ones are being refused, too
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    kernels = "1 kernel" if most == 1 else f"{most} kernels"
    return LimitReached(
        f'The profile "{profile}" allows {kernels} at once for each user',
        f"yours: {', '.join(names[:_LISTED])}{more}",
        "Shut one down, or choose another profile.",
    )


def _words(pod: Mapping[str, Any]) -> str:
    meta = pod["metadata"]
    notebook = (meta.get("annotations") or {}).get(naming.NOTEBOOK, "")
    return f"{notebook} ({meta['name']})" if notebook else str(meta["name"])
