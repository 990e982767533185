"""A cell as something that can travel: its source, and the notebook's values it uses (pure).

cloudpickle's own source travels along, so that any image with Python will do, and values are
unpickled by what they were pickled with.
"""

from __future__ import annotations

import ast
import base64
import difflib
import json
import linecache
import re
import sys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from typing import Any, NoReturn, cast

from ..errors import InvalidInput
from .bytecode import Names, compile_cell
from .frameworks import (
    LEGACY_KERAS,
    connects_workers,
    detect_framework,
    helper_files,
    uses_legacy_keras,
)
from .modules import Code, gather, imported
from .names import analyse
from .sizes import Item
from .values import dumps, refuse_total, weigh

LIMIT = 4 * 1024 * 1024
"""Bytes of values that may travel with one cell."""

_MOST_OUTPUTS = 40
_LONGEST_OUTPUTS = 2000  # characters of their names: a frame tells of each
_LONGEST_FILE = 100_000  # characters of an earlier cell that travels for tracebacks only

_IPYTHON = re.compile(r"^\s*(?:\w[\w, ]*=\s*)?([%!]{1,2}\s*[\w.$]+|\?{1,2}[\w.]+|[\w.]+\?{1,2})")


@dataclass(frozen=True)
class Bundle:
    """A packed cell."""

    payload: bytes
    """Compressed JSON, as the worker's child process reads it."""
    travels: tuple[Item, ...]
    framework: str
    outputs: tuple[str, ...]
    left: tuple[Item, ...] = ()
    """Values of names the cell seems to bind itself, which cannot travel or are too large."""
    code: tuple[Item, ...] = ()
    """Modules and packages from the notebook's folder."""
    python: str = ""
    """The version that workers need, as in ``3.12``, where functions travel; empty: any."""


def pack(
    source: str,
    namespace: Mapping[str, Any],
    *,
    use: Iterable[str] = (),
    outputs: Iterable[str] = (),
    pip: Iterable[str] = (),
    framework: str = "",
    filename: str = "<cell>",
    limit: int = LIMIT,
) -> Bundle:
    """Pack a cell with the values it uses.

    Parameters
    ----------
    source
        The cell's Python, without the magic's own line.
    namespace
        The notebook's names and values.
    use
        Names that must travel although the cell's code does not mention them.
    outputs
        Names whose values shall come back.
    pip
        What each worker installs first.
    framework
        One of :data:`.options.FRAMEWORKS`; empty: from what the cell uses.
    filename
        What tracebacks call the cell.
    limit
        Bytes of values, pickled, that may travel.

    Raises
    ------
    InvalidInput
        If the cell is empty, no Python, uses names that are not defined, or values that cannot
        travel or are too large; or if it never assigns an output.

    """
    tree = _parse(source, filename)
    names = analyse(tree)
    wanted = tuple(outputs)
    _check_outputs(wanted, names)
    demanded = sorted(names.needed | set(use))
    _check_defined(demanded, namespace)
    optional = sorted(name for name in names.wanted - set(demanded) if name in namespace)
    travels, left = weigh(demanded, optional, namespace, limit)
    values = {item.name: namespace[item.name] for item in travels}
    pickled, needed = dumps(values, namespace)
    code = _code(needed | imported(tree), travels, limit)
    framework = framework or detect_framework(source, namespace, code.imports)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    env = {LEGACY_KERAS: "1"} if uses_legacy_keras(source, namespace) else {}
    payload = {
        "python": here,
        "source": source,
        "filename": filename,
        "files": _texts(helper_files(source, namespace)),
        "outputs": list(wanted),
        "pip": list(pip),
        "framework": framework,
        "connects": connects_workers(source, namespace, code.names),
        "env": env,
        "code": base64.b64encode(code.archive).decode(),
        "values": base64.b64encode(pickled).decode(),
        "cloudpickle": _cloudpickle_source(),
    }
    return Bundle(
        payload=zlib.compress(json.dumps(payload).encode(), 9),
        travels=tuple(travels),
        framework=framework,
        outputs=wanted,
        left=tuple(left),
        code=code.items,
        python=here if b"marshal" in pickled else "",
    )


def unpack_result(blob: bytes) -> dict[str, Any]:
    """Open a result's values; only for a blob whose authentication code held."""
    import pickle

    return cast("dict[str, Any]", pickle.loads(zlib.decompress(blob)))  # noqa: S301 - the job's own


def _code(names: set[str], values: list[Item], limit: int) -> Code:
    """Pack the modules beside the notebook; they share the room with values."""
    code = gather(names, limit)
    together = (*values, *code.items)
    if sum(item.bytes for item in together) > limit:
        refuse_total(together, limit)
    return code


# the source


def _parse(source: str, filename: str) -> ast.Module:
    try:
        tree = ast.parse(source, filename)
        compile_cell(source, filename)
    except SyntaxError as error:
        _refuse_syntax(source, error)
    except ValueError as error:  # null bytes
        raise InvalidInput("the cell is no Python", str(error)) from error
    if not tree.body:
        raise InvalidInput("the cell has no code to run")
    return tree


def _refuse_syntax(source: str, error: SyntaxError) -> NoReturn:
    lines = source.splitlines()
    number = error.lineno or 1
    line = lines[number - 1] if number <= len(lines) else ""
    if match := _IPYTHON.match(line):
        raise InvalidInput(
            f'line {number}: "{match[1]}" is IPython syntax and cannot run in workers',
            next="Let workers install packages by --pip."
            if match[1] in ("!pip", "%pip")
            else "Run it in a cell of its own, or write it as Python.",
        ) from error
    shown = line.replace("\t", " ")
    caret = " " * (max(error.offset or 1, 1) - 1) + "^"
    raise InvalidInput(
        f"SyntaxError in line {number}: {error.msg}\n    {shown}\n    {caret}"
    ) from error


def _check_outputs(outputs: tuple[str, ...], names: Names) -> None:
    if len(outputs) > _MOST_OUTPUTS or len(json.dumps(outputs)) > _LONGEST_OUTPUTS:
        raise InvalidInput(
            f"{len(outputs)} outputs are too many, up to {_MOST_OUTPUTS} can come back",
            next="Put them into one dictionary.",
        )
    for name in outputs:
        if name not in names.bound:
            raise InvalidInput(
                f'the cell never assigns "{name[:80]}", so it cannot come back'
                f"{_did_you_mean(name, names.bound)}"
            )


def _check_defined(names: Iterable[str], namespace: Mapping[str, Any]) -> None:
    for name in names:
        if name == "get_ipython":
            raise InvalidInput("get_ipython() is the notebook's own and cannot run in workers")
        if name not in namespace:
            raise InvalidInput(
                f'"{name[:80]}" is not defined, neither in the cell nor in the notebook'
                f"{_did_you_mean(name, (n for n in namespace if not n.startswith('_')))}"
            )


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def _texts(files: Iterable[str]) -> dict[str, str]:
    """Read the sources of earlier cells, as far as they are known, for readable tracebacks."""
    texts = {name: "".join(linecache.getlines(name)) for name in sorted(files)}
    return {name: text for name, text in texts.items() if 0 < len(text) <= _LONGEST_FILE}


@cache
def _cloudpickle_source() -> str:
    """Read its one module; packages ask for the version, which another one says."""
    source = resources.files("cloudpickle").joinpath("cloudpickle.py").read_text("utf-8")
    return f"{source}\n__version__ = {metadata.version('cloudpickle')!r}\n"
