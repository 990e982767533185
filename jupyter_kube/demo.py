"""``jupyter kube demo``: the whole way from a notebook to a cluster and back, in one command.

It does what a user does: a real Jupyter Server, a session on an example notebook, a kernel that is
a pod, and a cell that trains on two workers. Or it opens JupyterLab on a tour through all there is.
Without a cluster all of it runs on the local one.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import html
import json
import shutil
import signal
import sys
import tempfile
import webbrowser
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import config, naming, needs
from .errors import KubeError
from .kube import objects
from .kube.client import KubeClient
from .kube.watch import Reflector
from .messages import Message
from .models import Profile
from .session import JupyterServer, KernelSocket, ServerError, running_server

NOTEBOOK = "01-digits.ipynb"
TOUR = "00-tour.ipynb"
_FRAMEWORKS = ("tensorflow", "tf_keras", "sklearn")
"""Modules that the notebook imports."""
_PROFILES = {
    "python": {"display_name": "Python on the local cluster"},
    "gpu": {
        "display_name": "One GPU (pretended)",
        "gpus": 1,
        "options": {"gpus": {"min": 1, "max": 4}, "memory": {"max": "8Gi"}},
    },
}
_PATIENCE = 60  # seconds for a pod's end
_TEXT_BROWSERS = {"www-browser", "links", "elinks", "lynx", "w3m"}


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    context: str = ""
    namespace: str = ""
    profile: str = ""
    lab: bool = False
    keep: bool = False


def run(options: Options) -> int:
    """Run the demo; returns the exit code: 1 if a cell failed, 130 after Ctrl-C."""
    try:
        _check(options)
        with _like_ctrl_c(), _cluster(options) as settings:
            return asyncio.run(_demo(options, settings))
    except (KubeError, ServerError, ConnectionError) as error:
        print(f"The demo cannot go on. {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


@contextmanager
def _like_ctrl_c() -> Iterator[None]:
    """Have a closed terminal and a plain ``kill`` end the demo as Ctrl-C does, cleaning up."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # A shell's background job ignores Ctrl-C, and would then ignore the others as well.
    usual = {signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler)}
    for number in numbers:
        usual[number] = signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def _check(options: Options) -> None:
    """Refuse what cannot work, before anything is started."""
    if options.lab:
        needs.modules("`--lab`", needs.from_checkout("lab"), "jupyterlab")
    if not options.context:  # there, pods are made of what is installed here
        needs.local_cluster()
        needs.modules("The demo on the local cluster", needs.from_checkout("demo"), *_FRAMEWORKS)


@contextmanager
def _cluster(options: Options) -> Iterator[config.KubeConfig]:
    """Give the settings of the cluster asked for, or of a fresh local one."""
    if options.context:
        yield config.load(context=options.context, namespace=options.namespace)
        return
    from .localcluster import LocalCluster

    with tempfile.TemporaryDirectory(prefix="jk-demo-") as folder:
        print("Starting a local cluster on this machine …", flush=True)
        with LocalCluster().run_in_thread() as cluster:
            kubeconfig = Path(folder, "kubeconfig")
            cluster.write_kubeconfig(kubeconfig)
            yield config.KubeConfig(
                kubeconfig=str(kubeconfig),
                namespace=options.namespace or "default",
                profiles=_PROFILES,
                default_profile="python",
            )


async def _demo(options: Options, settings: config.KubeConfig) -> int:
    client = await KubeClient.connect(settings)
    places = _Places(client)
    try:
        settings.namespace = client.namespace
        profile = settings.profile(options.profile)
        try:
            with _workspace(profile.name) as folder:
                async with _server(folder, settings, lab=options.lab) as server:
                    try:
                        if options.lab:
                            return await _stay_open(server, folder)
                        return await _run_notebook(server, places, folder, profile)
                    finally:
                        await places.note_kernels(server)
        finally:
            await places.clear(keep_jobs=options.keep)
    finally:
        await client.close()


@contextmanager
def _workspace(profile: str) -> Iterator[Path]:
    """Make a folder with copies of the example notebooks, whose kernels come from a profile."""
    with tempfile.TemporaryDirectory(prefix="jk-demo-") as name:
        folder = Path(name)
        shutil.copytree(examples(), folder / "notebooks")
        for path in (folder / "notebooks").glob("*.ipynb"):
            notebook = json.loads(path.read_text(encoding="utf-8"))
            notebook["metadata"]["kernelspec"]["name"] = f"kube-{profile}"
            path.write_text(json.dumps(notebook), encoding="utf-8")
        yield folder


def examples() -> Path:
    """Find the examples: beside the package in a checkout, or inside an installed wheel."""
    here = Path(__file__).parent
    for folder in (here.parent / "examples", here / "examples"):
        if (folder / NOTEBOOK).exists():
            return folder
    raise KubeError("the example notebooks are not installed")


def _server(folder: Path, settings: config.KubeConfig, *, lab: bool) -> Any:
    """Run a server that shares our settings."""
    chosen = {
        key: getattr(settings, key)
        for key in ("kubeconfig", "context", "namespace", "profiles", "default_profile")
    }
    if not lab:
        return running_server(folder, {"KubeConfig": chosen})
    own = {"LabApp": {"workspaces_dir": str(folder / "workspaces"), "news_url": None}}
    return running_server(folder, {"KubeConfig": chosen, **own}, app="jupyterlab")


async def _stay_open(server: JupyterServer, folder: Path) -> int:
    """Open the user's browser on the tour, where there is one, until Ctrl-C."""
    address = f"{server.url}/lab/tree/{TOUR}?token={server.token}"
    print(
        f"JupyterLab is at {address}: open it yourself if no browser does. Ctrl-C ends it.",
        flush=True,
    )
    await asyncio.to_thread(_browse, address, folder / "open.html")
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return 0


def _browse(address: str, page: Path) -> None:
    """Open the browser on an address that is a secret, by a page that only its user may read.

    A program's arguments may be read by everybody on the machine.
    """
    try:
        name = getattr(webbrowser.get(), "name", "")
    except webbrowser.Error:
        return
    if Path(name).name in _TEXT_BROWSERS:  # it would take over the terminal
        return
    page.touch(0o600, exist_ok=False)
    refresh = f'<meta http-equiv="refresh" content="0; url={html.escape(address)}">'
    page.write_text(f"<!DOCTYPE html>{refresh}", encoding="utf-8")
    webbrowser.open(page.as_uri())  # and by the next one where the first cannot


async def _run_notebook(
    server: JupyterServer, places: _Places, folder: Path, profile: Profile
) -> int:
    """Open a session on the notebook, run its cells, say where they ran."""
    print(f"Starting a kernel from the profile {profile.name} …", flush=True)
    session = await server.request(
        "POST",
        "api/sessions",
        {
            "path": NOTEBOOK,
            "name": NOTEBOOK,
            "type": "notebook",
            "kernel": {"name": f"kube-{profile.name}"},
        },
    )
    kernel_id = session["kernel"]["id"]
    try:
        async with places.watch(kernel_id):
            kernel = await server.connect(kernel_id)
            kernel.on_message = _Screen().show
            try:
                await _check_image(kernel, profile)
                for source in _code_cells(folder / "notebooks" / NOTEBOOK):
                    if not await _run_cell(kernel, source):
                        return 1
            finally:
                kernel.close()
    finally:
        await server.request("DELETE", f"api/sessions/{session['id']}")
    print("\nWhere things ran:")
    for line in sorted(places.lines.values()):
        print(f"  {line}")
    return 0


async def _check_image(kernel: KernelSocket, profile: Profile) -> None:
    """Refuse a pod without the modules that the notebook imports; only the pod can tell."""
    missing = (
        f"[name for name in {_FRAMEWORKS} if not __import__('importlib.util').util.find_spec(name)]"
    )
    content = {"code": "", "silent": True, "user_expressions": {"missing": missing}}
    reply = await kernel.collect(kernel.send("execute_request", content))
    answer = reply.content.get("user_expressions", {}).get("missing", {})
    names = ast.literal_eval(answer.get("data", {}).get("text/plain", "[]"))
    if names:
        raise KubeError(
            f"{NOTEBOOK} imports {', '.join(names)}",
            f"not in the image {profile.image} of the profile {profile.name}",
            "Name another with --profile, or one more in your settings whose image has them.",
        )


def _code_cells(path: Path) -> list[str]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


async def _run_cell(kernel: KernelSocket, source: str) -> bool:
    print("\n" + "\n".join(f"  | {line}" for line in source.splitlines()), flush=True)
    reply = await kernel.run(source)
    if reply.status == "ok":
        return True
    print("\n".join(reply.content.get("traceback", [])), file=sys.stderr)
    return False


class _Screen:
    """Prints what cells show; of a display that is updated, only its changed first line."""

    def __init__(self) -> None:
        self._header = ""

    def show(self, message: Message) -> None:
        """Print one message, if it is for people."""
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            print(content["text"], end="", flush=True)
        elif kind in {"execute_result", "display_data", "update_display_data"}:
            text = content["data"].get("text/plain", "")
            if kind == "execute_result":
                print(text, flush=True)
                return
            header = text.partition("\n")[0]
            if _without_time(header) != _without_time(self._header):
                self._header = header
                print(header, flush=True)


def _without_time(header: str) -> str:
    """Drop the elapsed time, which alone is no news."""
    return " ".join(header.partition(",")[0].split())


class _Places:
    """Remembers kernels of the demo, and where they and their jobs ran."""

    def __init__(self, client: KubeClient) -> None:
        self.client = client
        self.kernels: set[str] = set()
        self.lines: dict[str, str] = {}

    @asynccontextmanager
    async def watch(self, kernel_id: str) -> AsyncIterator[None]:
        """Note each pod of a kernel and of its jobs that appears meanwhile."""
        self.kernels.add(kernel_id)
        selector = naming.selector(kernel_id=kernel_id)
        pods = Reflector(self.client, objects.PODS, labels=selector)
        await pods.start()
        pods.subscribe(self._note)
        try:
            yield
        finally:
            await pods.close()

    def _note(self, _kind: str, pod: dict[str, Any]) -> None:
        meta, node, ip = pod["metadata"], pod["spec"].get("nodeName"), pod["status"].get("podIP")
        if node and ip:
            component = meta["labels"][naming.COMPONENT]
            self.lines[meta["name"]] = f"{component:<7} {meta['name']} on node {node} at {ip}"

    async def note_kernels(self, server: JupyterServer) -> None:
        """Remember the kernels that the server has, those that are starting included."""
        with contextlib.suppress(OSError, ServerError):
            models = await server.request("GET", "api/kernels", timeout=5)
            self.kernels.update(model["id"] for model in models)

    async def clear(self, *, keep_jobs: bool = False) -> None:
        """Remove the kernels and their jobs; wait until none of the pods is left."""
        for kernel_id in self.kernels:
            ours = naming.selector(kernel_id=kernel_id)
            kernel = naming.selector(kernel_id=kernel_id, component="kernel")
            await objects.delete_all(self.client, objects.PODS, kernel)
            if not keep_jobs:
                await objects.delete_all(self.client, objects.JOBS, ours)
            await self._gone(kernel if keep_jobs else ours)
        if self.kernels:
            print(f"Nothing of the demo is left on the cluster{' but its job' * keep_jobs}.")

    async def _gone(self, selector: str) -> None:
        pods = Reflector(self.client, objects.PODS, labels=selector)
        await pods.start()
        try:
            await pods.synced()
            for name in list(pods.items):
                await pods.wait_for(name, lambda pod: pod is None or None, _PATIENCE)
        except TimeoutError as error:
            raise KubeError(
                "pods of the demo are still there",
                f"they have not ended within {_PATIENCE} s",
                "See `jupyter kube ls`.",
            ) from error
        finally:
            await pods.close()
