"""The namespaced rights that jupyter-kube uses, exactly, as Kubernetes objects (pure)."""

from __future__ import annotations

from typing import Any

NAME = "jupyter-kube"

RULES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("", ("pods",), ("create", "get", "list", "watch", "patch", "delete")),
    ("", ("pods/log",), ("get",)),
    ("", ("pods/portforward",), ("create", "get")),
    ("", ("secrets",), ("create", "get", "delete")),
    ("", ("services",), ("create",)),
    ("", ("events",), ("list", "watch")),
    ("", ("resourcequotas",), ("list",)),
    ("batch", ("jobs",), ("create", "get", "list", "watch", "patch", "delete")),
)
"""(API group, resources, verbs): what the server, the magics and the command line call."""


def manifests(namespace: str) -> list[dict[str, Any]]:
    """Build the service account, Role and RoleBinding for one namespace."""
    meta = {
        "name": NAME,
        "namespace": namespace,
        "labels": {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": NAME},
    }
    rules = [
        {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
        for group, resources, verbs in RULES
    ]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": dict(meta)},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": dict(meta),
            "rules": rules,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": dict(meta),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
        },
    ]
