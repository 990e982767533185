"""What clients ask first: which kinds there are, and what requests take (pure)."""

from __future__ import annotations

from typing import Any

from .kinds import KINDS, VERBS, Kind

VERSION = {
    "major": "1",
    "minor": "35",
    "gitVersion": "v1.35.4+jupyter-kube",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "python",
}
_REVIEWS = {
    "authorization.k8s.io": ("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    "authentication.k8s.io": ("selfsubjectreviews", "SelfSubjectReview"),
}
_SUBRESOURCE_VERBS = {
    "status": ["get", "patch", "update"],
    "log": ["get"],
    "eviction": ["create"],
}
_GROUPS = tuple(dict.fromkeys(kind.group for kind in KINDS if kind.group)) + tuple(_REVIEWS)


def api_versions() -> dict[str, Any]:
    """Answer ``/api``."""
    return {"kind": "APIVersions", "versions": ["v1"]}


def api_groups() -> dict[str, Any]:
    """Answer ``/apis``."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g) for g in _GROUPS]}


def _group(name: str) -> dict[str, Any]:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def api_group(name: str) -> dict[str, Any] | None:
    """Answer ``/apis/group``."""
    if name not in _GROUPS:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name)}


def resources(group: str, version: str) -> dict[str, Any] | None:
    """Answer ``/api/v1`` or ``/apis/group/version``."""
    found = [entry for kind in _kinds(group, version) for entry in _entries(kind)]
    if group in _REVIEWS and version == "v1":
        plural, kind_name = _REVIEWS[group]
        found = [
            {
                "name": plural, "singularName": kind_name.lower(), "namespaced": False,
                "kind": kind_name, "verbs": ["create"],
            }
        ]  # fmt: skip
    if not found:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": found,
    }


def _kinds(group: str, version: str) -> list[Kind]:
    return [kind for kind in KINDS if (kind.group, kind.version) == (group, version)]


def _entries(kind: Kind) -> list[dict[str, Any]]:
    common = {"namespaced": kind.namespaced, "kind": kind.kind}
    own: dict[str, Any] = {
        "name": kind.plural,
        "singularName": kind.kind.lower(),
        **common,
        "verbs": list(VERBS),
    }
    if kind.short:
        own["shortNames"] = list(kind.short)
    if kind.categories:
        own["categories"] = list(kind.categories)
    parts = [
        {
            "name": f"{kind.plural}/{part}",
            "singularName": "",
            **common,
            "verbs": _SUBRESOURCE_VERBS.get(part, ["create", "get"]),
        }
        for part in kind.subresources
    ]
    return [own, *parts]


def openapi_index() -> dict[str, Any]:
    """Answer ``/openapi/v3``: where the description of each group is."""
    places = ["api/v1", *(f"apis/{group}/v1" for group in _GROUPS if group not in _REVIEWS)]
    return {"paths": {place: {"serverRelativeURL": f"/openapi/v3/{place}"} for place in places}}


def openapi(group: str, version: str) -> dict[str, Any] | None:
    """Describe a group just as far as kubectl looks: PATCH takes fieldValidation and dryRun."""
    kinds = _kinds(group, version)
    if not kinds:
        return None
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": {root + _object_path(kind): {"patch": _patch(kind)} for kind in kinds},
        "components": {"schemas": {}},
    }


def _object_path(kind: Kind) -> str:
    namespace = "/namespaces/{namespace}" if kind.namespaced else ""
    return f"{namespace}/{kind.plural}/{{name}}"


def _patch(kind: Kind) -> dict[str, Any]:
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    return {
        "operationId": f"patch{kind.kind}",
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": "string"}}
            for name in ("dryRun", "fieldManager", "fieldValidation")
        ],
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": gvk,
    }
