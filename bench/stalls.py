"""A server extension that tells for how long the server's event loop was held up.

`GET /bench/stalls` answers with the longest stalls, in milliseconds, since it was last asked, and
with the longest work between two beats by the loop's own processor time: that is the server's
doing, while a stall may be the doing of a machine where others want the processor as well.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import time
from typing import Any

from tornado.web import RequestHandler

_BEAT = 0.001
_KEPT = 20


class Stalls:
    """Beats, every millisecond if not told otherwise, and keeps the latest beats' delays."""

    def __init__(self, beat: float = _BEAT) -> None:
        self._beat = beat
        self._longest: list[float] = []
        self._work: list[float] = []
        self._beats = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun, worked = loop.time(), time.thread_time()
            await asyncio.sleep(self._beat)
            self._beats += 1
            _keep(self._longest, (loop.time() - begun - self._beat) * 1000)
            _keep(self._work, (time.thread_time() - worked) * 1000)

    def take(self) -> dict[str, Any]:
        """Return the longest stalls and the number of beats, and begin anew."""
        longest, work = (sorted(kept, reverse=True) for kept in (self._longest, self._work))
        taken = {"longest": longest, "work": work, "beats": self._beats}
        self._longest, self._work, self._beats = [], [], 0
        return taken


def _keep(longest: list[float], found: float) -> None:
    keep = heapq.heappush if len(longest) < _KEPT else heapq.heappushpop
    keep(longest, found)


class _Handler(RequestHandler):
    def initialize(self, stalls: Stalls) -> None:
        self.stalls = stalls

    def get(self) -> None:
        self.write(json.dumps(self.stalls.take()))


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "bench.stalls"}]


async def _start_jupyter_server_extension(app: Any) -> None:
    app.web_app.settings["bench_stalls"] = asyncio.create_task(app.web_app.settings["stalls"].run())


def _load_jupyter_server_extension(app: Any) -> None:
    stalls = app.web_app.settings["stalls"] = Stalls()
    path = app.web_app.settings["base_url"] + "bench/stalls"
    app.web_app.add_handlers(".*$", [(path, _Handler, {"stalls": stalls})])
