"""Packages that a cell asks for: which are requirements, and what pip makes of them in a pod."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_kube.errors import InvalidInput
from jupyter_kube.train import options
from jupyter_kube.train.install import _missing

from .workers import Workers


@pytest.mark.parametrize(
    "text",
    [
        "einops",
        "einops==0.8.1",
        "einops >=0.8, <1",
        "ruamel.yaml[jinja2,libyaml]~=0.18",
        "x @ https://packages.example/x-1-py3-none-any.whl",
        "x @ git+https://git.example/x@main",
        "x @ git+ssh://git@git.example/a/x@main#subdirectory=x",
        'tomli; python_version < "3.11"',
        "x===1.0+local",
    ],
)
def test_requirements(text: str) -> None:
    assert options.requirements([text, text]) == (text,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-r requirements.txt",
        "--index-url=https://elsewhere.example",
        "einops --index-url https://elsewhere.example",
        "einops\n--index-url https://elsewhere.example",
        "./folder",
        "/etc/passwd",
        "einops==",
        "einops=1",
        "x @ /tmp/x.whl",
        "a" * 501,
        "a" + " " * 400 + "!",
    ],
)
def test_what_is_no_requirement(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no requirement: write a package"):
        options.requirements([text])


@pytest.mark.parametrize(
    "text",
    [
        "x @ git+https://ann:SECRET@git.example/x",
        "x @ https://SECRET@git.example/x.whl",
        "x @ git+https://git:SECRET@git.example/x",
        "x @ git+https://git@SECRET@git.example/x",
        "git+https://ann:SECRET@git.example/x",
    ],
)
def test_credentials_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidInput, match="env_from_secrets") as raised:
        options.requirements([text])
    assert "SECRET" not in str(raised.value)


def test_a_package_in_a_folder_of_a_repository_is_installed_from_there() -> None:
    vcs = {"vcs_info": {"vcs": "git", "commit_id": "c0"}, "url": "https://git.example/all"}
    archive = {"archive_info": {}, "url": "https://git.example/all.zip"}
    about = {"metadata": {"name": "x"}, "is_direct": True}
    found = [
        {**about, "download_info": {**source, **inside}}
        for source in (vcs, archive)
        for inside in ({"subdirectory": "a/x"}, {})
    ]
    assert _missing(found) == [
        "x @ git+https://git.example/all@c0#subdirectory=a/x",
        "x @ git+https://git.example/all@c0",
        "x @ https://git.example/all.zip#subdirectory=a/x",
        "x @ https://git.example/all.zip",
    ]


PARTS = st.sampled_from(["[a]", "==1", ">= 0.8", ",", ";", "@ https://h/x.whl"]) | st.text(
    max_size=3
)
OPTION = st.sampled_from(["-r", "--index-url", "-", "-e"])


@settings(deadline=None)
@given(st.lists(PARTS, max_size=3), OPTION, st.text(max_size=5), st.sampled_from(" \t\n"))
def test_no_requirement_is_an_option_or_holds_one(
    parts: list[str], option: str, rest: str, between: str
) -> None:
    text = between.join(["einops", *parts, option, rest])
    try:
        (found,) = options.requirements([text])
    except InvalidInput:
        return
    before = found.partition(";")[0]
    assert not any(word.startswith("-") for word in before.split())


def wheel(folder: Path, name: str, code: str, *needs: str) -> None:
    """Build a package of one module, which needs others."""
    about = f"{name}-1.0.dist-info"
    needed = "".join(f"Requires-Dist: {each}\n" for each in needs)
    files = {
        f"{name}.py": code,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needed}",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": "",
        f"{about}/entry_points.txt": f"[console_scripts]\n{name}-tool = {name}:main\n",
    }
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.fixture
def index(tmp_path: Path) -> dict[str, str]:
    """Variables of a profile whose pods get packages from a folder."""
    code = "import {0}numpy\ndef main(): print('tool', {1})\n"
    wheel(tmp_path, "jk_needy", code.format("jk_base, ", "jk_base.K"), "jk_base==1.0", "numpy>=1")
    wheel(tmp_path, "jk_base", "K = 7\ndef main(): pass\n")
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_USER": "1"}


def test_packages_are_installed_once_with_what_the_image_lacks(index: dict[str, str]) -> None:
    source = """
import os, subprocess, jk_needy, numpy
where = os.environ["JUPYTER_KUBE_SCRATCH"]
assert jk_needy.__file__.startswith(where) and not numpy.__file__.startswith(where)
if kube.generation == 1:
    os.kill(os.getpid(), 9)
print(subprocess.run(["jk_needy-tool"], capture_output=True, text=True, check=True).stdout, end="")
"""
    with Workers(source, workers=1, env=index, pip=("jk-needy",)).start() as job:
        assert job.codes() == [0], job.pods[0].raw
        said = [line for line in job.pods[0].lines if not line.endswith("\r")]
        assert said[0] == "installing jk-needy …"
        assert said[1] == "installed jk_base 1.0, jk_needy 1.0"
        assert said[2:] == ["tool 7"]
        assert any(line.startswith("pip: ") for line in job.pods[0].lines if line.endswith("\r"))


def test_what_cannot_be_installed_fails_the_job_in_words(index: dict[str, str]) -> None:
    asked = ("jk-base", "jk-nowhere>=2")
    with Workers("1 / 0", workers=2, env=index, pip=asked).start() as job:
        assert job.codes() == [42, 42]
        words = "could not install jk-nowhere>=2: No matching distribution found for jk-nowhere>=2"
        end = job.pods[0].of("end")[-1].data
        assert end["text"].endswith(f"cannot run the cell: {words}")
        assert end["about"]["message"] == words
