"""Plain values that cross a border between packages: profiles, and what a pod is waiting for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .errors import InvalidInput

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[kMGTPE]|[KMGTPE]i)?")
_PROFILE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")


def check_quantity(text: str, what: str) -> str:
    """Return a Kubernetes quantity as it is, or refuse it in words.

    Raises
    ------
    InvalidInput
        If it is not a positive quantity such as ``500m``, ``2``, ``4Gi``.

    """
    if not _QUANTITY.fullmatch(text):
        hint = re.sub(r"(?i)\s*([kmgtpe])i?b?$", lambda m: m[1].upper() + "i", text.strip())
        better = f'; did you mean "{hint}"?' if _QUANTITY.fullmatch(hint) else ""
        raise InvalidInput(f'{what} "{text[:80]}" is not a Kubernetes quantity{better}')
    if what == "memory" and text.endswith("m"):
        raise InvalidInput(f'memory "{text}" is a fraction of a byte; did you mean {text[:-1]}Mi?')
    return text


@dataclass(frozen=True)
class Profile:
    """What one kind of pod looks like, as the platform engineer decided it.

    Everything has a default but the name; quantities are Kubernetes' own strings.
    """

    name: str
    display_name: str = ""
    """Text on the launcher tile; empty means one is made from the name."""
    image: str = "quay.io/jupyter/scipy-notebook:2026-11-02"
    """Any image with Python >= 3.11 and ipykernel >= 7.3."""
    image_pull_policy: str = "IfNotPresent"
    python: str = "python3"
    """The interpreter in the image."""
    cpu: str = "1"
    """Request; no CPU limit is set, so that idle cores can be used."""
    memory: str = "2Gi"
    """Request and limit."""
    gpus: int = 0
    gpu_resource: str = "nvidia.com/gpu"
    env: Mapping[str, str] = field(default_factory=dict)
    """Plain environment of the container."""
    volumes: tuple[Mapping[str, Any], ...] = ()
    """Kubernetes volumes, as in a pod's spec."""
    volume_mounts: tuple[Mapping[str, Any], ...] = ()
    service_account: str = ""
    """Service account whose token the pod gets; empty: no token at all."""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    run_as_user: int = 1000
    start_timeout: float = 600.0
    """Seconds a pod may wait for room, images and its kernel before the start is given up."""

    @classmethod
    def parse(cls, name: str, values: Mapping[str, Any]) -> Profile:
        """Check one profile of the configuration.

        Raises
        ------
        InvalidInput
            With the profile's name, the key and what is allowed.

        """
        if not _PROFILE_NAME.fullmatch(name):
            raise InvalidInput(
                f'profile name "{name[:80]}" is not allowed',
                'at most 40 lower-case letters, digits and "-", beginning with a letter',
            )
        known = {f.name for f in fields(cls)} - {"name"}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InvalidInput(
                f'profile "{name}" has an unknown key "{unknown[0]}"',
                f"known keys are {', '.join(sorted(known))}",
            )
        cooked: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        profile = cls(name=name, **cooked)
        check_quantity(profile.cpu, "cpu")
        check_quantity(profile.memory, "memory")
        if not isinstance(profile.gpus, int) or profile.gpus < 0:
            raise InvalidInput(
                f'profile "{name}": gpus must be a whole number (got {profile.gpus!r})'
            )
        return profile

    @property
    def title(self) -> str:
        """Text for people."""
        if self.display_name:
            return self.display_name
        return "Python on Kubernetes" + ("" if self.name == "python" else f" ({self.name})")

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`parse` takes, without the name."""
        out = asdict(self)
        del out["name"]
        return out


@dataclass(frozen=True)
class PodState:
    """Where one pod stands, in words.

    ``phase`` is one of queued, waiting, pulling, starting, running, succeeded, failed, gone;
    ``reason`` is a short machine word (``Unschedulable``, ``ErrImagePull``, ``OOMKilled`` …);
    ``message`` is for people; ``terminal`` says that waiting will not help.
    """

    name: str
    phase: str
    reason: str = ""
    message: str = ""
    terminal: bool = False
    node: str = ""
    ip: str = ""
    exit_code: int | None = None
