"""A server does for a kernel what its user may do, and no more."""

import asyncio
import base64
import io
import json
import zipfile
from dataclasses import replace

import pytest

from jupyter_kube import naming
from jupyter_kube._version import __version__
from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import InvalidInput, NotFound
from jupyter_kube.models import PodState
from jupyter_kube.train import counter, owndesk, wire
from jupyter_kube.train import outlet as outlet_module
from jupyter_kube.train.cell import pack
from jupyter_kube.train.feed import Feed, Line
from jupyter_kube.train.origin import origin_of
from jupyter_kube.train.outlet import Outlet
from jupyter_kube.train.owndesk import OwnDesk
from jupyter_kube.train.plan import Wish
from jupyter_kube.train.reading import gathered
from jupyter_kube.train.runner import Outcome
from jupyter_kube.train.saving import Piece
from jupyter_kube.train.serversdesk import ServersDesk
from jupyter_kube.train.view import JobView, RankView

from .fakecluster import KEY, FakeCluster, ended, job, pod

KEY_TEXT = base64.b64encode(KEY.hex().encode()).decode()

SETTINGS = KubeConfig(profiles={"small": {"image": "s:1"}})
POD = {
    "metadata": {"name": "kernel-1", "annotations": {naming.USER: "ann"}, "labels": {}},
    "spec": {"containers": [{"name": "kernel", "image": "own:1"}]},
}
VIEW = JobView("mine-abcd", workers=1)
JOB = {"wish": wire.encode(Wish(name="mine")), "bundle": wire.encode(pack("x = 1", {}))}


class Asked:
    """An errand; what is said is kept."""

    def __init__(self, data, *, wanted=True):
        self.data, self._wanted, self.text = data, wanted, ""

    async def say(self, text):
        self.text += text
        return self._wanted


async def serve(cluster, op, *, wanted=True, **args):
    asked = {"op": op, "version": __version__, **args}
    errand = Asked(json.dumps(asked).encode(), wanted=wanted)
    assert await counter.handlers(cluster, SETTINGS, "kernel-1")["train"](errand) == ""
    return [json.loads(line) for line in errand.text.splitlines()]


async def cluster():
    made = FakeCluster()
    await made.put("pods", json.loads(json.dumps(POD)))
    return made


async def refused(cluster, op, **args):
    (said,) = await serve(cluster, op, **args)
    return said["error"]["type"], said["error"]["what"]


def test_a_job_is_its_users_and_like_the_kernels_pod():
    async def work():
        made = await cluster()
        (said,) = await serve(made, "submit", **JOB)
        (job,) = made.objects["jobs"].values()
        assert job["metadata"]["name"] == said["view"]["name"]
        assert job["metadata"]["annotations"][naming.USER] == "ann"
        assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "own:1"
        (secret,) = made.objects["secrets"].values()
        assert secret["stringData"]["key"] == said["key"]
        (listed,) = await serve(made, "jobs")
        assert [view["name"] for view in listed["views"]] == [said["view"]["name"]]
        (deleted,) = await serve(made, "delete", name=said["view"]["name"])
        assert deleted == {"deleted": True}
        assert not made.objects["jobs"]

    asyncio.run(work())


def test_a_job_that_nobody_waits_for_any_more_is_removed():
    async def work():
        made = await cluster()
        await serve(made, "submit", wanted=False, **JOB)
        assert ("POST", "jobs") in [request[:2] for request in made.requests]
        assert not made.objects["jobs"]

    asyncio.run(work())


@pytest.mark.parametrize(
    "op", ["find", "snapshot", "logs", "reports", "scale", "delete", "follow", "fetch"]
)
def test_jobs_of_others_are_not_there(op):
    async def work():
        made = await cluster()
        labels = naming.labels("job", user="bob")
        await made.put("jobs", {"metadata": {"name": "theirs", "labels": labels}, "spec": {}})
        assert await refused(made, op, name="theirs", workers=2, rank=0) == (
            "NotFound",
            'there is no job "theirs" in default',
        )
        assert made.objects["jobs"]

    asyncio.run(work())


@pytest.mark.parametrize(
    ("op", "args", "words"),
    [
        ("patch", {}, "there is no 'patch'"),
        ("find", {"name": 3}, "a job's name is a text"),
        ("submit", {}, "this is no Wish"),
        ("submit", {**JOB, "bundle": 3}, "this is no Bundle"),
        ("submit", {**JOB, "wish": {"workers": 2000}}, "above the limit of 1000"),
        ("submit", {**JOB, "wish": {"profile": "large"}}, 'there is no profile "large"'),
        ("submit", {**JOB, "wish": {"name": "A B"}}, 'name "A B" is not allowed'),
        ("submit", {**JOB, "wish": {"outputs": ["a b"]}}, "takes Python names"),
        ("submit", {**JOB, "wish": {"keep": 1e12}}, "is not a time"),
        ("submit", {**JOB, "version": "0.0"}, "this kernel has jupyter-kube 0.0"),
    ],
)
def test_what_cannot_be_is_refused(op, args, words):
    async def work():
        made = await cluster()
        version = args.pop("version", __version__)
        errand = Asked(json.dumps({"op": op, "version": version, **args}).encode())
        await counter.handlers(made, SETTINGS, "kernel-1")["train"](errand)
        error = json.loads(errand.text)["error"]
        assert error["type"] == "InvalidInput"
        assert words in error["what"]
        assert not made.objects["jobs"]

    asyncio.run(work())


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_request_is_refused(data):
    async def work():
        errand = Asked(data)
        await counter.handlers(await cluster(), SETTINGS, "kernel-1")["train"](errand)
        assert json.loads(errand.text)["error"]["what"] == "this is no request"

    asyncio.run(work())


def test_the_package_for_kernels_is_whole():
    """Modules of it import nothing that an image with ipykernel may lack."""
    with zipfile.ZipFile(io.BytesIO(counter.package())) as archive:
        names = set(archive.namelist())
    assert {"jupyter_kube/magics.py", "jupyter_kube/train/backends/job.py"} <= names
    assert "cloudpickle/cloudpickle.py" in names
    assert not [name for name in names if "//" in name or "localcluster" in name]


def test_workers_get_the_users_own_storage_and_folder():
    settings = KubeConfig(
        profiles={
            "own": {
                "image": "s:1",
                "pvcs": {"home-{user}": "/data/{user}"},
                "working_dir": "/data/{user}/{folder}",
            }
        }
    )
    pod = json.loads(json.dumps(POD))
    pod["metadata"]["labels"][naming.PROFILE] = "own"
    pod["metadata"]["annotations"][naming.NOTEBOOK] = "deep/a.ipynb"

    async def work():
        made = FakeCluster()
        await made.put("pods", pod)
        for wish in (Wish(name="like"), Wish(name="named", profile="own")):
            asked = {"op": "submit", "version": __version__, **JOB, "wish": wire.encode(wish)}
            errand = Asked(json.dumps(asked).encode())
            await counter.handlers(made, settings, "kernel-1")["train"](errand)
        found = [job["spec"]["template"]["spec"] for job in made.objects["jobs"].values()]
        assert len(found) == 2
        for spec in found:
            claims = [each.get("persistentVolumeClaim") for each in spec["volumes"]]
            text = json.dumps(spec)
            assert "{user}" not in text
            assert "{folder}" not in text
            assert "home-ann" in [claim["claimName"] for claim in claims if claim]
            assert spec["containers"][0]["workingDir"] == "/data/ann/deep"

    asyncio.run(work())


def test_a_short_name_is_never_somebody_elses_job():
    async def work():
        made = await cluster()
        labels = naming.labels("job", user="bob")
        theirs = {"metadata": {"name": "untitled-abcd", "labels": labels}, "spec": {}}
        await made.put("jobs", theirs)
        desk = OwnDesk(made, SETTINGS, origin_of(POD))
        with pytest.raises(NotFound, match='there is no job "untitled" in'):
            await desk.delete("untitled")
        assert made.objects["jobs"]
        (said,) = await serve(made, "submit", **{**JOB, "wish": wire.encode(Wish(name="untitled"))})
        assert await desk.delete("untitled")
        assert said["view"]["name"] not in made.objects["jobs"]
        assert "untitled-abcd" in made.objects["jobs"]

    asyncio.run(work())


class Kernel:
    """A kernel's end of errands that the server does at once."""

    class ErrandError(Exception):
        lost = True

    def __init__(self, cluster):
        self._serve = counter.handlers(cluster, SETTINGS, "kernel-1")["train"]
        self.answers = []

    async def converse(self, command, data):
        errand = Asked(data)
        await self._serve(errand)
        self.answers = errand.text.splitlines()
        yield errand.text


def test_logs_and_reports_come_in_parts():
    async def work():
        made = await cluster()
        await made.put("jobs", job("mine-abcd"))
        for rank in (0, 1):
            await made.put("pods", pod(rank, "mine-abcd"))
            name = f"mine-abcd-{rank}-x"
            await made.say(name, *(f"line {number}" for number in range(5)))
            await made.frame(name, "report", {"rows": [[1, 1, rank, 0.0, 1, {"loss": 1}]]})
            await made.end_log(name)
        await made.put("secrets", {"metadata": {"name": "mine-abcd"}, "data": {"key": KEY_TEXT}})
        kernel = Kernel(made)
        desk = ServersDesk(kernel)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(counter, "LINES", 2)
            lines = await gathered(desk.logs("mine-abcd", b"", None, None))
            assert max(len(json.loads(said).get("lines", ())) for said in kernel.answers) <= 2
        assert [(line.rank, line.text) for line in lines] == [
            (rank, f"line {number}") for rank in (0, 1) for number in range(5)
        ]
        last = await gathered(desk.logs("mine-abcd", b"", 1, 2), 2)
        assert [line.text for line in last] == ["line 3", "line 4"]
        assert [(each.pod, len(each.rows)) for each in await desk.reports("mine-abcd", b"")] == [
            ("mine-abcd-0-x", 1),
            ("mine-abcd-1-x", 1),
        ]

    asyncio.run(work())


def test_files_come_in_pieces():
    files = [Piece("a", b"\xff" * 300_000, True, False), Piece("b", b"", True, False)]
    pieces = ["It waits: no room", *files]

    async def give(_client, name, key, path, rank):
        assert (name, path, rank) == ("mine-abcd", "deep", 1003)
        for piece in pieces:
            yield piece

    async def work():
        made = await cluster()
        await made.put("jobs", job("mine-abcd"))
        await made.put("secrets", {"metadata": {"name": "mine-abcd"}, "data": {"key": KEY_TEXT}})
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(owndesk, "fetch", give)
            desk = ServersDesk(Kernel(made))
            assert [piece async for piece in desk.fetch("mine-abcd", b"", "deep", 1003)] == pieces

    asyncio.run(work())


def test_a_kernel_follows_so_many_jobs_at_a_time_and_may_ask_for_other_things():
    async def work():
        made = await cluster()
        await made.put("jobs", job("mine-abcd"))
        await made.put("secrets", {"metadata": {"name": "mine-abcd"}, "data": {"key": KEY_TEXT}})
        kernel = Kernel(made)
        desk = ServersDesk(kernel)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(counter, "MOST_FOLLOWED", 2)
            async with asyncio.TaskGroup() as group:
                following = [group.create_task(follow(desk)) for _ in range(2)]
                while made.watching["jobs"] != 2:
                    await asyncio.sleep(0)
                with pytest.raises(InvalidInput, match="follows 2 jobs already"):
                    await follow(desk)
                assert (await desk.snapshot("mine-abcd")).name == "mine-abcd"
                await made.put("jobs", job("mine-abcd", **ended("Complete")))
            assert [task.result().view.phase for task in following] == ["succeeded"] * 2
            assert (await follow(desk)).view.phase == "succeeded", "there is room again"

    async def follow(desk):
        return await desk.follow(Feed(VIEW), b"")

    asyncio.run(work())


def test_what_waits_for_a_kernel_is_bounded():
    async def work():
        outlet = Outlet(VIEW)
        stamp = b"2026-01-01T00:00:00.000000000Z "
        for number in range(outlet_module.LINES * 2):
            outlet.lines(0, stamp + b"x\n")
            outlet.reports.add("p", [[number, 1, 0, 0.0, number, {"loss": 1}]])
        batch = outlet.take()
        assert len(batch.lines) == batch.dropped == outlet_module.LINES
        assert len(outlet.take_reported()) == outlet_module._FRAMES
        for _ in range(8):
            outlet.lines(0, stamp + b"x" * 2**20 + b"\n")
        assert outlet.take().dropped > 4

    asyncio.run(work())


class NextServer:
    """A first server that is lost, and a second that has less to tell of what was.

    Each tells batches of lines: how many were dropped before them, and rank 0's pod.
    """

    class ErrandError(Exception):
        lost = True

    def __init__(self, *servers):
        self._servers, self._calls = servers, 0

    async def converse(self, command, data):
        self._calls += 1
        for lines, dropped, name in self._servers[self._calls - 1]:
            rank = RankView(0, PodState(name, "running"))
            said = {
                "view": replace(VIEW, ranks=(rank,)),
                "lines": [Line(0, each) for each in lines],
            }
            yield json.dumps({**wire.encode(said), "reports": [], "dropped": dropped}) + "\n"
        if self._calls < len(self._servers):
            raise self.ErrandError("the server was lost")
        yield json.dumps({"outcome": wire.encode(Outcome(VIEW))}) + "\n"


@pytest.mark.parametrize(
    ("servers", "heard"),
    [
        ([[("123", 0, "a")], [("1234", 0, "a")]], "1234"),
        ([[("123", 0, "a")], [("345", 2, "a")]], "123345"),
        # The lines of a pod that was replaced are gone: counted, they would swallow its heir's.
        ([[("123", 0, "a")], [("45", 0, "b")]], "12345"),
        ([[("12", 0, "a"), ("34", 0, "b")], [("345", 0, "b")]], "1234345"),
    ],
    ids=["all again", "less", "replaced meanwhile", "replaced before"],
)
def test_the_next_server_may_repeat_lines_but_swallows_none(servers, heard):
    async def work():
        feed = Feed(VIEW)
        await ServersDesk(NextServer(*servers)).follow(feed, b"")
        return [line.text for line in feed.take().lines]

    assert asyncio.run(work()) == list(heard)
