"""The kubelet: runs the pods bound to its node as local processes.

What differs from a real one follows from having no privileges: there is no mount namespace, so
paths below a mount path are rewritten (:func:`environment.relocate`); no network namespace, so a
pod has a loopback address of its own and names are in a hosts file; no images, so commands are
those of this machine. Limits are scheduled by, not enforced.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from ..errors import KubeError
from .addresses import AddressPool
from .claims import ClaimBinder
from .containerrunner import ContainerRunner
from .containers import Process
from .hosts import HostsFile
from .podrunner import Node, PodRunner
from .quantities import is_terminal
from .store import CONFIGMAP, POD, PVC, SECRET, SERVICEACCOUNT, ApiError, Store

log = logging.getLogger(__name__)

Credentials = Callable[[str, str], dict[str, Any]]
"""``credentials(namespace, service_account)``: a kubeconfig for that account."""


class Kubelet:
    """Run the pods of one node.

    Parameters
    ----------
    store
        Where the pods are.
    node
        The name of this node.
    root
        A folder of its own, with a short path: programs put unix sockets below it.
    credentials
        Gives kubeconfigs to pods with a service account of their own.
    images_missing
        Image references that cannot be pulled.
    backoff_scale
        Factor on all back-off delays, for tests.

    """

    def __init__(
        self,
        store: Store,
        node: str,
        root: Path,
        credentials: Credentials,
        *,
        images_missing: Collection[str] = (),
        backoff_scale: float = 1.0,
    ) -> None:
        self._store, self._node, self._root = store, node, root
        self._credentials = credentials
        self._images_missing, self._backoff_scale = images_missing, backoff_scale
        self._addresses = AddressPool()
        self._hosts = HostsFile(root / "hosts")
        self._claims = ClaimBinder(store, root / "c")
        self._pods: dict[str, PodRunner] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unsubscribe: list[Callable[[], None]] = []
        self._count = 0

    async def start(self) -> None:
        """Begin to run pods.

        Raises
        ------
        KubeError
            If this is not Linux.

        """
        if sys.platform != "linux":
            raise KubeError(
                "The local cluster does not run here",
                "it needs Linux, where each pod can have a loopback address of its own",
                "Use a real cluster.",
            )
        self._root.mkdir(parents=True, exist_ok=True)
        self._addresses.open()
        self._hosts.write()
        self._claims.start()
        self._unsubscribe = [
            self._store.subscribe(POD, self._pod_changed),
            *(self._store.subscribe(kind, self._poke) for kind in (SECRET, CONFIGMAP, PVC)),
        ]
        for pod in self._store.list(POD):
            self._pod_changed("ADDED", pod, None)

    async def stop(self) -> None:
        """End all processes at once and wait until they are gone."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe = []
        self._claims.stop()
        for runner in self._pods.values():
            runner.vanish()
        await asyncio.gather(*self._tasks.values())
        self._addresses.close()

    # -- what the API server asks for

    def log_path(self, pod_uid: str, container: str, restart_count: int) -> Path:
        """Give the log file of a container's process number ``restart_count``.

        Raises
        ------
        ApiError
            If there is no such container here.

        """
        return self._container(pod_uid, container).log_path(restart_count)

    def log_changed(self, pod_uid: str, container: str) -> asyncio.Event:
        """Give the event that the next change of the container's log or state sets.

        Take it before reading the log, read to the end, then wait for it.
        """
        return self._container(pod_uid, container).log_changed.next()

    def pod_ip(self, pod_uid: str) -> str:
        """Give the address that the pod's ports listen on."""
        return self._runner(pod_uid).address

    async def exec(
        self,
        pod_uid: str,
        container: str,
        argv: list[str],
        *,
        stdin: bool = False,
        tty: bool = False,
    ) -> Process:
        """Start a command in a running container, with the container's environment.

        Raises
        ------
        CannotStart
            If the container does not run or the command does not exist.

        """
        return await self._container(pod_uid, container).exec(argv, stdin=stdin, tty=tty)

    def kill_as_out_of_memory(self, pod_uid: str, container: str) -> None:
        """Kill a container as the kernel does for lack of memory: for tests only."""
        runner = self._container(pod_uid, container)
        runner.kill_as_out_of_memory()

    def _runner(self, pod_uid: str) -> PodRunner:
        if pod_uid not in self._pods:
            raise ApiError(404, "NotFound", f'pod "{pod_uid}" does not run on node "{self._node}"')
        return self._pods[pod_uid]

    def _container(self, pod_uid: str, container: str) -> ContainerRunner:
        found = self._runner(pod_uid).containers.get(container)
        if found is None:
            raise ApiError(400, "BadRequest", f"container {container} is not valid for the pod")
        return found

    # -- what the store says

    def _pod_changed(self, change: str, pod: dict[str, Any], _old: object) -> None:
        uid = pod["metadata"]["uid"]
        runner = self._pods.get(uid)
        if change == "DELETED":
            if runner is not None:
                runner.vanish()
        elif runner is not None:
            runner.update(pod)
        elif pod["spec"].get("nodeName") == self._node and not is_terminal(pod):
            self._begin(uid, pod)

    def _begin(self, uid: str, pod: dict[str, Any]) -> None:
        self._count += 1
        runner = PodRunner(
            pod, self._root / "p" / str(self._count), self._addresses.take(), self._services(pod)
        )
        self._pods[uid] = runner
        self._tasks[uid] = asyncio.get_running_loop().create_task(self._live(uid, runner))

    async def _live(self, uid: str, runner: PodRunner) -> None:
        try:
            await runner.run()
        except Exception:
            log.exception("pod with uid %s was not cleaned up", uid)
        finally:
            self._hosts.discard(uid)
            del self._pods[uid], self._tasks[uid]

    def _poke(self, _change: str, _obj: dict[str, Any], _old: object) -> None:
        for runner in self._pods.values():
            runner.poke()

    # -- what pods are given

    def _services(self, pod: dict[str, Any]) -> Node:
        meta = pod["metadata"]
        namespace, name, uid = meta["namespace"], meta["name"], meta["uid"]

        def publish(change: Callable[[dict[str, Any]], None]) -> None:
            self._store.mutate(POD, namespace, name, change, subresource="status")

        def event(reason: str, message: str, kind: str) -> None:
            self._store.event(pod, reason, message, type=kind, component="kubelet")

        def resolve(known: bool) -> None:
            if known:
                self._hosts.add(pod, self._pods[uid].address)
            else:
                self._hosts.discard(uid)

        return Node(
            fetch=lambda kind, wanted: self._fetch(namespace, kind, wanted),
            claim_folder=lambda claim: self._claims.folder_of(namespace, claim),
            kubeconfig=lambda: self._kubeconfig(pod),
            publish=publish,
            event=event,
            resolve=resolve,
            remove=lambda: self._store.remove(POD, namespace, name),
            hosts_file=self._hosts.path,
            images_missing=self._images_missing,
            backoff_scale=self._backoff_scale,
        )

    def _fetch(self, namespace: str, kind: str, name: str) -> Mapping[str, bytes] | None:
        try:
            obj = self._store.get(SECRET if kind == "Secret" else CONFIGMAP, namespace, name)
        except ApiError:
            return None
        encoded = obj.get("data" if kind == "Secret" else "binaryData") or {}
        data = {key: base64.b64decode(value) for key, value in encoded.items()}
        plain = obj.get("data") or {} if kind == "ConfigMap" else {}
        return data | {key: value.encode() for key, value in plain.items()}

    def _kubeconfig(self, pod: Mapping[str, Any]) -> dict[str, Any] | None:
        spec, namespace = pod["spec"], pod["metadata"]["namespace"]
        account = spec.get("serviceAccountName") or "default"
        wanted = spec.get("automountServiceAccountToken")
        if wanted is None and account != "default":
            try:
                obj = self._store.get(SERVICEACCOUNT, namespace, account)
            except ApiError:
                return None
            wanted = obj.get("automountServiceAccountToken")
        if account == "default" or wanted is False:
            return None
        return self._credentials(namespace, account)
