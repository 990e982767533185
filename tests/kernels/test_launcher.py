"""What is decided before and around the kernel's process."""

from __future__ import annotations

import base64
import getpass
import hmac
import json
import os
import pwd
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from jupyter_kube.kernels import image, launcher
from jupyter_kube.kernels.cgroup import oom_kills
from jupyter_kube.kernels.payload import BOOT, boot_command, launch_payload
from jupyter_kube.kernels.relay import LauncherError

from .pod import kernel


def payload(**changes: object) -> str:
    return launch_payload(**{"key": b"k", "kernel_id": "id", "kernel_name": "n", **changes})  # type: ignore[arg-type]  # any


def test_the_payload_fits_and_holds_all_that_travels() -> None:
    packed = payload(curve_publickey=b"p", curve_secretkey=b"s", username="ann")
    assert len(packed) < 65_000
    launch = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert {"launcher", "supervisor", "link"} <= set(launch["source"])
    assert (launch["key"], launch["curve_secretkey"], launch["username"]) == ("k", "s", "ann")
    assert launch["options"]["port"] == 8888


def test_too_large_a_payload_is_refused() -> None:
    with pytest.raises(ValueError, match="fit"):
        payload(options={"argv": [base64.b64encode(os.urandom(100_000)).decode()]})


def test_the_command_is_constant_and_short() -> None:
    assert boot_command("python3.12") == ["python3.12", "-ISc", BOOT]
    assert len(BOOT) < 2000


def test_a_python_that_is_too_old_says_so() -> None:
    old = f"import sys; sys.version_info = (3, 10, 1); exec({BOOT!r})"
    done = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True, check=False)
    assert done.returncode
    assert done.stderr == "the image's Python is 3.10, 3.11 or newer is needed\n"


WITH_ZMQ = ("companion", "courier", "podclient")
"""What runs where the image's packages are; the kernel's pod must start without them."""


def test_travelling_modules_import_only_each_other_and_the_standard_library() -> None:
    import ast
    import sys

    from jupyter_kube.kernels.payload import _TRAVELLERS, _source

    for name in _TRAVELLERS:
        known = {*sys.stdlib_module_names, *(["zmq"] if name in WITH_ZMQ else [])}
        for node in ast.walk(ast.parse(_source(name))):
            if isinstance(node, ast.Import):
                assert all(a.name.split(".")[0] in known for a in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level:
                assert node.level == 1
                assert node.module in _TRAVELLERS
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] in known


# --- the user ------------------------------------------------------------------------------------


def nobody(uid: int) -> pwd.struct_passwd:
    raise KeyError(uid)


def test_a_user_without_a_name_gets_one_and_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    env = launcher.user_environment({"HOME": "/"}, "ann", str(tmp_path))
    assert env["USER"] == env["LOGNAME"] == "ann"
    assert env["HOME"] == str(tmp_path / "home")
    assert os.access(env["HOME"], os.W_OK)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOGNAME", env["LOGNAME"])
    assert getpass.getuser() == "ann"


def test_a_home_that_works_is_kept(tmp_path: Path) -> None:
    given = {"HOME": str(tmp_path), "USER": "jovyan", "XDG_CACHE_HOME": str(tmp_path / "c")}
    env = launcher.user_environment(given, "ann", str(tmp_path))
    assert {name: env[name] for name in given} == given


def test_cache_folders_nobody_can_write_to_fall_back_to_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: str(path).startswith(str(tmp_path)))
    env = launcher.user_environment(
        {"HOME": "/home/jovyan", "XDG_CACHE_HOME": "/home/jovyan/.cache", "MPLCONFIGDIR": "/x"},
        "",
        str(tmp_path),
    )
    assert env["HOME"] == str(tmp_path / "home")
    assert "XDG_CACHE_HOME" not in env
    assert "MPLCONFIGDIR" not in env


def test_the_private_folder_is_private_and_its_paths_are_short(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    folder = launcher.private_folder({"TMPDIR": str(deep)})
    try:
        assert not folder.startswith(str(deep))
        assert Path(folder).stat().st_mode & 0o777 == 0o700
        assert len(f"{folder}/100000/k-5") <= 107
    finally:
        Path(folder).rmdir()


# --- the image -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "encrypted", "word"),
    [
        ("7.3.0", True, ""),
        ("7.10.0a1", True, ""),
        ("8.0", True, ""),
        ("7.2.9", True, "cannot encrypt"),
        ("6.29.5", True, "cannot encrypt"),
        ("6.29.5", False, ""),
    ],
)
def test_an_ipykernel_that_ignores_the_keys_is_refused(
    version: str, encrypted: bool, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "_version", lambda package: version)
    problem = image.ipykernel_problem(encrypted=encrypted)
    assert (word in problem) if word else not problem


async def test_an_old_ipykernel_is_reported_to_the_server(tmp_path: Path) -> None:
    old = tmp_path / "site" / "ipykernel-6.29.5.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: ipykernel\nVersion: 6.29.5\n")
    async with kernel(tmp_path, env={"PYTHONPATH": str(old.parent)}) as rig:
        with pytest.raises(LauncherError, match=r"ipykernel 6\.29\.5 cannot encrypt.*>=7\.3"):
            await rig.relay.ready()
        assert await rig.container.ended() == 1
        assert (await rig.event("error"))["reason"].startswith("the image's ipykernel")


async def test_a_kernel_that_cannot_start_is_given_up(tmp_path: Path) -> None:
    options = {"port": 8888, "argv": ["-c", "import sys; sys.exit('no such module')"]}
    async with kernel(tmp_path, options=options) as rig:
        with pytest.raises(LauncherError, match="keeps ending, the last time: exit code 1"):
            await rig.relay.ready()
        assert await rig.container.ended() == 1
        assert rig.container.log.read_text().count("no such module") == 5


STUBBORN = """
import json, signal, socket, sys
prefix = json.load(open(sys.argv[1]))["ip"]
sockets = [socket.socket(socket.AF_UNIX) for _ in range(5)]
for number, one in enumerate(sockets, 1):
    one.bind(f"{prefix}-{number}")
    one.listen()
signal.pause()
"""


async def test_the_next_kernel_is_told_of_only_when_the_old_one_is_gone(tmp_path: Path) -> None:
    options = {"port": 8888, "argv": ["-c", STUBBORN, "{connection_file}"]}  # quick to be ready
    async with kernel(tmp_path, options=options) as rig:
        old = (await rig.relay.ready())["pid"]
        await rig.relay.command("restart", grace=1.0)
        assert (await rig.relay.ready())["pid"] != old
        assert not Path(f"/proc/{old}").exists()


async def test_the_images_own_path_works_for_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "onlyhere.py").write_text("word = 'found'")
    (tmp_path / "signal.py").write_text("raise SystemExit('shadowed')")
    async with (
        kernel(tmp_path, env={"PYTHONPATH": "", "EXTRA": str(tmp_path)}) as rig,
        rig.client() as client,
    ):
        await client.alive()
        _, printed = await client.run(
            "import os, sys; sys.path.append(os.environ['EXTRA']); import onlyhere, getpass\n"
            "print(onlyhere.word, bool(getpass.getuser()), os.access(os.environ['HOME'], os.W_OK))"
        )
        assert printed == "found True True\n"


async def test_what_the_images_path_shadows_concerns_the_kernel_only(tmp_path: Path) -> None:
    lost = "import sys\nif 'ipykernel_launcher' not in sys.orig_argv: sys.exit('shadowed')\n"
    stray = tmp_path / "hmac.py"
    stray.write_text(lost + Path(hmac.__file__).read_text())
    async with (
        kernel(tmp_path, env={"PYTHONPATH": str(tmp_path)}) as rig,
        rig.client() as client,
    ):
        await client.alive()
        _, printed = await client.run("import hmac; print(hmac.__file__)")
        assert printed == f"{stray}\n"


# --- out of memory -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("membership", "file"),
    [
        ("0::/\n", "memory.events"),
        ("0::/kubepods/pod1\n", "kubepods/pod1/memory.events"),
        ("0::/kubepods/pod1\n", "memory.events"),
        ("5:cpu:/a\n4:memory:/b/c\n", "memory/b/c/memory.oom_control"),
        ("4:memory,hugetlb:/b/c\n0::/\n", "memory/memory.oom_control"),
    ],
)
def test_kills_are_counted_wherever_the_container_sees_its_group(
    membership: str, file: str, tmp_path: Path
) -> None:
    (tmp_path / "self").write_text(membership)
    path = tmp_path / "fs" / file
    path.parent.mkdir(parents=True)
    path.write_text("oom 4\noom_kill_disable 0\noom_kill 3\n")
    assert oom_kills(tmp_path / "fs", tmp_path / "self") == 3


def test_where_nobody_counts_there_is_no_count(tmp_path: Path) -> None:
    assert oom_kills(tmp_path, tmp_path / "missing") is None
