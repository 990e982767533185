"""The local cluster's objects: versions, conflicts, owners, and who is told of changes.

Synchronous throughout: each operation is atomic on the one event loop. What is stored is never
changed in place; every answer is a copy.
"""

from __future__ import annotations

import copy
import secrets
import uuid
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from . import patches, selectors
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
    conflict,
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

_HISTORY = 5000  # changes a watch can begin behind
_EVENTS = 2000  # Event objects kept
_STATUS_KINDS = frozenset(kind for kind in KINDS if "status" in kind.subresources)


def now() -> str:
    """Return the present second as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """All objects of one cluster."""

    def __init__(self) -> None:
        self.admission: list[Admission] = []
        """Called before each create and update; may change the object or raise ApiError."""
        self.version = 1
        self._objects: dict[Kind, dict[tuple[str, str], Object]] = {kind: {} for kind in KINDS}
        self._callbacks: dict[Kind, list[Callback]] = {kind: [] for kind in KINDS}
        self._history: deque[tuple[int, Kind, str, Object, Object | None]] = deque(maxlen=_HISTORY)
        self._dependants: dict[str, set[tuple[Kind, str, str]]] = {}

    # reading

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
        by_label, by_field = selectors.labels(label_selector), selectors.fields(field_selector)
        return [
            copy.deepcopy(obj)
            for (space, _), obj in sorted(self._objects[kind].items())
            if (not namespace or space == namespace) and by_label(obj) and by_field(obj)
        ]

    # writing

    def create(
        self,
        kind: Kind,
        obj: Object,
        *,
        namespace: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Store a new object and return it as stored.

        Raises
        ------
        ApiError
            409 if the name is taken, or whatever admission raises.

        """
        new = copy.deepcopy(obj)
        meta = new.setdefault("metadata", {})
        new["apiVersion"], new["kind"] = kind.api_version, kind.kind
        if kind.namespaced:
            meta["namespace"] = namespace or meta.get("namespace") or "default"
            self._check_namespace(meta["namespace"])
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + secrets.token_hex(3)[:5]
        key = (meta.get("namespace", ""), meta["name"])
        if key in self._objects[kind]:
            raise conflict(kind, meta["name"], "", "AlreadyExists")
        for admit in self.admission:
            admit(kind, new, None)
        meta.update(uid=str(uuid.uuid4()), creationTimestamp=now())
        for transient in ("deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"):
            meta.pop(transient, None)
        if "spec" in new and kind is not EVENT:
            meta["generation"] = 1
        if dry_run:
            return new
        return self._put(kind, key, new, None)

    def update(self, kind: Kind, obj: Object, *, subresource: str | None = None) -> Object:
        """Replace an object; with ``status`` only that part, without it all but that part.

        Raises
        ------
        ApiError
            404, 409 if ``resourceVersion`` is given and old, or whatever admission raises.

        """
        meta = obj["metadata"]
        old = self._stored(kind, meta.get("namespace"), meta["name"])
        version = meta.get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            why = (
                "the object has been modified; please apply your changes to the latest version "
                "and try again"
            )
            raise conflict(kind, meta["name"], why)
        new = self._merged(kind, old, obj, subresource)
        for admit in self.admission:
            if subresource is None:
                admit(kind, new, old)
        return self._replace(kind, old, new)

    def mutate(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        fn: Callable[[Object], Any],
        *,
        subresource: str | None = None,
    ) -> Object | None:
        """Read an object, let ``fn`` change the copy, store it; None if the object is gone."""
        try:
            old = self._stored(kind, namespace, name)
        except ApiError:
            return None
        changed = copy.deepcopy(old)
        fn(changed)
        return self._replace(kind, old, self._merged(kind, old, changed, subresource))

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
        """Patch an object; a server-side apply creates it if it is not there."""
        key = (namespace or "" if kind.namespaced else "", name)
        if content_type == patches.APPLY and key not in self._objects[kind]:
            body = {**body, "metadata": {**body.get("metadata", {}), "name": name}}
            return self.create(kind, body, namespace=namespace, dry_run=dry_run)
        old = self._stored(kind, namespace, name)
        changed = patches.patched(old, body, content_type)
        asked = changed["metadata"].get("resourceVersion")
        if asked != old["metadata"]["resourceVersion"]:
            why = "the object has been modified; please apply your changes to the latest version"
            raise conflict(kind, name, f"{why} and try again")
        new = self._merged(kind, old, changed, subresource)
        for admit in self.admission:
            admit(kind, new, old)
        return new if dry_run else self._replace(kind, old, new)

    def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        propagation: str = "Background",
        grace_seconds: int | None = None,
        preconditions: dict[str, Any] | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Delete an object; a pod that runs is only marked, and the kubelet removes it.

        Raises
        ------
        ApiError
            404, or 409 if its uid is not the one of the preconditions.

        """
        old = self._stored(kind, namespace, name)
        uid = (preconditions or {}).get("uid")
        if uid and uid != old["metadata"]["uid"]:
            why = (
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
                f"{old['metadata']['uid']}"
            )
            raise conflict(kind, name, why)
        if dry_run:
            return copy.deepcopy(old)
        if propagation == "Orphan":
            self._orphan(old)
        if kind is POD and self._runs(old):
            return self._terminate(old, grace_seconds)
        if old["metadata"].get("finalizers"):
            return self._mark(kind, old, 0)
        if kind is NAMESPACE:
            self._empty(name)
        return self._remove(kind, old)

    def remove(self, kind: Kind, namespace: str | None, name: str) -> None:
        """Remove a terminated object for good; nothing happens if it is gone."""
        key = (namespace or "" if kind.namespaced else "", name)
        old = self._objects[kind].get(key)
        if old is not None:
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
        meta = involved["metadata"]
        space = meta.get("namespace", "default")
        for obj in reversed(self._objects[EVENT].values()):
            if obj["involvedObject"].get("uid") == meta.get("uid") and (
                obj["reason"],
                obj["message"],
            ) == (reason, message):
                count = obj["count"] + 1
                new = {**copy.deepcopy(obj), "count": count, "lastTimestamp": now()}
                self._replace(EVENT, obj, new)
                return
        reference = {
            "apiVersion": involved.get("apiVersion", ""),
            "kind": involved.get("kind", ""),
            "namespace": meta.get("namespace", ""),
            "name": meta["name"],
            "uid": meta.get("uid", ""),
            "resourceVersion": meta.get("resourceVersion", ""),
        }
        body = {
            "metadata": {"name": f"{meta['name']}.{secrets.token_hex(8)}"},
            "involvedObject": reference,
            "reason": reason,
            "message": message,
            "type": type,
            "count": 1,
            "firstTimestamp": now(),
            "lastTimestamp": now(),
            "source": {"component": component},
            "reportingComponent": component,
        }
        if (space_key := ("", space)) in self._objects[NAMESPACE] or space_key[1] == "default":
            self.create(EVENT, body, namespace=space)
        while len(self._objects[EVENT]) > _EVENTS:
            self._remove(EVENT, next(iter(self._objects[EVENT].values())))

    # telling others

    def subscribe(self, kind: Kind, callback: Callback) -> Callable[[], None]:
        """Call back after each change of a kind; returns how to stop that."""
        self._callbacks[kind].append(callback)
        return lambda: self._callbacks[kind].remove(callback)

    def since(self, kind: Kind, version: int) -> list[tuple[str, Object, Object | None]]:
        """Return a kind's changes after a version.

        Raises
        ------
        ApiError
            410 if they are no longer known.

        """
        oldest = self._history[0][0] if len(self._history) == _HISTORY else 2
        if version < oldest - 1 or version == 1 < self.version:
            text = f"too old resource version: {version} ({oldest})"
            raise ApiError(410, "Expired", text)
        return [
            (event, copy.deepcopy(obj), old)
            for at, of, event, obj, old in self._history
            if of is kind and at > version
        ]

    # inside

    def _stored(self, kind: Kind, namespace: str | None, name: str) -> Object:
        obj = self._objects[kind].get((namespace or "" if kind.namespaced else "", name))
        if obj is None:
            raise not_found(kind, name)
        return obj

    def _check_namespace(self, name: str) -> None:
        space = self._objects[NAMESPACE].get(("", name))
        if space is None and self._objects[NAMESPACE]:
            raise not_found(NAMESPACE, name)
        if space is not None and space["metadata"].get("deletionTimestamp"):
            text = (
                f"unable to create new content in namespace {name} because it is being terminated"
            )
            raise ApiError(403, "Forbidden", text)

    def _merged(self, kind: Kind, old: Object, new: Object, subresource: str | None) -> Object:
        """Combine old and new as the subresource allows; what the server owns stays."""
        if subresource == "status":
            out = copy.deepcopy(old)
            out["status"] = copy.deepcopy(new.get("status") or {})
            return out
        out = copy.deepcopy(new)
        out["apiVersion"], out["kind"] = kind.api_version, kind.kind
        if kind in _STATUS_KINDS and "status" in old:
            out["status"] = copy.deepcopy(old["status"])
        meta, before = out["metadata"], old["metadata"]
        for owned in (
            "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
            "generation", "namespace", "name",
        ):  # fmt: skip
            if owned in before:
                meta[owned] = before[owned]
            else:
                meta.pop(owned, None)
        meta.pop("managedFields", None)
        if out.get("spec") != old.get("spec") and "generation" in before:
            meta["generation"] = before["generation"] + 1
        return out

    def _replace(self, kind: Kind, old: Object, new: Object) -> Object:
        meta = new["metadata"]
        meta["resourceVersion"] = old["metadata"]["resourceVersion"]
        if new == old:
            return copy.deepcopy(old)
        if meta.get("deletionTimestamp") and not meta.get("finalizers") and kind is not POD:
            return self._remove(kind, old)
        return self._put(kind, (meta.get("namespace", ""), meta["name"]), new, old)

    def _put(self, kind: Kind, key: tuple[str, str], new: Object, old: Object | None) -> Object:
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        self._objects[kind][key] = new
        for reference in new["metadata"].get("ownerReferences") or ():
            self._dependants.setdefault(reference["uid"], set()).add((kind, *key))
        self._tell(kind, "ADDED" if old is None else "MODIFIED", new, old)
        return copy.deepcopy(new)

    def _remove(self, kind: Kind, old: Object) -> Object:
        meta = old["metadata"]
        del self._objects[kind][(meta.get("namespace", ""), meta["name"])]
        self.version += 1
        gone = copy.deepcopy(old)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._tell(kind, "DELETED", gone, old)
        for dependant in self._dependants.pop(meta["uid"], ()):
            self._collect(*dependant)
        return copy.deepcopy(gone)

    def _collect(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete a dependant none of whose owners is left."""
        obj = self._objects[kind].get((namespace, name))
        if obj is None:
            return
        owners = obj["metadata"].get("ownerReferences") or ()
        alive = {o["metadata"]["uid"] for of in KINDS for o in self._objects[of].values()}
        if owners and not any(owner["uid"] in alive for owner in owners):
            self.delete(kind, namespace, name)

    def _orphan(self, owner: Object) -> None:
        uid = owner["metadata"]["uid"]
        for kind, namespace, name in self._dependants.pop(uid, ()):
            self.mutate(kind, namespace, name, lambda obj: _disown(obj, uid))

    @staticmethod
    def _runs(pod: Object) -> bool:
        ended = (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
        return bool(pod["spec"].get("nodeName")) and not ended

    def _terminate(self, pod: Object, grace: int | None) -> Object:
        """Mark a running pod as terminating; a second delete may only shorten its grace."""
        if grace is None:
            grace = pod["spec"].get("terminationGracePeriodSeconds", 30)
        before = pod["metadata"].get("deletionGracePeriodSeconds")
        if before is not None and before <= grace:
            return copy.deepcopy(pod)
        return self._mark(POD, pod, grace)

    def _mark(self, kind: Kind, old: Object, grace: int) -> Object:
        new = copy.deepcopy(old)
        new["metadata"].update(deletionTimestamp=now(), deletionGracePeriodSeconds=grace)
        key = (new["metadata"].get("namespace", ""), new["metadata"]["name"])
        return self._put(kind, key, new, old)

    def _empty(self, namespace: str) -> None:
        """Delete everything in a namespace."""
        for kind in KINDS:
            if kind.namespaced:
                for obj in self.list(kind, namespace):
                    try:
                        self.delete(kind, namespace, obj["metadata"]["name"], grace_seconds=0)
                    except ApiError:
                        continue  # went with its owner

    def _tell(self, kind: Kind, event: str, new: Object, old: Object | None) -> None:
        self._history.append((self.version, kind, event, new, old))
        for callback in list(self._callbacks[kind]):
            callback(event, new, old)


def _disown(obj: Object, uid: str) -> None:
    references = obj["metadata"].get("ownerReferences") or []
    obj["metadata"]["ownerReferences"] = [r for r in references if r["uid"] != uid]
