"""Pod Security admission: the levels *baseline* and *restricted*, in the real one's words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .kinds import NAMESPACE, POD, ApiError, Kind
from .store import Store

Spec = Mapping[str, Any]
Check = Callable[[Spec], str]
"""Says what is wrong with a pod's spec; empty if nothing is."""

_LABEL = "pod-security.kubernetes.io/enforce"
_VOLUMES = frozenset(
    ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
     "projected", "secret")
)  # fmt: skip


class PodSecurity:
    """Enforce the level that a namespace's label names."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def admit(self, kind: Kind, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        """Refuse a new pod that its namespace does not allow.

        Raises
        ------
        ApiError
            403.

        """
        if kind is not POD or old is not None:
            return
        level = self._level(new["metadata"]["namespace"])
        problems = list(filter(None, (check(new["spec"]) for check in _LEVELS.get(level, ()))))
        if problems:
            name = new["metadata"]["name"]
            text = f'pods "{name}" is forbidden: violates PodSecurity "{level}:latest": '
            details = {"name": name, "kind": "pods"}
            raise ApiError(403, "Forbidden", text + ", ".join(problems), details)

    def _level(self, namespace: str) -> str:
        try:
            labels = self._store.get(NAMESPACE, None, namespace)["metadata"].get("labels") or {}
        except ApiError:
            return ""
        return str(labels.get(_LABEL, ""))


def _containers(spec: Spec) -> list[dict[str, Any]]:
    return [*(spec.get("initContainers") or ()), *spec["containers"]]


def _context(of: Spec) -> dict[str, Any]:
    return of.get("securityContext") or {}


def _named(containers: Iterable[Mapping[str, Any]]) -> str:
    names = [f'"{each["name"]}"' for each in containers]
    return f"container{'s' * (len(names) > 1)} {', '.join(names)}"


def _about(spec: Spec, bad: Callable[[dict[str, Any]], bool], what: str, must: str) -> str:
    """Describe the containers that are bad."""
    found = [each for each in _containers(spec) if bad(_context(each))]
    return f"{what} ({_named(found)} {must})" if found else ""


def _host_namespaces(spec: Spec) -> str:
    found = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return f"host namespaces ({', '.join(found)})" if found else ""


def _host_ports(spec: Spec) -> str:
    ports = {
        each["name"]: [str(p["hostPort"]) for p in each.get("ports") or () if p.get("hostPort")]
        for each in _containers(spec)
    }
    found = [each for each in _containers(spec) if ports[each["name"]]]
    listed = ", ".join(port for each in found for port in ports[each["name"]])
    return f"hostPort ({_named(found)} uses hostPort {listed})" if found else ""


def _host_paths(spec: Spec) -> str:
    names = [f'"{each["name"]}"' for each in spec.get("volumes") or () if "hostPath" in each]
    return f"hostPath volumes (volume{'s' * (len(names) > 1)} {', '.join(names)})" if names else ""


def _privileged(spec: Spec) -> str:
    must = "must not set securityContext.privileged=true"
    return _about(spec, lambda context: bool(context.get("privileged")), "privileged", must)


def _escalation(spec: Spec) -> str:
    return _about(
        spec,
        lambda context: context.get("allowPrivilegeEscalation") is not False,
        "allowPrivilegeEscalation != false",
        "must set securityContext.allowPrivilegeEscalation=false",
    )


def _capabilities(spec: Spec) -> str:
    def unrestricted(context: dict[str, Any]) -> bool:
        capabilities = context.get("capabilities") or {}
        added = set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}
        return "ALL" not in (capabilities.get("drop") or ()) or bool(added)

    must = 'must set securityContext.capabilities.drop=["ALL"]'
    return _about(spec, unrestricted, "unrestricted capabilities", must)


def _volume_types(spec: Spec) -> str:
    found = [
        (each["name"], kind)
        for each in spec.get("volumes") or ()
        for kind in each
        if kind != "name" and kind not in _VOLUMES
    ]
    names = ", ".join(f'"{name}"' for name, _ in found)
    kinds = ", ".join(sorted({f'"{kind}"' for _, kind in found}))
    what = f"volume{'s' * (len(found) > 1)} {names} uses restricted volume type {kinds}"
    return f"restricted volume types ({what})" if found else ""


def _non_root(spec: Spec) -> str:
    whole = _context(spec).get("runAsNonRoot")
    return _about(
        spec,
        lambda context: context.get("runAsNonRoot", whole) is not True,
        "runAsNonRoot != true",
        "must set securityContext.runAsNonRoot=true",
    ).replace("(container", "(pod or container", 1)


def _root_user(spec: Spec) -> str:
    guilty = ["pod"] if _context(spec).get("runAsUser") == 0 else []
    found = [each for each in _containers(spec) if _context(each).get("runAsUser") == 0]
    guilty += [_named(found)] if found else []
    return f"runAsUser=0 ({' and '.join(guilty)} must not set runAsUser=0)" if guilty else ""


def _seccomp(spec: Spec) -> str:
    whole = _context(spec).get("seccompProfile")

    def unconfined(context: dict[str, Any]) -> bool:
        profile = context.get("seccompProfile") or whole or {}
        return profile.get("type") not in {"RuntimeDefault", "Localhost"}

    must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return _about(spec, unconfined, "seccompProfile", must).replace(
        "(container", "(pod or container", 1
    )


_BASELINE: tuple[Check, ...] = (_host_namespaces, _host_ports, _privileged)
_LEVELS: dict[str, tuple[Check, ...]] = {
    "baseline": (*_BASELINE, _host_paths),
    "restricted": (
        *_BASELINE, _escalation, _capabilities, _volume_types, _non_root, _root_user, _seccomp,
    ),
}  # fmt: skip
