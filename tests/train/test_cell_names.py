"""Which names a cell needs: single rules, and random cells compared with what exec needs."""

from __future__ import annotations

import ast
import builtins
import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_kube.train.bytecode import Names
from jupyter_kube.train.names import analyse


def of(source: str) -> Names:
    return analyse(ast.parse(source))


@pytest.mark.parametrize(
    ("source", "needed", "wanted"),
    [
        ("x = x + 1", "x", ""),
        ("x += 1", "x", ""),
        ("x = 1\nprint(x)", "", ""),
        ("a.b = c[d]", "a c d", ""),
        ("e[f:g] = 1", "e f g", ""),
        ("del n", "n", ""),
        ("x = 1\ndel x\nx", "", "x"),
        ("def f(): return y\nf()\ny = 1", "y", ""),
        ("def f(): return y\ny = 1\nf()", "", ""),
        ("def f(): return y\ny = 1\nf", "", ""),
        ("def f(): return y\n", "", "y"),
        ("def f(): return g()\ndef g(): return y\nf()", "y", ""),
        ("def f(): return y\nif a:\n  def f(): return 1\nf()", "a y", ""),
        ("def f(): return y\ndef f(): return 1\nf()", "", ""),
        ("def f(a, b=c, *d, e: T = h) -> R: return a + b + d + e", "T R c h", ""),
        ("@dec\ndef f(): return w", "dec w", ""),
        ("async def f(): await g()\nawait f()", "g", ""),
        ("f = lambda u: u + h", "h", ""),
        ("[i * k for i in xs if i]", "k xs", ""),
        ("{a: b for a, b in c.items()}", "c", ""),
        ("print(f'{aa!r:>{bb}}')", "aa bb", ""),
        ("class A(B):\n  z = 1\n  w = z + v\n  def m(s): return A, late\nA().m()", "B v late", ""),
        ("class A:\n  def m(self): return late\nlate = 1\nA().m()", "", ""),
        ("for a in b:\n  c = a\nprint(a, c)", "b", "a c"),
        ("while t:\n  use(x)\n  x = 1", "t use", "x"),
        ("if a:\n  b = 1\nelse:\n  raise E\nprint(b)", "a E", ""),
        ("if a:\n  b = 1\nprint(b)", "a", "b"),
        ("try:\n  q\nexcept NameError:\n  q = 1\nprint(q)", "", "q"),
        ("try:\n  q\nexcept ValueError:\n  pass", "q", ""),
        ("try:\n  x = a()\nexcept E as e:\n  print(e)\n  raise\nprint(x)", "a E", ""),
        ("try:\n  pass\nfinally:\n  y = 1\nprint(y)", "", ""),
        ("with o(p) as (m, n[t]):\n  print(m)", "o p n t", ""),
        ("import numpy as np, os.path\nnp, os", "", ""),
        ("from a import b as c\nc, b", "b", ""),
        ("from x import *\nfoo", "", "foo"),
        ("match v:\n  case K(a=1, b=bb): print(bb)\n  case {'q': z, **rest}: z, rest", "v K", ""),
        ("match v:\n  case 1: r = 1\n  case _: r = 2\nprint(r)", "v", ""),
        ("def f():\n  global s\n  s = 1\nf()\nprint(s)", "", "s"),
        ("if (n := size) > 3: print(n)", "size", "n"),
        ("kube.report(loss=1)\nprint(len(__name__))\ndisplay(1)", "", ""),
        ("get_ipython()", "get_ipython", ""),
        ("assert a, b", "a b", ""),
        ("from __future__ import annotations\nx: T = 1", "", ""),
        ("x: T = 1", "T", ""),
        ("global g\ng = 1", "", ""),
    ],
)  # fmt: skip
def test_rules(source: str, needed: str, wanted: str) -> None:
    names = of(source)
    assert names.needed == set(needed.split())
    assert names.wanted - names.needed == set(wanted.split())


def test_bound_names_are_those_that_may_come_back() -> None:
    names = of("import a.b\nc = d = 1\nfor e in []: pass\ndef f(): g = 1\nwith h as i: pass")
    assert names.bound == {"a", "c", "d", "e", "f", "i"}


NAMES = ("a", "b", "c", "d")
name = st.sampled_from(NAMES)


class Needed(dict[str, Any]):
    """A namespace that notes which of its first names are looked up before they are bound."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__()
        self.first = dict(values)
        self.used: set[str] = set()

    def __missing__(self, key: str) -> Any:
        value = self.first[key]
        self.used.add(key)
        return value

    def __delitem__(self, key: str) -> None:
        if key not in self:
            self[key] = self.__missing__(key)
        super().__delitem__(key)
        self.first.pop(key, None)


def value(draw: st.DrawFn) -> str:
    shape = draw(st.sampled_from(["1", "{}", "{} + {}", "[{} for {} in (1, 2)]", "(lambda: {})()"]))
    parts = [draw(name) for _ in range(shape.count("{}"))]
    return shape.format(*parts)


def indented(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines())


@st.composite
def cells(draw: st.DrawFn, depth: int = 2) -> str:
    """Random cells of assignments, branches, loops, functions and calls over four names."""
    out = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["=", "+=", "if", "for", "try", "def", "call", "read", "del"]))
        body = indented(draw(cells(depth=depth - 1))) if depth else "  pass"
        target = draw(name)
        out.append(
            {
                "=": lambda t=target: f"{t} = {value(draw)}",
                "+=": lambda t=target: f"{t} += 1",
                "if": lambda b=body: f"if {draw(st.booleans())}:\n{b}\nelse:\n  {draw(name)} = 1",
                "for": lambda t=target, b=body: (
                    f"for {t} in range({draw(st.integers(0, 2))}):\n{b}"
                ),
                "try": lambda b=body: f"try:\n{b}\n  1 / 0\nexcept ZeroDivisionError:\n  pass",
                "def": lambda b=body: f"def f():\n  return {value(draw)}",
                "call": lambda: (
                    "try: f()\nexcept TypeError: pass" if "def f" in "".join(out) else "1"
                ),
                "read": lambda: value(draw),
                "del": lambda t=target: f"{t} = 1\ndel {t}",
            }[kind]()
        )
    return "\n".join(out)


@settings(max_examples=150, deadline=None)
@given(cells())
def test_random_cells_get_every_name_that_exec_looks_up(source: str) -> None:
    names = of(source)
    everything = dict.fromkeys(NAMES, 1)
    recorder = Needed(everything)
    # exec looks names up in a mapping only if it is the locals; functions see real globals.
    space: dict[str, Any] = {"__builtins__": vars(builtins)}
    with contextlib.suppress(Exception):  # also what was looked up before an error counts
        exec(source, space, recorder)
    assert recorder.used <= names.needed | names.wanted


@settings(max_examples=150, deadline=None)
@given(cells())
def test_random_cells_run_alike_with_only_the_names_found(source: str) -> None:
    names = of(source)
    full: dict[str, Any] = dict.fromkeys(NAMES, 1)
    found = {key: value for key, value in full.items() if key in names.needed | names.wanted}
    outcomes = []
    for space in (full, found):
        try:
            exec(source, space)
            outcomes.append("ran")
        except Exception as error:
            outcomes.append(type(error).__name__)
    if outcomes[0] == "ran":
        assert outcomes[1] == "ran"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(name, st.lists(name, max_size=3)), min_size=1, max_size=6))
def test_in_a_straight_line_exactly_the_names_that_exec_needs(
    lines: list[tuple[str, list[str]]],
) -> None:
    source = "\n".join(f"{target} = [{', '.join(read)}]" for target, read in lines)
    recorder = Needed(dict.fromkeys(NAMES, 1))
    exec(source, {}, recorder)
    names = of(source)
    assert names.needed == recorder.used
    assert names.wanted == set()
