"""Plain values that cross a border between packages: profiles, and what a pod is waiting for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import InvalidInput

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[kMGTPE]|[KMGTPE]i)?")
_LEAST_MEMORY = 2**20  # bytes; less is a unit forgotten
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
    if not re.search("[1-9]", text):
        raise InvalidInput(f"{what} must be more than nothing (got {text})")
    if what == "memory" and text.endswith("m"):
        raise InvalidInput(f'memory "{text}" is a fraction of a byte; did you mean {text[:-1]}Mi?')
    if what == "memory" and text.isdigit() and int(text) < _LEAST_MEMORY:
        raise InvalidInput(f'memory "{text}" is in bytes; did you mean {text}Gi?')
    return text


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_whole(value: object, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_texts(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_is_text, [*value, *value.values()]))


def _is_objects(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value)


_TEXT = ("text", _is_text)
_WORD = ("text that is not empty", _is_word)
_QUANTITY_LIKE = ("a quantity such as 500m, 2 or 4Gi", lambda v: _is_text(v) or _is_number(v))
_TEXTS = ('a dictionary of texts, as {"NAME": "1"}', _is_texts)
_OBJECTS = ("a list of dictionaries, as in a pod's spec", _is_objects)
_POLICIES = ("Always", "IfNotPresent", "Never")

_ALLOWED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "display_name": _TEXT,
    "image": _WORD,
    "image_pull_policy": (", ".join(_POLICIES), lambda value: value in _POLICIES),
    "python": _WORD,
    "cpu": _QUANTITY_LIKE,
    "memory": _QUANTITY_LIKE,
    "gpus": ("a whole number", _is_whole),
    "gpu_resource": _WORD,
    "env": _TEXTS,
    "volumes": _OBJECTS,
    "volume_mounts": _OBJECTS,
    "service_account": _TEXT,
    "node_selector": _TEXTS,
    "tolerations": _OBJECTS,
    "run_as_user": ("a user's number, not root's", lambda value: _is_whole(value, 1)),
    "start_timeout": (
        "a number of seconds above 0",
        lambda value: _is_number(value) and 0 < value < math.inf,
    ),
}
"""What each key of a profile may be: in words for people, and as a test."""


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
            With the profile's name, the key and what is allowed. Numbers for ``cpu`` and
            ``memory`` become quantities.

        """
        if not _PROFILE_NAME.fullmatch(name):
            raise InvalidInput(
                f'profile name "{name[:80]}" is not allowed',
                'at most 40 lower-case letters, digits and "-", beginning with a letter',
            )
        cooked = {key: _checked(name, key, value) for key, value in values.items()}
        return cls(name=name, **cooked)

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


def _checked(profile: str, key: str, value: Any) -> Any:
    """Return one value of a profile as it is kept."""
    if key not in _ALLOWED:
        raise InvalidInput(
            f'profile "{profile}" has an unknown key "{key}"',
            f"known keys are {', '.join(sorted(_ALLOWED))}",
        )
    words, allowed = _ALLOWED[key]
    if not allowed(value):
        raise InvalidInput(f'profile "{profile}": {key} must be {words} (got {repr(value)[:80]})')
    if _ALLOWED[key] is _QUANTITY_LIKE:
        try:
            return check_quantity(str(value), key)
        except InvalidInput as error:
            raise InvalidInput(f'profile "{profile}": {error.what}', error.why) from None
    return tuple(value) if _ALLOWED[key] is _OBJECTS else value


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
    restarts: int = 0
    """How often its containers were started again."""
