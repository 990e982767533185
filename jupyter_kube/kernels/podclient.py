"""Gives a kernel in a pod its server's services, with nothing of jupyter-kube in the image.

The launcher puts this module's text beside the kernel, as ``jupyter_kube_pod``, and has IPython
load it as an extension. It then waits for ``%load_ext jupyter_kube`` where the image has no such
package; where there is one, that package's ``%kube`` calls :func:`run`. This module travels into
pods: standard library, and the kernel's own pyzmq and IPython.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

COMMANDS = {
    "push": "bring what changed in the notebook's folder to this kernel",
    "pull": "bring what changed in this kernel's folder to the notebook's",
    "files": "say what differs between the two",
}

_PACKAGE = "jupyter_kube"
_PATIENCE = 20_000  # ms for the pod's companion to say anything, which it does after 10 s
_SILENCE = 90_000  # ms between two of its words later on
_HELP = "\n".join(
    [
        "%kube COMMAND [PATH…]",
        "",
        *(f"  {name:6} {text}" for name, text in COMMANDS.items()),
        "",
        "The image of this kernel has no jupyter-kube package, so that is all there is here.",
    ]
)


class ErrandError(Exception):
    """What the server could not do; shown without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"%kube: {self}"]


def load_ipython_extension(shell: Any) -> None:
    """Stand in for a package that the image lacks; called once when the kernel starts."""
    folder = os.path.dirname(__file__)  # noqa: PTH120 - as it is in the path
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    left = os.pathsep.join(entry for entry in given if entry and entry != folder)
    if left:
        os.environ["PYTHONPATH"] = left
    else:
        os.environ.pop("PYTHONPATH", None)
    sys.path[:] = [entry for entry in sys.path if entry != folder]
    sys.meta_path.append(_StandIn())  # the last: a package that is there comes first


class _StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes a module ``jupyter_kube`` that can be loaded as an extension, and no more."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        """Find that one module."""
        if fullname != _PACKAGE:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin="the Jupyter Server")

    def exec_module(self, module: ModuleType) -> None:
        """Fill it."""
        module.__doc__ = "What a kernel in a pod can ask of its Jupyter Server."
        vars(module)["load_ipython_extension"] = _load


def _load(shell: Any) -> None:
    shell.register_magic_function(_kube, "line", "kube")


def _kube(line: str) -> None:
    """Exchange files with the notebook's folder: push, pull, files; ``%kube -h`` says how."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ErrandError(str(error)) from None
    if not words or {"-h", "--help"} & set(words):
        print(_HELP)
        return
    command, *names = words
    if command not in COMMANDS:
        raise ErrandError(
            f'"{command[:40]}" needs the jupyter-kube package in the kernel\'s image;'
            f" here there are {', '.join(COMMANDS)}"
        )
    if unknown := [name for name in names if name.startswith("-")]:
        raise ErrandError(f"unknown option {unknown[0][:40]}")
    run(command, names)


def run(command: str, names: Sequence[str] = ()) -> None:
    """Have the server do something, and print what it says.

    Parameters
    ----------
    command
        One of :data:`COMMANDS`.
    names
        Files, folders and patterns.

    Raises
    ------
    ErrandError
        If it cannot be done, in words.

    """
    import zmq

    place = Path(__file__).parent.parent / "a"  # there as soon as the companion is
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    try:
        socket.connect(f"ipc://{place}")
        socket.send(json.dumps({"errand": command, "names": list(names)}).encode())
        try:
            _show(socket)
        except KeyboardInterrupt:
            socket.send(json.dumps({"withdraw": True}).encode())
            raise
    finally:
        socket.close(linger=500)
        context.term()


def _show(socket: Any) -> None:
    patience = _PATIENCE
    while socket.poll(patience):
        said = json.loads(socket.recv())
        if "error" in said:
            raise ErrandError(said["error"])
        if "done" in said:
            print(said["done"])
            return
        print(said["text"])
        patience = _SILENCE
    raise ErrandError("the companion of this kernel does not answer; the pod's log may say why")
