"""What a URL of the API names (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from .kinds import KINDS, NAMESPACE, Kind

_BY_PLACE = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}


@dataclass(frozen=True)
class Target:
    """A collection (no name), an object, or a part of one."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse(path: str) -> Target | None:
    """Read ``/api/v1/…`` or ``/apis/group/version/…``; None if there is no such thing."""
    match [unquote(part) for part in path.strip("/").split("/")]:
        case ["api", version, *rest] if rest:
            return _target("", version, rest)
        case ["apis", group, version, *rest] if rest:
            return _target(group, version, rest)
        case _:
            return None


def _target(group: str, version: str, rest: list[str]) -> Target | None:
    namespace = ""
    inside = len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in NAMESPACE.subresources
    if inside:
        namespace, rest = rest[1], rest[2:]
    kind = _BY_PLACE.get((group, version, rest[0]))
    if kind is None or len(rest) > 3 or "" in rest or inside > kind.namespaced:
        return None
    name, subresource = [*rest[1:], "", ""][:2]
    if subresource and subresource not in kind.subresources:
        return None
    if name and kind.namespaced and not namespace:
        return None
    return Target(kind, namespace, name, subresource)
