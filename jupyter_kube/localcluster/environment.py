"""What a container's process is given: its environment, command and arguments (pure functions)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .quantities import container_amounts, parse

Fetch = Callable[[str, str], Mapping[str, bytes] | None]
"""``fetch("Secret" | "ConfigMap", name)``: the data of that object, None if there is none."""

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_VARIABLE = re.compile(r"[^=\x00-\x1f]+")


class MissingReference(Exception):
    """Something the container refers to is not there (yet): the kubelet's own words."""


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by its value; unknown names stay, ``$$`` is one dollar."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return known.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


def relocate(text: str, paths: Mapping[str, str]) -> str:
    """Move a path below one of the mount paths to the real folder behind it.

    There is no mount namespace, so the mounts are made by rewriting: what *begins* with a mount
    path (whole components) is rewritten; the longest mount path wins.
    """
    for mount in sorted(paths, key=len, reverse=True):
        if text == mount or text.startswith(mount.rstrip("/") + "/"):
            return paths[mount] + text[len(mount.rstrip("/")) :]
    return text


def declared(container: Mapping[str, Any], pod: Mapping[str, Any], fetch: Fetch) -> dict[str, str]:
    """Resolve a container's ``envFrom`` and ``env``, in the order written.

    Raises
    ------
    MissingReference
        If a Secret, ConfigMap or key that is not optional does not exist.

    """
    known: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        known |= _from_source(source, fetch)
    for entry in container.get("env") or ():
        if "valueFrom" in entry:
            value = _from_reference(entry["valueFrom"], container, pod, fetch)
            if value is not None:
                known[entry["name"]] = value
        else:
            known[entry["name"]] = expand(entry.get("value") or "", known)
    return known


def command_line(container: Mapping[str, Any], known: Mapping[str, str]) -> list[str]:
    """Build the command line; without a command a container runs Python."""
    words = [*(container.get("command") or ["python"]), *(container.get("args") or ())]
    return [expand(word, known) for word in words]


def _from_source(source: Mapping[str, Any], fetch: Fetch) -> dict[str, str]:
    for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
        if reference := source.get(field):
            data = fetch(kind, reference["name"])
            if data is None and not reference.get("optional"):
                raise MissingReference(_not_found(kind, reference["name"]))
            prefix = source.get("prefix") or ""
            return {
                prefix + key: value.decode(errors="surrogateescape")
                for key, value in (data or {}).items()
                if _VARIABLE.fullmatch(prefix + key)
            }
    return {}


def _from_reference(
    source: Mapping[str, Any], container: Mapping[str, Any], pod: Mapping[str, Any], fetch: Fetch
) -> str | None:
    for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if reference := source.get(field):
            return _key(kind, reference, pod, fetch)
    if reference := source.get("fieldRef"):
        return field_value(reference["fieldPath"], pod)
    if reference := source.get("resourceFieldRef"):
        return resource_value(reference, container, pod)
    msg = f"environment source {sorted(source)} is not supported by the local cluster"
    raise MissingReference(msg)


def _key(
    kind: str, reference: Mapping[str, Any], pod: Mapping[str, Any], fetch: Fetch
) -> str | None:
    data = fetch(kind, reference["name"])
    if data is not None and reference["key"] in data:
        return data[reference["key"]].decode(errors="surrogateescape")
    if reference.get("optional"):
        return None
    if data is None:
        raise MissingReference(_not_found(kind, reference["name"]))
    namespace = pod["metadata"]["namespace"]
    msg = f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}"
    raise MissingReference(msg)


def _not_found(kind: str, name: str) -> str:
    return f'{kind.lower()} "{name}" not found'


def field_value(path: str, pod: Mapping[str, Any]) -> str:
    """Read one of the pod's own fields, as ``fieldRef`` names it."""
    metadata = pod["metadata"]
    if match := _SUBSCRIPT.fullmatch(path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    if path in {"metadata.labels", "metadata.annotations"}:
        pairs = sorted((metadata.get(path.split(".")[1]) or {}).items())
        return "\n".join(f'{key}="{_escaped(value)}"' for key, value in pairs)
    section, _, field = path.partition(".")
    if field == "podIPs":
        return ",".join(each["ip"] for each in (pod.get("status") or {}).get("podIPs") or ())
    return str((pod.get(section) or {}).get(field) or "")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource_value(
    reference: Mapping[str, Any], container: Mapping[str, Any], pod: Mapping[str, Any]
) -> str:
    """Read a request or limit in units of its divisor, rounded up; 0 where none is set."""
    if wanted := reference.get("containerName"):
        container = next(each for each in pod["spec"]["containers"] if each["name"] == wanted)
    field, _, name = reference["resource"].partition(".")
    divisor = parse(reference.get("divisor") or 1) or 1
    amount = container_amounts(container, field).get(name, 0)
    return str(-(-amount // divisor))
