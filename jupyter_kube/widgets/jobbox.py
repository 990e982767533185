"""One job in the panel: its ranks, lines, curves and progress, and what steers it."""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import Any

import ipywidgets as w

from ..train import curves, grid
from ..train.display import watch
from ..train.feed import Batch, Feed
from ..train.handle import Job
from ..train.progress import Progress
from ..train.results import open_outcome
from ..train.runner import Outcome
from ..train.sizes import size_text
from . import parts
from .apart import apart
from .logbox import LogBox
from .steering import Steering

_PAUSE = 0.4
"""Seconds between two updates on average; each renews up to seven widgets."""


class JobBox:
    """Shows one job and steers it.

    A thread of its own follows the job: cells and clicks never wait for it.

    Parameters
    ----------
    job
        The job.
    namespace
        Where its outputs become variables.
    mine
        Whether this panel has submitted it: then its outputs come by themselves, and it is removed
        if it can never start, as by ``%%kubetrain``.
    on_phase, on_end, on_close
        Called when its phase has changed, when it is not followed any more, last of all, and when
        it was taken off the panel.

    """

    def __init__(
        self,
        job: Job,
        namespace: MutableMapping[str, Any],
        *,
        mine: bool,
        on_phase: Callable[[], object],
        on_end: Callable[[], object],
        on_close: Callable[[JobBox], object],
    ) -> None:
        self.name = job.name
        self._job, self._namespace, self._mine = job, namespace, mine
        self._on_phase, self._on_end, self._on_close = on_phase, on_end, on_close
        self._view = job.feed.view
        self._following: Future[Outcome] | None = None
        self._outputs_here = self._stopping = False
        self._phase = ""
        self._head, self._said, self._ranks, self._curves = (w.HTML() for _ in range(4))
        self._bar = w.FloatProgress(
            min=0, max=1, description="Progress", style=parts.CLOSE, layout={"width": "18em"}
        )
        self._left = w.HTML()
        self._log, self._steering = LogBox(), Steering(self, self._view)
        self._progress, self._drawing = Progress(), curves.Drawing()
        self._how_far = parts.row(self._bar, self._left)
        self.widget = w.VBox(
            [
                self._head,
                w.HTML(parts.said(job.warning)),
                self._said,
                self._how_far,
                self._ranks,
                self._curves,
                self._log.widget,
                self._steering.widget,
            ],
            layout={
                "border": "1px solid var(--jp-border-color2, #ccc)",
                "padding": ".5em",
                "margin": ".5em 0",
            },
        )
        self.follow()

    @property
    def phase(self) -> str:
        """How the job stands, as this box knows it: of an end sooner than the cluster."""
        return self._view.phase

    def show(self, batch: Batch) -> None:
        """Renew what has changed."""
        view, now = batch.view, time.time()
        self._view = view
        self._log.show(batch)
        self._progress.hear(batch.lines)
        self._progress.see(view, now)
        self._drawing.renew(batch.reports, now, ended=batch.ended)
        self._draw(now)
        self._curves.value = grid.framed(self._drawing.svg) if self._drawing.svg else ""
        parts.show(self._how_far, bool(self._progress.words()))
        self._bar.value = self._progress.fraction or 0.0
        self._left.value = parts.plain(self._progress.words())
        if view.phase != self._phase:  # said once, when it changes
            if self._phase and not self._stopping:
                self._said.value = parts.said(f"{self.name}: {view.phase}")
            self._phase = view.phase
            self._on_phase()
        self._renew_steering()

    def follow(self) -> None:
        """Follow the job from its first line on."""
        self._log.clear()
        following = self._following = self._job.follow()
        feed = self._job.feed
        apart(lambda: self._watch(feed, following), self._fail)

    def detach(self) -> None:
        """Stop following; the job goes on."""
        self._job.detach()

    def scale(self, workers: int) -> None:
        """Change how many workers there are at most."""
        done = f"{self.name} has up to {workers} workers now."
        self._do(lambda: self._job.scale(workers), done)

    def stop(self) -> None:
        """Stop the job and remove it."""
        self._stopping = True

        def remove() -> None:
            try:
                self._job.cancel()
            except BaseException:
                self._stopping = False
                raise
            self._view = replace(self._view, phase="stopped")
            self._draw(time.time())
            self._renew_steering()

        self._do(remove, f"Stopped: {self.name} and all that belongs to it are being removed.")

    def bring(self) -> None:
        """Make the job's outputs variables of the notebook."""
        apart(self._bring, self._fail)

    def dismiss(self) -> None:
        """Take the job off the panel; it goes on."""
        self._job.detach()
        self._steering.close()
        self._on_close(self)

    def _watch(self, feed: Feed, following: Future[Outcome]) -> None:
        """Show the job to its end, and how it ended."""
        try:
            watch(feed, self, pause=_PAUSE)
            self._end(following.result())
        except CancelledError:
            self._say(f"Detached: {self.name} goes on. Follow it again here or in any notebook.")
        finally:
            self._renew_steering()
            self._on_end()

    def _end(self, outcome: Outcome) -> None:
        """Bring the outputs of a job that ended well; raise what ended it otherwise."""
        if outcome.error is None:
            if self._mine:
                self._bring()
            return
        if self._mine and not outcome.view.finished:
            self._job.cancel()
        if not self._stopping:
            raise outcome.error

    def _bring(self) -> None:
        if self._following is None or not self._view.outputs:
            return
        results = open_outcome(self._following.result())
        self._namespace.update(results.values)
        self._outputs_here = True
        sizes = (f"{n} ← rank 0, {size_text(results.sizes.get(n, 0))}" for n in results.values)
        self._say("\n".join([f"{self.name} succeeded.", *sizes]))
        self._renew_steering()
        results.require(self._view.outputs)

    def _do(self, work: Callable[[], object], done: str) -> None:
        def do() -> None:
            work()
            self._say(done)

        apart(do, self._fail)

    def _say(self, words: str) -> None:
        self._said.value = parts.said(words)

    def _fail(self, error: Exception) -> None:
        self._said.value = parts.trouble(error)
        self._renew_steering()

    def _draw(self, now: float) -> None:
        self._head.value = grid.framed(grid.heading(self._view, now))
        self._ranks.value = grid.framed(grid.ranks(self._view, now))

    def _renew_steering(self) -> None:
        followed = self._following is not None and not self._following.done()
        self._steering.show(self._view, followed=followed, outputs_here=self._outputs_here)
