"""The panel: a form that runs a cell on workers, my jobs, and those of them that are watched."""

from __future__ import annotations

import threading
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from .. import config
from ..errors import InvalidInput
from ..train import job as jobs
from ..train import words
from ..train.background import background
from ..train.view import JobView
from . import parts
from .apart import apart
from .form import RunForm
from .jobbox import JobBox
from .subshells import as_sent

if TYPE_CHECKING:
    from ..kube.room import Fit
    from ..train.handle import Job
    from ..train.plan import Wish

_NONE = ("none", "")


class Panel:
    """One panel of a notebook.

    Parameters
    ----------
    shell
        The notebook's.
    body
        The rest of the cell that the panel is in; empty where there is none.

    """

    def __init__(self, shell: Any, body: str = "") -> None:
        self._shell = shell
        profiles, trouble = _profiles()
        self._form = RunForm(self._history, body, profiles, self._submit, _fits)
        if trouble is not None:
            self._form.refuse(trouble)
        self._mine = parts.choice("My jobs", [_NONE], "", style=parts.CLOSE)
        self._said = w.HTML()
        self._boxes: dict[str, JobBox] = {}
        self._changing = threading.Lock()
        self._views: Sequence[JobView] = ()
        self._offering = threading.Lock()
        self._watched = w.VBox([])
        opened = w.Accordion([self._form.widget], titles=("Run a cell on the cluster",))
        opened.selected_index = 0
        self._opened = opened
        self.widget = w.VBox(
            [
                opened,
                parts.row(
                    self._mine,
                    parts.button("Show", "Watch this job here", self._show_chosen),
                    parts.button("Refresh", "List my jobs anew", self.refresh),
                    self._said,
                ),
                self._watched,
            ]
        )
        as_sent(self.widget)

    def refresh(self) -> None:
        """List my jobs anew, soon."""
        apart(lambda: self._list(jobs.jobs()), self._fail)

    def open(self, name: str) -> None:
        """Watch a job, soon."""
        self._opened.selected_index = None
        apart(lambda: self._add(jobs.attach(name), mine=False), self._fail)

    def close(self) -> None:
        """Stop watching and take all off the screen; jobs go on."""
        for box in list(self._boxes.values()):
            box.dismiss()
        parts.close(self.widget)

    def _history(self) -> Sequence[str]:
        return list(self._shell.history_manager.input_hist_raw)

    def _submit(self, wish: Wish, source: str) -> None:
        """Pack at once, since names may change; submit soon."""
        namespace: MutableMapping[str, Any] = self._shell.user_ns
        submitting = jobs.handing_in(wish, source, namespace, config.load())

        def submit() -> None:
            job = background.run(submitting)
            self._add(job, mine=True)
            self._form.say(f"Submitted: {job.name}.")
            self._list(jobs.jobs())

        apart(submit, self._form.refuse)

    def _show_chosen(self) -> None:
        if self._mine.value:
            apart(lambda: self._add(jobs.attach(self._mine.value), mine=False), self._fail)

    def _add(self, job: Job, *, mine: bool) -> None:
        """Watch a job, the newest first."""
        self._said.value = ""
        with self._changing:
            if job.name in self._boxes:
                self._said.value = parts.said(f"{job.name} is shown below.")
                return
            box = JobBox(
                job,
                self._shell.user_ns,
                mine=mine,
                on_phase=self._offer,
                on_end=self.refresh,
                on_close=self._remove,
            )
            as_sent(box.widget)
            self._boxes = {job.name: box, **self._boxes}
            self._arrange()

    def _remove(self, box: JobBox) -> None:
        with self._changing:
            self._boxes = {name: each for name, each in self._boxes.items() if each is not box}
            self._arrange()
        parts.close(box.widget)

    def _arrange(self) -> None:
        self._watched.children = tuple(box.widget for box in self._boxes.values())

    def _list(self, views: Sequence[JobView]) -> None:
        self._views = views
        self._offer()

    def _offer(self) -> None:
        """Offer my jobs by their phases, as those that are watched here know it."""
        with self._offering:  # the thread of each watched job comes here, and clicks
            chosen = self._mine.value
            phases = {name: box.phase for name, box in self._boxes.items()}
            listed = [
                (f"{words.title(view)} · {phases.get(view.name, view.phase)}", view.name)
                for view in self._views
            ]
            self._mine.options = listed or [_NONE]
            if any(chosen == name for _, name in listed):
                self._mine.value = chosen

    def _fail(self, error: Exception) -> None:
        self._said.value = parts.trouble(error)


def _fits(wish: Wish) -> Fit:
    return jobs.fits(
        wish.workers, profile=wish.profile, gpus=wish.gpus, cpu=wish.cpu, memory=wish.memory
    )


def _profiles() -> tuple[list[str], InvalidInput | None]:
    """Name the profiles that settings here have; of those that cannot be read, say why.

    A kernel in a pod has no settings mostly: its server knows the profiles.
    """
    try:
        settings = config.load()
        return list(settings.valid_profiles()) if settings.profiles else [], None
    except InvalidInput as error:
        return [], error
