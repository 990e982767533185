"""Pod Security *restricted*: what a pod needs to pass, and what is wrong with one that does not.

Pure functions of a pod's spec, in the words of Kubernetes' own admission. The rules are those of
https://kubernetes.io/docs/concepts/security/pod-security-standards/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Spec = Mapping[str, Any]
Check = Callable[[Spec], str]
"""Says what is wrong with a pod's spec; empty if nothing is."""

VOLUMES = frozenset(
    ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
     "projected", "secret")
)  # fmt: skip
"""Kinds of volumes that pods may have."""

CONTAINER_SECURITY: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
"""The security context each container needs."""

_SECCOMP = {"RuntimeDefault", "Localhost"}
_SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
}  # fmt: skip
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_HANDLERS = ("livenessProbe", "readinessProbe", "startupProbe")


def pod_security(user: int) -> dict[str, Any]:
    """Build the pod's security context for a user's number; volumes belong to the same group."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def baseline(spec: Spec, annotations: Mapping[str, str] | None = None) -> list[str]:
    """List what the level *baseline* refuses of a pod."""
    return _all((*_BASELINE, _host_paths), spec, annotations)


def restricted(spec: Spec, annotations: Mapping[str, str] | None = None) -> list[str]:
    """List what the level *restricted* refuses of a pod."""
    return _all((*_BASELINE, *_RESTRICTED), spec, annotations)


def _all(checks: Iterable[Check], spec: Spec, annotations: Mapping[str, str] | None) -> list[str]:
    found = [*(check(spec) for check in checks), _apparmor(spec, annotations or {})]
    return [problem for problem in found if problem]


def containers(spec: Spec) -> list[Mapping[str, Any]]:
    """List all containers of a pod, whatever their kind."""
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [each for kind in kinds for each in spec.get(kind) or ()]


def _context(of: Spec) -> Mapping[str, Any]:
    context: Mapping[str, Any] = of.get("securityContext") or {}
    return context


def _contexts(spec: Spec) -> list[Mapping[str, Any]]:
    """List the pod's own security context and those of its containers."""
    return [_context(spec), *map(_context, containers(spec))]


def _named(found: Iterable[Mapping[str, Any]]) -> str:
    names = [f'"{each.get("name", "")}"' for each in found]
    return f"container{'s' * (len(names) > 1)} {', '.join(names)}"


def _about(spec: Spec, bad: Callable[[Mapping[str, Any]], bool], what: str, must: str) -> str:
    """Describe the containers that are bad."""
    found = [each for each in containers(spec) if bad(_context(each))]
    return f"{what} ({_named(found)} {must})" if found else ""


# --- what baseline refuses -----------------------------------------------------------------------


def _host_namespaces(spec: Spec) -> str:
    found = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return f"host namespaces ({', '.join(found)})" if found else ""


def _host_ports(spec: Spec) -> str:
    ports = [
        (each, [str(port["hostPort"]) for port in each.get("ports") or () if port.get("hostPort")])
        for each in containers(spec)
    ]
    found = [(each, numbers) for each, numbers in ports if numbers]
    listed = ", ".join(number for _, numbers in found for number in numbers)
    return f"hostPort ({_named(each for each, _ in found)} uses hostPort {listed})" if found else ""


def _host_paths(spec: Spec) -> str:
    names = [f'"{v.get("name", "")}"' for v in spec.get("volumes") or () if "hostPath" in v]
    return f"hostPath volumes (volume{'s' * (len(names) > 1)} {', '.join(names)})" if names else ""


def _host_handlers(spec: Spec) -> str:
    found = [each for each in containers(spec) if any(_handlers_host(each))]
    return f"probe or lifecycle host ({_named(found)} must not set host)" if found else ""


def _handlers_host(container: Mapping[str, Any]) -> Iterator[bool]:
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(probe) or {} for probe in _HANDLERS]
    handlers += [lifecycle.get(moment) or {} for moment in ("postStart", "preStop")]
    for handler in handlers:
        for way in ("httpGet", "tcpSocket"):
            yield bool((handler.get(way) or {}).get("host"))


def _host_process(spec: Spec) -> str:
    found = any((each.get("windowsOptions") or {}).get("hostProcess") for each in _contexts(spec))
    return "hostProcess (must not set securityContext.windowsOptions.hostProcess)" if found else ""


def _privileged(spec: Spec) -> str:
    must = "must not set securityContext.privileged=true"
    return _about(spec, lambda context: bool(context.get("privileged")), "privileged", must)


def _proc_mount(spec: Spec) -> str:
    must = 'must not set securityContext.procMount other than "Default"'
    return _about(
        spec, lambda context: context.get("procMount", "Default") != "Default", "procMount", must
    )


def _selinux(spec: Spec) -> str:
    options = [each.get("seLinuxOptions") or {} for each in _contexts(spec)]
    bad = any(
        each.get("type", "") not in _SELINUX or each.get("user") or each.get("role")
        for each in options
    )
    return "seLinuxOptions (must not set another type, user or role)" if bad else ""


def _sysctls(spec: Spec) -> str:
    names = [each.get("name", "") for each in _context(spec).get("sysctls") or ()]
    bad = [name for name in names if name not in _SYSCTLS]
    return f"forbidden sysctls ({', '.join(bad)})" if bad else ""


def _apparmor(spec: Spec, annotations: Mapping[str, str]) -> str:
    profiles = [(each.get("appArmorProfile") or {}).get("type") for each in _contexts(spec)]
    bad = any(kind not in {None, "RuntimeDefault", "Localhost"} for kind in profiles) or any(
        key.startswith(_APPARMOR) and value == "unconfined" for key, value in annotations.items()
    )
    return "forbidden AppArmor profile (must not be unconfined)" if bad else ""


# --- what restricted refuses besides -------------------------------------------------------------


def _volume_types(spec: Spec) -> str:
    found = [
        (each.get("name", ""), kind)
        for each in spec.get("volumes") or ()
        for kind in each
        if kind != "name" and kind not in VOLUMES
    ]
    names = ", ".join(f'"{name}"' for name, _ in found)
    kinds = ", ".join(sorted({f'"{kind}"' for _, kind in found}))
    what = f"volume{'s' * (len(found) > 1)} {names} uses restricted volume type {kinds}"
    return f"restricted volume types ({what})" if found else ""


def _escalation(spec: Spec) -> str:
    return _about(
        spec,
        lambda context: context.get("allowPrivilegeEscalation") is not False,
        "allowPrivilegeEscalation != false",
        "must set securityContext.allowPrivilegeEscalation=false",
    )


def _capabilities(spec: Spec) -> str:
    def unrestricted(context: Mapping[str, Any]) -> bool:
        capabilities = context.get("capabilities") or {}
        added = set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}
        return "ALL" not in (capabilities.get("drop") or ()) or bool(added)

    must = 'must set securityContext.capabilities.drop=["ALL"]'
    return _about(spec, unrestricted, "unrestricted capabilities", must)


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
    found = [each for each in containers(spec) if _context(each).get("runAsUser") == 0]
    guilty += [_named(found)] if found else []
    return f"runAsUser=0 ({' and '.join(guilty)} must not set runAsUser=0)" if guilty else ""


def _seccomp(spec: Spec) -> str:
    whole = _context(spec).get("seccompProfile")

    def unconfined(context: Mapping[str, Any]) -> bool:
        profile = context.get("seccompProfile") or whole or {}
        return profile.get("type") not in _SECCOMP

    must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return _about(spec, unconfined, "seccompProfile", must).replace(
        "(container", "(pod or container", 1
    )


_BASELINE: tuple[Check, ...] = (
    _host_namespaces, _host_ports, _privileged, _host_handlers, _host_process, _proc_mount,
    _selinux, _sysctls,
)  # fmt: skip
_RESTRICTED: tuple[Check, ...] = (
    _escalation, _capabilities, _volume_types, _non_root, _root_user, _seccomp,
)  # fmt: skip
