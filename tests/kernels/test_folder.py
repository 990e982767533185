"""Files travel within bounds, whole, and never out of their folder."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.kernels import writer as writers
from jupyter_kube.kernels.exchange import Report
from jupyter_kube.kernels.folder import (
    LIMITS,
    PART,
    PIECE,
    File,
    Folder,
    FolderError,
    Limits,
    Span,
    batches,
    check_path,
    size_text,
    spans,
)
from jupyter_kube.kernels.writer import Writer, beside


def put(root: Path, path: str, content: bytes | str = b"x", mode: int = 0o644) -> Path:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content.encode() if isinstance(content, str) else content)
    place.chmod(mode)
    return place


def file(path: str, content: bytes, mode: int = 0o644) -> File:
    return File(path, len(content), 10**18, mode, hashlib.sha256(content).hexdigest())


def write(
    root: Path, path: str, content: bytes, expected: str = "", mode: int = 0o644
) -> str | None:
    return Writer(Folder(root), "kernel").write(file(path, content, mode), expected, 0, content)


def copy(source: Path, target: Path) -> None:
    """Copy all files as the two ends do."""
    there = Folder(source)
    files = there.listing().files
    writer = Writer(Folder(target), "kernel")
    for batch in batches(spans(files.values())):
        for span, data in zip(batch, there.read(batch), strict=True):
            writer.write(files[span.path], "", span.offset, data)


def names(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


# --- listing -------------------------------------------------------------------------------------


def test_files_are_listed_with_size_mode_and_digest(tmp_path: Path) -> None:
    put(tmp_path, "run.sh", "echo", 0o4755)
    put(tmp_path, "sub/empty", b"")
    (tmp_path / "nothing").mkdir()
    listed = Folder(tmp_path).listing()
    assert set(listed.files) == {"run.sh", "sub/empty"}
    run = listed.files["run.sh"]
    assert (run.size, run.mode) == (4, 0o755)
    assert run.digest == hashlib.sha256(b"echo").hexdigest()


def test_links_pipes_and_sockets_do_not_travel(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(root, "real")
    put(tmp_path, "secret")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to("..")
    (root / "inside").symlink_to("real")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(root / "sock"))
        listed = Folder(root).listing()
    assert set(listed.files) == {"real"}
    assert set(listed.links) == {"out", "up", "inside", "pipe", "sock"}


def test_what_is_named_is_taken_though_rules_ignore_it(tmp_path: Path) -> None:
    for path in ("a.csv", "data/b.csv", "data/c.txt", "data/__pycache__/x", ".git/config"):
        put(tmp_path, path)
    folder = Folder(tmp_path, ignore=["data/", "*.csv"])
    assert set(folder.listing().files) == set()
    assert set(folder.listing(["data/"]).files) == {"data/c.txt"}
    assert set(folder.listing(["./a.csv", "data/b.csv"]).files) == {"a.csv", "data/b.csv"}
    assert set(folder.listing(["*.csv", "data/*.csv"]).files) == {"a.csv", "data/b.csv"}
    assert set(folder.listing(["."]).files) == set()


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "../*", "a//b", "x\0y", "~x/.."]
)
def test_a_name_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FolderError, match="not a path inside"):
        Folder(tmp_path).listing([name])


def test_what_is_no_pattern_is_said(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="a"):
        Folder(tmp_path).listing(["a**b"])


def test_a_name_that_nothing_has_is_said(tmp_path: Path) -> None:
    for name in ("data.csv", "*.csv"):
        with pytest.raises(FolderError, match=r'there is no ".*csv" in'):
            Folder(tmp_path).listing([name])


def test_a_name_behind_a_link_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "secret/key")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to("../secret")
    for name in ("link/key", "link/*"):
        with pytest.raises(FolderError, match="behind a link"):
            Folder(tmp_path / "root").listing([name])


def test_only_names_with_control_characters_stay_behind(tmp_path: Path) -> None:
    put(tmp_path, "fine")
    put(tmp_path, "a\nb")
    put(tmp_path, "sub\x1b[31m/inside")
    put(tmp_path, "sub/tab\there")
    listed = Folder(tmp_path).listing()
    assert set(listed.files) == {"fine"}
    assert sorted(listed.odd) == ["a\\nb", "sub/tab\\there", "sub\\x1b[31m"]
    report = Report(odd=listed.odd).words("the kernel")
    assert "Left behind for what is in their names: a\\nb, " in report


def test_too_much_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "small", b"x" * 10)
    put(tmp_path, "sub/large", b"x" * 3000)
    put(tmp_path, "larger", b"x" * 4000)
    monkeypatch.setattr(Folder, "digest", None)
    with pytest.raises(FolderError) as refused:
        Folder(tmp_path, Limits(size=5000)).listing()
    words = str(refused.value)
    assert "3 files of 6.85 KiB" in words
    assert "larger (3.91 KiB), sub/large (2.93 KiB), small (10 B)" in words
    assert ".kubeignore" in words
    assert "\n" not in words


def test_too_many_files_are_refused_without_looking_at_all(tmp_path: Path) -> None:
    for number in range(30):
        put(tmp_path, f"{number}")
    with pytest.raises(FolderError, match="30 files of 30 B, and up to 10 "):
        Folder(tmp_path, Limits(files=10)).listing()
    with pytest.raises(FolderError, match="more than 12 files, and up to 3 "):
        Folder(tmp_path, Limits(files=3)).listing()


def test_what_fits_is_listed_the_rest_is_named(tmp_path: Path) -> None:
    for name, size in (("large", 4000), ("small", 10), ("medium", 900)):
        put(tmp_path, name, b"x" * size)
    found = Folder(tmp_path, Limits(size=1000)).listing(fit=True)
    assert set(found.files) == {"small", "medium"}
    assert [file.path for file in found.left] == ["large"]
    found = Folder(tmp_path, Limits(files=1)).listing(fit=True)
    assert set(found.files) == {"small"}
    assert [file.path for file in found.left] == ["medium", "large"]


# --- writing -------------------------------------------------------------------------------------


def test_a_folder_arrives_as_it_was(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    target.mkdir()
    put(source, "big", os.urandom(2 * PIECE + 5))
    put(source, "exact", os.urandom(PIECE))
    put(source, "empty", b"")
    put(source, "a/b/run.sh", "echo", 0o750)
    put(source, "naïve 文.txt", "x")
    put(source, os.fsdecode(b"not-utf8-\xff"), "x")
    copy(source, target)
    assert Folder(target).listing() == Folder(source).listing()


def test_replacing_what_is_known_and_nothing_else(tmp_path: Path) -> None:
    put(tmp_path, "m.py", "old")
    old = hashlib.sha256(b"old").hexdigest()
    assert write(tmp_path, "m.py", b"new", old) == "m.py"
    assert write(tmp_path, "m.py", b"other", old) == "m.from-kernel.py"
    assert write(tmp_path, "m.py", b"other", old) == "m.from-kernel.py"  # has it already
    assert write(tmp_path, "m.py", b"third") == "m.from-kernel-2.py"
    assert write(tmp_path, "m.py", b"new") == "m.py"  # the same
    assert {p: (tmp_path / p).read_text() for p in names(tmp_path)} == {
        "m.py": "new",
        "m.from-kernel.py": "other",
        "m.from-kernel-2.py": "third",
    }


def test_a_deleted_file_comes_back(tmp_path: Path) -> None:
    assert write(tmp_path, "m.py", b"new", "0" * 64) == "m.py"


def test_a_folder_or_a_link_of_that_name_stays(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    assert write(tmp_path, "x", b"data") == "x.from-kernel"
    secret = put(tmp_path, "secret", "s")
    (tmp_path / "l.txt").symlink_to("secret")
    digest = hashlib.sha256(b"s").hexdigest()
    assert write(tmp_path, "l.txt", b"data", digest) == "l.from-kernel.txt"
    assert secret.read_text() == "s"
    assert (tmp_path / "l.txt").is_symlink()


@pytest.mark.parametrize(
    "path",
    [
        "/etc/x",
        "../x",
        "a/../../x",
        "..",
        ".",
        "",
        "a//x",
        "a/./x",
        "x/",
        "a\nb",
        "a\0b",
        "x" * 2000,
    ],
)
def test_a_path_outside_is_not_written(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(FolderError, match="not a path inside"):
        write(root, path, b"data")
    assert names(tmp_path) == set()


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "victim").mkdir()
    (root / "sub" / "link").symlink_to(tmp_path / "victim")
    for path in ("sub/link/x", "sub/link/deeper/x"):
        with pytest.raises(FolderError, match="behind a link"):
            write(root, path, b"data")
    assert names(tmp_path) == set()


def test_permissions_are_plain(tmp_path: Path) -> None:
    write(tmp_path, "x", b"data", mode=0o6755)
    assert (tmp_path / "x").stat().st_mode & 0o7777 == 0o755
    write(tmp_path, "y", b"data", mode=0o000)
    assert (tmp_path / "y").stat().st_mode & 0o7777 == 0o400


def test_a_file_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "PIECE", 2)
    writer = Writer(Folder(tmp_path), "kernel")
    half = file("x", b"abcd")
    assert writer.write(half, "", 0, b"ab") is None
    assert Folder(tmp_path).listing().files == {}
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_one_files_trouble_is_no_others(tmp_path: Path) -> None:
    writer = Writer(Folder(tmp_path), "kernel")
    good, bad = file("good", b"1234"), file("bad", b"1234")
    writer.write_all([(bad, "", 0, b"12"), (good, "", 0, b"1234"), (bad, "", 2, b"34")])
    assert writer.landed == {"good": "good"}
    assert list(writer.failed) == ["bad"]
    assert names(tmp_path) == {"good"}


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([(0, b"ab"), (3, b"d")], "out of order"),
        ([(2, b"cd")], "out of order"),
        ([(0, b"ab"), (0, b"ab"), (2, b"XX")], "changed while"),
        ([(0, b"abcdX")], "changed while"),
        ([(0, b"")], "changed while"),
        ([(0, b"ab"), (2, b"XX")], "changed while"),
    ],
)
def test_what_is_not_as_announced_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: list[tuple[int, bytes]], words: str
) -> None:
    monkeypatch.setattr(writers, "PIECE", 2)
    writer = Writer(Folder(tmp_path), "kernel")
    with pytest.raises(FolderError, match=words):  # noqa: PT012 - the last piece fails
        for offset, data in pieces:
            writer.write(file("x", b"abcd"), "", offset, data)
    assert list(tmp_path.iterdir()) == []


def test_more_than_was_agreed_is_refused(tmp_path: Path) -> None:
    writer = Writer(Folder(tmp_path), "kernel", Limits(files=2, size=10))
    with pytest.raises(FolderError, match="more files came"):
        writer.write(File("huge", 2**60, 0, 0o644, ""), "", 0, b"")
    with pytest.raises(FolderError, match="more files came"):
        Writer(Folder(tmp_path), "k").write(File("less", -1, 0, 0o644, ""), "", 0, b"")
    full = Writer(Folder(tmp_path / "full"), "kernel", Limits(files=5, size=10))
    (tmp_path / "full").mkdir()
    assert full.write(file("a", b"x" * 10), "", 0, b"x" * 10) == "a"
    for less in (File("less", -10, 0, 0o644, ""), file("b", b"x" * 10)):
        with pytest.raises(FolderError, match="more files came"):
            full.write(less, "", 0, b"x" * max(less.size, 0))
    many = Writer(Folder(tmp_path), "kernel", Limits(files=2, size=10))
    for name in "ab":
        many.write(file(name, b"x"), "", 0, b"x")
    with pytest.raises(FolderError, match="more files came"):
        many.write(file("c", b"x"), "", 0, b"x")
    assert names(tmp_path) >= {"a", "b"}
    assert not (tmp_path / "c").exists()


def test_names_that_differ_by_case_only_never_overwrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that ignores case, ``A`` is there when ``a`` is."""
    put(tmp_path, "a", "first")
    (tmp_path / "A").hardlink_to(tmp_path / "a")  # what such a file system shows
    assert write(tmp_path, "A", b"second") == "A.from-kernel"
    assert (tmp_path / "a").read_text() == "first"


def test_a_file_that_became_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    assert Folder(tmp_path).digest("x") == ""
    assert Folder(tmp_path).read([Span("x", 0, 1), Span("missing", 0, 1)]) == [b"", b""]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    put(tmp_path, "x")
    with pytest.raises(FolderError, match="x/y cannot be written: "):
        write(tmp_path, "x/y", b"data")


# --- words and numbers ---------------------------------------------------------------------------


@given(st.text(max_size=40))
def test_an_allowed_path_stays_inside(path: str) -> None:
    try:
        check_path(path)
    except FolderError:
        return
    inside = os.path.normpath(f"/root/{path}")
    assert inside == f"/root/{path}"


@given(st.lists(st.integers(0, 3 * PIECE), max_size=30))
def test_pieces_cover_each_file_and_messages_are_bounded(sizes: list[int]) -> None:
    files = [File(str(number), size, 0, 0, "") for number, size in enumerate(sizes)]
    sent = list(batches(spans(files)))
    assert all(sum(span.length for span in batch) <= PIECE for batch in sent)
    for each in files:
        mine = [span for batch in sent for span in batch if span.path == each.path]
        assert [span.offset for span in mine] == list(range(0, max(each.size, 1), PIECE))
        assert sum(span.length for span in mine) == each.size


def test_names_beside() -> None:
    def first(path: str) -> str:
        return list(beside(path, "kernel"))[1]

    assert first("a/b.csv") == "a/b.from-kernel.csv"
    assert first("a.b/c") == "a.b/c.from-kernel"
    assert first(".env") == ".env.from-kernel"
    assert first("x.tar.gz") == "x.tar.from-kernel.gz"


def test_sizes_are_readable() -> None:
    assert [size_text(n) for n in (0, 1023, 1536, LIMITS.size, 5 * 2**40)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "64 MiB",
        "5120 GiB",
    ]


def test_nothing_is_left_of_an_unfinished_write_in_a_listing(tmp_path: Path) -> None:
    put(tmp_path, f".abc{PART}")
    assert Folder(tmp_path).listing().files == {}
