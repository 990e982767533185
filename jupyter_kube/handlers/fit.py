"""Whether workers will find room, before anything is submitted."""

from __future__ import annotations

from .base import KubeHandler, route


class FitHandler(KubeHandler):
    """``fit``."""

    @route
    async def get(self) -> None:
        """Say how many workers of a size there is room for now."""
        from ..train import options, wire
        from ..train.plan import Wish

        gpus = self.get_query_argument("gpus", "")
        wish = Wish(
            workers=options.count(
                self.get_query_argument("workers", "1"), "workers", options.MOST_WORKERS
            ),
            profile=self.get_query_argument("profile", ""),
            gpus=options.gpus(gpus) if gpus else None,
            cpu=self.get_query_argument("cpu", "") or None,
            memory=self.get_query_argument("memory", "") or None,
        )
        async with self.desk() as desk:
            self.reply(wire.encode(await desk.fit(wish)))
