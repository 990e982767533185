"""What the browser tests run against: a cluster, and JupyterLab on it twice, once without us."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.session import JupyterServer, running_server

ROOT = Path(__file__).parent.parent.parent
UI_TESTS = ROOT / "labextension" / "ui-tests"
BUILT = ROOT / "jupyter_kube" / "labextension"
PLAYWRIGHT = UI_TESTS / "node_modules" / ".bin" / "playwright"
_PACKAGES = ("chromium", "fonts-dejavu-core")
LAB, PLAIN = "browser", "browser-plain"
"""The servers' namespaces: neither sees the other's kernels and jobs."""
_QUIET = {"news_url": None, "check_for_updates_class": "jupyterlab.NeverCheckForUpdate"}


class Unprepared(Exception):
    """Something is missing on this machine; the text says how to get it."""


def build() -> None:
    """Install what the tests need: Chromium where there is none, and Playwright as locked."""
    if not shutil.which("chromium"):
        apt = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120")
        subprocess.run([*apt, "update"], check=True)
        subprocess.run([*apt, "install", "--no-install-recommends", "-y", *_PACKAGES], check=True)
    subprocess.run(["jlpm", "install", "--immutable"], cwd=UI_TESTS, check=True)


def check() -> None:
    """Refuse to start without what the tests need."""
    if not shutil.which("chromium"):
        raise Unprepared("There is no chromium. Next: python -m tests.browser build")
    if not PLAYWRIGHT.exists():
        raise Unprepared("Playwright is not installed. Next: python -m tests.browser build")
    if not BUILT.exists():
        raise Unprepared(
            "The front end is not built. "
            "Next: cd labextension && jlpm install --immutable && jlpm build"
        )


async def run(arguments: Sequence[str]) -> int:
    """Run Playwright against a fresh setting; returns its exit code."""
    async with (
        place((LAB, PLAIN)) as (folder, kubeconfig, image),
        serving(folder / "lab", galata(kubeconfig, image)) as lab,
        serving(folder / "plain", plain(kubeconfig, image)) as strict,
        serving(folder / "without", without()) as bare,
    ):
        return await playwright(
            arguments,
            CHROMIUM=chromium(),
            KUBECONFIG=str(kubeconfig),
            LAB_URL=lab.url,
            LAB_NAMESPACE=LAB,
            PLAIN_URL=strict.url,
            PLAIN_NAMESPACE=PLAIN,
            PLAIN_TOKEN=strict.token,
            WITHOUT_URL=bare.url,
            WITHOUT_TOKEN=bare.token,
        )


@asynccontextmanager
async def place(names: Sequence[str]) -> AsyncIterator[tuple[Path, Path, str]]:
    """Give a folder, and a cluster's kubeconfig and image, with these namespaces of our own."""
    with tempfile.TemporaryDirectory(prefix="jk-browser-") as name:
        folder = Path(name)
        with _cluster(folder, names) as (kubeconfig, image):
            os.environ["JUPYTER_CONFIG_DIR"] = str(folder / "config")  # not this user's own
            yield folder, kubeconfig, image


def chromium() -> str:
    """Find the browser, as :func:`build` has installed it."""
    return str(shutil.which("chromium"))


async def playwright(arguments: Sequence[str], **env: str) -> int:
    """Run Playwright with variables of its own; returns its exit code."""
    process = await asyncio.create_subprocess_exec(
        PLAYWRIGHT, "test", *arguments, cwd=UI_TESTS, env={**os.environ, **env}
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


@contextmanager
def _cluster(folder: Path, names: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Give a cluster's kubeconfig and its pods' image; its namespaces live as long as the block."""
    given = os.environ.get("JUPYTER_KUBE_TEST_KUBECONFIG")
    if given:
        with _namespaces(Path(given), names):
            yield Path(given), os.environ["JUPYTER_KUBE_TEST_IMAGE"]
        return
    with LocalCluster().run_in_thread() as cluster:
        kubeconfig = folder / "kubeconfig"
        cluster.write_kubeconfig(kubeconfig)
        with _namespaces(kubeconfig, names):
            yield kubeconfig, "python"


@contextmanager
def _namespaces(kubeconfig: Path, names: Sequence[str]) -> Iterator[None]:
    kubectl = ("kubectl", f"--kubeconfig={kubeconfig}")
    try:
        for name in names:
            subprocess.run([*kubectl, "create", "namespace", name], check=True)
        yield
    finally:
        subprocess.run([*kubectl, "delete", "namespace", *names, "--ignore-not-found"], check=True)


@asynccontextmanager
async def serving(folder: Path, settings: dict[str, Any]) -> AsyncIterator[JupyterServer]:
    """Run a JupyterLab with nothing of this user's, and the front end of this checkout."""
    offered = folder / "labextensions"
    offered.mkdir(parents=True)
    if BUILT.exists():
        (offered / "jupyter-kube").symlink_to(BUILT)
    more = {
        "LabServerApp": {
            "extra_labextensions_path": [str(offered), *settings.pop("labextensions")]
        },
        "FileContentsManager": {"delete_to_trash": False},
    }
    settings["LabApp"] = settings["LabApp"] | {
        "workspaces_dir": str(folder / "workspaces"),
        "user_settings_dir": str(folder / "settings"),
    }
    async with running_server(folder, {**more, **settings}, app="jupyterlab") as server:
        yield server


def plain(kubeconfig: Path, image: str) -> dict[str, Any]:
    """Build the settings of a server as users have it."""
    return {
        "KubeConfig": {
            "kubeconfig": str(kubeconfig),
            "namespace": PLAIN,
            "profiles": profiles(image),
        },
        "LabApp": _QUIET,
        "labextensions": [],
    }


def without() -> dict[str, Any]:
    """Build the settings of a server that has our front end, and not our server extension."""
    off = {"jpserver_extensions": {"jupyter_kube": False}}
    return {"ServerApp": off, "LabApp": _QUIET, "labextensions": []}


def galata(kubeconfig: Path, image: str) -> dict[str, Any]:
    """Build the settings of a server as galata expects it, with galata's helpers."""
    import jupyterlab.galata

    base = plain(kubeconfig, image)
    return {
        **base,
        "KubeConfig": {**base["KubeConfig"], "namespace": LAB},
        "LabApp": {**base["LabApp"], "expose_app_in_browser": True},
        "ServerApp": {"disable_check_xsrf": True},
        "IdentityProvider": {"token": ""},
        "labextensions": [str(Path(jupyterlab.galata.__file__).parent)],
    }


def profiles(image: str) -> dict[str, dict[str, Any]]:
    """Build the profiles that the tests choose from."""
    base = {"image": image, "cpu": "100m", "memory": "512Mi"}
    options = {"gpus": {"min": 0, "max": 99}, "memory": {"max": "1Gi"}}
    return {
        "cpu": {**base, "display_name": "Python on the cluster"},
        "gpu": {**base, "display_name": "One GPU", "gpus": 1, "options": options},
        "missing": {**base, "display_name": "No <i>such</i> image", "image": "localhost/missing:1"},
    }
