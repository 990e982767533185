"""A kernel's container as a plain process, its relay, and a Jupyter client on the other side."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from queue import Empty
from typing import Any

import zmq
from jupyter_client.asynchronous import AsyncKernelClient

from jupyter_kube.kernels.payload import LAUNCH_ENV, boot_command, launch_payload
from jupyter_kube.kernels.relay import Relay, tcp_connection
from tests.cutting import CuttingProxy

PORT = 8888
log = logging.getLogger("tests.relay")


class Container:
    """The process a kubelet would start, on a loopback address of its own."""

    def __init__(
        self, folder: Path, *, payload_edit: tuple[str, str, str] | None = None, **payload: Any
    ) -> None:
        self.key = secrets.token_hex(16).encode()
        public, secret = zmq.curve_keypair()
        self.curve = {"curve_publickey": public, "curve_secretkey": secret}
        self.ip = f"127.{secrets.randbelow(250) + 1}.{secrets.randbelow(250)}.7"
        self.log = folder / "pod.log"
        self.payload = launch_payload(
            **{
                "key": self.key,
                "kernel_id": "0b6a-one",
                "kernel_name": "kube-python",
                **self.curve,
                "options": {"port": PORT},
                **payload,
            }
        )
        if payload_edit is not None:
            self.payload = edited(self.payload, *payload_edit)
        self.tmp = tempfile.mkdtemp(prefix="jkt-")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                boot_command(sys.executable),
                cwd=cwd,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": self.tmp,
                    "TMPDIR": self.tmp,
                    "POD_IP": self.ip,
                    LAUNCH_ENV: self.payload,
                    **(env or {}),
                },
                stdout=out,
                stderr=out,
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def ended(self) -> int:
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, 20)

    def kill(self) -> None:
        """End the container as a lost node does; returns when all its processes are gone."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGSTOP)  # or it would start the next generation
        handles = [os.pidfd_open(child) for child in children(self.process.pid)]
        for handle in handles:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        for handle in handles:
            select.select([handle], [], [])
            os.close(handle)


def edited(payload: str, module: str, old: str, new: str) -> str:
    """Change the source of a module that travels."""
    launch = json.loads(zlib.decompress(base64.b64decode(payload)))
    assert launch["source"][module].count(old) == 1
    launch["source"][module] = launch["source"][module].replace(old, new)
    return base64.b64encode(zlib.compress(json.dumps(launch).encode())).decode()


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Rig:
    """A container with a relay and a client; ``events`` holds what the relay told."""

    def __init__(self, container: Container, folder: Path) -> None:
        self.container = container
        self.folder = folder
        self.events: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self.proxy = CuttingProxy(container.ip, PORT)
        self.relay: Relay
        self.info: dict[str, Any]

    def note(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._news.set()

    async def event(self, name: str, count: int = 1) -> dict[str, Any]:
        """Wait for the n-th event of a name."""
        while True:
            found = [e for e in self.events if e["event"] == name]
            if len(found) >= count:
                return found[count - 1]
            self._news.clear()
            await self._news.wait()

    def new_relay(self, dial: Callable[[], Any], folder: Path) -> Relay:
        return Relay(dial, self.container.key, socket_dir=folder, on_event=self.note, log=log)

    async def direct(self) -> Any:
        return await tcp_connection(self.container.ip, PORT)

    @asynccontextmanager
    async def client(self, info: Mapping[str, Any] | None = None) -> AsyncIterator[Client]:
        client = Client()
        client.load_connection_info(
            {
                **(info or self.info),
                "key": self.container.key,
                "signature_scheme": "hmac-sha256",
                **self.container.curve,
            }
        )
        client.start_channels()
        try:
            yield client
        finally:
            client.stop_channels()
            client.context.destroy(linger=0)


class Client(AsyncKernelClient):
    """A Jupyter client with one question more."""

    async def run(self, code: str, **options: Any) -> tuple[dict[str, Any], str]:
        """Run code; return the reply's content and everything it printed."""
        wanted = self.execute(code, **options)
        printed: list[str] = []
        while True:
            message = await self.get_iopub_msg()
            if message["parent_header"].get("msg_id") != wanted:
                continue
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])
            if message["content"].get("execution_state") == "idle":
                break
        while (reply := await self.get_shell_msg())["parent_header"]["msg_id"] != wanted:
            pass
        return reply["content"], "".join(printed)

    async def alive(self) -> None:
        """Ask until the answer comes on shell and on iopub.

        jupyter_client's own ``wait_for_ready`` gives up when a busy machine misses one heartbeat.
        """
        while True:
            self.kernel_info()
            await self.get_shell_msg()
            try:  # a subscription that came too late has missed this one's status
                await self.get_iopub_msg(timeout=0.5)
            except Empty:
                continue
            return


@asynccontextmanager
async def kernel(
    folder: Path,
    *,
    proxied: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    **payload: Any,
) -> AsyncIterator[Rig]:
    """Start a container and its relay; end both."""
    async with AsyncExitStack() as stack:
        container = Container(folder, **payload)
        stack.callback(shutil.rmtree, container.tmp)
        stack.callback(container.kill)
        rig = Rig(container, Path(container.tmp))
        container.start(env, cwd)
        dial = rig.direct
        if proxied:
            port = await rig.proxy.start()
            stack.push_async_callback(rig.proxy.stop)

            async def dial() -> Any:
                return await tcp_connection("127.0.0.1", port)

        rig.relay = rig.new_relay(dial, Path(container.tmp) / "r")
        stack.push_async_callback(rig.relay.close)
        rig.info = await rig.relay.start()
        yield rig
