"""Values of the notebook on their way into workers: weighed, and pickled.

Functions and classes of the notebook travel by value, and so do modules from its own folder.
"""

from __future__ import annotations

import contextlib
import io
import marshal
import sys
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NoReturn

from ..errors import InvalidInput

_STORAGE = "Save it to shared storage and load it in the cell."


@dataclass(frozen=True)
class Item:
    """One value that travels."""

    name: str
    kind: str
    """``function``, ``class``, ``module``, or the name of the value's type."""
    bytes: int


def size_text(size: float) -> str:
    """Write a number of bytes for people, as in ``812 B``, ``2.1 kB`` or ``412 MiB``."""
    if size < 1000:
        return f"{size:.0f} B"
    if size < 100_000:
        return f"{size / 1000:.1f} kB"
    mebibytes = size / 2**20
    return f"{mebibytes:.{0 if mebibytes >= 10 else 1}f} MiB".replace(".0 ", " ")


def weigh(
    demanded: Iterable[str], optional: Iterable[str], namespace: Mapping[str, Any], limit: int
) -> tuple[list[Item], list[Item]]:
    """Pickle values one by one, to know what travels.

    Parameters
    ----------
    demanded
        Names that must travel.
    optional
        Names that travel if they can.
    namespace
        The notebook's names and values.
    limit
        Bytes that may travel in all.

    Returns
    -------
    tuple
        What travels, and the optional ones that stay.

    Raises
    ------
    InvalidInput
        If a demanded one cannot be pickled, or they are too large.

    """
    travels: list[Item] = []
    left: list[Item] = []
    total = 0
    for name in demanded:
        item = _measure(name, namespace, limit)
        if item.bytes > limit:
            _refuse_size(item, limit)
        travels.append(item)
        total += item.bytes
    if total > limit:
        _refuse_total(travels, limit)
    for name in optional:
        try:
            item = _measure(name, namespace, limit)
        except InvalidInput:
            item = Item(name, _kind(namespace[name]), 0)
        if 0 < item.bytes <= limit - total:
            travels.append(item)
            total += item.bytes
        else:
            left.append(item)
    return travels, left


def _refuse_size(item: Item, limit: int) -> NoReturn:
    what = (
        f'"{item.name}"'
        if item.kind not in {"function", "class"}
        else (f'"{item.name}" ({item.kind}), with what it uses,')
    )
    raise InvalidInput(
        f"{what} is {size_text(item.bytes)}; up to {size_text(limit)} can travel with a cell",
        next=_STORAGE,
    )


def _refuse_total(items: list[Item], limit: int) -> NoReturn:
    largest = sorted(items, key=lambda item: -item.bytes)[:3]
    each = ", ".join(f'"{item.name}" {size_text(item.bytes)}' for item in largest)
    raise InvalidInput(
        f"what the cell uses is {size_text(sum(item.bytes for item in items))} together ({each}); "
        f"up to {size_text(limit)} can travel with a cell",
        next="Save the largest to shared storage and load it in the cell.",
    )


def _measure(name: str, namespace: Mapping[str, Any], limit: int) -> Item:
    value = namespace[name]
    counter = _Counter(limit)
    kind = _kind(value)
    if (size := _known_size(value)) > limit:
        return Item(name, kind, size)
    try:
        _write({name: value}, namespace, counter)
    except _TooLarge:
        return Item(name, kind, max(counter.size, size))
    except Exception as error:  # a value's own pickling code may raise anything
        verb = "open" if hasattr(value, "fileno") or hasattr(value, "close") else "make"
        why = str(error).partition("\n")[0][:200]
        raise InvalidInput(
            f'cannot send "{name}" ({type(value).__name__}): {verb} it inside the cell',
            "" if kind != "function" else why,
        ) from error
    return Item(name, kind, counter.size)


def _known_size(value: Any) -> int:
    """Bytes of an array or table, without pickling it; 0 where it does not say."""
    if isinstance(value, type):
        return 0
    size = getattr(value, "nbytes", 0)
    if not isinstance(size, int) and hasattr(size, "__int__"):
        size = int(size)
    if hasattr(value, "memory_usage") and hasattr(value, "columns"):
        size = int(value.memory_usage().sum())
    return size if isinstance(size, int) else 0


def _kind(value: Any) -> str:
    if isinstance(value, ModuleType):
        return "module"
    if isinstance(value, type):
        return "class"
    return "function" if isinstance(value, FunctionType) else type(value).__name__


class _TooLarge(Exception):
    """The limit was passed."""


class _Counter(io.RawIOBase):
    """A file that only counts, and stops at a limit."""

    def __init__(self, limit: int) -> None:
        self.size = 0
        self._limit = limit

    def write(self, data: Any) -> int:
        """Count."""
        self.size += memoryview(data).nbytes
        if self.size > self._limit:
            raise _TooLarge
        return memoryview(data).nbytes


def dumps(values: Mapping[str, Any], namespace: Mapping[str, Any]) -> bytes:
    """Pickle values for a worker; functions of the notebook will share the cell's globals."""
    file = io.BytesIO()
    _write(values, namespace, file)
    return file.getvalue()


def _write(values: Mapping[str, Any], namespace: Mapping[str, Any], file: Any) -> None:
    """Pickle so that the notebook's functions will share their globals with the cell.

    cloudpickle gives functions with the same globals one new dictionary. The marker stands for it;
    the worker puts its own ``__main__`` in that place. So a helper sees ``kube`` and whatever the
    cell assigns, as it does in the notebook.
    """
    import cloudpickle

    marker = {"__name__": "__main__"}

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
        dispatch_table = ChainMap({CodeType: _reduce_code}, cloudpickle.Pickler.dispatch_table)

        def persistent_id(self, value: Any) -> str | None:
            return "globals" if value is marker else None

    pickler = Pickler(file, protocol=5)
    for shared in (namespace, *_globals_of_main(values)):
        pickler.globals_ref[id(shared)] = marker
    with _by_value():
        pickler.dump(dict(values))


def _reduce_code(code: CodeType) -> tuple[Any, tuple[bytes]]:
    """Keep the name of the cell a function comes from: a traceback shows its lines by that name.

    cloudpickle from 3.1.3 on puts one fixed name in its place.
    """
    return marshal.loads, (marshal.dumps(code),)


def _globals_of_main(values: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield vars(sys.modules["__main__"])
    for value in values.values():
        if isinstance(value, FunctionType) and value.__module__ == "__main__":
            yield value.__globals__


@contextlib.contextmanager
def _by_value() -> Iterator[None]:
    """Let modules from the notebook's own folder travel by value: workers do not have them."""
    import cloudpickle

    registered = [module for module in list(sys.modules.values()) if _is_local(module)]
    for module in registered:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)


def _is_local(module: ModuleType) -> bool:
    name, file = getattr(module, "__name__", ""), getattr(module, "__file__", None)
    if not file or sys.modules.get(name) is not module or name.split(".")[0] in _NOT_LOCAL:
        return False
    path = str(file)
    return path.startswith(_folder()) and not (
        path.startswith(tuple(_installed())) or "-packages/" in path
    )


_NOT_LOCAL = {"__main__", "__mp_main__", "jupyter_kube", "jupyter_kube_pod", "cloudpickle"}


def _folder() -> str:
    return f"{Path.cwd()}/"


@cache
def _installed() -> frozenset[str]:
    import sysconfig

    paths = set(sysconfig.get_paths().values()) | {sys.prefix, sys.base_prefix}
    return frozenset(f"{path}/" for path in paths if path not in {"/", str(Path.home())})
