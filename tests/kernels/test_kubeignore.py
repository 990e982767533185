"""The rules of a .kubeignore mean what git means by them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_kube.kernels.folder import Folder
from jupyter_kube.kernels.kubeignore import DEFAULT, FILE, Ignore


@pytest.mark.parametrize(
    ("rule", "path", "folder", "expected"),
    [
        ("*.csv", "a.csv", False, True),
        ("*.csv", "deep/down/a.csv", False, True),
        ("/*.csv", "deep/a.csv", False, False),
        ("data/", "data", True, True),
        ("data/", "data", False, False),
        ("data/raw", "x/data/raw", True, False),
        ("data/**", "data", True, False),
        ("data/**", "data/a/b", False, True),
        ("**/raw", "raw", True, True),
        ("a/**/z", "a/z", False, True),
        ("a/**/z", "a/b/c/z", False, True),
        ("a*", "a/b", False, False),
        ("[!a]x", "bx", False, True),
        ("[!a]x", "/x", False, False),
        ("[b-d]x", "cx", False, True),
        ("[x", "[x", False, True),
        (r"\#x", "#x", False, True),
        (r"\!x", "!x", False, True),
        ("# note", "# note", False, False),
        ("x \t ", "x", False, True),
        ("x\\  ", "x ", False, True),
        ("x\\  ", "x", False, False),
        ("x\r\n", "x", False, True),
        ("", "x", False, False),
        ("/", "x", True, False),
        ("a" * 2000, "a" * 2000, False, False),
    ],
)
def test_a_rule(rule: str, path: str, folder: bool, expected: bool) -> None:
    assert Ignore([rule])(path, folder=folder) is expected


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("**/a/" * 60 + "z", "a/" * 400 + "b"),
        ("*a" * 60 + "z", "a" * 400),
        (" " * 300_000 + "x", "x"),
        ("**/" + "*a" * 30 + "/" + "**/" * 30 + "x", "/".join(["a" * 200] * 30)),
    ],
)
def test_rules_with_many_stars_take_no_time(rule: str, path: str) -> None:
    assert not Ignore([rule])(path, folder=False)  # tried in all ways it would take years


def test_what_never_travels_unless_it_is_taken_back() -> None:
    for name in (".git", "__pycache__", ".ipynb_checkpoints", "node_modules", ".venv"):
        assert Ignore()(f"some/{name}", folder=True)
        assert not Ignore()(f"some/{name}", folder=False)
        assert not Ignore([f"!{name}/"])(f"some/{name}", folder=True)


def test_the_last_rule_that_matches_decides() -> None:
    ignored = Ignore(["*.csv", "!small.csv", "old/small.csv"])
    assert ignored("big.csv", folder=False)
    assert not ignored("new/small.csv", folder=False)
    assert ignored("old/small.csv", folder=False)


NAMES = st.sampled_from(
    ["a", "b", "ab", ".a", "*", "?", "**", "a*", "*b", "?b", "[ab]", "[!a]", "[a-z]?", r"\a", "***"]
)
RULES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(NAMES, min_size=1, max_size=3).map("/".join),
    st.sampled_from(["", "", "/"]),
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", path], check=True)
    return path / ".git"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for first in ("a", "b", "ab", ".a"):
        for second in ("a", "b", "ab"):
            (root / first / second).mkdir(parents=True)
            for third in ("a", "bb", "ab"):
                (root / first / second / third).touch()
        (root / first / "bb").touch()
    (root / "bb").touch()
    return root


@given(st.lists(RULES, max_size=4))
@settings(max_examples=150, deadline=None)
def test_the_rules_mean_what_git_means(tree: Path, repository: Path, rules: list[str]) -> None:
    written = repository / "rules"
    written.write_text("\n".join([*DEFAULT, *rules]))
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--others", f"--exclude-from={written}"],
        cwd=tree,
        env={**os.environ, "GIT_DIR": str(repository), "GIT_WORK_TREE": str(tree)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert set(Folder(tree, ignore=rules).listing(digests=False).files) == set(
        filter(None, listed.split("\0"))
    )


@given(st.lists(st.text(max_size=20), max_size=5), st.text(min_size=1, max_size=20))
def test_any_text_is_a_rule_and_any_name_can_be_asked_for(rules: list[str], name: str) -> None:
    assert Ignore(rules)(name, folder=False) in {True, False}


def test_the_rules_are_read_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "x.log").touch()
    (tmp_path / "y.txt").touch()
    (tmp_path / FILE).write_bytes(b"*.log\n\xff\n")
    assert set(Folder(tmp_path).listing(digests=False).files) == {FILE, "y.txt"}
