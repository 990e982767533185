"""How objects go: grace periods, finalizers, what they own, whole namespaces."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any

from . import garbage
from .conditions import timestamp
from .kinds import NAMESPACE, POD, Kind, conflict
from .state import Object, State


class Deletion:
    """Take objects out of a cluster's state, at once or when they are ready for it."""

    def __init__(self, state: State) -> None:
        self._state = state

    def delete(
        self, kind: Kind, old: Object, *, propagation: str = "Background", grace: int | None = None
    ) -> Object:
        """Delete an object, and with it what it owns; returns it as it was last, or is now."""
        uid = old["metadata"]["uid"]
        if propagation == "Orphan":
            self._orphan(uid)
        if kind is POD and _runs(old) and (seconds := _grace(old, grace)):
            return self._terminate(old, seconds)
        if propagation == "Foreground" and self._state.owners.dependants(uid):
            return self._delete_foreground(kind, old)
        if kind is NAMESPACE:
            return self._delete_namespace(old)
        return self.finish(kind, old)

    def finish(self, kind: Kind, old: Object) -> Object:
        """Remove an object, unless its finalizers hold it: then it is marked."""
        if old["metadata"].get("finalizers"):
            return self._mark(kind, old, 0)
        return self.remove(kind, old)

    def settle(self, kind: Kind, old: Object, new: Object) -> Object:
        """Store a change, or remove the object if the change is what it waited for."""
        meta = new["metadata"]
        meta["resourceVersion"] = old["metadata"]["resourceVersion"]
        if new == old:
            return copy.deepcopy(old)
        held = meta.get("finalizers") or kind is NAMESPACE
        if meta.get("deletionTimestamp") and not meta["deletionGracePeriodSeconds"] and not held:
            return self.remove(kind, old)
        return self._state.put(kind, new, old)

    def remove(self, kind: Kind, old: Object) -> Object:
        """Remove an object for good, and let go of what waited for that."""
        gone = self._state.take(kind, old)
        for key in self._state.owners.dependants(old["metadata"]["uid"]):
            self.collect(*key)
        for owner in garbage.owner_uids(old):
            self._owner_may_go(owner)
        if kind.namespaced:
            self._namespace_may_go(old["metadata"]["namespace"])
        return gone

    def collect(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete an object that names owners none of which is there."""
        obj = self._state.find(kind, namespace, name)
        if obj is not None and self._state.owners.abandoned(obj):
            self.delete(kind, obj)

    # -- marks

    def _terminate(self, pod: Object, grace: int) -> Object:
        """Mark a running pod as terminating; a second delete may only shorten its grace."""
        before = pod["metadata"].get("deletionGracePeriodSeconds")
        if before is not None and before <= grace:
            return copy.deepcopy(pod)
        return self._mark(POD, pod, grace)

    def _mark(self, kind: Kind, old: Object, grace: int) -> Object:
        new = copy.deepcopy(old)
        meta = new["metadata"]
        meta.setdefault("deletionTimestamp", timestamp(time.time() + grace))
        meta["deletionGracePeriodSeconds"] = grace
        return new if new == old else self._state.put(kind, new, old)

    # -- owners

    def _orphan(self, owner: str) -> None:
        for key in self._state.owners.dependants(owner):
            old = self._state.stored(*key)
            new = copy.deepcopy(old)
            garbage.disown(new, owner)
            self.settle(key[0], old, new)

    def _delete_foreground(self, kind: Kind, old: Object) -> Object:
        """Delete what the object owns first; it stays until that is gone."""
        new = copy.deepcopy(old)
        finalizers = new["metadata"].setdefault("finalizers", [])
        if garbage.FOREGROUND not in finalizers:
            finalizers.append(garbage.FOREGROUND)
        self._state.put(kind, new, old)
        marked = self._mark(kind, new, 0)
        uid = old["metadata"]["uid"]
        for key in self._state.owners.dependants(uid):
            if (owned := self._state.find(*key)) is not None:
                self.delete(key[0], owned, propagation="Foreground")
        self._owner_may_go(uid)
        return marked

    def _owner_may_go(self, uid: str) -> None:
        """Let go of an owner that waited for the last object it owned."""
        key = self._state.owners.key(uid)
        owner = key and self._state.find(*key)
        if not key or not owner or garbage.FOREGROUND not in _finalizers(owner):
            return
        owned = [self._state.stored(*each) for each in self._state.owners.dependants(uid)]
        if not any(garbage.blocks(each, uid) for each in owned):
            new = copy.deepcopy(owner)
            new["metadata"]["finalizers"].remove(garbage.FOREGROUND)
            self.settle(key[0], owner, new)

    # -- namespaces

    def _delete_namespace(self, old: Object) -> Object:
        """Delete all that is in a namespace; it goes when the last object has gone."""
        name = old["metadata"]["name"]
        marked = self._mark(NAMESPACE, {**old, "status": {"phase": "Terminating"}}, 0)
        for key in self._state.inside(name):
            if (obj := self._state.find(*key)) is not None:
                self.delete(key[0], obj)
        self._namespace_may_go(name)
        return marked

    def _namespace_may_go(self, name: str) -> None:
        space = self._state.find(NAMESPACE, None, name)
        if space is None or not space["metadata"].get("deletionTimestamp"):
            return
        if not any(self._state.inside(name)):
            self.remove(NAMESPACE, space)


def check_preconditions(kind: Kind, old: Object, wanted: Mapping[str, Any]) -> None:
    """Refuse to delete an object that is not the one that was meant.

    Raises
    ------
    ApiError
        409 if its uid or its resourceVersion is another.

    """
    meta = old["metadata"]
    for field, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(field) and wanted[field] != meta[field]:
            why = (
                f"the {word} in the precondition ({wanted[field]}) does not match the {word} in "
                f"record ({meta[field]}). The object might have been deleted and then recreated"
            )
            raise conflict(kind, meta["name"], why, of=kind.kind)


def _finalizers(obj: Object) -> list[str]:
    return obj["metadata"].get("finalizers") or []


def _runs(pod: Object) -> bool:
    """Tell whether a kubelet has to end the pod first."""
    ended = (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
    return bool(pod["spec"].get("nodeName")) and not ended


def _grace(pod: Object, asked: int | None) -> int:
    """Tell how many seconds a pod has to end."""
    return int(pod["spec"].get("terminationGracePeriodSeconds", 30) if asked is None else asked)
