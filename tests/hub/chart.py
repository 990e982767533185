"""The shipped values as the chart "Zero to JupyterHub" turns them into KubeSpawner's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
VALUES = DEPLOY / "z2jh-values.yaml"

# The chart's own map, as far as the shipped values go.
_TRAITS = {
    "serviceAccountName": "service_account",
    "uid": "uid",
    "fsGid": "fs_gid",
    "extraEnv": "environment",
}
_STORAGE = {"extraVolumes": "volumes", "extraVolumeMounts": "volume_mounts"}
# What the chart makes other things of than settings of the spawner.
_ELSEWHERE = {"image", "storage", "cloudMetadata", "networkPolicy"}


def values() -> dict[str, Any]:
    """Return the shipped values."""
    loaded: dict[str, Any] = yaml.safe_load(VALUES.read_text())
    return loaded


def spawner(shipped: dict[str, Any]) -> dict[str, Any]:
    """Return KubeSpawner's settings; a value that is not known here is an error."""
    single = shipped["singleuser"]
    out: dict[str, Any] = dict(shipped["hub"]["config"]["KubeSpawner"])
    for key in single.keys() - _ELSEWHERE:
        out[_TRAITS[key]] = single[key]
    for key, value in single["storage"].items():
        out[_STORAGE[key]] = list(value)
    image = single["image"]
    return out | {"image": f"{image['name']}:{image['tag']}"}
