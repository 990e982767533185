"""The pods' network: a bridge, its CNI configuration, and the way back to how things were."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tests.cluster.layout import BRIDGE, CNI_RESULTS, HOST, NETWORK, PODS, STATE

CNI_CONFIG = STATE / "cni"
_LEASES = STATE / "cni-leases"

# Pods reach pods and this host; all else is refused at once, instead of being tried in vain.
_RULES = (
    ("priority", "21700", "iif", BRIDGE, "to", PODS, "lookup", "main"),
    ("priority", "21701", "iif", BRIDGE, "prohibit"),
)

_PROC = Path("/proc/sys")
_SYSCTLS = (
    "net/ipv4/ip_forward",
    # The kubelet sets these, and never back.
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def read_sysctls() -> dict[str, str]:
    """Return the kernel settings that a cluster changes, as they are now."""
    return {name: (_PROC / name).read_text().strip() for name in _SYSCTLS}


def restore_sysctls(values: dict[str, str]) -> None:
    """Write kernel settings back where they differ."""
    for name, value in values.items():
        if (_PROC / name).read_text().strip() != value:
            (_PROC / name).write_text(value)


def make() -> None:
    """Make the bridge and tell containerd of it."""
    _ip("link", "add", BRIDGE, "type", "bridge")
    _ip("address", "add", f"{HOST}/16", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")
    for rule in _RULES:
        _ip("rule", "add", *rule)
    (_PROC / "net/ipv4/ip_forward").write_text("1")
    CNI_CONFIG.mkdir()
    (CNI_CONFIG / "pods.conflist").write_text(json.dumps(_cni(), indent=1))


def _cni() -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "dataDir": str(_LEASES),
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True}
    return {"cniVersion": "1.0.0", "name": NETWORK, "plugins": [bridge | {"ipam": addresses}]}


def remove() -> None:
    """Remove the bridge, the pods' ends of it and what the CNI library keeps of them."""
    for interface in interfaces():
        subprocess.run(["ip", "link", "delete", interface], check=False, capture_output=True)
    for priority in rules():
        subprocess.run(["ip", "rule", "delete", "priority", priority], check=True)
    for path in results():
        path.unlink(missing_ok=True)


def interfaces() -> list[str]:
    """Return the cluster's interfaces that are there, the bridge last."""
    shown = subprocess.run(["ip", "-json", "link"], check=True, capture_output=True, text=True)
    links = json.loads(shown.stdout)
    ports = [link["ifname"] for link in links if link.get("master") == BRIDGE]
    return [*ports, *(BRIDGE for link in links if link["ifname"] == BRIDGE)]


def rules() -> list[str]:
    """Return the priorities of the cluster's routing rules that are there."""
    shown = subprocess.run(["ip", "rule", "show"], check=True, capture_output=True, text=True)
    present = {line.partition(":")[0] for line in shown.stdout.splitlines()}
    return [priority for _, priority, *_ in _RULES if priority in present]


def results() -> list[Path]:
    """Return the CNI library's notes on the cluster's pods, their loopback interfaces too."""
    return [path for path in sorted(CNI_RESULTS.glob("*")) if _tells_of_us(path)]


def _tells_of_us(result: Path) -> bool:
    # The loopback's network has the same name in every containerd; the namespace's path is ours.
    try:
        return f"{STATE}/" in result.read_text()
    except FileNotFoundError:
        return False


def chains() -> list[str]:
    """Return the iptables chains that Kubernetes has made here, one line each."""
    return [
        f"{family}: {line}"
        for family in _FAMILIES
        for line in _saved(family)
        if line.startswith(":KUBE-")
    ]


def remove_chains() -> None:
    """Remove Kubernetes's chains and the rules that lead to them, all at once.

    ``kube-proxy --cleanup`` leaves its firewall chain behind.
    """
    for family in _FAMILIES:
        saved = _saved(family)
        kept = without_kubernetes(saved)
        if kept != saved:
            text = "".join(f"{line}\n" for line in kept)
            subprocess.run([f"{family}-restore"], input=text, text=True, check=True)


def without_kubernetes(saved: list[str]) -> list[str]:
    """Return the lines of an ``iptables-save`` that are not about Kubernetes's chains."""
    return [line for line in saved if not _OF_KUBERNETES.search(line)]


_FAMILIES = ("iptables", "ip6tables")
_OF_KUBERNETES = re.compile(r"(^:|^-A |-j )KUBE-")


def _saved(family: str) -> list[str]:
    result = subprocess.run([f"{family}-save"], check=True, capture_output=True, text=True)
    return result.stdout.splitlines()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
