"""What may be typed after ``%%kubetrain`` and ``%kube``, and what was meant by it."""

from __future__ import annotations

import argparse
import re
import shlex
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core.error import UsageError

if TYPE_CHECKING:
    from .train.plan import Wish

_COPY = "Bring files home that a job wrote below kube.output_dir, all or those at PATH."

FILES = {
    "push": "bring what changed in the notebook's folder to this kernel's pod",
    "pull": "bring what changed in this kernel's pod to the notebook's folder",
    "files": "say what differs between the two",
}
"""Commands of ``%kube`` that exchange files with the notebook's folder."""


class Parser(argparse.ArgumentParser):
    """Reads a magic's line; every mistake is a UsageError of one sentence."""

    def __init__(self, prog: str, description: str = "", **_by_argparse: Any) -> None:
        super().__init__(prog, description=description, allow_abbrev=False)

    def read(self, line: str) -> argparse.Namespace:
        """Read a line."""
        try:
            return self.parse_args(shlex.split(line))
        except ValueError as error:
            raise UsageError(f"{self.prog}: {error}") from None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse what is unknown; called for a command's own options, too."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            from .checks import clip, suggest

            option = rest[0].partition("=")[0]
            if not option.startswith("-"):
                raise UsageError(f'unexpected "{clip(option)}"; see {self.prog} -h')
            known = [o for action in self._actions for o in action.option_strings]
            raise UsageError(f"unknown option {clip(option)}{suggest(option, known)}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Refuse, without the usage text."""
        wrong = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
        if wrong:
            from .checks import clip, suggest

            known = re.findall(r"[\w-]+", wrong[2])
            hint = suggest(wrong[1], known)
            raise UsageError(f'unknown command "{clip(wrong[1])}"{hint} ({", ".join(known)})')
        raise UsageError(message.removeprefix("argument "))

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Leave after help was printed."""
        raise HelpShown


class HelpShown(Exception):
    """The line asked for help, which was printed."""


def train_parser() -> Parser:
    """Build the parser of ``%%kubetrain``."""
    parser = Parser("%%kubetrain", description="Run this cell on several workers.")
    add = parser.add_argument
    kinds = "tensorflow, pytorch, paddle or python"
    add("framework", nargs="?", default="", help=f"{kinds} (default: from the imports)")
    add(
        "-w",
        "--workers",
        default="1",
        metavar="N|MIN:MAX",
        help="pods, or as many as there is room for; 0 runs the cell in this kernel",
    )
    add("--procs", default="0", metavar="N", help="processes of each worker (default: 1 a GPU)")
    add("--ps", default="0", metavar="N", help="parameter servers beside them (tensorflow)")
    add("--chief", action="store_true", help="one more that leads the workers (tensorflow)")
    add("--evaluator", action="store_true", help="one more that evaluates (tensorflow)")
    add("--gpus", metavar="N", help="GPUs for each worker")
    add("--cpu", metavar="Q", help="processors for each worker, as in 2 or 500m")
    add("--memory", metavar="Q", help="memory for each worker, as in 4Gi")
    add("-p", "--profile", default="", metavar="P", help="kind of pod (default: like this kernel)")
    add("--name", default="", metavar="NAME", help="readable part of the job's name")
    add("-i", "--use", default="", metavar="a,b", help="further names that travel with the cell")
    add("-o", "--output", default="", metavar="x,y", help="names whose values come back")
    add("--pip", action="append", default=[], metavar="REQ", help="install it first; repeatable")
    add("--retries", default="3", metavar="N", help="new starts after a worker died (default: 3)")
    add("--timeout", metavar="T", help="longest run, as in 30m or 2h (default: none)")
    add("--keep", default="1d", metavar="T", help="how long a finished job stays (default: 1d)")
    add("--detach", action="store_true", help="submit only; follow it later")
    add("--dry-run", action="store_true", help="show what would be created, create nothing")
    add("--export", default="", metavar="FILE", help="write it for kubectl, create nothing")
    return parser


def read_wish(options: argparse.Namespace) -> Wish:
    """Turn a read line into a checked wish.

    Raises
    ------
    InvalidInput
        In one sentence, for the first option that is wrong.

    """
    from .train import options as check
    from .train.plan import Wish

    least, most = check.workers(options.workers)
    return Wish(
        workers=most,
        least=least,
        framework=options.framework and check.framework(options.framework),
        profile=options.profile,
        outputs=check.names(options.output, "--output") if options.output else (),
        use=check.names(options.use, "--use") if options.use else (),
        pip=check.requirements(options.pip),
        name=options.name and check.base_name(options.name),
        procs=check.count(options.procs, "--procs", check.MOST_PROCS),
        ps=check.count(options.ps, "--ps", check.MOST_WORKERS),
        chief=options.chief,
        evaluator=options.evaluator,
        gpus=None if options.gpus is None else check.gpus(options.gpus),
        cpu=options.cpu,
        memory=options.memory,
        retries=check.count(options.retries, "--retries", check.MOST_RETRIES),
        timeout=None if options.timeout is None else check.duration(options.timeout, "--timeout"),
        keep=check.duration(options.keep, "--keep"),
    )


def write_line(options: argparse.Namespace) -> str:
    """Write the shortest line of ``%%kubetrain`` that is read as these options."""
    words: list[str] = []
    for action in train_parser()._actions:
        value = getattr(options, action.dest, action.default)
        if value == action.default or value is None:
            continue
        name = action.option_strings[:1]
        if action.nargs == 0:
            words += name
        else:
            for each in value if isinstance(value, list) else [value]:
                words += [*name, str(each)]
    return shlex.join(words)


def kube_parser() -> Parser:
    """Build the parser of ``%kube``."""
    parser = Parser("%kube", description="Look at jobs and steer them, and exchange files.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)

    def command(name: str, text: str, *, named: str | None = None) -> Parser:
        made: Parser = commands.add_parser(name, help=text, description=text)
        made.add_argument("name", metavar="NAME", nargs=named)
        return made

    status = command("status", "list my jobs, or show one", named="?")
    status.add_argument("--all", action="store_true", help="list everyone's, with their owners")
    panel = command("panel", "show a panel that runs cells, and watches and steers jobs", named="?")
    panel.set_defaults(all=False)
    logs = command("logs", "print what the ranks printed")
    logs.add_argument("-r", "--rank", metavar="R", help="one rank only")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as lines come")
    logs.add_argument("--tail", metavar="N", help="the last lines of each rank only")
    logs.add_argument("--file", metavar="F", help="write all of them to a file")
    copy = commands.add_parser("cp", help="bring files of a job home", description=_COPY)
    copy.add_argument("source", metavar="NAME[:PATH]")
    copy.add_argument("to", metavar="DEST")
    copy.add_argument("-r", "--rank", metavar="R", default="0", help="whose (default: 0)")
    attach = command("attach", "follow a job again and fetch its outputs")
    attach.add_argument("-o", "--output", default="", metavar="x,y", help="only these outputs")
    scale = command("scale", "change how many workers an elastic job has at most")
    scale.add_argument("workers", metavar="N")
    command("kill", "stop a job and remove it")
    again = command("rerun", "run a job again: the same code, values, options and image")
    again.add_argument("--detach", action="store_true", help="submit only; follow it later")
    command("why", "say why a job waits or failed")
    for name, text in FILES.items():
        files = commands.add_parser(name, help=text, description=text)
        files.add_argument("names", metavar="PATH", nargs="*", help="file, folder or pattern")
    return parser
