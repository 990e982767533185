"""What an expression, a function or a class does to names: asked of its bytecode (pure).

The compiler knows scopes best. The body of a function counts where the function is first
mentioned, since it cannot run before.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import dis
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, cast

_READ = {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"}
_BIND = {"STORE_NAME", "STORE_GLOBAL"}
_UNBIND = {"DELETE_NAME", "DELETE_GLOBAL"}
_CO_OPTIMIZED = 0x1
_ADDED_BY_IPYTHON = {"get_ipython", "__IPYTHON__"}

PROVIDED = frozenset((set(dir(builtins)) - _ADDED_BY_IPYTHON) | {"kube", "display", "WindowsError"})
"""Names that every cell finds without the notebook."""


@dataclass
class Names:
    """What one cell reads and binds."""

    needed: set[str] = field(default_factory=set)
    """Read before the cell can have bound them."""
    wanted: set[str] = field(default_factory=set)
    """Read where the cell has perhaps bound them itself, or does not mind if they are missing."""
    bound: set[str] = field(default_factory=set)
    """Bound anywhere at the cell's top level."""


def compile_cell(source: str | ast.Module, filename: str = "<cell>", flags: int = 0) -> CodeType:
    """Compile as the worker does: ``await`` is allowed at top level."""
    flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return cast("CodeType", compile(source, filename, "exec", flags=flags, dont_inherit=True))


class Bindings:
    """Names while a cell is followed: its expressions, and the bodies of its functions."""

    def __init__(self, tree: ast.Module) -> None:
        self.names = Names()
        self._sure: set[str] = set()
        self._maybe: set[str] = set()
        self._deferred: dict[str, list[CodeType]] = {}
        self._anything = False  # after a star import any name may be there
        self._lenient = 0
        self._depth = 0  # of blocks: what is nested may not run
        self._flags = 0
        if any(_is_future_annotations(statement) for statement in tree.body):
            self._flags |= __future__.annotations.compiler_flag

    # what happens to one name

    def _read(self, name: str) -> None:
        for code in self._deferred.pop(name, ()):
            self._run_later_part(code)
        if name in self._sure or name in PROVIDED or _is_dunder(name):
            return
        if name in self._maybe or self._lenient or self._anything:
            self.names.wanted.add(name)
        else:
            self.names.needed.add(name)

    def _bind(self, name: str, *, surely: bool = True) -> None:
        if _is_dunder(name):
            return
        self.names.bound.add(name)
        self._maybe.add(name)
        if surely:
            self._sure.add(name)
            if self._depth == 1:  # else a function of this name may be still there
                self._deferred.pop(name, None)

    def _unbind(self, name: str) -> None:
        self._read(name)
        self._sure.discard(name)

    # bytecode

    def _run(self, node: ast.stmt | ast.expr, owner: str = "") -> None:
        """Follow a statement or expression; functions in it run when ``owner`` is mentioned."""
        statement = node if isinstance(node, ast.stmt) else ast.copy_location(ast.Expr(node), node)
        module = ast.Module([statement], [])
        later: list[CodeType] = []
        code = compile_cell(module, flags=self._flags)
        self._run_now(code, later, sure=bool(owner))
        if owner:
            self._deferred.setdefault(owner, []).extend(later)
        else:
            for each in later:
                self._run_later_part(each)

    def _run_now(self, code: CodeType, later: list[CodeType], *, sure: bool) -> None:
        for op, argument in _instructions(code):
            if isinstance(argument, CodeType):
                if argument.co_flags & _CO_OPTIMIZED:
                    later.append(argument)
                else:
                    self._run_class(argument, later)
            elif op in _READ:
                self._read(argument)
            elif op in _BIND:
                self._bind(argument, surely=sure)
            elif op in _UNBIND:
                self._unbind(argument)

    def _run_class(self, code: CodeType, later: list[CodeType]) -> None:
        own = set()
        for op, argument in _instructions(code):
            if isinstance(argument, CodeType):
                if argument.co_flags & _CO_OPTIMIZED:
                    later.append(argument)
                else:
                    self._run_class(argument, later)
            elif op == "STORE_NAME":
                own.add(argument)
            elif op in _BIND:
                self._bind(argument, surely=False)
            elif op in _READ and argument not in own:
                self._read(argument)

    def _run_later_part(self, code: CodeType) -> None:
        """Follow the inside of a function: what it reads of the cell, and ``global`` names."""
        own = set() if code.co_flags & _CO_OPTIMIZED else _stored(code)
        for op, argument in _instructions(code):
            if isinstance(argument, CodeType):
                self._run_later_part(argument)
            elif op == "STORE_GLOBAL":
                self._bind(argument, surely=False)
            elif op in _READ and argument not in own:
                self._read(argument)

    def run_all_deferred(self) -> None:
        """Follow functions that nothing mentions: they may be outputs, so nothing is demanded."""
        self._lenient += 1
        for name in list(self._deferred):
            self._read(name)
        self._lenient -= 1


def _instructions(code: CodeType) -> Iterable[tuple[str, Any]]:
    for instruction in dis.get_instructions(code):
        yield instruction.opname, instruction.argval


def _stored(code: CodeType) -> set[str]:
    return {argument for op, argument in _instructions(code) if op == "STORE_NAME"}


def _is_future_annotations(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.ImportFrom)
        and statement.module == "__future__"
        and any(alias.name == "annotations" for alias in statement.names)
    )


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")
