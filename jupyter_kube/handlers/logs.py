"""What a job says, live, over a websocket: its state, its ranks' lines and reports, its end.

Each message is a JSON object with ``job``, ``lines``, ``dropped`` and ``reports``; the last one has
``error`` instead if the job cannot be followed, or can never start.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .jobs import shown
from .socket import KubeSocket

if TYPE_CHECKING:
    from ..train.feed import Batch
    from ..train.outlet import Reported


class LogsHandler(KubeSocket):
    """``jobs/NAME/logs``."""

    async def follow(self) -> None:
        """Tell of the job until its end."""
        from ..train.outlet import pass_on

        async with self.desk() as desk:
            ticket = await desk.find(await desk.own(self.path_args[0]))
            outcome = await pass_on(desk, ticket, self._tell)
        if outcome.error is not None and not outcome.view.finished:
            raise outcome.error

    async def _tell(self, batch: Batch | None, reports: Reported) -> None:
        if batch is not None:  # signs of life are the websocket's own
            # Not what a line stands for: images that no tab shows would fill it.
            lines = [{"rank": line.rank, "text": line.text} for line in batch.lines]
            about = {"lines": lines, "dropped": batch.dropped}
            await self.say(json.dumps({"job": shown(batch.view), **about, "reports": reports}))
