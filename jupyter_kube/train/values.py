"""Values of the notebook on their way into workers: weighed, and pickled.

Functions and classes of the notebook travel by value; modules and what is in them by name.
"""

from __future__ import annotations

import io
import marshal
import sys
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any, NoReturn

from ..errors import InvalidInput
from .modules import mentioned
from .sizes import Item, size_text

_STORAGE = "Save it to shared storage and load it in the cell."


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
        refuse_total(travels, limit)
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


def refuse_total(items: Sequence[Item], limit: int) -> NoReturn:
    """Refuse what is too large together, by the largest."""
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
        _write({name: value}, namespace, counter, set())
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


def dumps(values: Mapping[str, Any], namespace: Mapping[str, Any]) -> tuple[bytes, set[str]]:
    """Pickle values for a worker; functions of the notebook will share the cell's globals.

    Returns
    -------
    tuple
        The bytes, and the names of modules that must be there to load them.

    """
    file, modules = io.BytesIO(), set[str]()
    _write(values, namespace, file, modules)
    return file.getvalue(), modules


def _write(
    values: Mapping[str, Any], namespace: Mapping[str, Any], file: Any, modules: set[str]
) -> None:
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
            modules.update(mentioned(value))
            return "globals" if value is marker else None

    pickler = Pickler(file, protocol=5)
    for shared in (namespace, *_globals_of_main(values)):
        pickler.globals_ref[id(shared)] = marker
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
