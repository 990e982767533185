"""The process of the cell: it unpacks the values, runs the source, and hands back the outputs.

This module travels into pods: standard library only. What few cells need is imported where they
do: of many ranks that start on one machine, each waits for the others' imports.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import faulthandler
import io
import json
import linecache
import os
import pickle
import re
import signal
import socket
import sys
import threading
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType, TracebackType
from typing import Any

from .collective import bare, connect
from .kube import Kube
from .mime import Display
from .provide import CannotRun, check_python, provide_cloudpickle, provide_modules
from .strategy import load_tensorflow, make_strategy, serve


def main(bundle: bytes, control: int, held: int) -> None:
    """Run a packed cell to its end, tell the supervisor, and wait until all ranks are done.

    ``control`` is the way to the supervisor; what a file ``held`` holds it reads after a crash.

    It waits for its place among the ranks first, ready to go. A rank that only serves others does
    so until it is stopped.
    """
    faulthandler.enable(all_threads=False)  # where it was, should native code crash
    sock = socket.socket(fileno=control)
    cell = json.loads(zlib.decompress(bundle))
    provide_cloudpickle(cell["cloudpickle"])
    place = sock.makefile("rb").readline()
    if not place:  # the supervisor is gone
        return
    about = json.loads(place)
    os.environ.update(about["env"])
    told = Supervisor(sock)
    identity = about["identity"]
    leave: Callable[[], None] | None = None
    try:
        os.environ.update(cell["env"])
        if about["serves"]:
            serve(held)
        check_python(cell)
        if cell["pip"]:
            from .install import install

            install(cell["pip"])
        provide_modules(cell["code"])
        leave = None if cell["connects"] else connect(cell["framework"])
        if cell["framework"] == "tensorflow":
            load_tensorflow(held)
        values = run(cell, identity, told, about["strategy"])
        told.done(*_outcome(cell, identity["rank"], values))
    except CannotRun as error:
        told.refusal(str(error))
    except BaseException as error:  # the cell's own, whatever it is
        told.exception(error, cell["filename"])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    told.wait()
    if leave is not None:  # all ranks are done
        leave()


class Supervisor:
    """The way to the supervisor: lines of JSON, a result's bytes behind its line.

    Back comes a line's end when all ranks are done, and before it another byte for who has asked
    whether those are done who train. Should the supervisor be gone before, this process
    ends at once, with all that the cell has started: nobody else would end it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._dismissed, self._over = threading.Event(), threading.Event()
        self._asked = False
        threading.Thread(target=self._listen, name="jupyter-kube", daemon=True).start()

    def report(self, step: Any, metrics: Mapping[str, Any]) -> None:
        """Pass on a report."""
        self._say({"kind": "report", "step": step, "metrics": dict(metrics)})

    def display(self, packed: bytes) -> None:
        """Pass on what the notebook is to show."""
        self._say({"kind": "display", "bytes": len(packed)}, packed)

    def done(self, blob: bytes, about: Mapping[str, Any]) -> None:
        """Say that the cell has reached its end."""
        self._say({"kind": "done", "bytes": len(blob), **about}, blob)

    def exception(self, error: BaseException, filename: str) -> None:
        """Say that the cell has raised."""
        name, message = type(error).__name__[:100], _text(error)
        shown = traceback.format_exception(type(error), error, _from_cell(error, filename))
        text = f"{name}: {message[:500]}"
        self._ended_by(name, message[:2000], text, "".join(shown)[-100_000:])

    def refusal(self, message: str) -> None:
        """Say that the cell cannot run here: an exception of no type."""
        self._ended_by("", message, message, "")

    def _ended_by(self, name: str, message: str, text: str, shown: str) -> None:
        about = {"type": name, "message": message, "text": text, "traceback": shown}
        self._say({"kind": "exception", **about})

    def over(self) -> bool:
        """Tell whether those who train are done; who asks is waited for."""
        if not self._asked:
            self._asked = True
            self._say({"kind": "asks"})
        return self._over.is_set()

    def wait(self) -> None:
        """Wait until all ranks are done."""
        self._dismissed.wait()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while said := self._sock.recv(1):
                if said == b"\n":
                    self._dismissed.set()
                    return
                self._over.set()
        os.killpg(0, signal.SIGKILL)  # the group is this process's own

    def _say(self, about: Mapping[str, Any], blob: bytes = b"") -> None:
        with self._lock:
            self._sock.sendall(_line(about) + blob)


def _line(about: Mapping[str, Any]) -> bytes:
    """Write a line of JSON; half a character, which no reader could show, as its number."""
    text = json.dumps(about, ensure_ascii=False)
    return re.sub(r"[\ud800-\udfff]", lambda half: f"\\\\u{ord(half[0]):x}", text).encode() + b"\n"


def run(
    cell: Mapping[str, Any], identity: Mapping[str, Any], told: Supervisor, strategy: str = ""
) -> dict[str, Any]:
    """Run a cell's source in a fresh ``__main__``; return its names and values."""
    main_module = ModuleType("__main__")
    sys.modules["__main__"] = main_module
    names = vars(main_module)
    strategy = strategy if cell["framework"] == "tensorflow" else ""
    kube = Kube(
        **identity,
        report=told.report,
        over=told.over,
        make_strategy=(lambda: make_strategy(strategy, lambda: kube._shards)) if strategy else None,
    )
    display = Display(told.display)
    display.prepare_figures()
    names.update(kube=kube, display=display)
    names.update(_Unpickler(base64.b64decode(cell["values"]), names).load())
    source, filename = cell["source"], cell["filename"]
    for name, text in {**cell["files"], filename: source}.items():
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(source, filename, "exec", flags=flags, dont_inherit=True)
    with _distributed(kube, wanted=bool(strategy) and not cell["connects"]), _free_to_leave():
        result = eval(code, names)  # noqa: S307 - running the user's cell is what this is for
        if result is not None:  # the cell awaits at top level
            import asyncio

            asyncio.run(result)
    display.figures()
    return names


def _outcome(
    cell: Mapping[str, Any], rank: int, names: Mapping[str, Any]
) -> tuple[bytes, dict[str, Any]]:
    """Pack rank 0's outputs; to read TensorFlow's distributed values takes all ranks at once."""
    if rank == 0:
        return pack_outputs(cell["outputs"], names)
    if cell["framework"] == "tensorflow":
        pack_outputs(cell["outputs"], names)
    return b"", {}


def pack_outputs(outputs: list[str], names: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """Pickle the outputs; those that cannot travel are named with the reason."""
    if not outputs:
        return b"", {}
    import cloudpickle

    from .frames import LARGEST_RESULT

    sizes: dict[str, int] = {}
    missing: dict[str, str] = {}
    for name in outputs:
        if name not in names:
            missing[name] = "the cell did not assign it"
            continue
        try:
            sizes[name] = len(zlib.compress(cloudpickle.dumps(bare(names[name])), 1))
        except Exception as error:  # a value's own pickling code may raise anything
            kind = type(names[name]).__name__
            missing[name] = _clipped(f"a {kind} cannot be sent: {_text(error)}")
    while sum(sizes.values()) > LARGEST_RESULT * 0.95:
        largest = max(sizes, key=lambda name: sizes[name])
        size = sizes.pop(largest) / 2**20
        missing[largest] = f"it is {size:.1f} MiB, compressed; up to 4 MiB can come back"
    blob = zlib.compress(cloudpickle.dumps({name: bare(names[name]) for name in sizes}), 6)
    return blob, {"sizes": sizes, "missing": missing}


def _clipped(text: str, longest: int = 100) -> str:
    """Shorten a text so that its JSON is short: all of them share one frame."""
    while len(json.dumps(text)) > longest:
        text = text[: len(text) * 3 // 4]
    return text


class _Unpickler(pickle.Unpickler):
    """Read the notebook's values; its functions get the cell's own globals."""

    def __init__(self, data: bytes, names: dict[str, Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._names = names

    def persistent_load(self, _mark: Any) -> Any:
        return self._names


@contextlib.contextmanager
def _distributed(kube: Kube, *, wanted: bool) -> Iterator[None]:
    """Enter TensorFlow's strategy, so that what the cell builds is spread over all workers."""
    if not wanted:
        yield
        return
    with kube.strategy.scope():
        yield


@contextlib.contextmanager
def _free_to_leave() -> Iterator[None]:
    """Take ``sys.exit()`` for the cell's end, as long as it tells of no failure."""
    try:
        yield
    except SystemExit as error:
        if error.code:
            raise


def _from_cell(error: BaseException, filename: str) -> TracebackType | None:
    """Cut our own frames off a traceback's beginning."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != filename:
        trace = trace.tb_next
    return trace or error.__traceback__


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the user's own __str__
        return "(its text cannot be shown)"
