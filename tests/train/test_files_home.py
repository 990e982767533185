"""Files that a job has written, given away by its pod and written here."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Iterator
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from jupyter_kube.errors import ClusterUnavailable, InvalidInput, NotFound
from jupyter_kube.models import Profile
from jupyter_kube.train import fetch as fetching
from jupyter_kube.train import saving
from jupyter_kube.train.cell import pack
from jupyter_kube.train.desk import Ticket
from jupyter_kube.train.door import PORT, Door, found
from jupyter_kube.train.handle import Job
from jupyter_kube.train.jobspec import files_pod, manifests
from jupyter_kube.train.messages import LONGEST, Channel
from jupyter_kube.train.request import JobRequest
from jupyter_kube.train.saving import Piece, save, text_file
from jupyter_kube.train.start import FILES_ONLY
from jupyter_kube.train.view import JobView

from .fakecluster import FakeCluster, ended
from .workers import KEY, Workers

if TYPE_CHECKING:
    from jupyter_kube.kube.client import KubeClient
    from jupyter_kube.train.desk import Desk


def given(place: Path) -> Iterator[Piece]:
    import base64

    for piece in found(place):
        yield Piece(piece["path"], base64.b64decode(piece["data"]), piece["first"], piece["alone"])


async def flowing(pieces: list[Piece]) -> AsyncGenerator[Piece]:
    for piece in pieces:
        yield piece


def bring(pieces: Iterator[Piece] | list[Piece], to: str) -> tuple[str, int, int]:
    done = asyncio.run(save(flowing(list(pieces)), to, print))
    return done.place, done.files, done.bytes


@pytest.fixture
def written(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/large.bin").write_bytes(bytes(range(256)) * 2000)
    (folder / "empty").write_bytes(b"")
    (folder / "link").symlink_to(folder / "empty")
    (folder / "around").symlink_to(folder)
    return folder


def test_a_folder_comes_as_it_is(written: Path, tmp_path: Path) -> None:
    to = tmp_path / "here"
    assert bring(given(written), str(to)) == (str(to), 3, 512_000)
    names = sorted(p.relative_to(to).as_posix() for p in to.rglob("*") if p.is_file())
    assert names == ["deep/er/large.bin", "empty", "link"]
    assert (to / "deep/er/large.bin").read_bytes() == bytes(range(256)) * 2000


def test_a_single_file_gets_the_name_it_is_given(written: Path, tmp_path: Path) -> None:
    file = written / "deep/er/large.bin"
    assert bring(given(file), str(tmp_path / "other.bin"))[0] == str(tmp_path / "other.bin")
    assert bring(given(file), str(tmp_path))[0] == str(tmp_path / "large.bin")
    assert bring(given(file), f"{tmp_path}/new/")[0] == str(tmp_path / "new/large.bin")


def test_a_text_replaces_a_file_only_when_it_is_whole(tmp_path: Path) -> None:
    kept, link = tmp_path / "kept.log", tmp_path / "link.log"
    kept.write_text("old")
    link.symlink_to(kept)

    def ask() -> None:
        with text_file(link) as file:
            file.write("half")
            raise NotFound("its pods are gone")

    with pytest.raises(NotFound):
        ask()
    assert kept.read_text() == "old"
    with text_file(link) as file:
        file.write("new")
        assert kept.read_text() == "old"
    assert kept.read_text() == "new"
    assert sorted(tmp_path.iterdir()) == [kept, link]
    assert link.is_symlink()
    with pytest.raises(IsADirectoryError), text_file(tmp_path):
        pass
    with text_file(Path(os.devnull)) as file:
        file.write("nowhere")
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", ".", "a\0b"])
def test_a_path_that_leads_out_of_the_folder_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is no path inside a folder"):
        bring([Piece(path, b"x", first=True, alone=False)], str(tmp_path / "in"))
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("path", [r"..\..\x", "C:x", r"\\host\x"])
def test_on_windows_so_are_its_own_paths(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece = Piece(path, b"x", first=True, alone=False)
    assert bring([piece], str(tmp_path / "plain"))[1] == 1
    monkeypatch.setattr(saving, "_WINDOWS", True)
    with pytest.raises(InvalidInput, match="is no path inside a folder"):
        bring([piece], str(tmp_path / "in"))
    assert not (tmp_path / "in").exists()


def test_what_is_cut_off_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"old")

    async def cut() -> AsyncGenerator[Piece]:
        yield Piece("model.bin", b"new", first=True, alone=False)
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        asyncio.run(save(cut(), str(tmp_path), print))
    with pytest.raises(InvalidInput, match=r"model\.bin cannot be written: File exists"):
        bring([Piece("model.bin/x", b"new", first=True, alone=False)], str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["model.bin"]
    assert (tmp_path / "model.bin").read_bytes() == b"old"


def test_a_worker_gives_its_files_to_who_knows_the_key() -> None:
    source = """
import pathlib, time
pathlib.Path(kube.output_dir, "model.txt").write_text("weights")
print("written", flush=True)
time.sleep(60)
"""

    async def ask(host: str, key: bytes, path: str) -> list[dict[str, object]]:
        reader, writer = await asyncio.open_connection(host, PORT, limit=LONGEST)
        channel = await Channel.open(reader, writer, key, "M")
        channel.send("fetch", path=path)
        said = []
        while (one := await channel.receive()) is not None:
            said.append(dict(one))
        await channel.close()
        return said

    with Workers(source, workers=1).start() as job:
        job.pods[0].wait_line("written")
        host = job.address(0)
        (piece, over) = asyncio.run(ask(host, KEY, ""))
        assert (piece["path"], piece["data"]) == ("model.txt", "d2VpZ2h0cw==")
        assert over["kind"] == "over"
        (refused,) = asyncio.run(ask(host, KEY, "nothing"))
        assert refused["text"] == "nothing cannot be read: No such file or directory"
        assert asyncio.run(ask(host, bytes(32), "")) == []


def test_a_pod_for_files_stays_while_it_gives_them(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def give() -> tuple[bool, list[str]]:
        given, go_on = asyncio.Event(), asyncio.Event()
        one = Door(KEY, str(written))
        give = one._give

        async def slowly(channel: Channel, path: str) -> None:
            given.set()
            await go_on.wait()
            await give(channel, path)

        monkeypatch.setattr(one, "_give", slowly)
        await one.open("127.0.0.1")
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", PORT, limit=LONGEST)
            channel = await Channel.open(reader, writer, KEY, "M")
            channel.send("fetch", path="empty")
            await given.wait()
            waiting = asyncio.create_task(one.wait(0))
            await asyncio.wait([waiting], timeout=0.05)
            early = waiting.done()
            go_on.set()
            said = []
            while (message := await channel.receive()) is not None:
                said.append(str(message["kind"]))
            await channel.close()
            await waiting
            return early, said
        finally:
            await one.close()

    assert asyncio.run(give()) == (False, ["piece", "over"])


def test_a_pod_for_files_nobody_wants_ends() -> None:
    asyncio.run(Door(KEY, "nowhere").wait(0))


NO_ROOM = "0/3 nodes are available: 3 Insufficient memory."
ATTACHED = 'Multi-Attach error for volume "v" Volume is already used by pod(s) digits'


def lasting_job() -> dict[str, Any]:
    """Return a Job that has ended and has left files on a volume."""
    profile = Profile("kept", image="i:1", pvcs={"kept": "/kept"})
    request = JobRequest("job-ab12", "s1", "python", 1, profile, "default", user="ann")
    made = manifests(request, pack("x = 1", {}), KEY).job
    return {**made, "status": ended("Complete")}


async def test_what_a_pod_for_files_waits_for_is_told_as_it_changes_and_when_it_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = FakeCluster()
    await cluster.put("jobs", lasting_job())
    pieces = fetching.fetch(cast("KubeClient", cluster), "job-ab12", KEY, "", 0)
    assert await anext(pieces) == "Starting a pod that brings the files."
    told = asyncio.ensure_future(anext(pieces))
    while not cluster.objects["pods"]:
        await asyncio.sleep(0)
    (pod,) = map(deepcopy, cluster.objects["pods"].values())
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    condition["message"] = NO_ROOM
    await cluster.put("pods", {**pod, "status": {"conditions": [condition]}})
    assert await told == f"It waits: {NO_ROOM}"
    told, pod = asyncio.ensure_future(anext(pieces)), deepcopy(pod)
    await cluster.put("pods", {**pod, "spec": {**pod["spec"], "nodeName": "n1"}})
    about = {"reason": "FailedAttachVolume", "message": ATTACHED}
    await cluster.put("events", {"metadata": {"name": "e1"}, "involvedObject": {}, **about})
    assert await told == f"It waits: {ATTACHED}"
    monkeypatch.setattr(fetching, "_START", 0)
    with pytest.raises(ClusterUnavailable, match="does not start: Multi-Attach error for volume"):
        await anext(pieces)
    assert not cluster.objects["pods"]


def test_what_files_wait_for_is_told_in_the_thread_that_waits_for_them(tmp_path: Path) -> None:
    class Slow:
        namespace = "default"

        async def fetch(self, *_asked: object) -> AsyncGenerator[Piece | str]:
            yield "It waits: no room"
            yield Piece("model.bin", b"new", first=True, alone=False)

    told: list[tuple[str, threading.Thread]] = []
    job = Job(cast("Desk", Slow()), Ticket(JobView("job-ab12", workers=1), KEY))
    got = job.fetch(
        to=str(tmp_path), told=lambda text: told.append((text, threading.current_thread()))
    )
    assert told == [("It waits: no room", threading.current_thread())]
    assert (got.files, (tmp_path / "model.bin").read_bytes()) == (1, b"new")
    assert job.fetch(to=str(tmp_path)).files == 1


def test_a_pod_for_files_mounts_what_the_jobs_did_and_takes_no_gpu() -> None:
    profile = Profile("gpu", image="i:1", gpus=2, pvcs={"shared": "/data"})
    request = JobRequest("job-ab12", "s1", "python", 2, profile, "default", user="ann")
    job = manifests(request, pack("x = 1", {}), KEY).job
    job["metadata"]["uid"] = "u-1"
    pod = files_pod(job, "s2")
    (container,) = pod["spec"]["containers"]
    assert (
        container["volumeMounts"]
        == (job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"])
    )
    assert pod["spec"]["volumes"] == job["spec"]["template"]["spec"]["volumes"]
    assert set(container["resources"]["limits"]) == {"memory"}
    assert pod["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert "subdomain" not in pod["spec"]
    (wait,) = (each["value"] for each in container["env"] if each["name"] == FILES_ONLY)
    assert pod["spec"]["activeDeadlineSeconds"] > 100 * int(wait)
    assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "files"
