"""What each kind of value in a profile may be: in words for people, and as a test (pure)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import checks, overlay, places
from .checks import clip
from .errors import InvalidInput
from .restricted import VOLUMES as VOLUME_KINDS

SHM = "/dev/shm"  # noqa: S108 - a path in the container
TAKEN_VOLUMES = frozenset(("shm", "scratch", "bundle", "files"))
"""Names of volumes that pods of ours have besides."""

_RESERVED_PREFIXES = ("JUPYTER_KUBE_", "PADDLE_TRAINER")
_RESERVED = frozenset(
    ("POD_IP", "POD_NAME", "JPY_SESSION_NAME", "TF_CONFIG", "RANK", "WORLD_SIZE", "LOCAL_RANK",
     "MASTER_ADDR", "MASTER_PORT")
)  # fmt: skip
_TOLERATION = {"key", "operator", "value", "effect", "tolerationSeconds"}
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_AFFINITIES = ("nodeAffinity", "podAffinity", "podAntiAffinity")
_TOKENS = "/var/run/secrets/kubernetes.io"


@dataclass(frozen=True)
class Rule:
    """What one kind of value may be."""

    words: str
    """Follows "must be"."""
    fits: Callable[[Any], bool]
    read: Callable[[str, Any], Any] = lambda key, value: value
    """Returns what is kept of a value that fits; refuses the rest in words of its own."""

    def check(self, key: str, value: Any) -> Any:
        """Return what is kept of a value.

        Raises
        ------
        InvalidInput
            If it is wrong; the text begins with the key.

        """
        if not self.fits(value):
            raise InvalidInput(f"{key} must be {self.words} (got {clip(repr(value))})")
        return self.read(key, value)


# --- shapes --------------------------------------------------------------------------------------


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: Any, least: int = 0) -> bool:
    """Tell whether something is a whole number from ``least`` on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_texts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_text, [*value, *value.values()]))


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping) and checks.is_plain(value)


def _is_objects(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_object, value))


def _is_quantity_like(value: Any) -> bool:
    return _is_text(value) or _is_number(value)


def _is_time_like(value: Any) -> bool:
    return _is_quantity_like(value) and checks.seconds(value) is not None


# --- what fits and may be wrong all the same -----------------------------------------------------


def read_quantity(key: str, value: Any) -> str:
    """Return a quantity as text; see :func:`.checks.check_quantity`."""
    return checks.check_quantity(str(value), key)


def _read_seconds(key: str, value: Any) -> float:
    number = checks.seconds(value)
    if number is None or not 0 <= number <= checks.LONGEST_TIME:
        raise InvalidInput(f"{key} must be from 0 to 30 days (got {clip(repr(value))})")
    return number


def read_image(key: str, value: Any) -> str:
    """Return an image's reference."""
    if not checks.is_image(value):
        hint = " without https://" if "://" in str(value) else ""
        raise InvalidInput(
            f'{key} "{clip(value)}" is not an image',
            f"write registry/name:tag{hint}, in lower case",
        )
    return str(value)


def _read_names(key: str, value: Any) -> tuple[str, ...]:
    for each in value:
        if not checks.is_object_name(each):
            raise InvalidInput(f'{key} has "{clip(each)}", which is no name of an object')
    return tuple(value)


def _read_claims(key: str, value: Mapping[str, str]) -> Mapping[str, str]:
    for name, template in value.items():
        if not checks.is_label(name) or not checks.is_object_name(template):
            raise InvalidInput(
                f'{key} has "{clip(name)}": "{clip(template)}"',
                'write {"name": "resource-claim-template"}, in lower case',
            )
    return value


def _check_variable(key: str, name: str) -> None:
    if not checks.is_variable(name):
        raise InvalidInput(
            f'{key} has "{clip(name)}", which is no name of a variable',
            'letters, digits, "_", "-" and ".", not beginning with a digit',
        )
    if name in _RESERVED or name.startswith(_RESERVED_PREFIXES):
        raise InvalidInput(f"{key} has {clip(name)}, which is set by jupyter-kube")


def _read_env(key: str, value: Mapping[str, str]) -> Mapping[str, str]:
    for name, text in value.items():
        _check_variable(key, name)
        if "\0" in text:
            raise InvalidInput(f"{key} has {name} with a NUL character in it")
    return value


def _read_secrets(key: str, value: Mapping[str, str]) -> Mapping[str, str]:
    for name, reference in value.items():
        _check_variable(key, name)
        if not checks.is_secret_reference(reference):
            raise InvalidInput(
                f'{key} has {name} from "{clip(reference)}"',
                'write "secret/key", as in "db/password"',
            )
    return value


def _read_labels(key: str, value: Mapping[str, str]) -> Mapping[str, str]:
    for name, text in value.items():
        if not checks.is_qualified(name) or not checks.is_label_value(text):
            raise InvalidInput(
                f'{key} has "{clip(name)}": "{clip(text)}", which is no label',
                'letters, digits, "-", "_" and ".", at most 63',
            )
    return value


def _read_tolerations(key: str, value: Any) -> tuple[Mapping[str, Any], ...]:
    for each in value:
        if unknown := sorted(set(each) - _TOLERATION):
            raise InvalidInput(f'{key} has a field "{clip(unknown[0])}"', _listed(_TOLERATION))
        if each.get("operator", "Equal") not in ("Equal", "Exists", "Lt", "Gt"):
            raise InvalidInput(f"{key} has an operator {clip(each['operator'])}", "Equal or Exists")
        if each.get("effect", _EFFECTS[0]) not in _EFFECTS:
            raise InvalidInput(f"{key} has an effect {clip(each['effect'])}", _listed(_EFFECTS))
        if not each.get("key") and each.get("operator") != "Exists":
            raise InvalidInput(f"{key} has one without a key", "that takes operator Exists")
    return tuple(value)


def _read_affinity(key: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    if unknown := sorted(set(map(str, value)) - set(_AFFINITIES)):
        raise InvalidInput(f'{key} has "{clip(unknown[0])}"', _listed(_AFFINITIES))
    return value


def _read_volumes(key: str, value: Any) -> tuple[Mapping[str, Any], ...]:
    names = [each.get("name") for each in value]
    for each, name in zip(value, names, strict=True):
        if not checks.is_label(name):
            raise InvalidInput(f"{key} has one with a name {clip(repr(name))}", "as in data-1")
        if name in TAKEN_VOLUMES or names.count(name) > 1:
            raise InvalidInput(f'{key} has "{name}"', "that name is taken: choose another")
        kinds = sorted(set(each) - {"name"})
        if len(kinds) != 1:
            raise InvalidInput(f'{key}: "{name}" must have one source (got {_listed(kinds) or 0})')
        if kinds[0] not in VOLUME_KINDS:
            raise InvalidInput(
                f'{key}: "{name}" is a {clip(kinds[0])}, which is not permitted (Pod Security'
                ' "restricted")',
                next="Use a PersistentVolumeClaim.",
            )
    return tuple(value)


def _read_mounts(key: str, value: Any) -> tuple[Mapping[str, Any], ...]:
    for each in value:
        if not checks.is_label(each.get("name")):
            raise InvalidInput(f"{key} has one without the name of its volume")
        _check_mount_path(key, each.get("mountPath"))
    return tuple(value)


def _check_mount_path(key: str, path: Any) -> None:
    if not checks.is_inside_path(path) or path.strip("/") == "":
        raise InvalidInput(f"{key} has a path {clip(repr(path))}", "write an absolute path")
    if (path.rstrip("/") + "/").startswith(_TOKENS + "/"):
        raise InvalidInput(f"{key} has a path {clip(path)}", "there Kubernetes keeps its token")


def _read_pvcs(key: str, value: Mapping[str, str]) -> Mapping[str, str]:
    for claim, place in value.items():
        if not checks.is_object_name(places.sample(key, claim)):
            raise InvalidInput(f'{key} has "{clip(claim)}", which is no name of a claim')
        _check_mount_path(key, places.sample(key, place.removesuffix(":ro")))
    return value


def _read_folder(key: str, value: str) -> str:
    if not checks.is_inside_path(places.sample(key, value) or "/"):
        raise InvalidInput(f"{key} has a path {clip(repr(value))}", "write an absolute path")
    return value


def _read_overlay(_key: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    overlay.check(value)
    return value


def _read_command(key: str, value: str) -> str:
    if not value.isprintable():
        raise InvalidInput(f"{key} {clip(repr(value))} is not the path of an interpreter")
    return value


def _listed(words: Any) -> str:
    return ", ".join(map(clip, sorted(words)))


# --- the rules -----------------------------------------------------------------------------------

POLICIES = ("Always", "IfNotPresent", "Never")

TEXT = Rule("text", _is_text)
WORD = Rule("text that is not empty", lambda v: _is_text(v) and bool(v.strip()), _read_command)
IMAGE = Rule("text that is not empty", lambda v: _is_text(v) and bool(v.strip()), read_image)
POLICY = Rule(", ".join(POLICIES), lambda v: v in POLICIES)
QUANTITY = Rule("a quantity such as 500m, 2 or 4Gi", _is_quantity_like, read_quantity)
SIZE_OR_NONE = Rule(
    'a quantity such as 2Gi, or ""',
    _is_quantity_like,
    lambda key, value: read_quantity(key, value) if value != "" else "",
)
WHOLE = Rule("a whole number", is_whole)
USER = Rule("a user's number, not root's", lambda v: is_whole(v, 1) and v < 2**31)
RESOURCE = Rule(
    "a resource's name such as nvidia.com/gpu",
    lambda v: checks.is_qualified(v, domain_needed=True),
)
NAME = Rule("the name of an object, or empty", lambda v: v == "" or checks.is_object_name(v))
NAMES = Rule("a list of names", lambda v: isinstance(v, list | tuple), _read_names)
CLAIMS = Rule('a dictionary as {"name": "claim-template"}', _is_texts, _read_claims)
ENV = Rule('a dictionary of texts, as {"NAME": "1"}', _is_texts, _read_env)
SECRETS = Rule('a dictionary as {"NAME": "secret/key"}', _is_texts, _read_secrets)
LABELS = Rule('a dictionary of texts, as {"disk": "ssd"}', _is_texts, _read_labels)
PVCS = Rule('a dictionary as {"claim": "/mount/path"}', _is_texts, _read_pvcs)
TOLERATIONS = Rule("a list of dictionaries, as in a pod's spec", _is_objects, _read_tolerations)
VOLUMES = Rule("a list of dictionaries, as in a pod's spec", _is_objects, _read_volumes)
MOUNTS = Rule("a list of dictionaries, as in a pod's spec", _is_objects, _read_mounts)
AFFINITY = Rule("a dictionary, as in a pod's spec", _is_object, _read_affinity)
OVERLAY = Rule(
    "a dictionary: a part of a pod, with metadata and spec",
    lambda v: isinstance(v, Mapping),
    _read_overlay,
)
FOLDER = Rule(
    "an absolute path in the container, or empty",
    lambda v: v == "" or checks.is_inside_path(v),
    _read_folder,
)
FILES = Rule('"copy", or empty', lambda v: v in ("", "copy"))
TIME = Rule(
    'a time above 0: seconds, or text such as "30m" or "2h"',
    lambda v: _is_time_like(v) and 0 < (checks.seconds(v) or 0) < math.inf,
    _read_seconds,
)
TIME_OR_NEVER = Rule(
    'a time: seconds, text such as "30m" or "2h", or 0 for never',
    _is_time_like,
    _read_seconds,
)
