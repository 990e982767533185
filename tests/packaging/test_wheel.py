"""The wheel in a bare environment: what a user gets from ``pip install``."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from jupyter_kube.localcluster import LocalCluster
from jupyter_kube.session import running_server
from tests.browser.setting import chromium, playwright

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]
ROOT = Path(__file__).parent.parent.parent
USERS_PATH = os.environ["PATH"]
CHROMIUM = chromium()
PROFILE = {"display_name": "Python on the cluster", "image": "python"}


def run(*argv: object, **env: str) -> str:
    """Run a command; returns its output, shows it if it fails."""
    done = subprocess.run(
        [str(arg) for arg in argv],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
    (path,) = folder.glob("*.whl")
    return path


def environment(folder: Path, *requirements: object) -> Path:
    """Make an environment of its own; returns its interpreter."""
    venv.create(folder, with_pip=not requirements)
    python = folder / "bin" / "python"
    if requirements:  # pip from here, and compiled when first run: half the time
        pip = (sys.executable, "-m", "pip", "--python", python)
        run(*pip, "install", "-q", "--no-compile", *requirements)
    return python


@pytest.fixture(scope="session")
def core(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel alone, and an IPython to load it in."""
    return environment(tmp_path_factory.mktemp("core") / "env", wheel, "ipython")


def test_the_wheel_holds_the_package_its_licence_and_its_switch(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    switch = "data/etc/jupyter/jupyter_server_config.d/jupyter_kube.json"
    assert any(name.endswith(switch) for name in names)
    assert any(name.startswith("jupyter_kube/event_schemas/") for name in names)
    strays = [n for n in names if n.split("/")[0] in {"tests", "bench", "docs", "examples"}]
    assert strays == []
    assert "jupyter_kube/examples/00-tour.ipynb" in names


def test_the_wheel_has_the_front_end_as_it_is_for_use(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    home = "data/share/jupyter/labextensions/jupyter-kube/"
    there = [name.partition(home)[2] for name in names if home in name]
    assert {"package.json", "install.json", "schemas/jupyter-kube/plugin.json"} <= set(there)
    assert any(name.startswith("static/remoteEntry.") for name in there)
    assert [name for name in names if name.endswith(".map")] == []


def without_node(python: Path) -> dict[str, str]:
    """Environment variables that leave nothing to be found but what is installed there."""
    return {"PATH": str(python.parent)}


@pytest.fixture
def unbuilt(tmp_path: Path) -> Path:
    """A checkout in which nothing of the front end was ever built."""
    leave = shutil.ignore_patterns(".yarn", "node_modules", "lib", "__pycache__")
    for name in ("jupyter_kube", "labextension", "etc", "examples"):
        shutil.copytree(ROOT / name, tmp_path / "tree" / name, ignore=leave)
    shutil.rmtree(tmp_path / "tree" / "jupyter_kube" / "labextension", ignore_errors=True)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "tree")
    return tmp_path / "tree"


def test_an_editable_install_without_node_goes_without_the_front_end_and_says_so(
    unbuilt: Path, tmp_path: Path
) -> None:
    python = environment(tmp_path / "env")
    install = (python, "-m", "pip", "install", "-v", "--no-deps", "--editable", unbuilt)
    told = run(*install, **without_node(python))
    assert "The JupyterLab extension is not built: no node here." in told
    assert "Successfully installed jupyter-kube" in told


def test_a_wheel_is_not_built_without_its_front_end(unbuilt: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "env")
    done = subprocess.run(
        [python, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path / "wheels", unbuilt],
        env={**os.environ, **without_node(python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "The JupyterLab extension cannot be built: no node here." in done.stdout + done.stderr


def test_a_source_distribution_becomes_a_wheel_without_node(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--sdist", "--outdir", tmp_path, ROOT)
    (source,) = tmp_path.glob("*.tar.gz")
    python = environment(tmp_path / "env")
    again = (python, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, source)
    run(*again, **without_node(python))
    (built,) = tmp_path.glob("*.whl")
    assert sorted(zipfile.ZipFile(built).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="session")
def lab(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel beside JupyterLab, and nothing else."""
    folder = tmp_path_factory.mktemp("lab")
    return environment(folder / "env", f"{wheel}[server]", "jupyterlab")


@pytest.fixture
def bare(lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, in which servers are started from now on, with nothing of this user's."""
    clean = {"JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "HOME": str(tmp_path)}
    for name, value in {**clean, **without_node(lab)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(sys, "executable", str(lab))
    return lab


def test_with_the_server_extra_the_extension_is_on_and_kernelspecs_are_there(
    bare: Path, tmp_path: Path
) -> None:
    listed = run(bare.parent / "jupyter", "server", "extension", "list")
    assert "jupyter_kube enabled" in " ".join(listed.replace("\x1b[32m", "").split())

    async def kernelspecs() -> dict[str, object]:
        async with running_server(tmp_path, {}) as server:
            return (await server.request("GET", "api/kernelspecs"))["kernelspecs"]

    assert set(asyncio.run(kernelspecs())) == {"python3", "kube-python"}


def test_jupyterlab_shows_all_of_it_without_node(
    bare: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert shutil.which("node") is None

    async def shown(kubeconfig: Path) -> int:
        cluster = {"kubeconfig": str(kubeconfig), "profiles": {"cpu": PROFILE}}
        settings = {"KubeConfig": cluster, "LabApp": {"news_url": None}}
        async with running_server(tmp_path, settings, app="jupyterlab") as server:
            told = {"BARE_URL": server.url, "BARE_TOKEN": server.token, "PATH": USERS_PATH}
            return await playwright(["--project=bare"], CHROMIUM=CHROMIUM, **told)

    with LocalCluster().run_in_thread() as cluster:
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        assert asyncio.run(shown(tmp_path / "kubeconfig")) == 0, capfd.readouterr().out


def test_without_extras_the_magics_load_quickly_and_alone(core: Path) -> None:
    code = (
        "import json, sys; from IPython.core.interactiveshell import InteractiveShell;"
        "shell = InteractiveShell.instance(); before = set(sys.modules);"
        "shell.run_line_magic('load_ext', 'jupyter_kube');"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    loaded = json.loads(run(core, "-c", code).splitlines()[-1])
    assert "jupyter_kube.magics" in loaded
    heavy = {"kubernetes", "aiohttp", "tornado", "cloudpickle", "jupyter_server"}
    assert heavy & set(loaded) == set()


def test_the_command_runs_from_the_bare_core(core: Path) -> None:
    assert "demo" in run(core.parent / "jupyter-kube", "--help")


RELY_ON_JUPYTER = (
    "tests/kernels/test_manager_adapter.py",
    "tests/kernels/test_server_v1.py",
    "tests/kernels/test_activity.py",
    "tests/test_app.py",
    "tests/widgets/test_panel.py",
)


def test_the_lowest_versions_of_jupyter_will_do(tmp_path: Path) -> None:
    """CI has the newest; what touches private parts of Jupyter is run with the others, too."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    lowest = [each.replace(">=", "==") for each in extras["server"] if "jupyter" in each]
    python = environment(tmp_path / "env", f"{ROOT}[test]", "ipykernel==7.3", *lowest)
    own = {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": "-q -p no:cacheprovider"}
    run(python, "-m", "pytest", *RELY_ON_JUPYTER, **own)
