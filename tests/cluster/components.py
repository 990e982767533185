"""The cluster's programs: the command line and the configuration of each, as pure functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.cluster import layout
from tests.cluster.images import PAUSE
from tests.cluster.layout import HOST, STATE
from tests.cluster.network import CNI_CONFIG
from tests.cluster.pki import Identity

PKI = STATE / "pki"
VOLUME_PLUGINS = STATE / "volume-plugins"

Command = list[str]


def etcd() -> Command:
    """Return etcd's command: its data need not survive a power cut."""
    client = f"http://127.0.0.1:{layout.ETCD_PORT}"
    peer = f"http://127.0.0.1:{layout.ETCD_PEER_PORT}"
    flags = {
        "name": "default",
        "data-dir": STATE / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
    }
    return ["etcd", "--unsafe-no-fsync", *_flags(flags)]


def apiserver(
    program: Path, authority: Path, server: Identity, client: Identity, tokens: Identity
) -> Command:
    """Return the API server's command; it listens on the bridge only, where pods reach it too."""
    flags = {
        "etcd-servers": f"http://127.0.0.1:{layout.ETCD_PORT}",
        "bind-address": HOST,
        "advertise-address": HOST,
        "secure-port": layout.API_PORT,
        "service-cluster-ip-range": layout.SERVICES,
        "tls-cert-file": server.certificate,
        "tls-private-key-file": server.key,
        "client-ca-file": authority,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "kubelet-certificate-authority": authority,
        "kubelet-client-certificate": client.certificate,
        "kubelet-client-key": client.key,
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": tokens.certificate,
        "service-account-signing-key-file": tokens.key,
    }
    return [str(program), *_flags(flags)]


def controller_manager(
    program: Path, kubeconfig: Path, authority: Path, tokens: Identity
) -> Command:
    """Return the controller manager's command."""
    flags = {
        "kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "secure-port": layout.CONTROLLERS_PORT,
        "cert-dir": PKI,
        "leader-elect": "false",
        "root-ca-file": authority,
        "service-account-private-key-file": tokens.key,
        "flex-volume-plugin-dir": VOLUME_PLUGINS,
        # The defaults cost 20 s of every start: 20 requests a second, and a look each 15 s.
        "kube-api-qps": 200,
        "kube-api-burst": 400,
        "pvclaimbinder-sync-period": "1s",
        "use-service-account-credentials": "true",
    }
    return [str(program), *_flags(flags)]


def scheduler(program: Path, kubeconfig: Path) -> Command:
    """Return the scheduler's command."""
    flags = {
        "kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "secure-port": layout.SCHEDULER_PORT,
        "cert-dir": PKI,
        "leader-elect": "false",
    }
    return [str(program), *_flags(flags)]


def containerd() -> Command:
    """Return containerd's command; its configuration is `containerd_config`."""
    return ["containerd", "--config", str(STATE / "containerd.toml")]


def containerd_config() -> str:
    """Return containerd's configuration (TOML)."""
    cri = '[plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{layout.CONTAINERD_ROOT}"
state = "{STATE}/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "{layout.CONTAINERD_SOCKET}"
{cri}]
sandbox_image = "{PAUSE}"
netns_mounts_under_state_dir = true
# Without CAP_SYS_RESOURCE no score can be lowered, and every sandbox would die of the attempt.
restrict_oom_score_adj = true
{cri}.cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{CNI_CONFIG}"
{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
{cri}.containerd.runtimes.runc.options]
Root = "{layout.RUNC_ROOT}"
"""


def kubelet(program: Path, kubeconfig: Path) -> Command:
    """Return the kubelet's command; its configuration is `kubelet_config`."""
    flags = {
        "config": STATE / "kubelet.json",
        "kubeconfig": kubeconfig,
        "root-dir": layout.KUBELET_ROOT,
        "cert-dir": PKI,
        "hostname-override": layout.NODE,
        "node-ip": HOST,
    }
    return [str(program), *_flags(flags)]


def kubelet_config(authority: Path, server: Identity) -> str:
    """Return the kubelet's configuration."""
    return _config(
        "kubelet.config.k8s.io/v1beta1",
        "KubeletConfiguration",
        {
            "address": HOST,
            "port": layout.KUBELET_PORT,
            "healthzPort": 0,
            "tlsCertFile": str(server.certificate),
            "tlsPrivateKeyFile": str(server.key),
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(authority)},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": f"unix://{layout.CONTAINERD_SOCKET}",
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "clusterDNS": [HOST],
            "clusterDomain": "cluster.local",
            "resolvConf": str(STATE / "resolv.conf"),
            "podLogsDir": str(layout.PODS_LOGS),
            "volumePluginDir": str(VOLUME_PLUGINS),
            "maxPods": 200,
            # A new device is told with the node's next status.
            "nodeStatusUpdateFrequency": "2s",
            "registryPullQPS": 0,
            "eventRecordQPS": 0,
            "serializeImagePulls": False,
            "makeIPTablesUtilChains": False,
            # Images cannot be pulled again, so none may be collected.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "imagefs.available": "1%",
            },
        },
    )


def proxy(program: Path) -> Command:
    """Return kube-proxy's command; its configuration is `proxy_config`."""
    return [str(program), f"--config={STATE / 'proxy.json'}"]


def proxy_config(kubeconfig: Path) -> str:
    """Return kube-proxy's configuration."""
    return _config(
        "kubeproxy.config.k8s.io/v1alpha1",
        "KubeProxyConfiguration",
        {
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "hostnameOverride": layout.NODE,
            "mode": "iptables",
            "clusterCIDR": layout.PODS,
            "oomScoreAdj": 0,
            "conntrack": {
                "maxPerCore": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
            # Replies between two pods on the bridge come back through here, bridge filter or not.
            "iptables": {"masqueradeAll": True, "localhostNodePorts": False},
            "metricsBindAddress": f"127.0.0.1:{layout.PROXY_METRICS_PORT}",
            "healthzBindAddress": f"127.0.0.1:{layout.PROXY_HEALTH_PORT}",
        },
    )


def coredns(program: Path) -> Command:
    """Return CoreDNS's command; its configuration is `coredns_config`."""
    return [str(program), "-conf", str(STATE / "Corefile")]


def coredns_config(kubeconfig: Path) -> str:
    """Return the Corefile: cluster names only, never cached."""
    return f"""\
.:53 {{
    bind {HOST}
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        ttl 0
    }}
}}
"""


def gpu_plugin(program: Path, gpus: int) -> Command:
    """Return the command of the plugin that advertises `gpus` devices."""
    return [str(program), f"-count={gpus}"]


def proxy_role() -> Mapping[str, object]:
    """Return the binding without which kube-proxy may not list services."""
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "kube-proxy"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:node-proxier"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "system:kube-proxy"}],
    }


def _flags(flags: Mapping[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items()]


def _config(version: str, kind: str, body: Mapping[str, object]) -> str:
    return json.dumps({"apiVersion": version, "kind": kind, **body}, indent=1)
