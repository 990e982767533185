"""One pod on this node, from its binding to its removal."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .backoff import Nap
from .containerrunner import GRACE_FOR_REFERENCES, ContainerRunner, Surroundings
from .containers import base_environment
from .environment import Fetch, MissingReference
from .podstatus import apply_status, with_address
from .volumes import Volumes

log = logging.getLogger(__name__)

_DEADLINE = {
    "reason": "DeadlineExceeded",
    "message": "Pod was active on the node longer than the specified deadline",
}
_NO_INIT_CONTAINERS = {
    "reason": "Unsupported",
    "message": "the local cluster does not run init containers",
}


@dataclass(frozen=True)
class Node:
    """What a pod gets from its node."""

    fetch: Fetch
    """Reads Secrets and ConfigMaps of the pod's namespace."""
    claim_folder: Callable[[str], Path | None]
    kubeconfig: Callable[[], dict[str, Any] | None]
    """Credentials of the pod's service account; None if it has none of its own."""
    publish: Callable[[Callable[[dict[str, Any]], None]], None]
    """Changes the pod's status in the store."""
    event: Callable[[str, str, str], None]
    resolve: Callable[[bool], None]
    """Says whether the pod's name is to be found in the hosts file."""
    remove: Callable[[], None]
    """Removes the terminated pod from the store."""
    hosts_file: Path
    images_missing: Collection[str]
    backoff_scale: float


class PodRunner:
    """Run one pod's containers, report its status, and end it when it is deleted."""

    def __init__(self, pod: dict[str, Any], folder: Path, address: str, node: Node) -> None:
        self.address, self.folder = address, folder
        self._pod, self._node = pod, node
        self._nap = Nap()
        self._deleted = asyncio.Event()
        self._gone = False
        self._final = False
        self._problem: Mapping[str, str] | None = None
        self._kill_timer: asyncio.TimerHandle | None = None
        self._kill_at = float("inf")
        self._logs = folder / "l"
        spec = pod["spec"]
        policy = spec.get("restartPolicy", "Always")
        self.containers = {
            each["name"]: ContainerRunner(each, policy, self._logs) for each in spec["containers"]
        }

    # -- what the kubelet tells it

    def update(self, pod: dict[str, Any]) -> None:
        """Take note of a change: of its deletion, above all."""
        self._pod = pod
        meta = pod["metadata"]
        if meta.get("deletionTimestamp") and not self._final:
            self.end(float(meta.get("deletionGracePeriodSeconds") or 0))
        if meta.get("deletionTimestamp"):
            self._deleted.set()

    def vanish(self) -> None:
        """End at once and report nothing: the pod is not in the store any more."""
        self._gone = True
        self._deleted.set()
        self.end(0)

    def end(self, grace: float) -> None:
        """End all containers, by force after ``grace`` seconds; may be called again for less."""
        loop = asyncio.get_running_loop()
        self._nap.wake()
        if loop.time() + grace >= self._kill_at:
            return
        first = self._kill_at == float("inf")
        self._kill_at = loop.time() + grace
        for container in self.containers.values():
            if first and grace and container.record.running:
                self._node.event("Killing", f"Stopping container {container.record.name}", "Normal")
            container.terminate()
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        self._kill_timer = loop.call_later(grace, self._kill) if grace else None
        if not grace:
            self._kill()

    def poke(self) -> None:
        """Look again for Secrets, ConfigMaps and claims that were missing."""
        self._nap.wake()
        for container in self.containers.values():
            container.poke()

    # -- its life

    async def run(self) -> None:
        """Live: set up, run, report the end, wait for the deletion, clean up."""
        deadline = self._pod["spec"].get("activeDeadlineSeconds")
        timer = deadline and asyncio.get_running_loop().call_later(deadline, self._too_long)
        try:
            await self._run_containers()
        except Exception:
            log.exception("pod %s failed on its node", self._pod["metadata"]["name"])
            self._problem = {"reason": "Error", "message": "the local cluster's kubelet failed"}
        finally:
            for each in (timer, self._kill_timer):
                if each:
                    each.cancel()
        self._final = True
        self._publish()
        self._node.resolve(False)
        await self._deleted.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        if not self._gone:
            self._node.remove()

    async def _run_containers(self) -> None:
        if self._pod["spec"].get("initContainers"):
            self._problem = _NO_INIT_CONTAINERS
            return
        for name in ("h", "t", "l", "w", "v"):  # home, temporary, logs, work, volumes
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._publish()
        volumes = Volumes(
            with_address(self._pod, self.address),
            self.folder / "v",
            self._node.fetch,
            self._node.claim_folder,
            self._token,
        )
        if not await self._volumes_ready(volumes):
            return
        self._node.resolve(True)
        env = self._environment()
        runs: list[Awaitable[None]] = [
            self.containers[spec["name"]].run(self._surroundings(env, volumes.mounts(spec)))
            for spec in self._pod["spec"]["containers"]
        ]
        await asyncio.gather(*runs)

    async def _volumes_ready(self, volumes: Volumes) -> bool:
        loop = asyncio.get_running_loop()
        shown_at = loop.time() + GRACE_FOR_REFERENCES
        shown = ""
        while self._kill_at == float("inf"):
            try:
                volumes.make()
            except MissingReference as missing:
                problem = str(missing)
            else:
                return True
            if problem != shown and loop.time() >= shown_at:
                shown = problem
                self._node.event("FailedMount", problem, "Warning")
            await self._nap.sleep(None if shown else max(shown_at - loop.time(), 0))
        return False

    def _surroundings(self, env: Mapping[str, str], mounts: Mapping[str, str]) -> Surroundings:
        return Surroundings(
            pod=lambda: with_address(self._pod, self.address),
            folder=self.folder / "w",
            env=env,
            mounts=mounts,
            fetch=self._node.fetch,
            event=self._node.event,
            changed=self._publish,
            images_missing=self._node.images_missing,
            backoff_scale=self._node.backoff_scale,
        )

    def _environment(self) -> dict[str, str]:
        spec, meta = self._pod["spec"], self._pod["metadata"]
        env = base_environment() | {
            "HOME": str(self.folder / "h"),
            "TMPDIR": str(self.folder / "t"),
            "HOSTNAME": spec.get("hostname") or meta["name"],
            "JUPYTER_KUBE_HOSTS_FILE": str(self._node.hosts_file),
        }
        if (credentials := self._node.kubeconfig()) is not None:
            path = self.folder / "kubeconfig"
            path.touch(mode=0o600)
            path.write_text(json.dumps(credentials), encoding="utf-8")
            env["KUBECONFIG"] = str(path)
        return env

    def _token(self) -> str:
        credentials = self._node.kubeconfig()
        return str(credentials["users"][0]["user"]["token"]) if credentials else ""

    def _publish(self) -> None:
        if self._gone:
            return
        records = [each.record for each in self.containers.values()]
        self._node.publish(
            lambda pod: apply_status(
                pod, records, address=self.address, final=self._final, problem=self._problem
            )
        )

    def _too_long(self) -> None:
        self._problem = _DEADLINE
        grace = self._pod["spec"].get("terminationGracePeriodSeconds", 30)
        self.end(float(grace))

    def _kill(self) -> None:
        for container in self.containers.values():
            container.kill()
