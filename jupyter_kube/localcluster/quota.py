"""ResourceQuota: refuse what goes over, and show what is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from .quantities import Amounts, add, container_amounts, is_terminal, parse, pod_amounts, text
from .store import CONFIGMAP, JOB, POD, PVC, QUOTA, SECRET, SERVICE, ApiError, Kind, Store
from .workqueue import WorkQueue

COUNTED = (POD, SERVICE, SECRET, CONFIGMAP, PVC, JOB)
"""Kinds that quotas count or measure."""

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_MUST_SPECIFY = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


class Quota:
    """Enforce and report the quotas of every namespace."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: WorkQueue[str] = WorkQueue(self._report)
        self._unsubscribe: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Begin to enforce and to report."""
        self._store.admission.append(self._admit)
        for kind in (QUOTA, *COUNTED):
            self._unsubscribe.append(self._store.subscribe(kind, self._changed))

    async def stop(self) -> None:
        """End both."""
        self._store.admission.remove(self._admit)
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe.clear()
        self._queue.clear()

    def _changed(self, _type: str, obj: dict[str, Any], _old: dict[str, Any] | None) -> None:
        self._queue.add(obj["metadata"]["namespace"])

    def _admit(self, kind: Kind, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        if old is not None or kind not in COUNTED:
            return
        namespace = new["metadata"]["namespace"]
        wanted = usage(kind, new)
        for quota in self._store.list(QUOTA, namespace):
            hard = _hard(quota)
            problem = missing_text(kind, new, hard) or exceeded_text(
                wanted, self._used(namespace, hard), hard
            )
            if problem:
                verb, rest = problem
                name = new["metadata"].get("name", "")
                raise ApiError(
                    403,
                    "Forbidden",
                    f'{_resource(kind)} "{name}" is forbidden: '
                    f"{verb} quota: {quota['metadata']['name']}{rest}",
                    {"name": name, "group": kind.group, "kind": kind.plural},
                )

    def _used(self, namespace: str, hard: Mapping[str, Fraction]) -> Amounts:
        total = add(
            usage(kind, obj) for kind in COUNTED for obj in self._store.list(kind, namespace)
        )
        return {name: total.get(name, Fraction()) for name in hard}

    def _report(self, namespace: str) -> None:
        for quota in self._store.list(QUOTA, namespace):
            hard = _hard(quota)
            used = self._used(namespace, hard)
            status = {
                "hard": dict((quota.get("spec") or {}).get("hard") or {}),
                "used": {name: text(name, amount) for name, amount in used.items()},
            }
            if quota.get("status") != status:
                self._store.update(QUOTA, {**quota, "status": status}, subresource="status")


def usage(kind: Kind, obj: Mapping[str, Any]) -> Amounts:
    """Tell what one object uses, by every name a quota may use for it."""
    used = {f"count/{_resource(kind)}": Fraction(1)}
    if kind is POD:
        return used | _pod_usage(obj)
    if kind is not JOB:
        used[kind.plural] = Fraction(1)
    if kind is PVC:
        requests = ((obj.get("spec") or {}).get("resources") or {}).get("requests") or {}
        used["requests.storage"] = parse(requests.get("storage", 0))
    return used


def _pod_usage(pod: Mapping[str, Any]) -> Amounts:
    used: Amounts = {} if is_terminal(pod) else {"pods": Fraction(1)}
    if is_terminal(pod):
        return used
    for field in ("requests", "limits"):
        for name, amount in pod_amounts(pod, field).items():
            used[f"{field}.{name}"] = amount
            if field == "requests" and name in _COMPUTE:
                used[name] = amount
    return used


def exceeded_text(
    wanted: Mapping[str, Fraction], used: Mapping[str, Fraction], hard: Mapping[str, Fraction]
) -> tuple[str, str] | None:
    """Say what goes over a quota, as ``("exceeded", ", requested: …")``; None if nothing does."""
    over = sorted(
        name
        for name, limit in hard.items()
        if wanted.get(name) and used.get(name, Fraction()) + wanted[name] > limit
    )
    if not over:
        return None
    columns = (("requested", wanted), ("used", used), ("limited", hard))
    return "exceeded", "".join(
        f", {title}: " + ",".join(f"{name}={text(name, values[name])}" for name in over)
        for title, values in columns
    )


def missing_text(
    kind: Kind, pod: Mapping[str, Any], hard: Mapping[str, Fraction]
) -> tuple[str, str] | None:
    """Say what a pod must specify because a quota limits it; None if nothing is missing."""
    if kind is not POD:
        return None
    constrained = {f"requests.{name}" if name in _COMPUTE else name: name for name in hard}
    parts = []
    for name in sorted(set(_MUST_SPECIFY) & constrained.keys()):
        field, resource = name.split(".", 1)
        lacking = [
            container["name"]
            for container in pod["spec"]["containers"]
            if not container_amounts(container, field).get(resource)
        ]
        if lacking:
            parts.append(f"{constrained[name]} for: {','.join(sorted(lacking))}")
    return ("failed", f": must specify {'; '.join(parts)}") if parts else None


def _hard(quota: Mapping[str, Any]) -> Amounts:
    return {
        name: parse(value) for name, value in ((quota.get("spec") or {}).get("hard") or {}).items()
    }


def _resource(kind: Kind) -> str:
    return f"{kind.plural}.{kind.group}" if kind.group else kind.plural
