"""All that a front end shows, live, over a websocket: the cluster, the user's kernels and jobs.

The first message has everything, each one after it what has changed since. A front end that is slow
is told in one message of all that has changed meanwhile.
"""

from __future__ import annotations

from .lookout import Lookout
from .socket import GOING_AWAY, KubeSocket

LOOKOUT = "jupyter_kube_lookout"
"""Where the web application has what all front ends look through."""


class LiveHandler(KubeSocket):
    """``live``."""

    async def follow(self) -> None:
        """Tell what there is and what changes, until the front end or the server goes."""
        if LOOKOUT not in self.settings:
            self.settings[LOOKOUT] = Lookout(self.kube, self.kernel_manager)
        lookout: Lookout = self.settings[LOOKOUT]
        async with lookout.view() as (watches, view):
            while await watches.wait(view):
                await self.say(view.take())
        self.close(GOING_AWAY)
