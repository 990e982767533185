"""What programs that take samples have in common: a command line, and the samples' files."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.report import Samples


def parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """Begin to describe a command line: what its module says of it, and where samples go."""
    described = (doc or "").partition("    python")[0]
    made = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=described)
    made.add_argument(
        "--json", default="", help="file for all samples; one that is there is added to"
    )
    made.add_argument("--markdown", default="", help="file for the tables, beside stdout")
    return made


@contextmanager
def sampling(options: argparse.Namespace, markdown: Callable[[Samples], str]) -> Iterator[Samples]:
    """Give samples to add to, those of earlier parts included; at the end, show all there are."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was made is removed then, too
    samples = Samples()
    if options.json and Path(options.json).exists():
        samples.read(Path(options.json))
    try:
        yield samples
    finally:
        shown = markdown(samples)
        print(shown)
        if options.markdown:
            Path(options.markdown).write_text(shown)


def say(text: str) -> None:
    """Tell how far the run is."""
    print(text, file=sys.stderr, flush=True)
