"""The form of the panel: which cell, on what, and what is wrong with that."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ipywidgets as w
from IPython.core.error import UsageError

from ..errors import InvalidInput, KubeError
from ..kube.room import Fit
from ..magicline import HelpShown, read_wish, train_parser, write_line
from ..train.options import FRAMEWORKS
from ..train.plan import Wish, check
from . import cells, parts
from .apart import apart

log = logging.getLogger(__name__)

THIS, ABOVE, NUMBER, TEXT = "this one", "the one above", "by number", "as written"

_LABELS = {
    "--workers": "Workers",
    "--gpus": "GPUs",
    "--profile": "Profile",
    "--use": "Inputs",
    "--output": "Outputs",
}
"""Fields by the options that they stand for."""


class RunForm:
    """Asks what to run.

    Parameters
    ----------
    history
        Gives what was run in this kernel, by execution count.
    body
        What is below ``%%kube panel`` in its own cell; empty where there is nothing.
    profiles
        Names of profiles to offer.
    submit
        Gets a checked wish and the source; may raise KubeError.
    fits
        Says how many of a wish's workers there is room for; may wait for the cluster.

    """

    def __init__(
        self,
        history: Callable[[], Sequence[str]],
        body: str,
        profiles: Iterable[str],
        submit: Callable[[Wish, str], object],
        fits: Callable[[Wish], Fit],
    ) -> None:
        self._history, self._body, self._submit, self._fits = history, body, submit, fits
        self._asked = 0
        offered = [*([THIS] if body else []), ABOVE, NUMBER, TEXT]
        self._which = parts.choice("Cell", offered, offered[0])
        self._number = w.BoundedIntText(
            description="Number",
            min=1,
            max=1_000_000,
            tooltip="As in [7] beside the cell",
            layout={"width": "12em", "display": "none"},
        )
        self._source = w.Textarea(
            description="Code",
            rows=6,
            continuous_update=False,
            layout={"width": "auto"},
            style=parts.LABEL,
        )
        self._framework = parts.choice(
            "Framework", [("from the imports", ""), *((name, name) for name in FRAMEWORKS)], ""
        )
        self._profile = parts.suggestions("Profile", profiles, "like this kernel, or the default")
        self._workers = parts.text("Workers", "4, or 1:4 for as many as fit")
        self._gpus = parts.text("GPUs", "for each; empty: as the profile")
        self._use = parts.text("Inputs", "a, b: further names it needs")
        self._output = parts.text("Outputs", "x, y: names that come back")
        self._more = parts.text("More", "further options of %%kubetrain, as in --memory 4Gi")
        self._run = parts.button(
            "Run on cluster", "Submit it; nothing else waits for it", self._on_run, style="primary"
        )
        self._ask = parts.button(
            "Will it fit?", "Ask how many workers there is room for now", self._on_ask
        )
        self._line, self._fit, self._said = w.HTML(), w.HTML(), w.HTML()
        fields = [
            self._framework,
            self._profile,
            self._workers,
            self._gpus,
            self._use,
            self._output,
        ]
        columns = "repeat(auto-fit, minmax(min(22em, 100%), 1fr))"
        self.widget = w.VBox(
            [
                parts.row(self._which, self._number),
                self._source,
                w.GridBox(fields, layout={"grid_template_columns": columns}),
                self._more,
                self._line,
                parts.row(self._run, self._ask, self._fit),
                self._said,
            ]
        )
        self._workers.value = "1"
        self._filled = ""
        for field in (*fields, self._more):
            field.observe(lambda _change: self._renew_line(), "value")
        for field in (self._profile, self._workers, self._gpus, self._more):
            field.observe(lambda _change: self._on_ask(), "value")
        self._which.observe(lambda _change: self._choose(), "value")
        self._number.observe(lambda _change: self._choose(), "value")
        self._source.observe(lambda _change: self._edited(), "value")
        self._choose()
        self._renew_line()

    def refuse(self, error: Exception) -> None:
        """Say what is wrong; the form can be sent again."""
        self.say("")
        self._said.value = parts.trouble(error, _LABELS)

    def say(self, words: str) -> None:
        """Say what has happened; the form can be sent again."""
        self._run.disabled = False
        self._said.value = parts.said(words)

    def options(self) -> argparse.Namespace:
        """Read all fields as options of ``%%kubetrain``.

        Raises
        ------
        InvalidInput, UsageError
            If further options are none.

        """
        try:
            options = train_parser().read(self._more.value)
        except HelpShown:
            raise InvalidInput("-h is for %%kubetrain; its options are listed there") from None
        for name in ("dry_run", "export", "detach"):
            if getattr(options, name):
                option = f"--{name.replace('_', '-')}"
                raise InvalidInput(f"{option} is for %%kubetrain in a cell of its own")
        for name, field in self._by_option().items():
            if field.value.strip():
                setattr(options, name, field.value.strip())
        return options

    def _by_option(self) -> dict[str, Any]:
        return {
            "framework": self._framework,
            "profile": self._profile,
            "workers": self._workers,
            "gpus": self._gpus,
            "use": self._use,
            "output": self._output,
        }

    def _on_run(self) -> None:
        if self._run.disabled:  # a second click that was on its way when the first one was handled
            return
        try:
            wish = check(read_wish(self.options()))
            self.say("Submitting …")
            self._run.disabled = True
            self._submit(wish, self._source.value)
        except Exception as error:  # what a user's own values do when they are packed, too
            if not isinstance(error, KubeError | UsageError):
                log.exception("in the panel")
            self.refuse(error)

    def _on_ask(self) -> None:
        """Ask what there is room for; only the newest question is answered."""
        self._asked += 1
        number = self._asked
        self._fit.value = ""
        try:
            wish = check(read_wish(self.options()))
        except (KubeError, UsageError) as error:
            self._fit.value = parts.plain(parts.words_of(error, _LABELS))
            return

        def answer(words: str) -> None:
            if number == self._asked:
                self._fit.value = parts.said(words)

        apart(
            lambda: answer(self._fits(wish).why),
            lambda error: answer(parts.words_of(error, _LABELS)),
        )

    def _choose(self) -> None:
        """Fill in the code of the cell that was chosen."""
        which = self._which.value
        parts.show(self._number, which == NUMBER)
        if which == TEXT:
            return
        try:
            self._fill(self._found(which))
            self._said.value = ""
        except InvalidInput as error:
            self._filled = self._source.value = ""
            self._said.value = parts.said(str(error))

    def _found(self, which: str) -> str:
        if which == THIS:
            return self._body
        if which == ABOVE:
            return cells.above(self._history())
        return cells.numbered(self._history(), self._number.value)

    def _fill(self, source: str) -> None:
        """Take over a cell: its code, and what its ``%%kubetrain`` line says."""
        line, code = cells.split(source)
        self._filled = code
        self._source.value = code
        if not line:
            return
        try:
            options = train_parser().read(line)
        except (UsageError, HelpShown):  # the cell was refused for it then
            self._more.value = line
            return
        for name, field in self._by_option().items():
            field.value = getattr(options, name) or ""
            delattr(options, name)
        for name in ("dry_run", "export", "detach"):
            delattr(options, name)
        self._more.value = write_line(options)

    def _edited(self) -> None:
        """Note that the code is the user's own now."""
        if self._source.value != self._filled:
            self._which.value = TEXT
            self._said.value = ""

    def _renew_line(self) -> None:
        """Show the line that would do the same in a cell."""
        try:
            line = write_line(self.options())
        except (InvalidInput, UsageError) as error:
            self._line.value = parts.plain(str(error))
            return
        same = " ".join(filter(None, ["%%kubetrain", line]))
        self._line.value = parts.code("The same in a cell:", same)
