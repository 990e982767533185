"""``%%kubetrain`` and ``%kube``: doing what the user typed, and showing what happens.

Everything is done by :mod:`jupyter_kube.train`, which is imported only when a magic is used.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_cell_magic, magics_class

from .errors import InvalidInput
from .magicline import FILES, HelpShown, kube_parser, read_wish, train_parser

if TYPE_CHECKING:
    from .train.display import Screen
    from .train.handle import Job


_STEERED_BY = (
    "The panel shows in notebooks. Here: %%kubetrain above a cell, and %kube attach, logs, scale,"
    " kill, why NAME."
)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@magics_class
class KubeMagics(Magics):
    """The magics of one shell."""

    second_thought = 1.0
    """Seconds after an interrupt in which another one stops the job itself."""

    @cell_magic  # type: ignore[untyped-decorator]  # as above
    def kubetrain(self, line: str, cell: str) -> Any:
        """Run this cell on several workers; ``%%kubetrain -h`` lists the options."""
        return self._guarded(self._kubetrain, line, cell)

    @line_cell_magic  # type: ignore[untyped-decorator]  # as above
    def kube(self, line: str, cell: str = "") -> Any:
        """Look at and steer jobs, and bring files to a kernel's pod; ``%kube -h`` says how."""
        return self._guarded(self._kube, line, cell)

    def _guarded(self, work: Callable[..., Any], *args: str) -> Any:
        """Do work so that a user sees our errors in words, and nothing of our insides."""
        try:
            return work(*args)
        except HelpShown:
            return None
        except InvalidInput as error:
            raise UsageError(str(error)) from None
        except KeyboardInterrupt as error:
            from .train.presenting import shown_as

            raise shown_as(error, ["Interrupted."]) from None

    def _kubetrain(self, line: str, cell: str) -> Any:
        options = train_parser().read(line)
        wish = read_wish(options)
        from . import config
        from .train import job as jobs
        from .train import plan

        plan.check(wish, fewest=0)
        if wish.workers == 0:
            if wish.pip:
                raise InvalidInput(
                    "--pip is for workers, and -w 0 has none",
                    next="Run %pip install in a cell of its own.",
                )
            if options.export or options.detach:
                raise InvalidInput(
                    f"{'--export' if options.export else '--detach'} is for jobs on the cluster,"
                    " and -w 0 runs the cell in this kernel",
                    next="Ask for at least one worker.",
                )
            return self._run_here(cell, dry=options.dry_run)
        settings = config.load()
        if options.dry_run:
            print(jobs.look(wish, cell, self.shell.user_ns, settings))
            return None
        if options.export:
            text = jobs.export(wish, cell, self.shell.user_ns, settings)
            self._write_private(options.export, text)
            return None
        job = jobs.hand_in(wish, cell, self.shell.user_ns, settings)
        if job.warning:
            print(job.warning)
        self._submitted(job, detach=options.detach)
        return None

    def _submitted(self, job: Job, *, detach: bool) -> None:
        if detach:
            print(f"Submitted: {job.name}. Follow it with %kube attach {job.name}.")
        else:
            self._attend(job, mine=True)

    def _write_private(self, path: str, text: str) -> None:
        """Write a file that only its user may read."""
        try:
            with open(path, "w", opener=_private, encoding="utf-8") as file:
                if hasattr(os, "fchmod"):  # Windows has other rights
                    os.fchmod(file.fileno(), 0o600)  # it may have been there before
                file.write(text)
        except OSError as error:
            raise InvalidInput(f"--export {path} cannot be written", str(error)) from None
        print(
            f"Written: {path}. kubectl apply -f {path} runs it. It holds the cell, its values and"
            " a key: keep it as you would keep these."
        )

    def _kube(self, line: str, cell: str) -> None:
        options = kube_parser().read(line)
        if options.command == "panel":
            self._panel(options, cell)
            return
        if cell.strip():
            raise InvalidInput("%%kube takes a cell for the panel only, as in %%kube panel")
        if options.command is None:
            kube_parser().print_help()
            return
        if options.command in FILES:
            self._exchange(options.command, options.names)
        else:
            getattr(self, f"_{options.command}")(options)

    def _panel(self, options: argparse.Namespace, cell: str) -> None:
        """Show the panel; where there is no front end, what it would say."""
        if not hasattr(self.shell, "kernel"):
            self._status(options)
            print(_STEERED_BY)
            return
        from .needs import modules

        modules("The panel", "pip install ipywidgets", "ipywidgets")
        from .widgets import open_panel

        open_panel(self.shell, options.name or "", cell)

    def _exchange(self, command: str, names: Sequence[str]) -> None:
        """Have the server bring files, where this kernel is a pod that it started."""
        client = sys.modules.get("jupyter_kube_pod")  # podclient.py, as that server has it
        if client is None:
            print("This kernel works in the notebook's own folder: it has the files already.")
            return
        client.run(command, names)

    def _status(self, options: argparse.Namespace) -> None:
        from .train import display
        from .train.job import attach, jobs

        if options.name:
            print(display.text(attach(options.name).status, time.time()))
            return
        views = jobs(everyone=options.all)
        if views:
            print(display.table(views, time.time(), owners=options.all))
        else:
            print("There are no jobs here." if options.all else "You have no jobs here.")

    def _logs(self, options: argparse.Namespace) -> None:
        from .train import display
        from .train.job import attach
        from .train.options import count

        rank = None if options.rank is None else count(options.rank, "--rank")
        tail = None if options.tail is None else count(options.tail, "--tail")
        if options.file and (options.follow or options.tail):
            raise InvalidInput("--file takes all that was said", "leave -f and --tail out")
        if options.follow and tail is not None:
            raise InvalidInput("-f begins with a job's first line", "leave --tail out, or -f")
        job = attach(options.name)
        if options.file:
            self._save_logs(job, options.file, rank)
            return
        if options.follow:
            self._until_interrupted(job, display.LinesScreen(rank))
            return
        for found in job.logs(rank, tail=tail):
            print(f"[{found.rank}] {found.text}")

    def _save_logs(self, job: Job, path: str, rank: int | None) -> None:
        try:
            lines = job.save_logs(path, rank)
        except OSError as error:
            raise InvalidInput(f"--file {path} cannot be written", str(error)) from None
        print(f"Written: {path}, {lines:,} line{'s' * (lines != 1)}.")

    def _cp(self, options: argparse.Namespace) -> None:
        from .train.job import attach
        from .train.options import count
        from .train.sizes import size_text

        rank = count(options.rank, "--rank")
        name, _, path = options.source.partition(":")
        got = attach(name).fetch(path, options.to, rank, told=print)
        files = f"{got.files} file{'s' * (got.files != 1)}"
        print(f"Brought {files} ({size_text(got.bytes)}) to {got.place}.")

    def _attach(self, options: argparse.Namespace) -> None:
        from .train.job import attach
        from .train.options import names

        only = names(options.output, "--output") if options.output else None
        self._attend(attach(options.name), only)

    def _kill(self, options: argparse.Namespace) -> None:
        from .train.job import kill

        kill(options.name)
        print(f"Stopped: {options.name} and all that belongs to it are being removed.")

    def _scale(self, options: argparse.Namespace) -> None:
        from .train.job import attach
        from .train.options import count

        workers = count(options.workers, "N")
        attach(options.name).scale(workers)
        print(f"{options.name} has up to {workers} workers now.")

    def _rerun(self, options: argparse.Namespace) -> None:
        from .train.job import rerun

        self._submitted(rerun(options.name), detach=options.detach)

    def _why(self, options: argparse.Namespace) -> None:
        from .train.job import attach

        for sentence in attach(options.name).why():
            print(sentence)

    def _attend(self, job: Job, only: Sequence[str] | None = None, *, mine: bool = False) -> None:
        """Show a job to its end and put its outputs into the notebook.

        One that can never start is removed by the cell that submitted it (``mine``): its other
        ranks would hold their place for nothing.
        """
        from .train.display import watch
        from .train.results import open_outcome
        from .train.sizes import size_text

        following = job.follow()
        try:
            watch(job.feed, self._screen())
            outcome = following.result()
            if mine and outcome.error is not None and not outcome.view.finished:
                job.cancel()
        except KeyboardInterrupt:
            raise self._detach(job) from None
        results = open_outcome(outcome)
        for name, value in results.values.items():
            if only is None or name in only:
                self.shell.user_ns[name] = value
                print(f"{name} ← rank 0, {size_text(results.sizes.get(name, 0))}")
        results.require(outcome.view.outputs if only is None else only)

    def _detach(self, job: Job) -> KeyboardInterrupt:
        """Leave a job running, or stop it at a second interrupt; returns what ends the cell."""
        job.detach()
        print(
            f"Detached: {job.name} goes on. Follow it again with %kube attach {job.name};"
            f" stop it with %kube kill {job.name}."
        )
        try:
            time.sleep(self.second_thought)
        except KeyboardInterrupt:
            job.cancel()
            print(f"Stopped: {job.name} and all that belongs to it are being removed.")
        return KeyboardInterrupt()

    def _until_interrupted(self, job: Job, screen: Screen) -> None:
        """Show a job's lines until its end or an interrupt, which leaves the job alone."""
        from .train.display import watch

        job.follow()
        try:
            watch(job.feed, screen)
        except KeyboardInterrupt:
            print(f"{job.name} goes on.")
        finally:
            job.detach()

    def _screen(self) -> Screen:
        """Choose what suits the front end: a display renewed in place, or prints."""
        from .train.display import NotebookScreen, PlainScreen

        if not hasattr(self.shell, "kernel"):
            return PlainScreen()
        from IPython.display import display

        return NotebookScreen(display)

    def _run_here(self, cell: str, *, dry: bool) -> Any:
        """Run the cell in this kernel with ``kube`` in scope, as IPython would."""
        from .train.inprocess import run_cell

        if dry:
            print("Would run in this kernel, as the only worker; nothing would be created.")
            return None
        return run_cell(self.shell, cell)
