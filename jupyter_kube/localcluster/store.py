"""The local cluster's objects: versions, conflicts, deletion, and who is told of changes.

Synchronous throughout: each operation is atomic on the one event loop. What is stored is never
changed in place, so watches and callbacks may keep it; every answer is a copy.
"""

from __future__ import annotations

import copy
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from . import events, garbage, patches, selectors
from .history import Change, History
from .kinds import (
    CONFIGMAP,
    EVENT,
    JOB,
    KINDS,
    LEASE,
    NAMESPACE,
    NODE,
    POD,
    PV,
    PVC,
    QUOTA,
    ROLE,
    ROLEBINDING,
    SECRET,
    SERVICE,
    SERVICEACCOUNT,
    ApiError,
    Kind,
    already_exists,
    conflict,
    invalid,
    not_found,
)

__all__ = [
    "CONFIGMAP", "EVENT", "JOB", "KINDS", "LEASE", "NAMESPACE", "NODE", "POD", "PV", "PVC",
    "QUOTA", "ROLE", "ROLEBINDING", "SECRET", "SERVICE", "SERVICEACCOUNT",
    "ApiError", "Kind", "Store",
]  # fmt: skip

Object = dict[str, Any]
Callback = Callable[[str, Object, Object | None], None]
"""``callback(type, obj, old)`` with type ADDED, MODIFIED or DELETED."""
Admission = Callable[[Kind, Object, Object | None], None]

_EVENTS = 2000  # Event objects kept
_WITH_GENERATION = (POD, JOB)
_SERVER_OWNED = (
    "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
    "generation", "namespace", "name",
)  # fmt: skip
_MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def now(after: float = 0) -> str:
    """Write the present, or a time some seconds later, as Kubernetes does."""
    return (datetime.now(UTC) + timedelta(seconds=after)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """All objects of one cluster."""

    def __init__(self) -> None:
        self.admission: list[Admission] = []
        """Called in turn before each create and update; may change the object or refuse it."""
        self.version = 1
        """The resourceVersion of the last change."""
        self._objects: dict[Kind, dict[tuple[str, str], Object]] = {kind: {} for kind in KINDS}
        self._callbacks: dict[Kind, list[Callback]] = {kind: [] for kind in KINDS}
        self._history = History()
        self._owners = garbage.Ownership()

    # -- reading

    def get(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """Return one object.

        Raises
        ------
        ApiError
            404 if there is none.

        """
        return copy.deepcopy(self._stored(kind, namespace, name))

    def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> list[Object]:
        """Return all objects of a kind that match, in one namespace or (None, "") in all."""
        matches = selectors.both(kind, label_selector, field_selector)
        return [
            copy.deepcopy(obj)
            for (space, _), obj in sorted(self._objects[kind].items())
            if (not namespace or space == namespace) and matches(obj)
        ]

    # -- writing

    def create(
        self, kind: Kind, obj: Object, *, namespace: str | None = None, dry_run: bool = False
    ) -> Object:
        """Store a new object and return it as stored.

        Raises
        ------
        ApiError
            404 if there is no such namespace, 409 if the name is taken, or whatever admission
            raises.

        """
        new = copy.deepcopy(obj)
        meta = new.setdefault("metadata", {})
        new["apiVersion"], new["kind"] = kind.api_version, kind.kind
        if kind.namespaced:
            meta["namespace"] = namespace or meta.get("namespace") or "default"
            self._check_namespace(meta["namespace"])
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + secrets.token_hex(3)[:5]
        meta.update(uid=str(uuid.uuid4()), creationTimestamp=now())
        for owned in ("deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"):
            meta.pop(owned, None)
        if kind in _WITH_GENERATION:
            meta["generation"] = 1
        self._admit(kind, new, None)
        if (meta.get("namespace", ""), meta["name"]) in self._objects[kind]:
            raise already_exists(kind, meta["name"])
        if dry_run:
            return new
        stored = self._put(kind, new, None)
        if self._owners.abandoned(new):
            self.delete(kind, meta.get("namespace"), meta["name"])
        return stored

    def update(
        self, kind: Kind, obj: Object, *, subresource: str | None = None, dry_run: bool = False
    ) -> Object:
        """Replace an object; with ``status`` only that part, without it all but that part.

        Raises
        ------
        ApiError
            404, 409 if ``resourceVersion`` is given and old, or whatever admission raises.

        """
        meta = obj["metadata"]
        old = self._stored(kind, meta.get("namespace"), meta["name"])
        return self._change(kind, old, obj, subresource, dry_run)

    def patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        body: Any,
        content_type: str,
        *,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Patch an object; a server-side apply creates it if it is not there.

        Raises
        ------
        ApiError
            As ``update``, and 400, 415 or 422 for the patch itself.

        """
        if content_type == patches.APPLY and self._find(kind, namespace, name) is None:
            body = {**body, "metadata": {**body.get("metadata", {}), "name": name}}
            return self.create(kind, body, namespace=namespace, dry_run=dry_run)
        old = self._stored(kind, namespace, name)
        changed = patches.patched(old, body, content_type)
        if not isinstance(changed.get("metadata"), dict):
            raise invalid(kind, name, [("metadata", "Required value")])
        return self._change(kind, old, changed, subresource, dry_run)

    def mutate(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        fn: Callable[[Object], Any],
        *,
        subresource: str | None = None,
    ) -> Object | None:
        """Read an object, let ``fn`` change the copy, store it; None if the object is gone.

        For the cluster's own parts: admission is not asked.
        """
        old = self._find(kind, namespace, name)
        if old is None:
            return None
        changed = copy.deepcopy(old)
        fn(changed)
        return self._replace(kind, old, _merged(kind, old, changed, subresource))

    def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        propagation: str = "Background",
        grace_seconds: int | None = None,
        preconditions: Mapping[str, Any] | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Delete an object, and with it what it owns.

        A running pod is only marked, for the kubelet to end and remove, unless ``grace_seconds``
        is 0. An object with finalizers is marked until they are gone.

        Raises
        ------
        ApiError
            404, or 409 if it is not the object of the preconditions (uid, resourceVersion).

        """
        old = self._stored(kind, namespace, name)
        _check_preconditions(kind, old, preconditions or {})
        if dry_run:
            return copy.deepcopy(old)
        uid = old["metadata"]["uid"]
        if propagation == "Orphan":
            for key in self._owners.dependants(uid):
                self.mutate(*key, lambda obj: garbage.disown(obj, uid))
        if kind is POD and _runs(old) and (grace := _grace(old, grace_seconds)):
            return self._terminate(old, grace)
        if propagation == "Foreground" and self._owners.dependants(uid):
            return self._delete_foreground(kind, old)
        if kind is NAMESPACE:
            return self._delete_namespace(old)
        if old["metadata"].get("finalizers"):
            return self._mark(kind, old, 0)
        return self._remove(kind, old)

    def remove(self, kind: Kind, namespace: str | None, name: str) -> None:
        """Remove a pod that has been terminated; nothing happens if it is gone."""
        old = self._find(kind, namespace, name)
        if old is None:
            return
        if old["metadata"].get("finalizers"):
            self._mark(kind, old, 0)
        else:
            self._remove(kind, old)

    def event(
        self,
        involved: Object,
        reason: str,
        message: str,
        type: str = "Normal",  # noqa: A002 - the API's word
        component: str = "",
    ) -> None:
        """Record an Event about an object; a repeated one is counted."""
        at = now()
        body = events.build(involved, reason, message, kind=type, component=component, at=at)
        space, name = body["metadata"]["namespace"], body["metadata"]["name"]
        if self.mutate(EVENT, space, name, lambda event: events.repeat(event, at)) is not None:
            return
        with suppress(ApiError):  # a namespace that goes takes no more events
            self.create(EVENT, body, namespace=space)
        while len(self._objects[EVENT]) > _EVENTS:
            self._remove(EVENT, next(iter(self._objects[EVENT].values())))

    # -- telling others

    def subscribe(self, kind: Kind, callback: Callback) -> Callable[[], None]:
        """Call back after each change of a kind; returns how to stop that.

        The callback runs in the middle of somebody's change: it may only take note.
        """
        self._callbacks[kind].append(callback)
        return lambda: self._callbacks[kind].remove(callback)

    def since(self, kind: Kind, version: int) -> Sequence[Change]:
        """Return a kind's changes after a version, not to be changed.

        Raises
        ------
        ApiError
            410 if they are no longer known.

        """
        return self._history.since(kind, version)

    # -- inside: changes

    def _find(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        return self._objects[kind].get((namespace or "" if kind.namespaced else "", name))

    def _stored(self, kind: Kind, namespace: str | None, name: str) -> Object:
        obj = self._find(kind, namespace, name)
        if obj is None:
            raise not_found(kind, name)
        return obj

    def _check_namespace(self, name: str) -> None:
        space = self._objects[NAMESPACE].get(("", name))
        if space is None and self._objects[NAMESPACE]:  # a store without any has none to check
            raise not_found(NAMESPACE, name)
        if space is not None and space["metadata"].get("deletionTimestamp"):
            text = f"unable to create new content in namespace {name} because it is being"
            raise ApiError(403, "Forbidden", f"{text} terminated")

    def _admit(self, kind: Kind, new: Object, old: Object | None) -> None:
        for admit in self.admission:
            admit(kind, new, old)

    def _change(
        self, kind: Kind, old: Object, changed: Object, subresource: str | None, dry_run: bool
    ) -> Object:
        version = changed["metadata"].get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise conflict(kind, old["metadata"]["name"], _MODIFIED)
        new = _merged(kind, old, changed, subresource)
        if subresource is None:
            self._admit(kind, new, old)
        return new if dry_run else self._replace(kind, old, new)

    def _replace(self, kind: Kind, old: Object, new: Object) -> Object:
        meta = new["metadata"]
        meta["resourceVersion"] = old["metadata"]["resourceVersion"]
        if new == old:
            return copy.deepcopy(old)
        held = meta.get("finalizers") or kind is NAMESPACE
        if meta.get("deletionTimestamp") and not meta["deletionGracePeriodSeconds"] and not held:
            return self._remove(kind, old)
        return self._put(kind, new, old)

    def _put(self, kind: Kind, new: Object, old: Object | None) -> Object:
        meta = new["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        self._objects[kind][key] = new
        self._owners.note((kind, *key), old, new)
        self._tell(kind, "ADDED" if old is None else "MODIFIED", new, old)
        return copy.deepcopy(new)

    def _tell(self, kind: Kind, event: str, new: Object, old: Object | None) -> None:
        self._history.add(self.version, kind, (event, new, old))
        for callback in list(self._callbacks[kind]):
            callback(event, new, old)

    # -- inside: deletion

    def _remove(self, kind: Kind, old: Object) -> Object:
        meta = old["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        del self._objects[kind][key]
        self.version += 1
        gone = {**old, "metadata": {**meta, "resourceVersion": str(self.version)}}
        self._owners.note((kind, *key), old, None)
        self._tell(kind, "DELETED", gone, old)
        for dependant in self._owners.dependants(meta["uid"]):
            self._collect(*dependant)
        for owner in garbage.owner_uids(old):
            self._owner_may_go(owner)
        self._namespace_may_go(key[0])
        return copy.deepcopy(gone)

    def _collect(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete a dependant none of whose owners is left."""
        obj = self._find(kind, namespace, name)
        if obj is not None and self._owners.abandoned(obj):
            self.delete(kind, namespace, name)

    def _terminate(self, pod: Object, grace: int) -> Object:
        """Mark a running pod as terminating; a second delete may only shorten its grace."""
        before = pod["metadata"].get("deletionGracePeriodSeconds")
        if before is not None and before <= grace:
            return copy.deepcopy(pod)
        return self._mark(POD, pod, grace)

    def _mark(self, kind: Kind, old: Object, grace: int) -> Object:
        new = copy.deepcopy(old)
        meta = new["metadata"]
        meta.setdefault("deletionTimestamp", now(grace))
        meta["deletionGracePeriodSeconds"] = grace
        return copy.deepcopy(old) if new == old else self._put(kind, new, old)

    def _delete_foreground(self, kind: Kind, old: Object) -> Object:
        """Delete what the object owns first; it stays until that is gone."""
        new = copy.deepcopy(old)
        finalizers = new["metadata"].setdefault("finalizers", [])
        if garbage.FOREGROUND not in finalizers:
            finalizers.append(garbage.FOREGROUND)
        marked = self._mark(kind, self._put(kind, new, old), 0)
        uid = old["metadata"]["uid"]
        for key in self._owners.dependants(uid):
            if self._find(*key) is not None:
                self.delete(*key, propagation="Foreground")
        self._owner_may_go(uid)
        return marked

    def _owner_may_go(self, uid: str) -> None:
        """Let go of an owner that waited for the last object it owned."""
        key = self._owners.key(uid)
        owner = key and self._find(*key)
        if not key or not owner:
            return
        finalizers = owner["metadata"].get("finalizers") or []
        owned = [self._find(*each) for each in self._owners.dependants(uid)]
        if garbage.FOREGROUND in finalizers and not any(
            each and garbage.blocks(each, uid) for each in owned
        ):
            rest = [each for each in finalizers if each != garbage.FOREGROUND]
            self.mutate(*key, lambda obj: obj["metadata"].update(finalizers=rest))

    def _delete_namespace(self, old: Object) -> Object:
        """Delete all that is in a namespace; it goes when the last object has gone."""
        name = old["metadata"]["name"]
        marked = self._mark(NAMESPACE, {**old, "status": {"phase": "Terminating"}}, 0)
        for kind in KINDS:
            for space, each in list(self._objects[kind]) if kind.namespaced else ():
                if space == name and self._find(kind, space, each) is not None:
                    self.delete(kind, space, each)
        self._namespace_may_go(name)
        return marked

    def _namespace_may_go(self, name: str) -> None:
        space = self._objects[NAMESPACE].get(("", name))
        if space is None or not space["metadata"].get("deletionTimestamp"):
            return
        if not any(key[0] == name for kind in KINDS for key in self._objects[kind]):
            self._remove(NAMESPACE, space)


def _merged(kind: Kind, old: Object, new: Object, subresource: str | None) -> Object:
    """Combine old and new as the subresource allows; what the server owns stays."""
    if subresource == "status":
        return {**copy.deepcopy(old), "status": copy.deepcopy(new.get("status") or {})}
    out = copy.deepcopy(new)
    out["apiVersion"], out["kind"] = kind.api_version, kind.kind
    if "status" in kind.subresources and "status" in old:
        out["status"] = copy.deepcopy(old["status"])
    meta, before = out["metadata"], old["metadata"]
    for owned in _SERVER_OWNED:
        meta.pop(owned, None)
        if owned in before:
            meta[owned] = before[owned]
    meta.pop("managedFields", None)
    if out.get("spec") != old.get("spec") and "generation" in before:
        meta["generation"] = before["generation"] + 1
    return out


def _runs(pod: Object) -> bool:
    """Tell whether a kubelet has to end the pod first."""
    ended = (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
    return bool(pod["spec"].get("nodeName")) and not ended


def _grace(pod: Object, asked: int | None) -> int:
    """Tell how many seconds a pod has to end."""
    return int(pod["spec"].get("terminationGracePeriodSeconds", 30) if asked is None else asked)


def _check_preconditions(kind: Kind, old: Object, wanted: Mapping[str, Any]) -> None:
    meta = old["metadata"]
    for field, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(field) and wanted[field] != meta[field]:
            why = (
                f"the {word} in the precondition ({wanted[field]}) does not match the {word} in "
                f"record ({meta[field]}). The object might have been deleted and then recreated"
            )
            raise conflict(kind, meta["name"], why, of=kind.kind)
