"""What ``--dry-run`` shows: what travels with the cell and what would be made (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from .. import naming
from .plan import Plan
from .sizes import size_text

_PLAIN = re.compile(r"[A-Za-z_/.][\w./@:-]*(?<!:)")
_NOT_TEXT = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def preview(plan: Plan) -> str:
    """Describe a plan: names, kinds and sizes of what travels, then the objects as YAML."""
    travels = [
        f"  {item.name}  {item.kind}, {size_text(item.bytes)}"
        for item in (*plan.bundle.travels, *plan.bundle.code)
    ]
    head = [f"Travels with the cell, {size_text(len(plan.bundle.payload))} in all:", *travels]
    if plan.request.pip:
        head += ["", f"Installed first in each worker: {', '.join(plan.request.pip)}"]
    made = [plan.manifests.job, *map(_masked, plan.manifests.owned)]
    return "\n".join([*head, "", "Would be created:", *(f"---\n{yaml(obj)}" for obj in made)])


def export(plan: Plan) -> str:
    """Write a plan's objects, values and key included, as YAML that kubectl runs."""
    head = (
        f"# {plan.request.name}: a cell of jupyter-kube with all it needs.",
        "# It holds the cell, its values and a key: keep it as you would keep these.",
        "# kubectl apply -f runs it (--server-side for more than 256 kB), in the notebook",
        f"# %kube attach {plan.request.name} follows it, and kubectl delete -f removes it. Its",
        "# Service and Secrets stay until then, also when the Job has gone by itself; without",
        f"# this file: kubectl delete job,service,secret -l {naming.JOB}={plan.request.name}",
    )
    made = [plan.manifests.job, *plan.manifests.owned]
    return "\n".join([*head, *(f"---\n{yaml(obj)}" for obj in made), ""])


def yaml(value: Any) -> str:
    """Write plain data as YAML."""
    return "\n".join(_lines(value))


def _masked(secret: dict[str, Any]) -> dict[str, Any]:
    """Hide the values of a Secret but for their sizes."""
    hidden = dict(secret)
    for part in ("data", "stringData"):
        if part in secret:
            hidden[part] = {key: f"({size_text(len(text))})" for key, text in secret[part].items()}
    return hidden


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _entry(
                f"{_scalar(str(key))}:", inner, "  " if isinstance(inner, dict) else ""
            )
    elif isinstance(value, list | tuple) and value:
        for inner in value:
            first, *rest = _lines(inner)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _entry(key: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list | tuple) and value:
        yield key
        yield from (indent + line for line in _lines(value))
    else:
        yield f"{key} {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, str) and value.isascii() and "\x7f" not in value:
        return json.dumps(value)  # what is long is ASCII, and must not take its time
    if isinstance(value, str):
        return f'"{"".join(map(_character, value))}"'
    return json.dumps(value)


def _character(one: str) -> str:
    if one < "\x7f":
        return json.dumps(one)[1:-1]
    return one if one.isprintable() else f"\\U{ord(one):08x}"
