"""Persistent volume claims: bound to a fitting volume, or to a folder made for them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .quantities import parse
from .store import PV, PVC, Store
from .workqueue import WorkQueue

DEFAULT_CLASS = "standard"
"""The storage class that makes folders; claims that name none get it."""

_Key = tuple[str, str]


class ClaimBinder:
    """Bind claims as they come, and remove what was made for them when they go."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store, self._folder = store, folder
        self._queue: WorkQueue[_Key] = WorkQueue(self._bind)
        self._unsubscribe: list[Callable[[], None]] = []

    def start(self) -> None:
        """Begin to bind."""
        self._unsubscribe += [
            self._store.subscribe(PVC, self._claim_changed),
            self._store.subscribe(PV, self._volume_changed),
        ]

    def stop(self) -> None:
        """Bind no more; the folders stay."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe.clear()
        self._queue.clear()

    def folder_of(self, namespace: str, name: str) -> Path | None:
        """Give the folder behind a claim, None while it is not bound."""
        claim = _by_name(self._store.list(PVC, namespace), name)
        volume = claim and _by_name(self._store.list(PV), claim["spec"].get("volumeName") or "")
        if not volume:
            return None
        folder = Path(volume["spec"]["hostPath"]["path"])
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _claim_changed(self, change: str, claim: dict[str, Any], _old: object) -> None:
        self._queue.add((claim["metadata"]["namespace"], claim["metadata"]["name"]))

    def _volume_changed(self, _change: str, _volume: dict[str, Any], _old: object) -> None:
        for claim in self._store.list(PVC):
            if not claim["spec"].get("volumeName"):
                self._queue.add((claim["metadata"]["namespace"], claim["metadata"]["name"]))

    def _bind(self, key: _Key) -> None:
        namespace, name = key
        claim = _by_name(self._store.list(PVC, namespace), name)
        if claim is None:
            self._reclaim(namespace, name)
            return
        if (claim.get("status") or {}).get("phase") == "Bound":
            return
        volumes = self._store.list(PV)
        volume = next((each for each in volumes if fits(claim, each)), None)
        if volume is None and claim["spec"].get("storageClassName", DEFAULT_CLASS) == DEFAULT_CLASS:
            volume = self._store.create(PV, volume_for(claim, self._folder))
        if volume is not None:
            self._join(claim, volume)

    def _join(self, claim: dict[str, Any], volume: dict[str, Any]) -> None:
        meta = claim["metadata"]
        reference = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            **{key: meta[key] for key in ("namespace", "name", "uid")},
        }
        status = {
            "phase": "Bound",
            "accessModes": volume["spec"].get("accessModes") or [],
            "capacity": volume["spec"].get("capacity") or {},
        }
        target = volume["metadata"]["name"]
        self._set(PV, "", target, "spec", {"claimRef": reference})
        self._set(PV, "", target, "status", {"phase": "Bound"})
        self._set(PVC, meta["namespace"], meta["name"], "spec", {"volumeName": target})
        self._set(PVC, meta["namespace"], meta["name"], "status", status)

    def _set(self, kind: Any, namespace: str, name: str, part: str, values: dict[str, Any]) -> None:
        self._store.mutate(
            kind,
            namespace,
            name,
            lambda obj: obj.update({part: {**(obj.get(part) or {}), **values}}),
            subresource="status" if part == "status" else None,
        )

    def _reclaim(self, namespace: str, name: str) -> None:
        for volume in self._store.list(PV):
            claim = volume["spec"].get("claimRef") or {}
            if (claim.get("namespace"), claim.get("name")) != (namespace, name):
                continue
            target = volume["metadata"]["name"]
            if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
                self._store.delete(PV, "", target)
                shutil.rmtree(self._folder / target, ignore_errors=True)
            else:
                self._set(PV, "", target, "status", {"phase": "Released"})


def fits(claim: Mapping[str, Any], volume: Mapping[str, Any]) -> bool:
    """Tell whether an existing volume may serve a claim."""
    want, have = claim["spec"], volume["spec"]
    if "hostPath" not in have:
        return False
    if reserved := have.get("claimRef"):
        meta = claim["metadata"]
        return bool(
            (volume.get("status") or {}).get("phase") != "Released"
            and (reserved.get("namespace"), reserved.get("name"))
            == (meta["namespace"], meta["name"])
        )
    if name := want.get("volumeName"):
        return bool(volume["metadata"]["name"] == name)
    return (
        (want.get("storageClassName") or "") == (have.get("storageClassName") or "")
        and set(want.get("accessModes") or ()) <= set(have.get("accessModes") or ())
        and parse(want["resources"]["requests"]["storage"]) <= parse(have["capacity"]["storage"])
    )


def volume_for(claim: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Build the volume that serves one claim with a folder of its own."""
    name = f"pvc-{claim['metadata']['uid']}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": dict(claim["spec"]["resources"]["requests"]),
            "accessModes": list(claim["spec"].get("accessModes") or ()),
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": DEFAULT_CLASS,
            "hostPath": {"path": str(folder / name), "type": "DirectoryOrCreate"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                **{key: claim["metadata"][key] for key in ("namespace", "name", "uid")},
            },
        },
        "status": {"phase": "Available"},
    }


def _by_name(objects: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    return next((each for each in objects if each["metadata"]["name"] == name), None)
