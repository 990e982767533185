"""The local cluster: its parts, put together and run."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from . import defaults, shapes, validation
from .access import Tokens, address
from .conditions import now
from .discovery import VERSION
from .faults import Faults
from .handler import Api
from .jobs import JobController
from .kubelet import Kubelet
from .podsecurity import PodSecurity
from .quota import Quota
from .scheduler import Scheduler
from .server import HOST, ApiServer
from .serviceaccounts import ServiceAccounts
from .store import NAMESPACE, NODE, SERVICEACCOUNT, Store

T = TypeVar("T")

NODE_NAME = "local"
CONTEXT = "local"


class _Part(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class LocalCluster:
    """A Kubernetes API on this machine whose pods are local processes.

    For development, demonstrations and tests: it listens on loopback only, asks for a token, and
    isolates nothing.

    Parameters
    ----------
    cpu, memory, gpus
        What its one node claims to have; GPUs as ``nvidia.com/gpu``.
    root
        Folder for pods' files, with a short path; by default a temporary one, removed at the end.
    port
        Where to listen; 0 for any free port.
    token
        Bearer token of the owner, who may do everything; made up by default.
    backoff_scale
        Factor on all back-off delays of Jobs and containers, for tests.
    images_missing
        Image references that cannot be pulled; all others are taken as present.

    """

    def __init__(
        self,
        *,
        cpu: str = "8",
        memory: str = "16Gi",
        gpus: int = 4,
        root: Path | None = None,
        port: int = 0,
        token: str | None = None,
        backoff_scale: float = 1.0,
        images_missing: Collection[str] = (),
    ) -> None:
        self.store = Store()
        self.faults = Faults()
        self.token = token or secrets.token_urlsafe(32)
        self.url = ""
        self._capacity = {
            "cpu": cpu, "memory": memory, "pods": "250", "nvidia.com/gpu": str(gpus),
        }  # fmt: skip
        self._root, self._port = root, port
        self._images_missing, self._backoff_scale = images_missing, backoff_scale
        self._tokens = Tokens(self.token)
        self._parts: list[_Part] = []
        self._server: ApiServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.store.admission += [
            shapes.admit, defaults.admit, validation.admit, ServiceAccounts(self.store).admit,
            PodSecurity(self.store).admit,
        ]  # fmt: skip

    async def start(self) -> None:
        """Start everything; afterwards ``url`` and the kubeconfig are valid."""
        self._loop = asyncio.get_running_loop()
        self._folder = self._root or Path(tempfile.mkdtemp(prefix="jk-"))
        self.kubelet = Kubelet(
            self.store,
            NODE_NAME,
            self._folder,
            self._account_kubeconfig,
            images_missing=self._images_missing,
            backoff_scale=self._backoff_scale,
        )
        self._parts = [
            Quota(self.store),
            Scheduler(self.store),
            JobController(self.store, backoff_scale=self._backoff_scale),
            self.kubelet,
        ]
        for part in self._parts:
            await part.start()
        self.store.subscribe(NAMESPACE, self._namespace_changed)
        for name in ("default", "kube-system"):
            self.store.create(NAMESPACE, {"metadata": {"name": name}})
        self.store.create(NODE, _node(self._capacity))
        self.api = Api(self.store, self.kubelet, self._tokens, self.faults)
        self._server = ApiServer(self.api)
        self.url = f"http://{HOST}:{self._server.start(self._port)}"

    async def stop(self) -> None:
        """Stop everything: no process and no file of a pod is left."""
        if self._server is not None:
            await self._server.stop()
            self._server = None
        for part in reversed(self._parts):
            await part.stop()
        self._parts = []
        if self._root is None and self._loop is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._loop = None

    def kubeconfig(self) -> dict[str, Any]:
        """Build the kubeconfig of the cluster's owner; its context is named ``local``."""
        return self._kubeconfig("kubernetes-admin", self.token, "default")

    def account_token(self, namespace: str, account: str) -> str:
        """Give the bearer token of a service account, whether or not there is one."""
        return self._tokens.of_account(namespace, account)

    def write_kubeconfig(self, path: Path) -> None:
        """Write the owner's kubeconfig to a file that nobody else can read.

        Raises
        ------
        FileExistsError
            If the file holds anything but a local cluster's kubeconfig.

        """
        if not may_write_kubeconfig(path):
            raise FileExistsError(errno.EEXIST, "not a local cluster's kubeconfig", str(path))
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(self._kubeconfig_text(), encoding="utf-8")

    def remove_kubeconfig(self, path: Path) -> None:
        """Remove the file that :meth:`write_kubeconfig` wrote, unless it was changed since."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if path.read_text(encoding="utf-8") == self._kubeconfig_text():
                path.unlink()

    @contextmanager
    def run_in_thread(self) -> Iterator[LocalCluster]:
        """Run the cluster on an event loop in a thread of its own."""
        started = threading.Event()
        problems: list[BaseException] = []
        ending: list[Callable[[], object]] = []

        async def live() -> None:
            stop = asyncio.Event()
            ending.append(stop.set)
            try:
                await self.start()
                started.set()
                await stop.wait()
            finally:
                await self.stop()

        def run() -> None:
            try:
                asyncio.run(live())
            except BaseException as problem:
                problems.append(problem)
            finally:
                started.set()

        thread = threading.Thread(target=run, name="local cluster")
        thread.start()
        try:
            started.wait()
            if not problems:
                yield self
        finally:
            started.wait()  # Ctrl-C may have come while it started
            if self._loop is not None:
                self._loop.call_soon_threadsafe(ending[0])
            thread.join()
        if problems:
            raise problems[0]

    def call(self, fn: Callable[..., T], *args: Any) -> T:
        """Call something of the cluster (its store, its faults) from another thread.

        Raises
        ------
        RuntimeError
            If the cluster does not run.

        """
        if self._loop is None:
            msg = "the local cluster is not running"
            raise RuntimeError(msg)

        async def called() -> T:
            return fn(*args)

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result()

    # -- inside

    def _kubeconfig_text(self) -> str:
        return json.dumps(self.kubeconfig(), indent=2)

    def _account_kubeconfig(self, namespace: str, account: str) -> dict[str, Any]:
        return self._kubeconfig(account, self.account_token(namespace, account), namespace)

    def _kubeconfig(self, user: str, token: str, namespace: str) -> dict[str, Any]:
        context = {"cluster": CONTEXT, "user": user, "namespace": namespace}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": CONTEXT, "cluster": {"server": address(self.url, token)}}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": CONTEXT, "context": context}],
            "current-context": CONTEXT,
        }

    def _namespace_changed(self, change: str, space: dict[str, Any], _old: object) -> None:
        """Give each new namespace its default service account."""
        if change == "ADDED" and self._loop is not None:
            account = {"metadata": {"name": "default", "namespace": space["metadata"]["name"]}}
            self.store.create(SERVICEACCOUNT, account)


def may_write_kubeconfig(path: Path) -> bool:
    """Tell whether a file may be overwritten: there is none, or a local cluster wrote it."""
    if not path.exists():
        return True
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        names = [each["name"] for each in config["contexts"]]
        servers = [each["cluster"]["server"] for each in config["clusters"]]
    except (OSError, ValueError, TypeError, KeyError):
        return False
    return names == [CONTEXT] and all(str(each).startswith(f"http://{HOST}:") for each in servers)


def _node(capacity: dict[str, str]) -> dict[str, Any]:
    at = now()
    return {
        "metadata": {
            "name": NODE_NAME,
            "labels": {
                "kubernetes.io/hostname": NODE_NAME,
                "kubernetes.io/os": "linux",
            },
        },
        "spec": {},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "KubeletReady",
                    "message": "kubelet is posting ready status",
                    "lastHeartbeatTime": at,
                    "lastTransitionTime": at,
                }
            ],
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": NODE_NAME},
            ],
            "nodeInfo": {"kubeletVersion": VERSION["gitVersion"], "operatingSystem": "linux"},
        },
    }
