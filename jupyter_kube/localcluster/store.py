"""The store: what the API's verbs and the cluster's own parts do to objects.

Synchronous throughout: each operation is atomic on the one event loop. Every answer is a copy.
"""

from __future__ import annotations

import copy
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from . import events, patches, selectors
from .conditions import now
from .deletion import Deletion, check_preconditions
from .history import Change
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
)
from .state import Callback, Object, State

__all__ = [
    "CONFIGMAP", "EVENT", "JOB", "KINDS", "LEASE", "NAMESPACE", "NODE", "POD", "PV", "PVC",
    "QUOTA", "ROLE", "ROLEBINDING", "SECRET", "SERVICE", "SERVICEACCOUNT",
    "ApiError", "Kind", "Store",
]  # fmt: skip

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


class Store:
    """All objects of one cluster."""

    def __init__(self) -> None:
        self.admission: list[Admission] = []
        """Called in turn before each create and update; may change the object or refuse it."""
        self._state = State()
        self._deletion = Deletion(self._state)

    # -- reading

    @property
    def version(self) -> int:
        """The resourceVersion of the last change."""
        return self._state.version

    def get(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """Return one object.

        Raises
        ------
        ApiError
            404 if there is none.

        """
        return copy.deepcopy(self._state.stored(kind, namespace, name))

    def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        version: int | None = None,
    ) -> list[Object]:
        """Return all objects of a kind that match, in one namespace or (None, "") in all.

        Raises
        ------
        ApiError
            410 if it is not known any more what there was at ``version``.

        """
        matches = selectors.both(kind, label_selector, field_selector)
        return [*self.page(kind, namespace, matches, version=version)[0]]

    def page(
        self,
        kind: Kind,
        namespace: str | None,
        matches: selectors.Test,
        *,
        version: int | None = None,
        after: tuple[str, str] = ("", ""),
        most: int | None = None,
    ) -> tuple[Sequence[Object], int]:
        """Return as many objects as wanted, in order, and how many are left behind them.

        Parameters
        ----------
        after
            Namespace and name behind which they begin.
        most
            How many; None: all.

        Raises
        ------
        ApiError
            410 if it is not known any more what there was at ``version``.

        """
        state = self._state
        found = [
            obj
            for obj in (state.all(kind) if version is None else state.all_at(kind, version))
            if _place(obj) > after
            and (not namespace or _place(obj)[0] == namespace)
            and matches(obj)
        ]
        found.sort(key=_place)
        return [copy.deepcopy(obj) for obj in found[:most]], len(found[most:]) if most else 0

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
        if self._state.find(kind, meta.get("namespace"), meta["name"]) is not None:
            raise already_exists(kind, meta["name"])
        if dry_run:
            return new
        stored = self._state.put(kind, new, None)
        self._deletion.collect(kind, meta.get("namespace", ""), meta["name"])
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
        old = self._state.stored(kind, meta.get("namespace"), meta["name"])
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
        if content_type == patches.APPLY and self._state.find(kind, namespace, name) is None:
            body = {**body, "metadata": {**body.get("metadata", {}), "name": name}}
            return self.create(kind, body, namespace=namespace, dry_run=dry_run)
        old = self._state.stored(kind, namespace, name)
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
        old = self._state.find(kind, namespace, name)
        if old is None:
            return None
        changed = copy.deepcopy(old)
        fn(changed)
        return self._deletion.settle(kind, old, _merged(kind, old, changed, subresource))

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
        old = self._state.stored(kind, namespace, name)
        check_preconditions(kind, old, preconditions or {})
        if dry_run:
            return copy.deepcopy(old)
        return self._deletion.delete(kind, old, propagation=propagation, grace=grace_seconds)

    def remove(self, kind: Kind, namespace: str | None, name: str) -> None:
        """Remove a pod that has been terminated; nothing happens if it is gone."""
        old = self._state.find(kind, namespace, name)
        if old is not None:
            self._deletion.finish(kind, old)

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
        for oldest in self._state.all(EVENT)[:-_EVENTS]:
            self._deletion.remove(EVENT, oldest)

    # -- telling others

    def subscribe(self, kind: Kind, callback: Callback) -> Callable[[], None]:
        """Call back after each change of a kind; returns how to stop that.

        The callback runs in the middle of somebody's change: it may only take note.
        """
        return self._state.subscribe(kind, callback)

    def since(self, kind: Kind, version: int) -> Sequence[Change]:
        """Return a kind's changes after a version, not to be changed.

        Raises
        ------
        ApiError
            410 if they are no longer known.

        """
        return self._state.since(kind, version)

    # -- inside

    def _check_namespace(self, name: str) -> None:
        if not self._state.all(NAMESPACE):
            return  # a store without any, in tests of its users
        if self._state.stored(NAMESPACE, None, name)["metadata"].get("deletionTimestamp"):
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
        return new if dry_run else self._deletion.settle(kind, old, new)


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


def _place(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
