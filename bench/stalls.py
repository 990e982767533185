"""A server extension that tells for how long the server's event loop was held up.

`GET /bench/stalls` answers with the longest stalls, in milliseconds, since it was last asked.
"""

from __future__ import annotations

import asyncio
import heapq
import json
from typing import Any

from tornado.web import RequestHandler

_BEAT = 0.001
_KEPT = 20


class Stalls:
    """Beats every millisecond and keeps the latest beats' delays."""

    def __init__(self) -> None:
        self._longest: list[float] = []
        self._beats = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            await asyncio.sleep(_BEAT)
            late = (loop.time() - begun - _BEAT) * 1000
            self._beats += 1
            keep = heapq.heappush if len(self._longest) < _KEPT else heapq.heappushpop
            keep(self._longest, late)

    def take(self) -> dict[str, Any]:
        """Return the longest stalls and the number of beats, and begin anew."""
        taken = {"longest": sorted(self._longest, reverse=True), "beats": self._beats}
        self._longest, self._beats = [], 0
        return taken


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
