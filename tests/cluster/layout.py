"""Where the test cluster lives: its folders, addresses, ports and names, all in one place."""

from __future__ import annotations

import os
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
REPOSITORY = SOURCES.parent.parent

CACHE = Path(os.environ.get("JUPYTER_KUBE_CACHE", "~/.cache/jupyter-kube")).expanduser()
"""What is costly to make and outlives the cluster: programs, image layers, frameworks."""

CONTAINERD_ROOT = CACHE / "containerd"
"""Unpacked images: kept between clusters, so that a second start imports nothing."""

STATE = Path("/var/lib/jupyter-kube-cluster")
"""All else of the one cluster that a machine can have; a short path, since sockets lie here."""

KUBECONFIG = STATE / "admin.kubeconfig"
LOGS = STATE / "logs"
FAILED_LOGS = CACHE / "failed-logs"
"""Logs of the last start that failed."""
PODS_LOGS = STATE / "pod-logs"
CONTAINERD_SOCKET = STATE / "containerd.sock"
FRAMEWORKS = STATE / "frameworks"
RUNC_ROOT = STATE / "runc"
KUBELET_ROOT = STATE / "kubelet"

DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")
"""Compiled into the kubelet."""
CONTAINER_LINKS = Path("/var/log/containers")
"""Links to the pods' logs; compiled into the kubelet."""
CNI_RESULTS = Path("/var/lib/cni/results")
"""Compiled into containerd's network library."""
SHIM_SOCKETS = Path("/run/containerd/s")
"""Compiled into containerd's shim."""

NODE = "node"
CONTEXT = "jupyter-kube-test"
NETWORK = "jupyter-kube"
BRIDGE = "jkube0"

# Not the ranges that podman, kind, k3s or kubeadm take by default.
HOST = "10.217.0.1"
PODS = "10.217.0.0/16"
SERVICES = "10.218.0.0/16"
FIRST_SERVICE = "10.218.0.1"

ETCD_PORT, ETCD_PEER_PORT = 12379, 12380
API_PORT = 16443
KUBELET_PORT = 11250
PROXY_METRICS_PORT, PROXY_HEALTH_PORT = 11249, 11256
CONTROLLERS_PORT, SCHEDULER_PORT = 11257, 11259

API = f"https://{HOST}:{API_PORT}"
