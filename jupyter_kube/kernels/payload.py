"""What a kernel's container is started with: a constant command, and one secret variable.

The command is the same for every kernel and holds nothing worth hiding. The variable carries the
keys and the source of the modules that run in the pod, so that any image with Python and ipykernel
will do. The command's first act is to run Python anew without that variable, since
``/proc/1/environ`` shows forever what a process was started with.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from ..boot import MEMORY_FILE

LAUNCH_ENV = "JUPYTER_KUBE_LAUNCH"
"""The variable, to be set from the kernel's Secret."""

DEFAULT_PORT = 8888
"""The TCP port the launcher listens on."""

_LONGEST = 120_000
"""Characters of the variable: Linux refuses one of 131,072 or more."""

_TRAVELLERS = (
    *("launcher", "supervisor", "gate", "splice", "link", "handshake", "image", "cgroup"),
    *("retire", "stderr", "tail", "attend", "companion", "tape"),
    *("courier", "folder", "writer", "kubeignore", "podclient"),
)

BOOT = f"""\
import os, sys
if sys.version_info < (3, 11):
    word = "the image's Python is %d.%d, 3.11 or newer is needed" % sys.version_info[:2]
    try:
        with open("/dev/termination-log", "r+") as f:
            f.write(word)
    except OSError:
        sys.exit(word)
    sys.exit()
{MEMORY_FILE}
env = dict(os.environ)
fd = memory_file("launch")
os.write(fd, env.pop("{LAUNCH_ENV}").encode())
os.lseek(fd, 0, 0)
run = '''
import binascii, json, sys, zlib
with open(int(sys.argv[1]), "rb") as f:
    launch = json.loads(zlib.decompress(binascii.a2b_base64(f.read())))
class Sources:
    def find_spec(self, name, path=None, target=None):
        package, _, module = name.partition(".")
        if package == "podside" and (not module or module in launch["source"]):
            return type(sys.__spec__)(name, self, is_package=not module)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        name = module.__name__
        source = launch["source"].get(name.partition(".")[2], "")
        exec(compile(source, "<" + name + ">", "exec"), vars(module))
sys.meta_path.insert(0, Sources())
from podside.launcher import main
main(launch)
'''
os.execve(sys.executable, [sys.executable, "-ESPc", run, str(fd)], env)
"""
"""Source the container's Python is started with; the same for all kernels, holds no secret."""


def boot_command(python: str = "python3") -> list[str]:
    """Return the container's command; ``python`` is the image's interpreter, 3.11 or newer."""
    # No PYTHON variables and no working directory (-I), no site packages (-S) on the path: quick,
    # and nothing of the user's can stand in for the standard library. -P is unknown before 3.11.
    return [python, "-ISc", BOOT]


def launch_payload(
    *,
    key: bytes | str,
    kernel_id: str,
    kernel_name: str,
    username: str = "",
    curve_publickey: bytes | str | None = None,
    curve_secretkey: bytes | str | None = None,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Build the value of :data:`LAUNCH_ENV`.

    Parameters
    ----------
    key
        The kernel's HMAC key; the link's own keys are derived from it.
    kernel_id, kernel_name, username
        As Jupyter knows them. ``username`` is who the kernel runs as where the container's uid
        has no name.
    curve_publickey, curve_secretkey
        The kernel's CURVE pair (Z85); both or none.
    options
        ``port`` to listen on (default 8888); ``argv``, the kernel's arguments after the
        interpreter, where ``{connection_file}`` is replaced; ``cwd``, a folder to be made in the
        container's working directory and filled with files before the kernel is used; ``files``,
        how many files and bytes of them may travel at once.

    Raises
    ------
    ValueError
        If the value would not fit into an environment variable.

    """
    launch = {
        "source": {name: _source(name) for name in _TRAVELLERS},
        "key": _text(key),
        "kernel_id": kernel_id,
        "kernel_name": kernel_name,
        "username": username,
        "curve_publickey": _text(curve_publickey),
        "curve_secretkey": _text(curve_secretkey),
        "options": {"port": DEFAULT_PORT, **(options or {})},
    }
    packed = base64.b64encode(zlib.compress(json.dumps(launch).encode())).decode()
    if len(packed) > _LONGEST:
        msg = f"the kernel's start variable has {len(packed)} characters, {_LONGEST} fit"
        raise ValueError(msg)
    return packed


def open_payload(packed: str) -> dict[str, Any]:
    """Return what :func:`launch_payload` packed.

    Raises
    ------
    ValueError
        If it is none.

    """
    try:
        launch = json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not isinstance(launch, dict):
        raise ValueError("not a kernel's start variable")
    return launch


def _source(name: str) -> str:
    """Read a traveller's text; what others of this package use, too, lies a folder above."""
    shared = name in ("kubeignore", "tail")
    place = __package__.rpartition(".")[0] if shared else __package__
    return resources.files(place).joinpath(f"{name}.py").read_text(encoding="utf-8")


def _text(value: bytes | str | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
