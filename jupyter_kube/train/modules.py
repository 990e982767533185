"""Modules from the notebook's folder: found by who imports them, and packed as they are there.

Workers do not have that folder. A module travels as its file and a package as its folder, so that
workers import them as the notebook does. Only files are read; nothing is imported.
"""

from __future__ import annotations

import ast
import contextlib
import dis
import importlib.util
import io
import os
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import SOURCE_SUFFIXES, ModuleSpec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import NoReturn

from ..errors import InvalidInput
from ..kubeignore import FILE, Ignore
from .sizes import Item, size_text

_NOT_LOCAL = {"__main__", "__mp_main__", "jupyter_kube", "jupyter_kube_pod", "cloudpickle"}
_MOST_FILES = 5000


@dataclass(frozen=True)
class Code:
    """What travels of the notebook's folder."""

    archive: bytes = b""
    """A zip file; empty if nothing does."""
    items: tuple[Item, ...] = ()
    """Each module and package, with its bytes before they are compressed."""
    imports: frozenset[str] = frozenset()
    """Packages that these import from elsewhere."""
    names: frozenset[str] = frozenset()
    """Names and attributes that their source has."""


@dataclass(frozen=True)
class _Found:
    """A module or package, with its files by their names in the archive."""

    name: str
    files: Mapping[str, Path]
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def item(self) -> Item:
        """Say what travels."""
        count = len(self.files)
        kind = "package" if any("/" in name for name in self.files) else "module"
        return Item(
            self.name,
            f"{kind}, {count} files" if count > 1 else kind,
            sum(self.sizes.values()),
        )


def gather(names: Iterable[str], limit: int) -> Code:
    """Pack those of some modules, and of all that they import, that are in the notebook's folder.

    Parameters
    ----------
    names
        Modules, as in an ``import`` statement.
    limit
        Bytes of their files that may travel.

    Raises
    ------
    InvalidInput
        If one of them is too large.

    """
    found: dict[str, _Found] = {}
    elsewhere: set[str] = set()
    mentions: set[str] = set()
    todo = {name.partition(".")[0] for name in names}
    ignored = _rules()
    while todo:
        name = todo.pop()
        paths = _paths(name)
        if not paths:
            elsewhere.add(name)
            continue
        module = _look(name, paths, ignored, limit)
        if module.files:
            found[name] = module
            for tree in _trees(module):
                todo |= {each.partition(".")[0] for each in imported(tree)}
                mentions.update(_names(tree))
            todo -= found.keys() | elsewhere
    if not found:
        return Code()
    modules = [found[name] for name in sorted(found)]
    items = tuple(module.item for module in modules)
    return Code(_zip(modules), items, frozenset(elsewhere), frozenset(mentions))


def mentioned(value: object) -> Iterator[str]:
    """Name the modules that a value needs where it is loaded, but for what it refers to."""
    if isinstance(value, ModuleType):
        yield value.__name__
    elif isinstance(value, type | FunctionType):
        by_value = value.__module__ in ("__main__", None) or "<" in value.__qualname__
        if not by_value:
            yield value.__module__
        elif isinstance(value, FunctionType):
            yield from _imported_by(value.__code__)


def imported(tree: ast.AST) -> set[str]:
    """Name the modules that source imports, relative ones left out."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


def _imported_by(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            yield str(instruction.argval)
        elif isinstance(instruction.argval, CodeType):
            yield from _imported_by(instruction.argval)


# where a module is


def _paths(name: str) -> list[Path]:
    """Find the file or the folders of a top-level module that is in the notebook's folder."""
    if not name or name in _NOT_LOCAL or name in sys.stdlib_module_names:
        return []
    spec = _spec(name)
    if spec is None:
        return []
    places = list(spec.submodule_search_locations or ())
    if not places and spec.has_location and spec.origin:
        places = [spec.origin]
    return [Path(place) for place in places if _is_local(place)]


def _spec(name: str) -> ModuleSpec | None:
    module = sys.modules.get(name)
    if module is not None and getattr(module, "__spec__", None) is None:
        return None  # made by hand
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None


def _is_local(path: str) -> bool:
    return any(path.startswith(f"{folder}{os.sep}") for folder in _folders()) and not (
        path.startswith(tuple(_installed())) or "-packages/" in path
    )


def _folders() -> list[Path]:
    """Name the notebook's folder, and a script's own."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    own = [Path(script).resolve().parent] if script and not _has_spec() else []
    return [Path.cwd(), *own]


def _has_spec() -> bool:
    """Tell whether this process runs a module (``python -m``) rather than a script."""
    return getattr(sys.modules["__main__"], "__spec__", None) is not None


@cache
def _installed() -> frozenset[str]:
    import sysconfig

    paths = set(sysconfig.get_paths().values()) | {sys.prefix, sys.base_prefix}
    return frozenset(f"{path}/" for path in paths if path not in {"/", str(Path.home())})


# its files


def _rules() -> Ignore:
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = Path(FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    return Ignore(lines)


def _look(name: str, paths: list[Path], ignored: Ignore, limit: int) -> _Found:
    """List a module's files; none if the rules keep it at home."""
    files: dict[str, Path] = {}
    for path in paths:
        if not path.is_dir():
            suffix = path.suffix if path.suffix in SOURCE_SUFFIXES else path.name.partition(".")[2]
            if not ignored(_relative(path), folder=False):
                files[f"{name}.{suffix.lstrip('.')}"] = path
            continue
        for file in _files_in(path, ignored):
            files.setdefault(f"{name}/{file.relative_to(path).as_posix()}", file)
            if len(files) > _MOST_FILES:
                _refuse(name, f"more than {_MOST_FILES} files", files, {})
    sizes = {each: file.stat().st_size for each, file in files.items()}
    if (total := sum(sizes.values())) > limit:
        _refuse(name, size_text(total), files, sizes)
    return _Found(name, files, sizes)


def _files_in(folder: Path, ignored: Ignore) -> Iterator[Path]:
    """List a package's files, but for what the rules keep at home and links to folders."""
    if ignored(_relative(folder), folder=True):
        return
    for place, folders, names in os.walk(folder):
        at = Path(place)
        folders[:] = sorted(
            each
            for each in folders
            if not ignored(_relative(at / each), folder=True) and not (at / each).is_symlink()
        )
        for each in sorted(names):
            if not ignored(_relative(at / each), folder=False) and (at / each).is_file():
                yield at / each


def _relative(path: Path) -> str:
    """Return a path as the rules see it: from the notebook's folder."""
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name


def _refuse(
    name: str, amount: str, files: Mapping[str, Path], sizes: Mapping[str, int]
) -> NoReturn:
    largest = max(sizes, key=lambda each: sizes[each], default="")
    one = f", {largest} alone {size_text(sizes[largest])}" if len(sizes) > 1 else ""
    raise InvalidInput(
        f'the code of "{name}", from the notebook\'s folder, is {amount}{one}; it travels with a'
        " cell up to 4 MiB",
        next=f"Name what workers do not need in {FILE}, or keep it on shared storage."
        if len(files) > 1
        else "Keep it on shared storage.",
    )


def _trees(module: _Found) -> Iterator[ast.Module]:
    """Parse a module's source; what is no Python fails where it is imported."""
    for name, path in module.files.items():
        if name.endswith(".py"):
            with contextlib.suppress(OSError, SyntaxError, ValueError):
                yield ast.parse(path.read_bytes())


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name


def _zip(modules: Iterable[_Found]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for module in modules:
            for name, path in module.files.items():
                try:
                    content = path.read_bytes()
                except OSError as error:
                    raise InvalidInput(f"{name} cannot be read", str(error.strerror)) from None
                archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()
