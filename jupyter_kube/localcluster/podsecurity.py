"""Pod Security admission: a namespace's label names the level its pods are held to."""

from __future__ import annotations

from typing import Any

from ..restricted import baseline, restricted
from .kinds import NAMESPACE, POD, ApiError, Kind
from .store import Store

_LABEL = "pod-security.kubernetes.io/enforce"
_LEVELS = {"baseline": baseline, "restricted": restricted}


class PodSecurity:
    """Enforce the level that a namespace's label names."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def admit(self, kind: Kind, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        """Refuse a new pod that its namespace does not allow.

        Raises
        ------
        ApiError
            403.

        """
        if kind is not POD or old is not None:
            return
        level = self._level(new["metadata"]["namespace"])
        check = _LEVELS.get(level)
        problems = check(new["spec"], new["metadata"].get("annotations")) if check else []
        if problems:
            name = new["metadata"]["name"]
            text = f'pods "{name}" is forbidden: violates PodSecurity "{level}:latest": '
            details = {"name": name, "kind": "pods"}
            raise ApiError(403, "Forbidden", text + ", ".join(problems), details)

    def _level(self, namespace: str) -> str:
        try:
            labels = self._store.get(NAMESPACE, None, namespace)["metadata"].get("labels") or {}
        except ApiError:
            return ""
        return str(labels.get(_LABEL, ""))
