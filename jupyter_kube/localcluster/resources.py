"""The verbs of the API on every kind: get, list, watch, create, update, patch, delete."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Any

from tornado.iostream import StreamClosedError

from . import patches, selectors, tables
from .conditions import set_condition
from .handler import ApiHandler, encode
from .kinds import POD, ApiError, Kind
from .paths import Target
from .shapes import undecodable
from .watching import Watch, seeing

Object = dict[str, Any]


class ResourceHandler(ApiHandler):
    """Serve collections, objects and their ``status``."""

    async def get(self) -> None:
        """Get an object, or list or watch a collection."""
        target = self.target()
        if target.name:
            self.authorise("get", target)
            found = self.api.store.get(target.kind, target.namespace, target.name)
            await self._answer_object(target.kind, found)
        elif self.flag("watch"):
            self.authorise("watch", target)
            await self._watch(target)
        else:
            self.authorise("list", target)
            await self._list(target)

    async def post(self) -> None:
        """Create an object, or evict a pod."""
        target, body = self.target(), self._object()
        if target.subresource == "eviction":
            self.authorise("create", target)
            await self.answer(self._evict(target), 201)
            return
        if target.name or (target.kind.namespaced and not target.namespace):
            raise _not_allowed()
        self.authorise("create", target)
        _check_identity(target, body)
        made = self.api.store.create(
            target.kind, body, namespace=target.namespace or None, dry_run=self.dry_run()
        )
        await self._answer_object(target.kind, made, 201)

    async def put(self) -> None:
        """Replace an object."""
        target, body = self.target(), self._object()
        if not target.name:
            raise _not_allowed()
        self.authorise("update", target)
        _check_identity(target, body)
        body["metadata"]["name"] = target.name
        if target.kind.namespaced:
            body["metadata"]["namespace"] = target.namespace
        made = self.api.store.update(
            target.kind, body, subresource=target.subresource or None, dry_run=self.dry_run()
        )
        await self._answer_object(target.kind, made)

    async def patch(self) -> None:
        """Patch an object, or apply it."""
        target = self.target()
        if not target.name:
            raise _not_allowed()
        self.authorise("patch", target)
        content_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip()
        new = content_type == patches.APPLY and not self._exists(target)
        made = self.api.store.patch(
            target.kind,
            target.namespace,
            target.name,
            self.body(),
            content_type,
            subresource=target.subresource or None,
            dry_run=self.dry_run(),
        )
        await self._answer_object(target.kind, made, 201 if new else 200)

    def _exists(self, target: Target) -> bool:
        try:
            self.api.store.get(target.kind, target.namespace, target.name)
        except ApiError:
            return False
        return True

    async def delete(self) -> None:
        """Delete an object or all that match."""
        target = self.target()
        if target.name:
            self.authorise("delete", target)
            await self.answer(self._delete(target))
            return
        self.authorise("deletecollection", target)
        found, _ = self.api.store.page(target.kind, target.namespace, self._matches(target))
        for obj in found:
            with suppress(ApiError):  # went with one deleted before
                meta = obj["metadata"]
                self._delete(Target(target.kind, meta.get("namespace", ""), meta["name"]))
        await self.answer(_as_list(target.kind, found, str(self.api.store.version)))

    # -- lists

    def _matches(self, target: Target) -> selectors.Test:
        return selectors.both(
            target.kind,
            self.get_query_argument("labelSelector", ""),
            self.get_query_argument("fieldSelector", ""),
        )

    async def _list(self, target: Target) -> None:
        exactly = self.get_query_argument("resourceVersionMatch", "") == "Exact"
        at = self.number("resourceVersion") if exactly else None
        if at is not None and at > self.api.store.version:
            raise ApiError(504, "Timeout", f"Too large resource version: {at}")
        version, after = str(self.api.store.version if at is None else at), ("", "")
        if token := self.get_query_argument("continue", ""):
            version, after = _read_token(token)
        found, left = self.api.store.page(
            target.kind,
            target.namespace,
            self._matches(target),
            version=at,
            after=after,
            most=self.number("limit") or None,
        )
        meta: Object = {}
        if left:
            token = _write_token(version, _place(found[-1]))
            meta = {"continue": token, "remainingItemCount": left}
        answer = (
            tables.table(target.kind, found, version, self._included())
            if self._wants_table()
            else _as_list(target.kind, found, version)
        )
        answer["metadata"] |= meta
        await self.answer(answer)

    def _wants_table(self) -> bool:
        return "as=Table" in self.request.headers.get("Accept", "")

    def _included(self) -> str:
        return self.get_query_argument("includeObject", "Metadata")

    # -- watches

    async def _watch(self, target: Target) -> None:
        matches = self._matches(target)
        watch = Watch(
            self.api.store,
            target.kind,
            seeing(target.namespace, matches),
            version=self.number("resourceVersion") or 0,
            seconds=self.number("timeoutSeconds"),
            bookmarks=self.api.bookmark_seconds if self.flag("allowWatchBookmarks") else None,
            initial_end=self.flag("sendInitialEvents"),
        )
        self.when_closed(watch.close)
        self.set_header("Content-Type", "application/json")
        with suppress(StreamClosedError):  # the reader has gone
            async with aclosing(watch.batches()) as batches:
                async for batch in batches:
                    await self.send(b"".join(self._line(target.kind, each) for each in batch))

    def _line(self, kind: Kind, event: Object) -> bytes:
        if self._wants_table() and event["type"] not in {"ERROR", "BOOKMARK"}:
            obj = event["object"]
            version = obj["metadata"]["resourceVersion"]
            event = {**event, "object": tables.table(kind, [obj], version, self._included())}
        return encode(event)

    # -- single objects

    def _object(self) -> Object:
        body = self.body()
        if not isinstance(body, dict):
            text = "the object provided is unrecognized (must be of type Object)"
            raise ApiError(400, "BadRequest", text)
        return body

    async def _answer_object(self, kind: Kind, obj: Object, code: int = 200) -> None:
        if self._wants_table():
            await self.answer(tables.table(kind, [obj], "", self._included()), code)
        else:
            await self.answer(obj, code)

    def _delete(self, target: Target) -> Object:
        options = self._object() if self.request.body else {}
        grace = self.number("gracePeriodSeconds")
        gone = self.api.store.delete(
            target.kind,
            target.namespace,
            target.name,
            propagation=options.get("propagationPolicy")
            or self.get_query_argument("propagationPolicy", "Background"),
            grace_seconds=options.get("gracePeriodSeconds") if grace is None else grace,
            preconditions=options.get("preconditions"),
            dry_run=self.dry_run() or options.get("dryRun") == ["All"],
        )
        if target.kind is POD or gone["metadata"].get("deletionTimestamp"):
            return gone
        details = {"name": target.name, "group": target.kind.group, "kind": target.kind.plural}
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {**details, "uid": gone["metadata"]["uid"]},
        }

    def _evict(self, target: Target) -> Object:
        def disrupt(pod: Object) -> None:
            set_condition(
                pod,
                "DisruptionTarget",
                status="True",
                reason="EvictionByEvictionAPI",
                message="Eviction API: evicting",
            )

        store = self.api.store
        pod = store.get(POD, target.namespace, target.name)
        if not self.dry_run():
            store.mutate(POD, target.namespace, target.name, disrupt, subresource="status")
            store.delete(POD, target.namespace, pod["metadata"]["name"])
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def _not_allowed() -> ApiError:
    text = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", text)


def _check_identity(target: Target, body: Object) -> None:
    """Refuse a body that says it is something else than the URL does."""
    kind = target.kind
    given, version = body.get("kind") or kind.kind, body.get("apiVersion") or kind.api_version
    if (given, version) != (kind.kind, kind.api_version):
        text = f'{given} in version "{version}" cannot be handled as a {kind.kind}'
        raise ApiError(400, "BadRequest", text)
    meta = {} if body.get("metadata") is None else body["metadata"]
    if not isinstance(meta, dict):
        raise undecodable(kind, "metadata must be an object")
    body["metadata"] = meta
    if target.namespace and meta.get("namespace") not in {None, "", target.namespace}:
        text = "the namespace of the provided object does not match the namespace sent on the"
        raise ApiError(400, "BadRequest", f"{text} request")
    if target.name and meta.get("name") not in {None, "", target.name}:
        text = (
            f"the name of the object ({meta['name']}) does not match the name on the URL "
            f"({target.name})"
        )
        raise ApiError(400, "BadRequest", text)


def _as_list(kind: Kind, objects: Sequence[Object], version: str) -> Object:
    """Build a List; its items do not repeat their kind, as with a real API server."""
    return {
        "kind": f"{kind.kind}List",
        "apiVersion": kind.api_version,
        "metadata": {"resourceVersion": version},
        "items": [
            {key: value for key, value in obj.items() if key not in {"kind", "apiVersion"}}
            for obj in objects
        ],
    }


def _place(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _write_token(version: str, place: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps([version, place]).encode()).decode()


def _read_token(token: str) -> tuple[str, tuple[str, str]]:
    try:
        version, (space, name) = json.loads(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise ApiError(400, "BadRequest", "continue key is not valid") from error
    return version, (space, name)
