"""What a cell and its helpers use, as far as their code tells (pure: nothing is imported)."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from ..errors import InvalidInput
from .bytecode import compile_cell
from .names import analyse

LEGACY_KERAS = "TF_USE_LEGACY_KERAS"
"""Variable that makes ``tf.keras`` the Keras 2 of the package ``tf_keras``."""

_PACKAGES: Mapping[str, frozenset[str]] = {
    "tensorflow": frozenset({"tensorflow", "keras", "tf_keras"}),
    "pytorch": frozenset({"torch", "torchvision", "torchaudio", "lightning", "pytorch_lightning"}),
    "paddle": frozenset({"paddle"}),
}
"""By which packages a framework is known; of several in one cell the first counts."""
_KNOWN = frozenset().union(*_PACKAGES.values())

_CONNECTING = {"init_process_group"}
"""Functions that connect the workers, and may be called only once."""


def detect_framework(source: str, namespace: Mapping[str, Any], more: Iterable[str] = ()) -> str:
    """Return the framework that the cell and its helpers use, ``python`` if they use none.

    ``more`` are packages that their modules import.
    """
    used = _Use.of(source, namespace).packages.union(more)
    return next((name for name, packages in _PACKAGES.items() if used & packages), "python")


def uses_legacy_keras(source: str, namespace: Mapping[str, Any]) -> bool:
    """Say whether the cell or its helpers use ``tf_keras``."""
    return "tf_keras" in _Use.of(source, namespace).packages


def connects_workers(source: str, namespace: Mapping[str, Any], more: Iterable[str] = ()) -> bool:
    """Say whether the cell or its helpers make TensorFlow's strategy or PyTorch's group.

    ``more`` are names that their modules mention.
    """
    names = _Use.of(source, namespace).names.union(more)
    return bool(names & _CONNECTING) or any(name.endswith("Strategy") for name in names)


def mentions(source: str, namespace: Mapping[str, Any], name: str) -> bool:
    """Say whether the cell or its helpers mention a name or an attribute."""
    return name in _Use.of(source, namespace).names


def helper_files(source: str, namespace: Mapping[str, Any]) -> set[str]:
    """Name the files, cells mostly, in which helpers from the notebook were written."""
    return _Use.of(source, namespace).files


def check_keras(
    source: str,
    namespace: Mapping[str, Any],
    *,
    version: Callable[[str], str] = metadata.version,
) -> None:
    """Refuse a cell that calls Keras 3's ``fit``, for a job of more than one worker.

    Parameters
    ----------
    source, namespace
        The cell, and the notebook's names.
    version
        Gives the version of an installed package, as :func:`importlib.metadata.version` does.

    Raises
    ------
    InvalidInput
        If the model that is fitted is Keras 3's: it cannot be spread over workers.

    """
    used = _Use.of(source, namespace)
    if "fit" not in used.names or "tf_keras" in used.packages or _legacy_chosen(used):
        return
    through_tensorflow = "tensorflow" in used.packages and "keras" in used.names
    if not (through_tensorflow or "keras" in used.packages):
        return
    if not _is_keras_3(version, through_tensorflow=through_tensorflow):
        return
    raise InvalidInput(
        "Keras 3 cannot fit a model on more than one worker",
        "its fit() fails under TensorFlow's MultiWorkerMirroredStrategy",
        "Use Keras 2 for it: import tf_keras as keras, in all cells that make the model.",
    )


def check_serves(source: str, namespace: Mapping[str, Any]) -> None:
    """Refuse a cell that leaves parameter servers idle, for a job of theirs without a chief.

    Raises
    ------
    InvalidInput
        If it makes no server itself: each worker would train a model of its own.

    """
    if "Server" not in _Use.of(source, namespace).names:
        raise InvalidInput(
            "parameter servers need a chief, which hands out the work",
            "without one, a cell has to make a tf.distribute.Server of its own, and this does not",
            "Add --chief.",
        )


def _is_keras_3(version: Callable[[str], str], *, through_tensorflow: bool) -> bool:
    try:
        if through_tensorflow:
            major, minor = version("tensorflow").split(".")[:2]
            return (int(major), int(minor)) >= (2, 16)
        return int(version("keras").split(".")[0]) >= 3
    except (metadata.PackageNotFoundError, ValueError):
        return True  # not in this kernel: the workers' image has a current one


def _legacy_chosen(used: _Use) -> bool:
    return LEGACY_KERAS in used.constants or os.environ.get(LEGACY_KERAS) == "1"


class _Use:
    """Everything that a cell mentions, and the notebook's functions that it uses in turn."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.constants: set[str] = set()
        self.packages: set[str] = set()
        self.files: set[str] = set()
        self._seen: set[int] = set()

    @classmethod
    def of(cls, source: str, namespace: Mapping[str, Any]) -> _Use:
        """Look at a cell that compiles."""
        tree = ast.parse(source)
        found = analyse(tree)
        use = cls()
        use._code(compile_cell(tree))
        use._values(namespace.get(name) for name in found.needed | found.wanted)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                use._modules(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                use._modules([node.module])
        return use

    def _modules(self, names: Iterable[str]) -> None:
        for name in names:
            self.packages.add(name.partition(".")[0])

    def _code(self, code: CodeType) -> None:
        self.names.update(code.co_names)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self._code(constant)
            elif isinstance(constant, str):
                self.constants.add(constant)

    def _values(self, values: Iterable[Any]) -> None:
        for value in values:
            if id(value) not in self._seen:
                self._seen.add(id(value))
                self._value(value)

    def _value(self, value: Any) -> None:
        if isinstance(value, ModuleType):
            self._modules([value.__name__])
        elif isinstance(value, FunctionType | MethodType | type):
            if value.__module__ == "__main__":
                self._helper(value)
            else:
                self._modules([value.__module__ or ""])
        else:
            self._modules([type(value).__module__])

    def _helper(self, value: Any) -> None:
        if isinstance(value, type):
            self._values([*value.__bases__, *vars(value).values()])
            return
        function = value.__func__ if isinstance(value, MethodType) else value
        self.files.add(function.__code__.co_filename)
        mentioned: set[str] = set()
        _names_in(function.__code__, mentioned)
        self._code(function.__code__)
        imported = _KNOWN & {name.partition(".")[0] for name in mentioned}
        if imported:  # an import inside the function
            self._modules(imported - set(function.__globals__))
        self._values(function.__globals__.get(name) for name in mentioned)
        self._values(cell.cell_contents for cell in function.__closure__ or () if _filled(cell))


def _names_in(code: CodeType, names: set[str]) -> None:
    names.update(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _names_in(constant, names)


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # empty
        return False
