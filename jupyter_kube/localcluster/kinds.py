"""The kinds of objects that the local cluster serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Kind:
    """One kind: where it is in the API, and its names."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """``v1`` or ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The plural with its group, as in error messages: ``jobs.batch``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


POD = Kind(
    "", "v1", "Pod", "pods", short=("po",), categories=("all",),
    subresources=("status", "log", "exec", "attach", "portforward", "eviction"),
)  # fmt: skip
SECRET = Kind("", "v1", "Secret", "secrets")
CONFIGMAP = Kind("", "v1", "ConfigMap", "configmaps", short=("cm",))
SERVICE = Kind("", "v1", "Service", "services", short=("svc",), categories=("all",))
EVENT = Kind("", "v1", "Event", "events", short=("ev",))
SERVICEACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts", short=("sa",))
QUOTA = Kind(
    "", "v1", "ResourceQuota", "resourcequotas", short=("quota",), subresources=("status",)
)
PVC = Kind(
    "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims",
    short=("pvc",), subresources=("status",),
)  # fmt: skip
PV = Kind("", "v1", "PersistentVolume", "persistentvolumes", namespaced=False, short=("pv",),
          subresources=("status",))  # fmt: skip
NODE = Kind("", "v1", "Node", "nodes", namespaced=False, short=("no",), subresources=("status",))
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False, short=("ns",),
                 subresources=("status",))  # fmt: skip
JOB = Kind("batch", "v1", "Job", "jobs", subresources=("status",), categories=("all",))
ROLE = Kind("rbac.authorization.k8s.io", "v1", "Role", "roles")
ROLEBINDING = Kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings")
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")

KINDS = (
    POD, SECRET, CONFIGMAP, SERVICE, EVENT, SERVICEACCOUNT, QUOTA, PVC, PV, NODE, NAMESPACE,
    JOB, ROLE, ROLEBINDING, LEASE,
)  # fmt: skip


class ApiError(Exception):
    """An answer of the API that is not success; becomes a ``Status`` object."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.details, self.retry_after = details, retry_after

    def status(self) -> dict[str, Any]:
        """Return the ``Status`` object."""
        details = dict(self.details or {})
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            **({"details": details} if details else {}),
            "code": self.code,
        }


def _details(kind: Kind, name: str, word: str) -> dict[str, Any]:
    found = {"name": name, "group": kind.group, "kind": word}
    return {key: value for key, value in found.items() if value}


def not_found(kind: Kind, name: str) -> ApiError:
    """Say that there is no such object."""
    details = _details(kind, name, kind.plural)
    return ApiError(404, "NotFound", f'{kind.qualified} "{name}" not found', details)


def already_exists(kind: Kind, name: str) -> ApiError:
    """Say that there is such an object."""
    details = _details(kind, name, kind.plural)
    return ApiError(409, "AlreadyExists", f'{kind.qualified} "{name}" already exists', details)


def conflict(kind: Kind, name: str, why: str, *, of: str = "") -> ApiError:
    """Say that the object is not what the client takes it for; ``of`` replaces the plural."""
    word = of or kind.plural
    what = f"{word}.{kind.group}" if kind.group else word
    text = f'Operation cannot be fulfilled on {what} "{name}": {why}'
    return ApiError(409, "Conflict", text, _details(kind, name, word))


_CAUSES = {
    "Required value": "FieldValueRequired",
    "Not found": "FieldValueNotFound",
    "Duplicate value": "FieldValueDuplicate",
    "Unsupported value": "FieldValueNotSupported",
    "Forbidden": "FieldValueForbidden",
    "Too long": "FieldValueTooLong",
}


def invalid(kind: Kind, name: str, causes: list[tuple[str, str]]) -> ApiError:
    """Say which fields are wrong, in the API server's style."""
    texts = [f"{field}: {why}" for field, why in causes]
    joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    listed = [
        {
            "reason": _CAUSES.get(why.partition(":")[0], "FieldValueInvalid"),
            "message": why,
            "field": field,
        }
        for field, why in causes
    ]
    details = {**_details(kind, name, kind.kind), "causes": listed}
    what = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    return ApiError(422, "Invalid", f'{what} "{name}" is invalid: {joined}', details)
