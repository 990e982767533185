"""Starting and ending the test cluster of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster import build, components, images, network, remains
from tests.cluster.cluster import CLAIM, Cluster
from tests.cluster.errors import ClusterFailed
from tests.cluster.layout import (
    CONTEXT,
    DEVICE_PLUGINS,
    FAILED_LOGS,
    FIRST_SERVICE,
    FRAMEWORKS,
    HOST,
    KUBECONFIG,
    LOGS,
    NODE,
    STATE,
)
from tests.cluster.pki import Authority
from tests.cluster.process import start
from tests.cluster.state import State, locked, unused

_PATIENCE = 90.0
"""Seconds a component may take to be ready."""


def make() -> None:
    """Build whatever the cluster is made of; costs nothing if it is built."""
    _require_root()
    build.packages()
    for name in build.MODULES:
        build.module(name)
    images.base_layers()
    images.server_layers()
    images.frameworks()


def up(*, gpus: int = 4) -> Cluster:
    """Start the machine's test cluster (or join the running one) and return it.

    Raises
    ------
    ClusterFailed
        With the component's last log lines; nothing is left running then.

    """
    make()
    with locked():
        state = State.load()
        if state is None or not state.complete or state.dead:
            remains.clean()
            try:
                state = _start(gpus)
            except BaseException:
                _keep_logs()
                remains.clean()
                raise
        _mount_frameworks()
        state.image = images.load()
        state.save()
        return _offer(state)


def _mount_frameworks() -> None:
    """Mount the frameworks read-only: pods may run as root, and a hostPath is writable.

    A running cluster gets those that the tree names now, over the former: pods keep what they have.
    """
    source = images.frameworks()
    FRAMEWORKS.mkdir(exist_ok=True)
    if FRAMEWORKS.samefile(source):
        return
    for options in (["--bind", str(source)], ["-o", "remount,bind,ro"]):
        subprocess.run(["mount", *options, str(FRAMEWORKS)], check=True, capture_output=True)


def down() -> None:
    """End the test cluster and undo what it did to the machine.

    Raises
    ------
    ClusterFailed
        If tests are using it, or something could not be undone; says what.

    """
    _require_root()
    with locked(), unused():
        if remains.leftovers():
            remains.clean()
        if left := remains.leftovers():
            raise ClusterFailed("The test cluster left behind:\n" + "\n".join(left))


def status() -> dict[str, object]:
    """Return what is known of the cluster, fit for JSON."""
    state = State.load()
    if state is None or not state.complete:
        return {"running": False, "leftovers": remains.leftovers()}
    cluster = _offer(state)
    return {
        "running": not state.dead,
        "dead": state.dead,
        "kubeconfig": str(cluster.kubeconfig),
        "context": cluster.context,
        "image": cluster.image,
        "frameworks_claim": cluster.frameworks_claim,
        "gpus": cluster.gpus,
        "processes": dict(cluster.processes),
        "logs": str(LOGS),
    }


def _offer(state: State) -> Cluster:
    pids = {name: process.pid for name, process in state.processes.items()}
    return Cluster(KUBECONFIG, CONTEXT, state.image, CLAIM, state.gpus, pids)


def _start(gpus: int) -> State:
    """Start all components in order and wait until the node can run pods."""
    for folder in (STATE, LOGS):
        folder.mkdir(mode=0o755)
    state = State(gpus, network.read_sysctls())
    state.save()
    network.make()
    starter = _Starter(state)
    starter.control_plane()
    starter.node()
    starter.finish()
    return state


class _Starter:
    """One start of the cluster: what each step leaves for the next ones."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.kubernetes = build.module("kubernetes")
        self.authority = Authority(components.PKI)
        self.admin = self.authority.issue("admin", "/O=system:masters/CN=admin")
        self.authority.kubeconfig(KUBECONFIG, self.admin)
        self.api = Cluster(KUBECONFIG, CONTEXT, "", CLAIM, state.gpus, {})

    def control_plane(self) -> None:
        """Start etcd, the API server and, once that answers, its controllers."""
        ca = self.authority.certificate
        tokens = self.authority.issue("service-accounts", "/CN=service-accounts")
        addresses = [f"IP:{HOST}", f"IP:{FIRST_SERVICE}", "IP:127.0.0.1"]
        server = self.authority.issue("apiserver", "/CN=kube-apiserver", addresses)
        self._run("etcd", components.etcd())
        program = self.kubernetes / "kube-apiserver"
        self._run("apiserver", components.apiserver(program, ca, server, self.admin, tokens))
        (STATE / "containerd.toml").write_text(components.containerd_config())
        self._run("containerd", components.containerd())
        controllers = self._kubeconfig("controller-manager", "/CN=system:kube-controller-manager")
        scheduler = self._kubeconfig("scheduler", "/CN=system:kube-scheduler")
        self._wait("apiserver", lambda: self.api.kubectl("get", "--raw", "/readyz"))
        program = self.kubernetes / "kube-controller-manager"
        command = components.controller_manager(program, controllers, ca, tokens)
        self._run("controller-manager", command)
        self._run("scheduler", components.scheduler(self.kubernetes / "kube-scheduler", scheduler))

    def node(self) -> None:
        """Start what runs pods, connects them and gives them names and devices."""
        name = f"system:node:{NODE}"
        identity = self.authority.issue("kubelet", f"/O=system:nodes/CN={name}", [f"IP:{HOST}"])
        kubeconfig = self.authority.kubeconfig(STATE / "kubelet.kubeconfig", identity)
        config = components.kubelet_config(self.authority.certificate, identity)
        (STATE / "kubelet.json").write_text(config)
        (STATE / "resolv.conf").touch()
        self._wait("containerd", lambda: images.ctr("version"))
        self._run("kubelet", components.kubelet(self.kubernetes / "kubelet", kubeconfig))
        images.forget(images.load())

        proxy = self._kubeconfig("proxy", "/CN=system:kube-proxy")
        (STATE / "proxy.json").write_text(components.proxy_config(proxy))
        self._run("proxy", components.proxy(self.kubernetes / "kube-proxy"))
        (STATE / "Corefile").write_text(components.coredns_config(KUBECONFIG))
        self._run("coredns", components.coredns(build.module("coredns") / "coredns"))
        # Earlier, the kubelet would empty the folder under the plugin's feet.
        self._wait("kubelet", _device_plugins_welcome)
        plugin = build.module("gpu-plugin") / "gpu-plugin"
        self._run("gpu-plugin", components.gpu_plugin(plugin, self.state.gpus))

    def finish(self) -> None:
        """Make the objects that tests rely on and wait until a pod can run."""
        self._wait("apiserver", lambda: self.api.apply(components.proxy_role()))
        _mount_frameworks()
        self.api.offer_frameworks("default")
        node = f"node/{NODE}"
        gpus = r"jsonpath={.status.allocatable.nvidia\.com/gpu}=" + str(self.state.gpus)
        claim = "jsonpath={.status.phase}=Bound"
        self._wait("kubelet", lambda: self._await(node, "condition=Ready"))
        self._wait("gpu-plugin", lambda: self._await(node, gpus))
        self._wait("controller-manager", lambda: self._await("serviceaccount/default", "create"))
        self._wait("controller-manager", lambda: self._await(f"pvc/{CLAIM}", claim))
        self.state.complete = True
        self.state.save()

    def _kubeconfig(self, name: str, subject: str) -> Path:
        identity = self.authority.issue(name, subject)
        return self.authority.kubeconfig(STATE / f"{name}.kubeconfig", identity)

    def _await(self, name: str, condition: str) -> str:
        return self.api.kubectl("wait", name, f"--for={condition}", "--timeout=5s")

    def _run(self, name: str, command: components.Command) -> None:
        self.state.processes[name] = start(command, LOGS / f"{name}.log")
        self.state.save()

    def _wait(self, name: str, check: Callable[[], object]) -> None:
        """Repeat `check`, which belongs to component `name`, until it raises no more."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            for dead in self.state.dead:
                raise ClusterFailed(f"{dead} has ended.\n{_last_lines(dead)}")
            try:
                check()
            except ClusterFailed as error:
                if time.monotonic() > deadline:
                    text = f"{name} is not ready after {_PATIENCE:.0f} s: {error}"
                    raise ClusterFailed(f"{text}\n{_last_lines(name)}") from error
                time.sleep(0.1)
            else:
                return


def _device_plugins_welcome() -> None:
    socket = DEVICE_PLUGINS / "kubelet.sock"
    if not socket.exists():
        raise ClusterFailed(f"{socket} is not there")


def _last_lines(name: str, count: int = 15) -> str:
    log = LOGS / f"{name}.log"
    lines = log.read_text(errors="replace").splitlines()[-count:]
    return "\n".join([f"The end of {FAILED_LOGS / log.name}:", *lines])


def _keep_logs() -> None:
    """Move the logs of a failed start to where they outlive it."""
    shutil.rmtree(FAILED_LOGS, ignore_errors=True)
    if LOGS.exists():
        shutil.move(LOGS, FAILED_LOGS)


def _require_root() -> None:
    if os.geteuid() != 0:
        raise ClusterFailed(
            "The test cluster needs root. Or name a cluster of yours in "
            "JUPYTER_KUBE_TEST_KUBECONFIG, and its image in JUPYTER_KUBE_TEST_IMAGE."
        )
