"""A job's supervisors as local processes, by the manifests' own command and environment."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jupyter_kube.models import Profile
from jupyter_kube.train.cell import pack, unpack_result
from jupyter_kube.train.frames import Frame, Parser
from jupyter_kube.train.jobspec import manifests, role_name
from jupyter_kube.train.request import JobRequest

KEY = bytes(range(32))


def ends(pid: int, seconds: float = 30) -> bool:
    """Wait for a process's end, also when nobody collects it."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


class Pod:
    """One supervisor's process; its log is read by a thread."""

    def __init__(self, index: int, process: subprocess.Popen[bytes], message: Path) -> None:
        self.index, self.process, self._message = index, process, message
        self.lines: list[str] = []
        self.frames: list[Frame] = []
        self.raw: list[str] = []
        self._changed = threading.Condition()
        self._parser = Parser(KEY)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            text = raw[:-1].decode()
            fed = self._parser.feed(text)
            with self._changed:
                self.raw.append(text)
                if isinstance(fed, Frame):
                    self.frames.append(fed)
                else:
                    self.lines.append(fed)
                self._changed.notify_all()

    def wait_for(self, predicate: Callable[[Pod], Any], seconds: float = 60) -> Any:
        """Wait until something is in the log."""
        with self._changed:
            assert self._changed.wait_for(lambda: predicate(self), seconds), self.raw
            return predicate(self)

    def wait_line(self, text: str) -> str:
        return self.wait_for(lambda pod: next((x for x in pod.lines if text in x), None))

    def wait_state(self, phase: str, generation: int | None = None) -> Frame:
        return self.wait_for(
            lambda pod: next(
                (
                    f
                    for f in pod.of("state")
                    if f.data["phase"] == phase and generation in (None, f.generation)
                ),
                None,
            )
        )

    def of(self, kind: str) -> list[Frame]:
        return [frame for frame in self.frames if frame.kind == kind]

    def code(self, seconds: float = 60) -> int:
        code = self.process.wait(seconds)
        self._thread.join(seconds)
        return code

    @property
    def message(self) -> str:
        return self._message.read_text()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self._thread.join(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Workers:
    """All workers of one job."""

    def __init__(
        self,
        source: str,
        namespace: Mapping[str, Any] | None = None,
        *,
        workers: int = 2,
        least: int = 0,
        outputs: tuple[str, ...] = (),
        pip: tuple[str, ...] = (),
        framework: str = "python",
        retries: int = 3,
        patience: float = 60,
        storage: bool = False,
        env: Mapping[str, str] | None = None,
        **asked: Any,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.hosts = self.folder / "hosts"
        self.hosts.write_text("127.0.0.1 localhost\n")
        self._net = f"127.{random.randint(64, 126)}.{random.randint(1, 250)}"
        self.bundle = pack(source, namespace or {}, outputs=outputs, pip=pip, framework=framework)
        self.request = JobRequest(
            name="job-ab12",
            submission="s1",
            framework=framework,
            workers=workers,
            least=least,
            profile=Profile("", image="local/test", python=sys.executable, env=env or {}),
            namespace="default",
            outputs=outputs,
            retries=retries,
            **asked,
        )
        self.manifests = manifests(self.request, self.bundle, KEY)
        self.pods: list[Pod] = []
        self._env: dict[str, str] = {}
        if storage:
            (self.folder / "storage").mkdir()
            self._env["JUPYTER_KUBE_STORAGE"] = str(self.folder / "storage")
        self._set_option(patience=patience)

    def _set_option(self, **changed: Any) -> None:
        """Change what the Secret tells the workers and a request does not say."""
        start = self.manifests.secrets[0]["stringData"]
        launch = json.loads(zlib.decompress(base64.b64decode(start["worker"])))
        launch["options"].update(changed)
        start["worker"] = base64.b64encode(zlib.compress(json.dumps(launch).encode())).decode()

    def address(self, index: int) -> str:
        return f"{self._net}.{index + 1}"

    def move(self, index: int) -> Pod:
        """Start an index anew at another address, and forget the old one."""
        name = f"{self.request.name}-{index}."
        kept = [line for line in self.hosts.read_text().splitlines() if name not in line]
        self.hosts.write_text("\n".join([*kept, ""]))
        return self.start_pod(index, host=200 + index)

    def start(self, *indexes: int) -> Workers:
        for index in indexes or range(self.request.roles.size):
            self.start_pod(index)
        return self

    def start_pod(self, index: int, host: int | None = None) -> Pod:
        address = self.address(index if host is None else host)
        role, number = self.request.roles.of(index)
        jobs = {
            made["metadata"]["name"]: made for made in (self.manifests.job, *self.manifests.roles)
        }
        job = jobs[role_name(self.request, role)]
        name = f"{job['metadata']['name']}-{number}"
        line = f"{address} {name}.default.svc {name}.{self.request.name} {name}"
        known = self.hosts.read_text().splitlines()
        if line not in known:
            self.hosts.write_text("\n".join([*known, line, ""]))
        container = job["spec"]["template"]["spec"]["containers"][0]
        scratch = self.folder / f"{index}-{len(self.pods)}"
        scratch.mkdir()
        message = scratch / "message"
        moved = {"/dev/termination-log": str(message)}
        moved["/var/run/jupyter-kube/bundle"] = str(self._bundle_folder())
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(scratch),
            "JOB_COMPLETION_INDEX": str(number),
            "JUPYTER_KUBE_HOSTS_FILE": str(self.hosts),
            "JUPYTER_KUBE_SCRATCH": str(scratch),
            **self._env,
        }
        for entry in container["env"]:
            env[entry["name"]] = self._value(entry, address, name, moved)
        process = subprocess.Popen(
            container["command"],
            env=env,
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        pod = Pod(index, process, message)
        self.pods.append(pod)
        return pod

    def _value(
        self, entry: Mapping[str, Any], address: str, name: str, moved: Mapping[str, str]
    ) -> str:
        if "value" in entry:
            return moved.get(entry["value"], entry["value"])
        source = entry["valueFrom"]
        if "fieldRef" in source:
            known = {"status.podIP": address, "metadata.name": name}
            return known.get(source["fieldRef"]["fieldPath"], "")
        secret = self.manifests.secrets[0]
        assert secret["metadata"]["name"] == source["secretKeyRef"]["name"]
        return str(secret["stringData"][source["secretKeyRef"]["key"]])

    def _bundle_folder(self) -> Path:
        folder = self.folder / "bundle"
        folder.mkdir(exist_ok=True)
        for secret in self.manifests.secrets[1:]:
            number = int(secret["metadata"]["name"].rpartition("-")[2])
            (folder / f"{number:03}").write_bytes(base64.b64decode(secret["data"]["part"]))
        return folder

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_error: object) -> None:
        for pod in self.pods:
            pod.close()
        left = [pid for pid in self._processes() if not ends(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        self._folder.cleanup()
        assert not left, "what a cell has started must end with its supervisor"

    def _processes(self) -> Iterator[int]:
        """Find what still runs with a home in this job's folder."""
        home = f"HOME={self.folder}/".encode()
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError):  # ended, or not ours
                if process.name.isdigit() and home in (process / "environ").read_bytes():
                    yield int(process.name)

    def codes(self) -> list[int]:
        return [pod.code() for pod in self.pods]

    def values(self) -> dict[str, Any]:
        """What came back from rank 0."""
        (result,) = self.pods[0].of("result")
        return unpack_result(result.blob)

    def all_frames(self, kind: str) -> Iterator[Frame]:
        for pod in self.pods:
            yield from pod.of(kind)
