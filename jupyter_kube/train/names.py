"""Which names a cell takes from the notebook: found from its source alone (pure).

The statements of the cell are followed in order, with two sets: names that are certainly bound by
now, and names that may be. Expressions, functions and classes are compiled and their bytecode
asked, because the compiler knows scopes best. The body of a function counts where the function is
first mentioned, since it cannot run before.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import dis
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
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


def analyse(tree: ast.Module) -> Names:
    """Find the names a cell reads and binds; ``tree`` is its parsed source."""
    flow = _Flow(tree)
    flow.block(tree.body)
    flow.run_all_deferred()
    return flow.names


def compile_cell(source: str | ast.Module, filename: str = "<cell>", flags: int = 0) -> CodeType:
    """Compile as the worker does: ``await`` is allowed at top level."""
    flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return cast("CodeType", compile(source, filename, "exec", flags=flags, dont_inherit=True))


class _Flow:
    """The state while following a cell."""

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

    # statements

    def block(self, statements: Sequence[ast.stmt]) -> bool:
        """Follow statements in order; say whether what comes after them cannot be reached."""
        self._depth += 1
        ended = any(self._statement(statement) for statement in statements)
        self._depth -= 1
        return ended

    def _statement(self, node: ast.stmt) -> bool:
        method = getattr(self, f"_on_{type(node).__name__}", None)
        if method is not None:
            return bool(method(node))
        self._run(node)
        return False

    def _on_Assign(self, node: ast.Assign) -> None:  # noqa: N802 - named for the node
        self._run(node.value)
        for target in node.targets:
            self._target(target)

    def _on_AugAssign(self, node: ast.AugAssign) -> None:  # noqa: N802
        if isinstance(node.target, ast.Name):
            self._read(node.target.id)
        self._run(node.value)
        self._target(node.target)

    def _on_AnnAssign(self, node: ast.AnnAssign) -> None:  # noqa: N802
        if not self._flags & __future__.annotations.compiler_flag:
            self._run(node.annotation)
        if node.value is not None:
            self._run(node.value)
            self._target(node.target)

    def _on_Delete(self, node: ast.Delete) -> None:  # noqa: N802
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._unbind(target.id)
            else:
                self._target(target)

    def _on_Import(self, node: ast.Import) -> None:  # noqa: N802
        for alias in node.names:
            self._bind(alias.asname or alias.name.partition(".")[0])

    def _on_ImportFrom(self, node: ast.ImportFrom) -> None:  # noqa: N802
        for alias in node.names:
            if alias.name == "*":
                self._anything = True
            else:
                self._bind(alias.asname or alias.name)

    def _on_FunctionDef(self, node: ast.FunctionDef | ast.ClassDef) -> None:  # noqa: N802
        self._run(node, owner=node.name)
        if node.decorator_list:  # a decorator may call at once what it decorates
            self._read(node.name)

    _on_AsyncFunctionDef = _on_ClassDef = _on_FunctionDef  # noqa: N815

    def _on_If(self, node: ast.If) -> bool:  # noqa: N802
        self._run(node.test)
        return self._branches([partial(self.block, node.body), partial(self.block, node.orelse)])

    def _on_While(self, node: ast.While) -> None:  # noqa: N802
        self._maybe |= _bound_in(node.body)
        self._run(node.test)
        self._aside(node.body)
        self.block(node.orelse)

    def _on_For(self, node: ast.For | ast.AsyncFor) -> None:  # noqa: N802
        self._run(node.iter)
        self._maybe |= _bound_in(node.body)
        before = set(self._sure)
        self._target(node.target)
        self.block(node.body)
        self._sure = before
        self.block(node.orelse)

    _on_AsyncFor = _on_For  # noqa: N815

    def _on_With(self, node: ast.With | ast.AsyncWith) -> None:  # noqa: N802
        for item in node.items:
            self._run(item.context_expr)
            if item.optional_vars is not None:
                self._target(item.optional_vars)
        self.block(node.body)

    _on_AsyncWith = _on_With  # noqa: N815

    def _on_Raise(self, node: ast.Raise) -> bool:  # noqa: N802
        for part in (node.exc, node.cause):
            if part is not None:
                self._run(part)
        return True

    def _on_Break(self, _node: ast.stmt) -> bool:  # noqa: N802
        return True

    _on_Continue = _on_Break  # noqa: N815

    def _on_Global(self, _node: ast.Global) -> None:  # noqa: N802
        """At top level it says nothing new."""

    def _on_Assert(self, node: ast.Assert) -> None:  # noqa: N802
        self._run(node.test)
        if node.msg is not None:
            self._run(node.msg)

    def _on_Try(self, node: ast.Try) -> bool:  # noqa: N802
        before = set(self._sure)
        lenient = any(map(_catches_name_error, node.handlers))
        self._lenient += lenient
        ended = self.block(node.body)
        self._lenient -= lenient
        after_body, self._sure = self._sure, before
        ended = self._branches(
            [
                partial(self._or_else, node, after_body, ended),
                *(partial(self._handler, handler) for handler in node.handlers),
            ]
        )
        joined, self._sure = self._sure, set(before)
        ended = self.block(node.finalbody) or ended
        self._sure |= joined
        return ended

    _on_TryStar = _on_Try  # noqa: N815

    def _on_Match(self, node: ast.Match) -> bool:  # noqa: N802
        self._run(node.subject)
        branches: list[Callable[[], bool]] = [partial(self._case, case) for case in node.cases]
        last = node.cases[-1]
        if last.guard is not None or not _always_matches(last.pattern):
            branches.append(partial(self.block, ()))
        return self._branches(branches)

    # parts of statements

    def _target(self, node: ast.expr) -> None:
        if isinstance(node, ast.Name):
            self._bind(node.id)
        elif isinstance(node, ast.Tuple | ast.List):
            for each in node.elts:
                self._target(each)
        elif isinstance(node, ast.Starred):
            self._target(node.value)
        elif isinstance(node, ast.Attribute | ast.Subscript):
            fields = {**dict(ast.iter_fields(node)), "ctx": ast.Load()}
            self._run(ast.copy_location(type(node)(**fields), node))

    def _handler(self, handler: ast.ExceptHandler) -> bool:
        if handler.type is not None:
            self._run(handler.type)
        if handler.name:
            self._bind(handler.name)
        ended = self.block(handler.body)
        if handler.name:
            self._sure.discard(handler.name)
        return ended

    def _case(self, case: ast.match_case) -> bool:
        for part in ast.walk(case.pattern):
            if isinstance(part, ast.MatchValue):
                self._run(part.value)
            elif isinstance(part, ast.MatchClass):
                self._run(part.cls)
            elif isinstance(part, ast.MatchMapping):
                for key in part.keys:
                    self._run(key)
            for attribute in ("name", "rest"):
                if isinstance(name := getattr(part, attribute, None), str):
                    self._bind(name)
        if case.guard is not None:
            self._run(case.guard)
        return self.block(case.body)

    def _aside(self, statements: Sequence[ast.stmt]) -> None:
        """Follow statements that may not run at all."""
        before = set(self._sure)
        self.block(statements)
        self._sure = before

    def _or_else(self, node: ast.Try, sure: set[str], ended: bool) -> bool:
        """Follow what comes after a ``try`` body that raised nothing."""
        self._sure = set(sure)
        return ended or self.block(node.orelse)

    def _branches(self, branches: Iterable[Callable[[], bool]]) -> bool:
        """Follow alternatives; certain afterwards is what each open end has bound."""
        before = set(self._sure)
        ends = []
        for branch in branches:
            self._sure = set(before)
            if not branch():
                ends.append(self._sure)
        self._sure = set.intersection(*ends) if ends else before
        return not ends


def _instructions(code: CodeType) -> Iterable[tuple[str, Any]]:
    for instruction in dis.get_instructions(code):
        yield instruction.opname, instruction.argval


def _stored(code: CodeType) -> set[str]:
    return {argument for op, argument in _instructions(code) if op == "STORE_NAME"}


def _bound_in(statements: Sequence[ast.stmt]) -> set[str]:
    """Names that statements may bind, nested ones included."""
    found: set[str] = set()
    for node in ast.walk(ast.Module(list(statements), [])):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            found.add(node.name)
    return found


def _catches_name_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
    return bool(kinds & {"NameError", "Exception", "BaseException"})


def _always_matches(pattern: ast.pattern) -> bool:
    return isinstance(pattern, ast.MatchAs) and pattern.pattern is None


def _is_future_annotations(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.ImportFrom)
        and statement.module == "__future__"
        and any(alias.name == "annotations" for alias in statement.names)
    )


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")
