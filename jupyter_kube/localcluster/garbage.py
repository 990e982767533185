"""Who owns whom: what goes when an owner goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .kinds import Kind

Key = tuple[Kind, str, str]
"""Kind, namespace ("" for none) and name."""

FOREGROUND = "foregroundDeletion"
"""The finalizer of an owner that waits until what it owns is gone."""


class Ownership:
    """All objects by uid, and the owner references between them."""

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}
        self._dependants: dict[str, set[Key]] = {}

    def note(self, key: Key, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> None:
        """Take note of an object that comes (``old`` is None), changes, or goes."""
        if old is None and new is not None:
            self._keys[new["metadata"]["uid"]] = key
        if new is None and old is not None:
            self._keys.pop(old["metadata"]["uid"], None)
        before, after = owner_uids(old), owner_uids(new)
        for uid in before - after:
            self._dependants[uid].discard(key)
            if not self._dependants[uid]:
                del self._dependants[uid]
        for uid in after - before:
            self._dependants.setdefault(uid, set()).add(key)

    def dependants(self, uid: str) -> list[Key]:
        """List what names this owner, in a stable order."""
        return sorted(self._dependants.get(uid, ()), key=lambda key: (key[0].kind, *key[1:]))

    def key(self, uid: str) -> Key | None:
        """Find an object by its uid."""
        return self._keys.get(uid)

    def abandoned(self, obj: Mapping[str, Any]) -> bool:
        """Tell whether an object names owners and none of them is there any more."""
        owners = owner_uids(obj)
        return bool(owners) and not any(uid in self._keys for uid in owners)


def owner_uids(obj: Mapping[str, Any] | None) -> set[str]:
    """List the uids of an object's owners."""
    if obj is None:
        return set()
    return {each["uid"] for each in obj["metadata"].get("ownerReferences") or ()}


def blocks(obj: Mapping[str, Any], owner: str) -> bool:
    """Tell whether an owner that is deleted in the foreground waits for this object."""
    references = obj["metadata"].get("ownerReferences") or ()
    return any(each["uid"] == owner and each.get("blockOwnerDeletion") for each in references)


def disown(obj: dict[str, Any], owner: str) -> None:
    """Remove one owner from an object."""
    references = obj["metadata"].get("ownerReferences") or ()
    obj["metadata"]["ownerReferences"] = [each for each in references if each["uid"] != owner]
