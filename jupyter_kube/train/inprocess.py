"""Running a training cell in this kernel, as the only worker: ``%%kubetrain -w 0``."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput
from .collective import alone
from .frameworks import connects_workers, detect_framework
from .kube import Kube
from .presenting import shown_as

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_ABSENT = object()


def run_cell(shell: InteractiveShell, cell: str) -> Any:
    """Run a cell in the notebook's namespace with ``kube`` in scope; returns its last value.

    What it raises is shown with the cell's own lines only.

    Raises
    ------
    InvalidInput
        If the cell is no Python, or awaits at top level: IPython awaits in cells without a magic.

    """
    source = shell.transform_cell(cell)
    filename = shell.compile.cache(source, shell.execution_count, raw_code=cell)
    body, last = _split(source, filename)
    names = shell.user_ns
    own = connects_workers(source, names)
    with _kube_in(names), alone("python" if own else detect_framework(source, names)):
        try:
            exec(body, names)  # noqa: S102 - the user's own cell, as IPython runs it
            return eval(last, names) if last else None  # noqa: S307 - as above
        except Exception as error:
            raise _shown(shell, error) from None


def _split(source: str, filename: str) -> tuple[Any, Any]:
    """Compile a cell, and apart from it the expression at its end, if there is one."""
    try:
        tree = ast.parse(source, filename)
        whole = compile(tree, filename, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as error:
        raise InvalidInput(f"line {error.lineno}: {error.msg}") from None
    if whole.co_flags & inspect.CO_COROUTINE:
        raise InvalidInput(
            "a cell that awaits at top level cannot run in this kernel by -w 0",
            next="Run it without %%kubetrain, or on a worker with -w 1.",
        )
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";"):
        last = compile(ast.Expression(tree.body.pop().value), filename, "eval")  # type: ignore[attr-defined]
    return compile(tree, filename, "exec"), last


@contextmanager
def _kube_in(namespace: dict[str, Any]) -> Iterator[None]:
    before = namespace.get("kube", _ABSENT)
    namespace["kube"] = Kube()
    try:
        yield
    finally:
        if before is _ABSENT:
            namespace.pop("kube", None)
        else:
            namespace["kube"] = before


def _shown(shell: InteractiveShell, error: Exception) -> Exception:
    """Make IPython show an exception without our own frames."""
    trace = error.__traceback__
    lines = shell.InteractiveTB.structured_traceback(
        type(error), error, trace and trace.tb_next, tb_offset=0
    )
    return shown_as(error, lines)
