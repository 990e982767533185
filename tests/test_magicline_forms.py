"""The form *Run on cluster* reads, writes and refuses the same lines as the magic.

Both keep to ``trainlines.json``: here the magic's parser, in ``trainline.spec.ts`` the form.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError

from jupyter_kube import magicline
from jupyter_kube.errors import InvalidInput
from jupyter_kube.magics import KubeMagics
from jupyter_kube.train import options, plan

FORM = Path(__file__).parent.parent / "labextension" / "src"
LINES: dict[str, list[Any]] = json.loads((FORM / "__tests__" / "trainlines.json").read_text())
DEFAULTS = vars(magicline.train_parser().read(""))


def read(line: str) -> dict[str, Any]:
    return vars(magicline.train_parser().read(line))


def said(options: dict[str, Any]) -> dict[str, Any]:
    """What the magic makes of a form's options."""
    return {"dry_run" if name == "dryRun" else name: value for name, value in options.items()}


@pytest.mark.parametrize("case", LINES["good"], ids=lambda case: case["line"])
@pytest.mark.parametrize("form", ["line", "written"])
def test_both_read_the_same(case, form):
    assert read(case[form]) == DEFAULTS | said(case["options"])
    if case.get("wish", True):
        plan.check(magicline.read_wish(magicline.train_parser().read(case[form])), fewest=0)


@pytest.mark.parametrize("line", LINES["unreadable"])
def test_neither_reads(line):
    with pytest.raises(UsageError):
        read(line)


@pytest.mark.parametrize("case", LINES["refused"], ids=lambda case: case["line"])
def test_both_refuse(case):
    with pytest.raises(InvalidInput):
        use(case["line"])


def use(line: str) -> None:
    """Do with a line all that is done before anything is created."""
    wish = plan.check(magicline.read_wish(magicline.train_parser().read(line)), fewest=0)
    options.processes(wish.procs, wish.gpus or 0)
    assert wish.workers == 0, "only what runs in the kernel is refused later"
    KubeMagics()._kubetrain(line, "")


def test_the_form_knows_every_option():
    table = (FORM / "run" / "options.ts").read_text()
    rows = re.findall(r"kind: '(\w+)', key: '(\w+)', flags: \[(.*?)\]", table)
    known = {tuple(re.findall(r"'(-[\w-]+)'", flags)): kind for kind, _, flags in rows}
    actions = magicline.train_parser()._actions
    kinds = {"_StoreTrueAction": "flag", "_AppendAction": "list", "_StoreAction": "text"}
    assert known == {
        tuple(action.option_strings): kinds[type(action).__name__]
        for action in actions
        if action.option_strings and action.dest != "help"
    }
