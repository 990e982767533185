"""From a wish to manifests, and where a job comes from."""

import asyncio
import re

import pytest

from jupyter_kube import checks, naming
from jupyter_kube.config import KubeConfig, user_name
from jupyter_kube.errors import InvalidInput
from jupyter_kube.train import options, plan
from jupyter_kube.train.desk import Ticket
from jupyter_kube.train.handle import Job
from jupyter_kube.train.origin import Origin, find_origin, local_origin
from jupyter_kube.train.owndesk import OwnDesk
from jupyter_kube.train.view import job_view

from .fakecluster import FakeCluster

SETTINGS = KubeConfig(profiles={"small": {"image": "s:1"}, "big": {"image": "b:1", "gpus": 2}})
KERNEL = {
    "metadata": {
        "name": "kernel-1",
        "labels": {naming.KERNEL_ID: "k-1", naming.PROFILE: "big"},
        "annotations": {naming.USER: "ann", naming.NOTEBOOK: "work/My Digits.ipynb"},
    },
    "spec": {
        "containers": [
            {"name": "kernel", "image": "own:1", "resources": {"limits": {"memory": "3Gi"}}}
        ]
    },
}


def made(wish, origin):
    return plan.make(wish, plan.pack(wish, "x = 1", {}, "<cell>"), SETTINGS, origin, "space")


def test_workers_are_like_the_kernels_own_pod():
    planned = made(plan.Wish(workers=3), Origin("ann", "work/My Digits.ipynb", KERNEL))
    request, job = planned.request, planned.manifests.job
    assert (request.profile.image, request.profile.memory) == ("own:1", "3Gi")
    assert request.name.startswith("my-digits-")
    assert (request.user, request.namespace, request.workers) == ("ann", "space", 3)
    for made_of in (job, job["spec"]["template"]):
        assert made_of["metadata"]["labels"][naming.KERNEL_ID] == "k-1"
        assert made_of["metadata"]["annotations"][naming.USER] == "ann"
        assert made_of["metadata"]["annotations"][naming.NOTEBOOK] == "work/My Digits.ipynb"


def test_a_named_profile_or_no_kernel_pod_takes_the_profile():
    kernel = Origin("ann", "", KERNEL)
    assert made(plan.Wish(profile="big"), kernel).request.profile.image == "b:1"
    alone = made(plan.Wish(name="mine", gpus=1), Origin("ann"))
    assert (alone.request.profile.image, alone.request.profile.gpus) == ("s:1", 1)
    assert alone.request.name.startswith("mine-")
    assert naming.KERNEL_ID not in alone.manifests.job["metadata"]["labels"]


def test_a_profile_with_another_python_is_refused_where_functions_travel():
    settings = KubeConfig(profiles={"old": {"image": "python:3.11", "python": "python3.99"}})
    helper = {"__name__": "__main__"}
    exec("def f(): return 1", helper)
    travels = plan.pack(plan.Wish(), "f()", helper, "<cell>")
    with pytest.raises(InvalidInput, match=r"3\.99"):
        plan.make(plan.Wish(), travels, settings, Origin("ann"), "space")
    plain = plan.pack(plan.Wish(), "x = 1", helper, "<cell>")
    plan.make(plan.Wish(), plain, settings, Origin("ann"), "space")


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (plan.Wish(workers=0), "at least one worker"),
        (plan.Wish(workers=True), "whole number"),
        (plan.Wish(framework="jax"), "unknown framework"),
        (plan.Wish(name="-x"), "is not allowed"),
        (plan.Wish(name="a" * 31), "at most 30"),
        (plan.Wish(gpus=-1), "whole number"),
        (plan.Wish(cpu="much"), "not a Kubernetes quantity"),
        (plan.Wish(retries=-1), "whole number"),
    ],
)
def test_wishes_that_cannot_be(wish, words):
    with pytest.raises(InvalidInput, match=words):
        plan.check(wish)


SERVER = "import tensorflow as tf\ntf.distribute.Server({})"


@pytest.mark.parametrize(
    ("wish", "source", "words"),
    [
        (plan.Wish(framework="pytorch", ps=1), "x = 1", "--ps is for tensorflow, and this cell is"),
        (
            plan.Wish(chief=True),
            "import paddle",
            "--chief is for tensorflow, and this cell is padd",
        ),
        (plan.Wish(evaluator=True), "x = 1", "--evaluator is for tensorflow, and this cell is pyt"),
        (plan.Wish(framework="tensorflow", workers=4, least=1, ps=1), "x = 1", "a fixed number"),
        (plan.Wish(framework="tensorflow", ps=-1), "x = 1", "--ps must be a whole number"),
        (plan.Wish(framework="tensorflow", ps=1), "x = 1", "parameter servers need a chief"),
        (plan.Wish(framework="tensorflow", ps=1), SERVER, ""),
        (plan.Wish(framework="tensorflow", ps=1, chief=True, evaluator=True), "x = 1", ""),
        (plan.Wish(chief=True), "import tensorflow", ""),
    ],
)
def test_roles_that_cannot_be(wish, source, words):
    if not words:
        plan.pack(plan.check(wish), source, {}, "<cell>")
        return
    with pytest.raises(InvalidInput, match=words):
        plan.pack(plan.check(wish), source, {}, "<cell>")


@pytest.mark.parametrize(
    ("wish", "procs"),
    [
        (plan.Wish(), 1),
        (plan.Wish(gpus=4), 4),
        (plan.Wish(gpus=4, procs=2), 2),
        (plan.Wish(procs=3), 3),
        (plan.Wish(framework="tensorflow", gpus=2, chief=True), 1),
    ],
)
def test_a_worker_has_a_process_for_each_gpu(wish, procs):
    request = made(wish, Origin("ann")).request
    assert (request.procs, request.to_json()["procs"]) == (procs, procs)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (plan.Wish(gpus=4, procs=3), "--procs 3 cannot divide 4 GPUs"),
        (plan.Wish(gpus=1, procs=2), "--procs 2 cannot divide 1 GPU:"),
        (plan.Wish(procs=65), "--procs 65 is above the limit of 64"),
        (plan.Wish(framework="tensorflow", chief=True, procs=2), "one process a worker"),
    ],
)
def test_processes_that_cannot_be(wish, words):
    with pytest.raises(InvalidInput, match=words):
        made(plan.check(wish), Origin("ann"))


def test_in_this_kernel_there_are_no_processes_of_a_worker():
    with pytest.raises(InvalidInput, match="--procs needs workers"):
        plan.check(plan.Wish(workers=0, procs=2), fewest=0)


def test_in_this_kernel_there_are_no_roles():
    with pytest.raises(InvalidInput, match="--ps needs workers"):
        plan.check(plan.Wish(workers=0, ps=1), fewest=0)


def test_a_profile_that_is_not_there():
    with pytest.raises(InvalidInput, match="there is no profile"):
        made(plan.Wish(profile="none"), Origin("ann"))


def test_the_origin_is_the_kernels_pod_where_there_is_one():
    async def find(environ):
        cluster = FakeCluster()
        await cluster.put("pods", KERNEL)
        return await find_origin(cluster, environ)

    settings = {"JUPYTER_KUBE_SETTINGS": "{}", "JUPYTER_KUBE_USER": "bob"}
    inside = asyncio.run(find({**settings, "HOSTNAME": "kernel-1"}))
    assert (inside.user, inside.title, inside.kernel_id, inside.profile) == (
        "ann",
        "My Digits",
        "k-1",
        "big",
    )
    renamed = asyncio.run(find({**settings, "HOSTNAME": "other"}))
    assert (renamed.user, renamed.pod) == ("bob", None)
    outside = asyncio.run(find({"JUPYTER_KUBE_USER": "bob", "HOSTNAME": "kernel-1"}))
    assert outside.pod is None


def test_outside_pods_the_user_and_notebook_come_from_the_environment():
    found = local_origin({"JUPYTERHUB_USER": "cy", "JPY_SESSION_NAME": "/home/cy/a b.ipynb"})
    assert (found.user, found.title, found.kernel_id) == ("cy", "a b", "")
    assert local_origin({}).user == user_name({})
    assert local_origin({"JUPYTER_KUBE_USER": "bob", "JUPYTERHUB_USER": "cy"}).user == "bob"


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5), ("5m", 300), ("1.5h", 5400), ("30d", 2592000), (7, 7)]
)
def test_durations(text, seconds):
    assert options.duration(text, "--timeout") == seconds


@pytest.mark.parametrize("text", ["5", "-1s", "0s", "31d", "1e99h", "", float("nan"), float("inf")])
def test_durations_that_are_none(text):
    with pytest.raises(InvalidInput, match="write a unit"):
        options.duration(text, "--timeout")


def test_what_a_user_wrote_is_clipped_and_escaped():
    assert checks.clip("a\x1b[31m\n\u202eb") == "a\\x1b[31m\\n\\u202eb"
    assert len(checks.clip("x" * 1000)) == 80


def test_an_elastic_job_without_lasting_storage_is_warned_of_what_is_lost():
    alone, elastic = Origin("ann"), plan.Wish(workers=4, least=1)

    def warning(planned, **about):
        ticket = Ticket(job_view(planned.manifests.job), b"")
        return Job(OwnDesk(FakeCluster(), SETTINGS), ticket, **about).warning

    assert "kube.checkpoint_dir" in warning(made(elastic, alone))
    assert warning(made(plan.Wish(workers=4), alone)) == ""
    told = warning(made(plan.Wish(name="d"), alone), writes_files=True)
    assert re.match(
        "kube.output_dir is in each worker's pod and goes with it: .* %kube cp d-", told
    )
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": "c"}}
    mount = {"name": "data", "mountPath": "/data"}
    kept = {"image": "k:1", "volumes": [claim], "volume_mounts": [mount]}
    settings = KubeConfig(profiles={"kept": kept})
    bundle = plan.pack(elastic, "x = 1", {}, "<cell>")
    assert warning(plan.make(elastic, bundle, settings, alone, "space")) == ""


@pytest.mark.parametrize(
    ("text", "found"), [("4", (0, 4)), ("2:4", (2, 4)), ("1:1", (1, 1)), (3, (0, 3)), ("0", (0, 0))]
)
def test_a_number_of_workers_has_one_end_or_two(text, found):
    assert options.workers(text) == found


@pytest.mark.parametrize("text", ["4:2", "0:4", ":4", "2:", "1:2:3", "-1", "1:2000", "a:b"])
def test_ends_that_make_no_size_are_refused(text):
    with pytest.raises(InvalidInput, match="--workers"):
        options.workers(text)
