"""What is wrong with what people write is said in one sentence, before anything is created.

The rows are named as in the list they come from: B1 to B33.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError

from jupyter_kube import errors, magicline, naming
from jupyter_kube.config import KubeConfig
from jupyter_kube.errors import ClusterUnavailable, KubeError, NotConfigured, NotFound
from jupyter_kube.kernels.folder import FolderError, check_path
from jupyter_kube.kube.client import KubeClient
from jupyter_kube.kube.pods import pod_state
from jupyter_kube.models import Profile
from jupyter_kube.train import counter, options, plan, query
from jupyter_kube.train.origin import Origin

from .train.fakecluster import FakeCluster

SETTINGS = KubeConfig(
    profiles={
        "small": {"image": "s:1", "options": {"memory": {"max": "4Gi"}}},
        "old": {"image": "python:3.11", "python": "/opt/bin/python3.99"},
    }
)
Row = Callable[[], object]


def typed(line: str, cell: str = "x = 1", **values: Any) -> Row:
    """All that happens to a ``%%kubetrain`` cell before the cluster is asked."""

    def refuse() -> None:
        wish = plan.check(magicline.read_wish(magicline.train_parser().read(line)))
        bundle = plan.pack(wish, cell, {"__name__": "__main__", **values}, "<cell>")
        plan.make(wish, bundle, SETTINGS, Origin("ann"), "space")

    return refuse


def profile(**values: Any) -> Row:
    return lambda: Profile.parse("p", values)


def overlay(**spec: Any) -> Row:
    return profile(overlay={"spec": spec})


def notebook(source: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(source, namespace)
    return {name: value for name, value in namespace.items() if not name.startswith("__")}


class Table:
    """Has no memory of its own."""

    nbytes = 412 << 20


WORKERS = (
    "--workers must be a whole number of at least 1, two such as 2:4 for a job that grows and"
    ' shrinks, or 0 to run in this kernel (got "{}")'
)
GPUS = (
    "GPUs are whole devices; for a share of one ask your administrator for a MIG or time-sliced"
    " resource"
)
NAME = (
    'name "{}" is not allowed: lower-case letters, digits and "-", at most 30, beginning with a'
    " letter{}"
)
FRAMEWORKS = "(tensorflow, pytorch, paddle, python)"
TIME = '{} "{}" is not a time: write a unit: 5s, 5m, 2h (at most 30d)'
IMAGE = 'profile "p": image "{}" is not an image: write registry/name:tag{}, in lower case'
RESTRICTED = 'profile "p": overlay: Pod Security "restricted" does not permit it: '
LONGEST_RUN = "x" * 200

ROWS: dict[str, tuple[Row, str]] = {
    # what is typed after %%kubetrain
    "B1 -1": (typed("-w -1"), WORKERS.format("-1")),
    "B1 1.5": (typed("-w 1.5"), WORKERS.format("1.5")),
    "B1 ten": (typed("--workers ten"), WORKERS.format("ten")),
    "B1 none": (typed("--workers"), "-w/--workers: expected one argument"),
    "B1 clipped": (typed(f"-w {LONGEST_RUN}"), WORKERS.format("x" * 79 + "…")),
    "B2": (typed("-w 1000000"), "--workers 1000000 is above the limit of 1000"),
    "B3 0.5": (typed("--gpus 0.5"), GPUS),
    "B3 all": (typed("--gpus all"), '--gpus must be a whole number (got "all")'),
    "B4 4GB": (
        typed("--memory 4GB"),
        'memory "4GB" is not a Kubernetes quantity; did you mean "4Gi"?',
    ),
    "B4 4 gb": (
        typed("--memory '4 gb'"),
        'memory "4 gb" is not a Kubernetes quantity; did you mean "4Gi"?',
    ),
    "B4 -1Gi": (typed("--memory=-1Gi"), 'memory "-1Gi" is not a Kubernetes quantity'),
    "B5": (typed("--memory 4m"), 'memory "4m" is a fraction of a byte; did you mean 4Mi?'),
    "B6 bound": (
        typed("--memory 8Gi"),
        'profile "small": memory 8Gi is above what is allowed: at most 4Gi',
    ),
    "B6 limit": (
        overlay(containers=[{"name": "kernel", "resources": {"limits": {"memory": "1Gi"}}}]),
        f"{RESTRICTED}memory request 2Gi is above its limit 1Gi",
    ),
    "B7 My_Job!": (typed("--name My_Job!"), NAME.format("My_Job!", '; try "my-job"')),
    "B7 long": (typed(f"--name {'a' * 64}"), NAME.format("a" * 64, f'; try "{"a" * 30}"')),
    "B7 -x": (typed("--name=-x"), NAME.format("-x", '; try "x"')),
    "B7 empty": (lambda: options.base_name(""), NAME.format("", "")),
    "B9": (typed("pytorh"), f'unknown framework "pytorh"; did you mean pytorch? {FRAMEWORKS}'),
    "B9 jax": (typed("jax"), f'unknown framework "jax" {FRAMEWORKS}'),
    "B10": (typed("--worker 2"), "unknown option --worker; did you mean --workers?"),
    "B10 more": (typed("python extra"), 'unexpected "extra"; see %%kubetrain -h'),
    "B10 quote": (typed('--name "x'), "%%kubetrain: No closing quotation"),
    "B10 profile": (typed("-p large"), 'there is no profile "large": there are: small, old'),
    "B10 names": (typed("-o a-b"), '--output takes Python names, as in "x,y" (got "a-b")'),
    "B10 retries": (typed("--retries x"), '--retries must be a whole number (got "x")'),
    "B10 pip": (typed("--pip --index-url=x"), "--pip: expected one argument"),
    # what is in the cell
    "B11": (typed("", "\n  \n"), "the cell has no code to run"),
    "B11 comments": (typed("", "# to do\n"), "the cell has no code to run"),
    "B12": (
        typed("", "ok = 1\nx = (1,, 2)"),
        "SyntaxError in line 2: invalid syntax\n    x = (1,, 2)\n           ^",
    ),
    "B13 pip": (
        typed("", "x = 1\n\n!pip install y"),
        (
            'line 3: "!pip" is IPython syntax and cannot run in workers. Let workers install'
            " packages by --pip."
        ),
    ),
    "B13": (
        typed("", "%time x"),
        (
            'line 1: "%time" is IPython syntax and cannot run in workers. Run it in a cell of its'
            " own, or write it as Python."
        ),
    ),
    "B14": (
        typed("", "print(dta)", data=1),
        '"dta" is not defined, neither in the cell nor in the notebook; did you mean data?',
    ),
    "B14 output": (
        typed("-o nothing"),
        'the cell never assigns "nothing", so it cannot come back',
    ),
    "B15": (
        typed("", "lock.acquire()", lock=threading.Lock()),
        'cannot send "lock" (lock): make it inside the cell',
    ),
    "B16": (
        typed("", "print(df)", df=Table()),
        (
            '"df" is 412 MiB; up to 4 MiB can travel with a cell. Save it to shared storage and'
            " load it in the cell."
        ),
    ),
    "B17": (
        typed("-p old", "f()", **notebook("def f(): return 1")),
        (
            'this kernel runs Python {python}, profile "old" has 3.99: functions and classes of the'
            " notebook cannot travel between them. Choose a --profile with the same version, or"
            " define them in the cell."
        ),
    ),
    "B27": (typed("--backend jobset"), "unknown option --backend"),
    "B28": (
        typed("-w 8:4"),
        "--workers 8:4 goes from 8 to 4: write the smaller number first, at least 1, as in 1:4",
    ),
    "B28 one": (typed("-w 8:"), WORKERS.format("8:")),
    "B29 5": (typed("--timeout 5"), TIME.format("--timeout", "5")),
    "B29 -1s": (typed("--timeout=-1s"), TIME.format("--timeout", "-1s")),
    "B29 1e99h": (typed("--keep 1e99h"), TIME.format("--keep", "1e99h")),
    "B32 RTL": (typed("--name a\u202eb"), NAME.format("a\\u202eb", '; try "a-b"')),
    "B32 emoji": (typed("--name 😀"), NAME.format("😀", "")),
    # what a platform engineer writes
    "B18 scheme": (
        profile(image="https://x.example/y"),
        IMAGE.format("https://x.example/y", " without https://"),
    ),
    "B18": (profile(image=":1"), IMAGE.format(":1", "")),
    "B18 case": (profile(image="Team/lab"), IMAGE.format("Team/lab", "")),
    "B18 list": (
        lambda: Profile.parse("p", {"image": "a:1", "options": {"image": ["a:1"]}}).vary(
            {"image": "b:1"}
        ),
        'profile "p": image "b:1" is not offered: there are a:1',
    ),
    "B20 A B": (
        profile(env={"A B": "1"}),
        (
            'profile "p": env has "A B", which is no name of a variable: letters, digits, "_", "-"'
            ' and ".", not beginning with a digit'
        ),
    ),
    "B20 RANK": (
        profile(env={"RANK": "1"}),
        'profile "p": env has RANK, which is set by jupyter-kube',
    ),
    "B20 twice": (
        profile(env={"A": "1"}, env_from_secrets={"A": "s/k"}),
        'profile "p": A is in env and in env_from_secrets: choose one',
    ),
    "B21": (
        profile(pull_secrets=["a=b,c!=d"]),
        'profile "p": pull_secrets has "a=b,c!=d", which is no name of an object',
    ),
    "B22 pod": (
        lambda: Profile.parse("p", {"working_dir": "/x/{folder}"}).placed(
            user="ann", folder="../../etc"
        ),
        "profile \"p\": the notebook's folder '../../etc' cannot be a path in a pod",
    ),
    "B22 up": (
        lambda: check_path("../../etc/passwd"),
        "'../../etc/passwd' is not a path inside the folder",
    ),
    "B22 root": (
        lambda: check_path("/etc/passwd"),
        "'/etc/passwd' is not a path inside the folder",
    ),
    "B22 NUL": (lambda: check_path("a\0b"), "'a\\x00b' is not a path inside the folder"),
    "B23 host": (overlay(hostNetwork=True), f"{RESTRICTED}host namespaces (hostNetwork=true)"),
    "B23 path": (
        profile(volumes=[{"name": "x", "hostPath": {"path": "/"}}]),
        (
            'profile "p": volumes: "x" is a hostPath, which is not permitted (Pod Security'
            ' "restricted"). Use a PersistentVolumeClaim.'
        ),
    ),
    "B23": (
        overlay(containers=[{"name": "kernel", "securityContext": {"privileged": True}}]),
        f'{RESTRICTED}privileged (container "kernel" must not set securityContext.privileged=true)',
    ),
    "B24 list": (
        profile(overlay=[1]),
        (
            'profile "p": overlay must be a dictionary: a part of a pod, with metadata and spec'
            " (got [1])"
        ),
    ),
    "B24 tag": (
        overlay(volumes={1, 2}),
        'profile "p": overlay must be plain data: dictionaries, lists, texts and numbers',
    ),
    "B24 bomb": (
        lambda: Profile.parse("p", {"overlay": endless()}),
        'profile "p": overlay must be plain data: dictionaries, lists, texts and numbers',
    ),
}


def endless() -> dict[str, Any]:
    """Return what an alias makes of a mapping that is in itself."""
    made: dict[str, Any] = {}
    made["spec"] = made
    return made


@pytest.mark.parametrize("row", ROWS)
def test_it_is_refused_in_one_sentence(row: str) -> None:
    import sys

    refuse, words = ROWS[row]
    with pytest.raises((UsageError, KubeError, FolderError)) as caught:
        refuse()
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert str(caught.value) == words.replace("{python}", python)


def test_b8_a_name_may_be_taken_by_any_number_of_jobs() -> None:
    names = {naming.job_name("mnist", naming.new_id()) for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("mnist-") for name in names)


def test_b19_what_is_forbidden_is_said_as_kubernetes_says_it() -> None:
    message = (
        'pods is forbidden: User "ann" cannot create resource "pods" in API group "" in the'
        ' namespace "kube-system"'
    )
    assert str(errors.from_status(403, {"message": message}, what="create pod x")) == (
        f"Kubernetes refused to create pod x: {message}. Ask the cluster's administrator for this"
        " right in this namespace."
    )


NOWHERE = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "c",
}


@pytest.mark.parametrize(
    ("row", "content", "context", "kind", "words"),
    [
        ("B25", None, "", NotConfigured, "no cluster is set up: looked for "),
        (
            "B25 YAML",
            "a: [",
            "",
            NotConfigured,
            "the kubeconfig {path} cannot be used: while parsing",
        ),
        (
            "B25 context",
            json.dumps(NOWHERE),
            "other",
            NotConfigured,
            (
                "the kubeconfig {path} cannot be used: Invalid kube-config file. Expected object"
                " with name other"
            ),
        ),
        ("B26", json.dumps(NOWHERE), "", ClusterUnavailable, "cannot reach https://127.0.0.1:1: "),
    ],
)
def test_b25_b26_no_cluster(
    row: str, content: str | None, context: str, kind: type[KubeError], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)

    async def reach() -> None:
        client = await KubeClient.connect(
            KubeConfig(kubeconfig=str(path), context=context, request_timeout=1)
        )
        try:
            await query.list_jobs(client)
        finally:
            await client.close()

    with pytest.raises(kind) as caught:
        asyncio.run(reach())
    assert str(caught.value).startswith(words.format(path=path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b"[1]",
        b'{"op": "submit", "version": NaN}',
        b'{"op": "submit", "wish": 1, "version": ',
        b"\xff\xfe",
    ],
)
def test_b30_what_is_no_request_of_a_kernels_is_refused(data: bytes) -> None:
    with pytest.raises(errors.InvalidInput):
        counter._read(data)


def test_b31_others_jobs_and_those_that_are_not_there_are_the_same() -> None:
    async def refused(name: str) -> str:
        cluster = FakeCluster()
        labels = naming.labels("job", user="bob")
        await cluster.put("jobs", {"metadata": {"name": "theirs-abcd", "labels": labels}})
        with pytest.raises(NotFound) as caught:
            await query.find_job(cluster, name, "ann")
        return str(caught.value).replace(name, "NAME")

    assert asyncio.run(refused("theirs-abcd")) == asyncio.run(refused("nobodys-abcd"))


def test_b33_a_selector_that_no_node_has_is_said_in_the_schedulers_words() -> None:
    message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    waiting: Mapping[str, Any] = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
    }
    pod = {"metadata": {"name": "x"}, "status": {"phase": "Pending", "conditions": [waiting]}}
    state = pod_state(pod)
    assert (state.phase, state.reason, state.message) == ("waiting", "Unschedulable", message)


def test_every_row_of_the_list_is_here() -> None:
    text = Path(__file__).read_text()
    found = re.findall(r'^\s+\(?"B(\d+)|^def test_b(\d+)|_b(\d+)_', text, re.MULTILINE)
    assert {int("".join(numbers)) for numbers in found} == set(range(1, 34))
