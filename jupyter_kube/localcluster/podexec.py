"""Commands in running containers, over the API's websocket protocol."""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar

from .containers import CannotStart, Process
from .handler import encode
from .kinds import ApiError
from .podparts import chosen_container, container_status
from .podsocket import PodSocketHandler

_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHUNK = 32 * 1024


class ExecHandler(PodSocketHandler):
    """Serve ``pods/exec``."""

    protocols: ClassVar[tuple[str, ...]] = ("v5.channel.k8s.io", "v4.channel.k8s.io")

    async def prepare(self) -> None:
        """Refuse containers that do not run."""
        await super().prepare()
        self._container = chosen_container(self.pod, self.get_query_argument("container", ""))
        status = container_status(self.pod, self._container) or {}
        if "running" not in status.get("state", {}):
            text = f'unable to upgrade connection: container not found ("{self._container}")'
            raise ApiError(500, "InternalError", text)
        if not self.get_query_arguments("command"):
            text = "you must specify at least 1 command for the container"
            raise ApiError(400, "BadRequest", text)

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Start the command."""
        self._started: asyncio.Future[Process | None] = asyncio.get_running_loop().create_future()
        self.api.spawn(self._run())

    async def _run(self) -> None:
        try:
            process = await self.api.kubelet.exec(
                self.pod["metadata"]["uid"],
                self._container,
                self.get_query_arguments("command", strip=False),
                stdin=self.flag("stdin"),
                tty=self.flag("tty"),
            )
        except (CannotStart, ApiError) as problem:
            self._started.set_result(None)
            await self._conclude(_failure(str(problem)))
            return
        self._started.set_result(process)
        if self.closed.is_set():
            process.kill()
        self.when_closed(process.kill)
        await self.say(_STDOUT, b"")  # tells that the connection is there
        await asyncio.gather(
            self._copy(process.stdout, _STDOUT), self._copy(process.stderr, _STDERR)
        )
        await self._conclude(outcome(await process.wait()))

    async def _copy(self, source: asyncio.StreamReader | None, channel: int) -> None:
        while source is not None and (data := await source.read(_CHUNK)):
            await self.say(channel, data)

    async def _conclude(self, status: dict[str, Any]) -> None:
        await self.say(_ERROR, encode(status).strip())
        self.close(1000)

    async def on_message(self, message: str | bytes) -> None:
        """Take input, the end of input, or a new size of the terminal."""
        process = await self._started
        if process is None or not isinstance(message, bytes) or not message:
            return
        channel, data = message[0], message[1:]
        if channel == _RESIZE:
            size = json.loads(data)
            process.resize(size["Height"], size["Width"])
        elif process.stdin is None:
            return
        elif channel == _STDIN and data:
            process.stdin.write(data)
            try:
                await process.stdin.drain()
            except ConnectionError:
                return  # it reads no more
        elif channel == _CLOSE and data == bytes((_STDIN,)) and not self.flag("tty"):
            process.stdin.close()  # of a terminal there is nothing to close


def outcome(code: int) -> dict[str, Any]:
    """Build the Status that tells how a command ended."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _failure(problem: str) -> dict[str, Any]:
    text = f"Internal error occurred: error executing command in container: {problem}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": text,
        "reason": "InternalError",
        "details": {"causes": [{"message": problem}]},
        "code": 500,
    }
