"""Which names a cell takes from the notebook: found from its source alone (pure).

The statements of the cell are followed in order, with two sets: names that are certainly bound by
now, and names that may be. What is within a statement is asked of its bytecode (bytecode.py).
"""

from __future__ import annotations
import __future__

import ast
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from .bytecode import Bindings, Names


def analyse(tree: ast.Module) -> Names:
    """Find the names a cell reads and binds; ``tree`` is its parsed source."""
    flow = _Flow(tree)
    flow.block(tree.body)
    flow.run_all_deferred()
    return flow.names


class _Flow(Bindings):
    """Follows the statements of a cell."""

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
