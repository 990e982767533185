"""Service account admission: a pod's account must exist before the pod does."""

from __future__ import annotations

from typing import Any

from .kinds import POD, SERVICEACCOUNT, ApiError, Kind
from .store import Store


class ServiceAccounts:
    """Refuse pods of accounts that are not there."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def admit(self, kind: Kind, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        """Refuse a new pod whose account is missing.

        Raises
        ------
        ApiError
            403.

        """
        if kind is not POD or old is not None:
            return
        space, pod = new["metadata"]["namespace"], new["metadata"]["name"]
        name = new["spec"].get("serviceAccountName") or "default"
        try:
            self._store.get(SERVICEACCOUNT, space, name)
        except ApiError as error:
            why = f"error looking up service account {space}/{name}"
            details = {"name": pod, "kind": "pods"}
            text = f'pods "{pod}" is forbidden: {why}: serviceaccount "{name}" not found'
            raise ApiError(403, "Forbidden", text, details) from error
