"""Kinds of objects, and the verbs on them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from ..errors import ClusterUnavailable, Conflict, Expired, KubeError, NotFound
from .answers import NOT_DONE
from .client import Json, KubeClient

FIELD_MANAGER = "jupyter-kube"
PAGE = 100
"""Objects of a list that are read, and decoded, at a time."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_WHOLE_SECONDS = 2.0
"""Seconds by which the cluster's clock, told in whole ones, and an object's age may differ."""


@dataclass(frozen=True)
class Resource:
    """One kind of object and where the API serves it."""

    group_version: str
    plural: str
    kind: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Build the URL path; every part is percent-encoded."""
        root = "/api/" if "/" not in self.group_version else "/apis/"
        path = root + self.group_version
        if self.namespaced and namespace:
            path += f"/namespaces/{quote(namespace, safe='')}"
        for part in (self.plural, name):
            path += f"/{quote(part, safe='')}" if part else ""
        return path + (f"/{subresource}" if subresource else "")


PODS = Resource("v1", "pods", "Pod")
SECRETS = Resource("v1", "secrets", "Secret")
SERVICES = Resource("v1", "services", "Service")
EVENTS = Resource("v1", "events", "Event")
CONFIGMAPS = Resource("v1", "configmaps", "ConfigMap")
SERVICE_ACCOUNTS = Resource("v1", "serviceaccounts", "ServiceAccount")
QUOTAS = Resource("v1", "resourcequotas", "ResourceQuota")
NAMESPACES = Resource("v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("v1", "nodes", "Node", namespaced=False)
JOBS = Resource("batch/v1", "jobs", "Job")
ROLES = Resource("rbac.authorization.k8s.io/v1", "roles", "Role")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding")
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io/v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False
)

_KNOWN = {
    (r.group_version, r.kind): r
    for r in (
        PODS, SECRETS, SERVICES, EVENTS, CONFIGMAPS, SERVICE_ACCOUNTS, QUOTAS, NAMESPACES,
        NODES, JOBS, ROLES, ROLE_BINDINGS, ACCESS_REVIEWS,
    )
}  # fmt: skip


def by_kind(api_version: str, kind: str) -> Resource:
    """Return a resource we know by its manifest's two words.

    Raises
    ------
    KeyError
        If it is none of ours; then use :func:`discover`.

    """
    return _KNOWN[(api_version, kind)]


async def discover(client: KubeClient, api_version: str, kind: str) -> Resource:
    """Find any kind the cluster serves, custom ones included.

    Raises
    ------
    NotFound
        If the cluster does not serve it.

    """
    if (api_version, kind) in _KNOWN:
        return _KNOWN[(api_version, kind)]
    root = "/api/" if "/" not in api_version else "/apis/"
    served = await client.request("GET", root + api_version, what=f"find {kind}")
    for entry in served.get("resources", ()):
        if entry["kind"] == kind and "/" not in entry["name"]:
            return Resource(api_version, entry["name"], kind, entry["namespaced"])
    raise NotFound(f"the cluster has no {kind}", f"{api_version} does not serve it")


async def create(
    client: KubeClient,
    resource: Resource,
    body: Mapping[str, Any],
    *,
    namespace: str | None = None,
    timeout: float | None = None,
    on_trouble: Callable[[ClusterUnavailable], None] | None = None,
) -> Json:
    """Create an object and return it as the API stored it.

    Where it cannot be told whether a request got through, an object with a name is created once all
    the same: it is asked for again until ``timeout`` (seconds; default: the setting
    ``request_timeout``), and if it is there by then, it is ours unless it is older than our first
    request.

    Parameters
    ----------
    on_trouble
        Told each time that the API was not reached, or could not, and will be asked again.

    Raises
    ------
    Conflict
        If the name is taken.

    """
    manifest = {"apiVersion": resource.group_version, "kind": resource.kind, **body}
    name = manifest.get("metadata", {}).get("name", "")
    path = resource.path(_space(client, resource, namespace))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    end = begun + (timeout or client.timeout)
    pause, unsure = _FIRST_PAUSE, False
    while True:
        left = max(end - loop.time(), 0.1)
        try:
            return await client.request(
                "POST",
                path,
                body=manifest,
                timeout=min(left, client.timeout),
                what=f"create {resource.kind} {name}",
                on_trouble=on_trouble,
            )
        except Conflict:
            if not unsure:
                raise
            found = await get(client, resource, name, namespace=namespace)
            if _age(client, found) > loop.time() - begun + _WHOLE_SECONDS:
                raise
            return found
        except ClusterUnavailable as error:
            unsure = unsure or error.reason not in NOT_DONE
            if not name or loop.time() + pause >= end:
                raise
            if on_trouble is not None:
                on_trouble(error)
        await asyncio.sleep(pause * random.uniform(1.0, 1.3))  # noqa: S311 - jitter
        pause = min(pause * 2, _LONGEST_PAUSE)


async def get(
    client: KubeClient, resource: Resource, name: str, *, namespace: str | None = None
) -> Json:
    """Return one object."""
    path = resource.path(_space(client, resource, namespace), name)
    return await client.request("GET", path, what=f"read {resource.kind} {name}")


async def list_(
    client: KubeClient,
    resource: Resource,
    *,
    namespace: str | None = None,
    labels: str = "",
    fields: str = "",
    limit: int | None = None,
    after: str = "",
    at: str = "",
    everywhere: bool = False,
) -> Json:
    """Return the List object: ``items``, and ``metadata.resourceVersion`` to watch from.

    Parameters
    ----------
    limit
        Return so many objects at most; if there are more, ``metadata.continue`` says where they
        begin.
    after
        Such a place.
    at
        A resourceVersion of the last minutes: list what there was then.
    everywhere
        List all namespaces' objects.

    """
    query = {
        "labelSelector": labels,
        "fieldSelector": fields,
        "limit": str(limit or ""),
        "continue": after,
        "resourceVersion": at,
        "resourceVersionMatch": "Exact" if at else "",
    }
    found = await client.request(
        "GET",
        resource.path("" if everywhere else _space(client, resource, namespace)),
        query={key: value for key, value in query.items() if value},
        what=f"list {resource.plural}",
    )
    found["items"] = found.get("items") or []
    return found


async def pages(
    client: KubeClient,
    resource: Resource,
    *,
    namespace: str | None = None,
    labels: str = "",
    fields: str = "",
    size: int,
    everywhere: bool = False,
) -> AsyncIterator[Json]:
    """Give the List objects of at most ``size`` objects each that together are one list.

    Raises
    ------
    Expired
        If they take so long that the API has forgotten the list's version: begin again.

    """
    after = ""
    while True:
        page = await list_(
            client,
            resource,
            namespace=namespace,
            labels=labels,
            fields=fields,
            limit=size,
            after=after,
            everywhere=everywhere,
        )
        yield page
        after = page["metadata"].get("continue") or ""
        if not after:
            return


async def every(
    client: KubeClient,
    resource: Resource,
    *,
    labels: str = "",
    fields: str = "",
    everywhere: bool = False,
    keep: Callable[[Json], Json] = lambda item: item,
) -> list[Json]:
    """Return all objects of a list that may be long, read, decoded and reduced some at a time.

    To decode thousands in one go would hold up the event loop.
    """
    how: dict[str, Any] = {"labels": labels, "fields": fields, "everywhere": everywhere}
    while True:
        read = pages(client, resource, size=PAGE, **how)
        try:
            return [keep(item) async for page in read for item in page["items"]]
        except Expired:  # it took minutes, and what there was is forgotten
            continue


async def patch(
    client: KubeClient,
    resource: Resource,
    name: str,
    body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    namespace: str | None = None,
) -> Json:
    """Change an object by a JSON merge patch, or by a JSON patch (a list), and return it."""
    kind = "json-patch" if isinstance(body, Sequence) else "merge-patch"
    return await client.request(
        "PATCH",
        resource.path(_space(client, resource, namespace), name),
        body=body,
        content_type=f"application/{kind}+json",
        what=f"change {resource.kind} {name}",
    )


async def apply(
    client: KubeClient,
    resource: Resource,
    body: Mapping[str, Any],
    *,
    namespace: str | None = None,
    force: bool = False,
) -> Json:
    """Create or change an object by server-side apply and return it."""
    manifest = {"apiVersion": resource.group_version, "kind": resource.kind, **body}
    name = manifest["metadata"]["name"]
    return await client.request(
        "PATCH",
        resource.path(_space(client, resource, namespace), name),
        query={"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"},
        body=manifest,
        content_type="application/apply-patch+yaml",
        what=f"apply {resource.kind} {name}",
    )


async def delete(
    client: KubeClient,
    resource: Resource,
    name: str,
    *,
    namespace: str | None = None,
    grace: int | None = None,
    propagation: str = "Background",
    uid: str | None = None,
    timeout: float | None = None,
) -> bool:
    """Delete an object; False if it was gone already, whether or not another has its name.

    Parameters
    ----------
    grace
        Seconds a pod's processes get to end; None leaves it to the pod.
    uid
        Delete only this very object, not another of the same name.

    """
    body: Json = {"propagationPolicy": propagation}
    if grace is not None:
        body["gracePeriodSeconds"] = grace
    if uid is not None:
        body["preconditions"] = {"uid": uid}
    path = resource.path(_space(client, resource, namespace), name)
    try:
        what = f"delete {resource.kind} {name}"
        await client.request("DELETE", path, body=body, timeout=timeout, what=what)
    except NotFound:
        return False
    except Conflict:  # with a uid: another object of this name
        if uid is None:
            raise
        return False
    return True


async def delete_all(
    client: KubeClient, resource: Resource, labels: str, *, namespace: str | None = None
) -> list[str]:
    """Delete what a label selector selects; returns the names."""
    found = await list_(client, resource, namespace=namespace, labels=labels)
    names = [item["metadata"]["name"] for item in found["items"]]
    for name in names:
        await delete(client, resource, name, namespace=namespace)
    return names


def owner_reference(obj: Mapping[str, Any]) -> Json:
    """Build the reference that makes a new object go when ``obj`` goes.

    It does not hold up the owner's deletion: where Kubernetes enforces who may do that, it takes
    the right to update the owner's finalizers, which nobody needs here.
    """
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"],
        "controller": False,
        "blockOwnerDeletion": False,
    }


async def allowed(
    client: KubeClient,
    verb: str,
    resource: Resource,
    *,
    subresource: str = "",
    namespace: str | None = None,
) -> bool:
    """Ask the API whether we may do something."""
    group, _, _ = resource.group_version.rpartition("/")
    attributes = {
        "verb": verb,
        "group": group,
        "resource": resource.plural,
        "subresource": subresource,
        "namespace": _space(client, resource, namespace),
    }
    review = await create(client, ACCESS_REVIEWS, {"spec": {"resourceAttributes": attributes}})
    return bool(review["status"].get("allowed"))


def _space(client: KubeClient, resource: Resource, namespace: str | None) -> str:
    if not resource.namespaced:
        return ""
    if namespace == "":
        raise KubeError(f"a namespace is needed for {resource.plural}")
    return namespace or client.namespace


def _age(client: KubeClient, item: Mapping[str, Any]) -> float:
    """Return for how many seconds an object has been there, by the cluster's clock."""
    made = datetime.fromisoformat(item["metadata"]["creationTimestamp"])
    return (client.now() - made).total_seconds()
