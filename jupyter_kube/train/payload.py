"""What a worker's container is started with: a constant command and secret variables.

The command is the same for every job and holds nothing worth hiding. One variable carries the
job's key and the source of the modules that run in the pod, another the packed cell. The command's
first act is to run Python anew without them, since ``/proc/1/environ`` shows forever what a process
was started with.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from importlib import resources
from typing import Any

from ..boot import MEMORY_FILE
from .frames import FAIL_JOB

WORKER_ENV = "JUPYTER_KUBE_WORKER"
"""Variable with the sources and the key, to be set from the job's Secret."""
BUNDLE_ENV = "JUPYTER_KUBE_BUNDLE"
"""Variable with the packed cell, where it fits."""
BUNDLE_DIR_ENV = "JUPYTER_KUBE_BUNDLE_DIR"
"""Variable that names the folder with the packed cell's parts, where it does not."""

LONGEST = 120_000
"""Characters of one variable: Linux refuses one of 131,072 or more."""

_TRAVELLERS = (
    "child",
    "collective",
    "crew",
    "kube",
    "door",
    "environment",
    "frames",
    "gather",
    "host",
    "install",
    "launch",
    "lines",
    "members",
    "messages",
    "mime",
    "output",
    "process",
    "provide",
    "rendezvous",
    "roles",
    "series",
    "start",
    "strategy",
    "tail",
    "worker",
)

_SOURCES = """\
import json, sys
class Sources:
    def __init__(self, source):
        self.source = source
    def find_spec(self, name, path=None, target=None):
        package, _, module = name.partition(".")
        if package == "podside" and (not module or module in self.source):
            return type(sys.__spec__)(name, self, is_package=not module)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        name = module.__name__
        text = self.source.get(name.partition(".")[2], "")
        exec(compile(text, "<" + name + ">", "exec"), vars(module))
"""

BOOT = f"""\
import os, sys
if sys.version_info < (3, 11):
    word = "this image has Python %d.%d, workers need 3.11 or newer" % sys.version_info[:2]
    try:
        with open("/dev/termination-log", "r+") as f:
            f.write('{{"type": "", "message": "%s", "text": "%s", "traceback": ""}}' % (word, word))
    except OSError:
        print(word)
    sys.exit({FAIL_JOB})
{MEMORY_FILE}
env = dict(os.environ)
fds = []
for name in ("{WORKER_ENV}", "{BUNDLE_ENV}"):
    fds.append(memory_file(name))
    os.write(fds[-1], env.pop(name, "").encode())
    os.lseek(fds[-1], 0, 0)
run = '''{_SOURCES}
import binascii, zlib
launch, bundle = (binascii.a2b_base64(open(int(fd), "rb").read()) for fd in sys.argv[1:])
launch = json.loads(zlib.decompress(launch))
sys.meta_path.insert(0, Sources(launch["source"]))
from podside.start import main
sys.exit(main(launch, bundle))
'''
os.execve(sys.executable, [sys.executable, "-ESPc", run, *map(str, fds)], env)
"""
"""Source the container's Python is started with; the same for all jobs, holds no secret."""

CHILD_BOOT = f"""\
{_SOURCES}
with open(int(sys.argv[1]), "rb") as file:
    source = json.loads(file.readline())
    bundle = file.read()
sys.meta_path.insert(0, Sources(source))
from podside.child import main
main(bundle, *map(int, sys.argv[2:]))
"""
"""Source the cell's process is started with, by the supervisor."""


def boot_command(python: str = "python3") -> list[str]:
    """Return the container's command; ``python`` is the image's interpreter, 3.11 or newer."""
    # No PYTHON variables and no working directory (-I), no site packages (-S) on the path: quick,
    # and nothing of the user's can stand in for the standard library. -P is unknown before 3.11.
    return [python, "-ISc", BOOT]


def renew_payload(
    payload: str, key: bytes, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> str:
    """Return a value of :data:`WORKER_ENV` with the same sources, another key and other options."""
    launch = json.loads(zlib.decompress(base64.b64decode(payload)))
    return _packed({**launch, "key": key.hex(), "options": change(launch["options"])})


def worker_payload(key: bytes, options: dict[str, Any]) -> str:
    """Build the value of :data:`WORKER_ENV`.

    Parameters
    ----------
    key
        The job's key, which authenticates frames and members.
    options
        What :class:`.launch.Options` takes.

    """
    launch = {
        "source": {name: _source(name) for name in _TRAVELLERS},
        "child": CHILD_BOOT,
        "key": key.hex(),
        "options": options,
    }
    return _packed(launch)


def _source(name: str) -> str:
    """Read a traveller's text; what others of this package use, too, lies a folder above."""
    place = __package__.rpartition(".")[0] if name == "tail" else __package__
    return resources.files(place).joinpath(f"{name}.py").read_text("utf-8")


def _packed(launch: dict[str, Any]) -> str:
    return base64.b64encode(zlib.compress(json.dumps(launch).encode(), 9)).decode()
