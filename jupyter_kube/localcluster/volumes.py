"""A pod's volumes as real folders, and where each container's mounts lead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .environment import Fetch, MissingReference, field_value, resource_value

ClaimFolder = Callable[[str], Path | None]
"""``claim_folder(name)``: the folder behind a bound claim, None while it is not bound."""

TokenSource = Callable[[], str]
"""Gives a token for the pod's service account."""

_DEFAULT_MODE = 0o644
_KINDS = (("secret", "Secret", "secretName"), ("configMap", "ConfigMap", "name"))


class Volumes:
    """Make the volumes of one pod below ``folder``."""

    def __init__(
        self,
        pod: Mapping[str, Any],
        folder: Path,
        fetch: Fetch,
        claim_folder: ClaimFolder,
        token: TokenSource,
    ) -> None:
        self._pod, self._folder = pod, folder
        self._fetch, self._claim_folder, self._token = fetch, claim_folder, token
        self._folders: dict[str, Path] = {}

    def make(self) -> None:
        """Make all of them; may be called again after a failure.

        Raises
        ------
        MissingReference
            If something a volume shows does not exist.

        """
        for volume in self._pod["spec"].get("volumes") or ():
            name = volume["name"]
            try:
                self._folders[name] = self._make(volume)
            except MissingReference as missing:
                msg = f'MountVolume.SetUp failed for volume "{name}" : {missing}'
                raise MissingReference(msg) from missing

    def mounts(self, container: Mapping[str, Any]) -> dict[str, str]:
        """Map a container's mount paths to real paths."""
        paths = {}
        for mount in container.get("volumeMounts") or ():
            target = self._folders[mount["name"]]
            if sub_path := mount.get("subPath"):
                target = self._inside(target, sub_path)
                if not target.exists():
                    target.mkdir(parents=True)
            paths[mount["mountPath"]] = str(target)
        return paths

    def _make(self, volume: Mapping[str, Any]) -> Path:
        if host := volume.get("hostPath"):
            path = Path(host["path"])
            if host.get("type") == "DirectoryOrCreate":
                path.mkdir(parents=True, exist_ok=True)
            if not path.exists() and host.get("type"):
                msg = f"hostPath type check failed: {path} is not a directory"
                raise MissingReference(msg)
            return path
        if claim := volume.get("persistentVolumeClaim"):
            bound = self._claim_folder(claim["claimName"])
            if bound is None:
                msg = f'persistentvolumeclaim "{claim["claimName"]}" is not bound'
                raise MissingReference(msg)
            return bound
        folder: Path = self._folder / volume["name"]
        folder.mkdir(parents=True, exist_ok=True)
        self._fill(folder, volume)
        return folder

    def _fill(self, folder: Path, volume: Mapping[str, Any]) -> None:
        if projected := volume.get("projected"):
            mode = projected.get("defaultMode", _DEFAULT_MODE)
            for source in projected.get("sources") or ():
                self._project(folder, source, mode)
            return
        self._project(folder, volume, None)

    def _project(self, folder: Path, source: Mapping[str, Any], mode: int | None) -> None:
        for field, kind, key in _KINDS:
            if reference := source.get(field):
                name = reference.get(key) or reference.get("name")
                self._keys(folder, kind, name, reference, mode)
        if downward := source.get("downwardAPI"):
            for item in downward.get("items") or ():
                chosen = item.get("mode") or mode or downward.get("defaultMode", _DEFAULT_MODE)
                self._write(folder, item["path"], self._downward(item).encode(), chosen)
        if token := source.get("serviceAccountToken"):
            self._write(folder, token["path"], self._token().encode(), 0o600)

    def _keys(
        self, folder: Path, kind: str, name: str, reference: Mapping[str, Any], mode: int | None
    ) -> None:
        data = self._fetch(kind, name)
        if data is None:
            if reference.get("optional"):
                return
            msg = f'{kind.lower()} "{name}" not found'
            raise MissingReference(msg)
        default = mode or reference.get("defaultMode", _DEFAULT_MODE)
        items = reference.get("items") or [{"key": key, "path": key} for key in data]
        for item in items:
            if item["key"] not in data:
                if reference.get("optional"):
                    continue
                msg = f"references non-existent {kind.lower()} key: {item['key']}"
                raise MissingReference(msg)
            self._write(folder, item["path"], data[item["key"]], item.get("mode") or default)

    def _downward(self, item: Mapping[str, Any]) -> str:
        if reference := item.get("fieldRef"):
            return field_value(reference["fieldPath"], self._pod)
        return resource_value(item["resourceFieldRef"], {}, self._pod)

    def _write(self, folder: Path, relative: str, data: bytes, mode: int) -> None:
        path = self._inside(folder, relative)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(data)
        path.chmod(mode)

    def _inside(self, folder: Path, relative: str) -> Path:
        """Refuse paths that lead out of the volume."""
        if relative.startswith("/") or ".." in Path(relative).parts:
            msg = f"invalid path {relative!r}: must be relative and must not contain '..'"
            raise MissingReference(msg)
        return folder / relative
