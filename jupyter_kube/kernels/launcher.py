"""The first thing that runs in a kernel's container: start the kernel, then supervise it.

Everything up to the kernel's start delays it, so this module imports next to nothing; the rest is
imported while the kernel loads. This module travels into pods: standard library only.
"""

from __future__ import annotations

import json
import os
import pwd
import sys

TYPE_CHECKING = False  # typing's own would cost its import
if TYPE_CHECKING:
    from typing import Any

_USER_FOLDERS = (
    "IPYTHONDIR",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
    "MPLCONFIGDIR",
    "NUMBA_CACHE_DIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
)
_CLIENT = "jupyter_kube_pod"  # a name that stands in nobody's way
_NOTEBOOK = "JPY_SESSION_NAME"
_LONGEST_FOLDER = 80
"""Characters of the private folder: a unix socket's path ends at 107."""


def main(launch: dict[str, Any]) -> None:
    """Start the kernel and supervise it until the pod's end; does not return."""
    try:
        base = Base(launch)
        first = base.start_kernel(1)
    except OSError as error:
        leave_word(f"the kernel cannot be started: {error}")
        raise
    from .supervisor import run

    sys.exit(run(base, first))


class Base:
    """What all generations of the kernel have in common: keys, environment, a private folder."""

    def __init__(self, launch: dict[str, Any]) -> None:
        self.launch = launch
        self.key: bytes = launch["key"].encode()
        self.options: dict[str, Any] = launch["options"]
        self.argv: list[str] = self.options.get("argv") or [
            "-m",
            "ipykernel_launcher",
            "-f",
            "{connection_file}",
            f"--IPKernelApp.extra_extensions={_CLIENT}",
        ]
        env = dict(os.environ)
        self.folder = private_folder(env)
        self.env = user_environment(env, launch.get("username") or "", self.folder)
        self.known = f"{self.folder}/known"
        """Path of the file with what the server and the kernel's folder both have."""
        if folder := self.options.get("cwd"):
            # Beside it, where it outlives the container as the files may do.
            self.known = f"{os.getcwd()}/.jupyter-kube-known"  # noqa: PTH109
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
            os.chdir(folder)
        self._offer_client()
        # With it a kernel ends soon after a supervisor that was killed; ignored where that is 1.
        self.env["JPY_PARENT_PID"] = str(os.getpid())

    def name_notebook(self, path: str) -> None:
        """Tell the kernel whose it is, this process and the next ones; see podclient.py."""
        self.env[_NOTEBOOK] = path
        with open(f"{self.folder}/lib/notebook", "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(path)

    @property
    def companion(self) -> str:
        """The path of the companion's socket."""
        return f"{self.folder}/c"

    @property
    def lending(self) -> str:
        """The path of the socket at which a kernel lends its standard error."""
        return f"{self.folder}/e"

    @property
    def errands(self) -> str:
        """The path of the socket at which the kernel asks its server for something."""
        return f"{self.folder}/a"

    def _offer_client(self) -> None:
        """Put podclient.py where the kernel can import it; it takes itself off the path."""
        folder = f"{self.folder}/lib"
        os.mkdir(folder, 0o700)  # noqa: PTH102
        with open(f"{folder}/{_CLIENT}.py", "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(self.launch["source"]["podclient"])
        given = self.env.get("PYTHONPATH")
        self.env["PYTHONPATH"] = f"{given}:{folder}" if given else folder

    def clean_up(self) -> None:
        """Remove the private folder, unless the user's home is in it."""
        import shutil

        shutil.rmtree(f"{self.folder}/lib", ignore_errors=True)
        for path in (self.companion, self.errands, f"{self.folder}/known"):
            try:
                os.unlink(path)  # noqa: PTH108
            except OSError:
                continue
        try:  # noqa: SIM105 - contextlib's import would delay the start
            os.rmdir(self.folder)  # noqa: PTH106
        except OSError:
            pass

    def start_kernel(self, generation: int) -> Kernel:
        """Start a kernel process of the given generation, in a process group of its own."""
        folder = f"{self.folder}/{generation}"
        os.mkdir(folder, 0o700)  # noqa: PTH102 - pathlib's import would delay the start
        connection_file = f"{folder}/kernel-{self.launch['kernel_id']}.json"
        info = connection_info(self.launch, f"{folder}/k")
        fd = os.open(connection_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(info, file)
        arguments = [arg.replace("{connection_file}", connection_file) for arg in self.argv]
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, *arguments],
            self.env,
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
            setpgroup=0,
        )
        return Kernel(generation, pid, folder)


class Kernel:
    """One kernel process."""

    def __init__(self, generation: int, pid: int, folder: str) -> None:
        self.generation, self.pid, self.folder = generation, pid, folder

    def socket(self, number: int) -> str:
        """Return the path of the n-th socket, from 1."""
        return f"{self.folder}/k-{number}"

    def signal(self, signum: int) -> None:
        """Signal the process and all it started, as far as they are still there."""
        try:  # noqa: SIM105 - contextlib's import would delay the start
            os.killpg(self.pid, signum)
        except ProcessLookupError:
            pass

    def clean_up(self) -> None:
        """Remove the folder of a process that ended."""
        try:
            for name in os.listdir(self.folder):  # noqa: PTH208
                os.unlink(f"{self.folder}/{name}")  # noqa: PTH108
            os.rmdir(self.folder)  # noqa: PTH106
        except OSError as error:
            print(f"{self.folder} stays: {error}", file=sys.stderr)


def connection_info(launch: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Build the content of a kernel's connection file, for sockets at ``<prefix>-1`` to 5."""
    info = {
        "transport": "ipc",
        "ip": prefix,
        "shell_port": 1,
        "iopub_port": 2,
        "stdin_port": 3,
        "control_port": 4,
        "hb_port": 5,
        "key": launch["key"],
        "signature_scheme": "hmac-sha256",
        "kernel_name": launch["kernel_name"],
    }
    if launch.get("curve_secretkey"):
        info["curve_publickey"] = launch["curve_publickey"]
        info["curve_secretkey"] = launch["curve_secretkey"]
    return info


def private_folder(env: dict[str, str]) -> str:
    """Make a folder for sockets that only this user can enter, with a short path.

    Raises
    ------
    OSError
        If none of the usual places is writable.

    """
    name = f"jk-{os.urandom(4).hex()}"
    places = [env.get("TMPDIR", ""), "/tmp", "/dev/shm", env.get("HOME", "")]  # noqa: S108
    for place in places:
        folder = f"{place.rstrip('/')}/{name}"
        if place.startswith("/") and len(os.fsencode(folder)) <= _LONGEST_FOLDER:
            try:
                os.mkdir(folder, 0o700)  # noqa: PTH102
            except OSError:
                continue
            return folder
    raise OSError(f"none of {', '.join(filter(None, places))} is writable: mount an emptyDir there")


def user_environment(env: dict[str, str], username: str, folder: str) -> dict[str, str]:
    """Complete an environment so that the kernel's user has a name and a home.

    Pods often run as a uid the image does not know: HOME is then ``/`` and there is no name, on
    which ``getpass.getuser()`` and everything with a cache folder fails.
    """
    env = dict(env)
    try:
        entry = pwd.getpwuid(os.getuid())
        name, home = entry.pw_name, entry.pw_dir
    except KeyError:
        name, home = username or "jupyter", ""
    for variable in ("USER", "LOGNAME"):
        if not env.get(variable):
            env[variable] = name
    homes = [h for h in (env.get("HOME", ""), home) if h not in {"", "/"} and _writable(h)]
    if not homes:
        homes = [f"{folder}/home"]
        os.mkdir(homes[0], 0o700)  # noqa: PTH102
    env["HOME"] = homes[0]
    for variable in _USER_FOLDERS:
        if variable in env and not _writable(env[variable]):
            del env[variable]  # its default is below HOME
    return env


def _writable(path: str) -> bool:
    """Return whether a folder is writable, or can be made."""
    while path and path != "/" and not os.path.exists(path):  # noqa: PTH110
        path = os.path.dirname(path)  # noqa: PTH120
    return os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)  # noqa: PTH112


def leave_word(reason: str) -> None:
    """Write why the container ends to where Kubernetes shows it in the pod's status."""
    try:
        # "r+": only where it exists
        with open("/dev/termination-log", "r+", encoding="utf-8") as file:  # noqa: PTH123
            file.write(reason)
    except OSError:
        print(reason, file=sys.stderr)
