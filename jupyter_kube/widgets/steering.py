"""What steers a job in the panel: its size, its end, following it, its outputs."""

from __future__ import annotations

from typing import Protocol

import ipywidgets as w

from ..train.options import MOST_WORKERS
from ..train.view import JobView
from . import parts


class Steered(Protocol):
    """What the buttons do; nothing of it waits."""

    def scale(self, workers: int) -> None:
        """Change how many workers there are at most."""

    def stop(self) -> None:
        """Stop the job and remove it."""

    def follow(self) -> None:
        """Follow it again."""

    def detach(self) -> None:
        """Stop following; the job goes on."""

    def bring(self) -> None:
        """Make its outputs variables of the notebook."""

    def dismiss(self) -> None:
        """Take it off the panel; the job goes on."""


class Steering:
    """A row of controls, of which those that make sense are shown.

    Parameters
    ----------
    steered
        What is done.
    view
        The job as it is now.

    """

    def __init__(self, steered: Steered, view: JobView) -> None:
        self._steered = steered
        ends = {
            "value": view.workers,
            "min": min(view.least or 1, view.workers),
            "max": _room(view.workers),
        }
        # A slider of ipywidgets has no name that a screen reader could say: the field has one.
        self._size = w.BoundedIntText(
            **ends,
            description="Workers at most",
            tooltip="How many workers the job may have",
            style=parts.CLOSE,
            layout={"width": "14em"},
        )
        self._slider = w.IntSlider(**ends, readout=False, layout={"width": "14em"})
        self._same = w.jslink((self._slider, "value"), (self._size, "value"))
        self._wanted = view.workers
        self._scale = parts.button(
            "Scale", "Let the job have so many workers", lambda: steered.scale(self._size.value)
        )
        self._sizes = parts.row(self._size, self._slider, self._scale)
        self._kill = parts.button("Kill…", "End the job and remove it", self._ask)
        self._really = parts.row(
            parts.button("Kill and remove it", "It cannot be undone", self._end, style="danger"),
            parts.button("Keep it", "Let the job go on", self._calm),
        )
        self._detach = parts.button("Detach", "Follow no more; the job goes on", steered.detach)
        self._follow = parts.button("Follow", "Follow the job again", steered.follow)
        self._bring = parts.button("Bring outputs", "Make them variables here", steered.bring)
        self._dismiss = parts.button("Close", "Take this off the panel", steered.dismiss)
        self.widget = parts.row(
            self._sizes,
            self._kill,
            self._really,
            self._detach,
            self._follow,
            self._bring,
            self._dismiss,
        )
        self._calm()

    def show(self, view: JobView, *, followed: bool, outputs_here: bool) -> None:
        """Offer what makes sense now."""
        goes_on = not view.finished
        parts.show(self._sizes, goes_on and bool(view.least))
        if view.least and view.workers != self._wanted:
            self._fit(view)
        if not goes_on:
            self._calm()
        self._kill.description = "Kill…" if goes_on else "Remove…"
        parts.show(self._kill, view.phase != "stopped" and self._really.layout.display == "none")
        parts.show(self._detach, followed and goes_on)
        parts.show(self._follow, not followed and goes_on)
        brings = view.phase == "succeeded" and bool(view.outputs) and not outputs_here
        parts.show(self._bring, brings and not followed)
        self._bring.description = f"Bring {', '.join(view.outputs)}" if brings else "Bring outputs"

    def _fit(self, view: JobView) -> None:
        """Set the slider to the size that the job has now, with room above it."""
        self._wanted = view.workers
        for each in (self._size, self._slider):
            with each.hold_sync():  # or else front ends draw the value by the old ends
                each.max = max(_room(view.workers), each.max)
                each.value = view.workers

    def close(self) -> None:
        """Take out of memory what is not on the screen."""
        self._same.close()

    def _ask(self) -> None:
        parts.show(self._really, True)
        parts.show(self._kill, False)

    def _end(self) -> None:
        self._calm()
        self._steered.stop()

    def _calm(self) -> None:
        parts.show(self._really, False)
        parts.show(self._kill, True)


def _room(workers: int) -> int:
    """Tell how far a slider goes."""
    return min(max(2 * workers, 8), MOST_WORKERS)
