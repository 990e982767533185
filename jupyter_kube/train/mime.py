"""Values as what a notebook can show: text, HTML, images. Figures of matplotlib are shown, too.

This module travels into pods: standard library only.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import os
import sys
import zlib
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

LARGEST = 1024 * 1024
"""Bytes of one value's bundle, compressed."""
MOST = 16 * 1024 * 1024
"""Bytes of all that one process shows richly; the rest of it is shown as text."""

_LARGEST_UNPACKED = 64 * 1024 * 1024
_LONGEST_TEXT = 100_000
_METHODS = {
    "text/html": "_repr_html_",
    "text/markdown": "_repr_markdown_",
    "text/latex": "_repr_latex_",
    "image/svg+xml": "_repr_svg_",
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "application/json": "_repr_json_",
    "application/javascript": "_repr_javascript_",
}

Show = Callable[[bytes], None]
"""Takes a packed bundle."""


class Display:
    """The cell's ``display``.

    Parameters
    ----------
    show
        Takes each value's packed bundle.

    """

    def __init__(self, show: Show) -> None:
        self._show, self._left = show, MOST

    def __call__(self, *values: Any, raw: bool = False) -> None:
        """Show values in the notebook; with ``raw``, dictionaries by MIME type as they are."""
        for value in values:
            data = _raw(value) if raw else bundle(value)
            packed = pack(data)
            while len(packed) > min(LARGEST, self._left) and data.keys() - {"text/plain"}:
                largest = max(data.keys() - {"text/plain"}, key=lambda kind: len(pack(data[kind])))
                size = len(pack(data.pop(largest))) / 2**20
                why = "up to 1 MiB" if size > LARGEST / 2**20 else "16 MiB in all"
                print(f"({largest} of {size:.1f} MiB is not shown: {why} can be)", flush=True)
                packed = pack(data)
            self._left -= len(packed)
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            self._show(packed)

    def figures(self) -> None:
        """Show and close all open figures of matplotlib, if the cell has any."""
        pyplot: Any = sys.modules.get("matplotlib.pyplot")
        if pyplot is None:
            return
        for number in pyplot.get_fignums():
            try:
                self(pyplot.figure(number))
            except Exception as error:  # what the cell has computed is not lost by a picture
                print(f"(figure {number} cannot be drawn: {error})", flush=True)
        pyplot.close("all")

    def prepare_figures(self) -> None:
        """Have ``pyplot.show()`` show figures here, once the cell imports it."""
        os.environ.setdefault("MPLBACKEND", "Agg")
        sys.meta_path.insert(0, _PyplotFinder(lambda *_, **__: self.figures()))


def pack(data: Any) -> bytes:
    """Pack what is JSON."""
    return zlib.compress(json.dumps(data).encode(), 1)


def unpack(packed: bytes) -> dict[str, Any]:
    """Open a packed bundle."""
    try:
        data = json.loads(zlib.decompressobj().decompress(packed, _LARGEST_UNPACKED))
    except (ValueError, RecursionError, zlib.error):
        return {"text/plain": "(this is too large to be shown)"}
    return data if isinstance(data, dict) else {}


def _raw(value: Any) -> dict[str, Any]:
    """Return a dictionary by MIME type as it is, as far as it can travel; with a short text."""
    data = {kind: shown for kind, each in value.items() if (shown := _plain(each)) is not None}
    if "text/plain" in data:
        data["text/plain"] = str(data["text/plain"])[:_LONGEST_TEXT]
    return data


def bundle(value: Any) -> dict[str, Any]:
    """Return all that a value can be shown as, by MIME type."""
    found: dict[str, Any] = {"text/plain": repr(value)[:_LONGEST_TEXT]}
    if isinstance(value, type):  # its methods are its instances'
        return found
    for kind, method in _METHODS.items():
        if (data := _called(value, method)) is not None:
            found[kind] = data
    together = _called(value, "_repr_mimebundle_")
    found |= together if isinstance(together, dict) else {}
    if type(value).__module__.startswith("matplotlib.") and hasattr(value, "savefig"):
        file = io.BytesIO()
        value.savefig(file, format="png", bbox_inches="tight")
        found["image/png"] = file.getvalue()
    return {kind: shown for kind, data in found.items() if (shown := _plain(data)) is not None}


def _called(value: Any, method: str) -> Any:
    """Ask a value how it can be shown; None if it does not say."""
    ask = getattr(value, method, None)
    if not callable(ask):
        return None
    try:
        said = ask()
    except NotImplementedError:  # as in a notebook: it does not say
        return None
    except Exception as error:  # the user's code; there are other ways to show it
        print(f"({method} of {type(value).__name__} has failed: {_why(error)})", flush=True)
        return None
    return said[0] if isinstance(said, tuple) and said else said  # the rest is about the data


def _why(error: Exception) -> str:
    name = type(error).__name__
    try:
        return f"{name}: {error}".encode("utf-8", "backslashreplace").decode()
    except Exception:  # the user's own __str__
        return name


def _plain(data: Any) -> Any:
    """Return JSON's own kinds, bytes in base64; None for what is neither."""
    if isinstance(data, bytes):
        return base64.b64encode(data).decode()
    try:
        json.dumps(data)
    except (TypeError, ValueError):
        return None
    return data


class _PyplotFinder:
    """Give matplotlib.pyplot another ``show`` right after its import."""

    def __init__(self, show: Callable[..., None]) -> None:
        self._show, self._inside = show, False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "matplotlib.pyplot" or self._inside:
            return None
        self._inside = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._inside = False
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                module.__dict__["show"] = self._show

            loader.exec_module = exec_module
        return spec
