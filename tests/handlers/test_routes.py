"""What all routes promise: who may use them, what they refuse, and that the description is true."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.httpclient import HTTPClientError

from jupyter_kube import handlers, naming
from jupyter_kube.handlers import base
from jupyter_kube.handlers import cluster as clusters
from jupyter_kube.handlers.kernelrows import ends
from jupyter_kube.handlers.socket import KubeSocket
from jupyter_kube.localcluster import LocalCluster
from tests.kernels.serving import Server

DOCUMENT = yaml.safe_load((Path(handlers.__file__).parent / "openapi.yaml").read_text())
VERBS = ("get", "post", "patch", "delete")
DESCRIBED = [
    (path.lstrip("/"), verb)
    for path, item in DOCUMENT["paths"].items()
    for verb in VERBS
    if verb in item
]


def _at(path: str) -> str:
    """Fill in a path's names."""
    return re.sub(r"{\w+}", "x", path)


def check(name: str, content: Any) -> None:
    """Hold an answer against a schema of the description."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(content)


async def refused(fetch: Any, *path: str, **how: Any) -> tuple[int, dict[str, Any]]:
    """Ask for what is refused; returns the code and the words."""
    with pytest.raises(HTTPClientError) as raised:
        await fetch("jupyter-kube", *path, **how)
    assert raised.value.response is not None
    body = json.loads(raised.value.response.body)
    check("Error", body)
    return raised.value.code, body


def test_the_description_has_all_routes_and_verbs_and_no_others() -> None:
    served = {
        (path.replace(r"([^/]+)", "{}"), verb)
        for path, handler in handlers.ROUTES
        for verb in VERBS
        if any(verb in vars(each) for each in handler.mro() if "jupyter_kube" in each.__module__)
    }
    assert served == {(re.sub(r"{\w+}", "{}", path), verb) for path, verb in DESCRIBED}


@pytest.mark.parametrize(("path", "handler"), handlers.ROUTES, ids=str)
def test_each_verb_asks_first_who_it_is_and_then_whether_they_may(path: str, handler: Any) -> None:
    assert handler.auth_resource == "jupyter-kube"
    for verb in handler.SUPPORTED_METHODS:
        method = getattr(handler, verb.lower())
        if method in (web.RequestHandler.get, APIHandler.options):  # not there; and Jupyter's own
            continue
        layers = []
        while method is not None:
            layers.append(method.__globals__["__name__"])
            method = getattr(method, "__wrapped__", None)
        if issubclass(handler, KubeSocket):  # asks both itself: the tests below
            assert layers == [KubeSocket.__module__]
        else:
            asked = ["tornado.web", "jupyter_server.auth.decorator", base.__name__]
            assert layers == [*asked, handler.__module__]


@pytest.mark.parametrize("token", ["", "token wrong"], ids=["none", "wrong"])
@pytest.mark.parametrize(("path", "verb"), DESCRIBED)
async def test_nobody_unknown_is_answered(
    path: str, verb: str, token: str, server: Server, jp_fetch: Any
) -> None:
    body = "{}" if verb in ("post", "patch") else None
    with pytest.raises(HTTPClientError) as raised:
        await jp_fetch(
            "jupyter-kube",
            *_at(path).split("/"),
            method=verb.upper(),
            body=body,
            headers={"Authorization": token},
        )
    assert raised.value.code == 403


class Nobody(Authorizer):
    """Allows nothing that is ours, and remembers what it was asked."""

    asked: list[tuple[str, str]] = []

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        self.asked.append((action, resource))
        return resource != "jupyter-kube"


@pytest.mark.parametrize(("path", "verb"), DESCRIBED)
async def test_an_authorizer_is_asked(
    path: str, verb: str, server: Server, jp_fetch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(server.app.web_app.settings, "authorizer", Nobody(parent=server.app))
    monkeypatch.setattr(Nobody, "asked", [])
    body = "{}" if verb in ("post", "patch") else None
    where = _at(path).split("/")
    with pytest.raises(HTTPClientError) as raised:
        await jp_fetch("jupyter-kube", *where, method=verb.upper(), body=body)
    assert raised.value.code == 403
    assert Nobody.asked == [("read" if verb == "get" else "write", "jupyter-kube")]


async def test_a_cookie_alone_changes_nothing(server: Server, http_server_client: Any) -> None:
    """Jupyter's XSRF check stands before every verb that changes something."""
    base = f"/{server.app.base_url.strip('/')}/jupyter-kube"
    token = {"Authorization": f"token {server.app.identity_provider.token}"}
    known = await http_server_client.fetch(f"{base}/jobs", headers=token)
    given = [each.partition(";")[0] for each in known.headers.get_list("Set-Cookie")]
    (cookie,) = (each for each in given if each.startswith("username-"))
    where = {"Cookie": cookie, "Referer": http_server_client.get_url("/")}
    await http_server_client.fetch(f"{base}/jobs", headers=where)  # it says who asks
    for path, verb in DESCRIBED:
        if verb == "get":
            continue
        with pytest.raises(HTTPClientError) as raised:
            await http_server_client.fetch(
                f"{base}/{_at(path)}",
                method=verb.upper(),
                headers=where,
                body=None if verb == "delete" else "{}",
            )
        assert raised.value.code == 403
        assert b"'_xsrf' argument missing" in raised.value.response.body


@pytest.mark.parametrize(
    ("body", "kind", "code", "words"),
    [
        ("{", "application/json", 400, "not JSON"),
        ('{"workers": NaN}', "application/json", 400, "not JSON"),
        ("[" * 20_000, "application/json", 400, "not JSON"),
        ("[]", "application/json", 400, "an object with workers"),
        ('{"workers": 2, "more": 1}', "application/json", 400, "an object with workers"),
        ('{"workers": "2"}', "application/json", 400, "workers must be of type int"),
        ('{"workers": true}', "application/json", 400, "workers must be of type int"),
        ('{"workers": 1.5}', "application/json", 400, "workers must be of type int"),
        ('{"workers": 1e999}', "application/json", 400, "workers must be of type int"),
        ('{"workers": 2.0}', "application/json", 404, 'no job "x"'),  # a whole number to JSON
        ('{"workers": 1000000}', "application/json", 400, "workers"),
        ('{"workers": 2}', "text/plain", 415, "application/json"),
        (f'{{"workers": {"2" * 70_000}}}', "application/json", 413, "bytes"),
    ],
)
async def test_b30_odd_bodies_are_refused_in_words(
    body: str, kind: str, code: int, words: str, server: Server, jp_fetch: Any
) -> None:
    how = {"method": "PATCH", "body": body, "headers": {"Content-Type": kind}}
    answered, said = await refused(jp_fetch, "jobs", "x", **how)
    assert answered == code
    assert words in said["message"]


@pytest.mark.parametrize("name", ["nothing", "a%2Fb", "%3Cscript%3E", "..", "x" * 300])
async def test_jobs_that_are_not_there_are_not_found(
    name: str, server: Server, jp_fetch: Any
) -> None:
    if name == "..":
        name = "%2E%2E"
    for method, more in (("GET", ()), ("DELETE", ()), ("POST", ("rerun",))):
        body = "{}" if method == "POST" else None
        code, said = await refused(jp_fetch, "jobs", name, *more, method=method, body=body)
        assert code in (400, 404)
        assert said["what"]


async def test_a_verb_that_is_not_there_is_answered_with_those_that_are(
    server: Server, jp_fetch: Any
) -> None:
    answer = await jp_fetch("jupyter-kube", "jobs", "x", method="PUT", body="", raise_error=False)
    assert (answer.code, answer.headers["Allow"]) == (405, "GET, DELETE, PATCH, OPTIONS")
    check("Error", json.loads(answer.body))


async def test_a_wrong_question_is_refused(server: Server, jp_fetch: Any) -> None:
    code, said = await refused(jp_fetch, "jobs", params={"everyone": "perhaps"})
    assert (code, said["message"]) == (400, 'everyone must be "true" or "false"')


async def test_the_cluster_its_profiles_and_kernels_are_shown(
    server: Server, cluster: LocalCluster
) -> None:
    profiles = await server.call("GET", "jupyter-kube", "profiles")
    check("Profiles", profiles)
    assert {"python", "gpu"} <= {profile["name"] for profile in profiles["profiles"]}
    model = await server.start("kube-gpu")
    kernels = await server.call("GET", "jupyter-kube", "kernels")
    check("Kernels", kernels)
    (row,) = kernels["kernels"]
    assert (row["id"], row["profile"], row["phase"]) == (model["id"], "gpu", "running")
    assert row["execution_state"] in {"idle", "busy", "starting"}
    assert (row["gpus"], row["ends"]) == (1, None)
    seen = await server.call("GET", "jupyter-kube", "cluster")
    check("Cluster", seen)
    assert seen["state"] == "up"
    (gpu,) = seen["gpus"]
    assert gpu["held"] == {row["pod"]: 1}
    assert gpu["total"] == 4
    await server.delete(model["id"])


async def test_what_fits_is_said_before_it_is_submitted(server: Server, jp_fetch: Any) -> None:
    async def fit(**asked: str) -> dict[str, Any]:
        found = json.loads((await jp_fetch("jupyter-kube", "fit", params=asked)).body)
        check("Fit", found)
        return dict(found)

    assert (await fit(profile="gpu", workers="4"))["fits"] == 4
    model = await server.start("kube-gpu")
    found = await fit(profile="gpu", workers="4")
    assert (found["fits"], found["wanted"]) == (3, 4)
    assert found["why"].startswith("3 of 4 fit: 3 of 4 GPUs free, 1 held by the kernel of ")
    assert (await fit(profile="gpu", workers="1", gpus="2"))["fits"] == 1
    assert (await fit(workers="2", memory="100000Ti"))["fits"] == 0
    assert (await fit(workers="2", cpu="1000000"))["fits"] == 0
    assert (await fit())["wanted"] == 1
    await server.delete(model["id"])


def test_devices_are_counted_as_kubernetes_writes_quantities() -> None:
    limits = {"limits": {"nvidia.com/gpu": "1k"}}  # so it writes 1000
    pod = {
        "metadata": {"name": "p"},
        "spec": {"nodeName": "n", "containers": [{"resources": limits}]},
        "status": {"phase": "Running"},
    }
    node = {"status": {"allocatable": {"nvidia.com/gpu": "2k"}}}
    assert clusters.gpu("nvidia.com/gpu", [pod], [node]) == {
        "resource": "nvidia.com/gpu",
        "total": 2000,
        "held": {"p": 1000},
    }


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"profile": "nothing"}, 'there is no profile "nothing"'),
        ({"workers": "0"}, "at least one worker"),
        ({"workers": "many"}, "must be a whole number"),
        ({"gpus": "0.5"}, "GPUs are whole devices"),
        ({"memory": "much"}, 'memory "much"'),
        ({"cpu": "-1"}, 'cpu "-1"'),
    ],
)
async def test_what_cannot_be_at_all_is_refused(
    query: dict[str, str], words: str, server: Server, jp_fetch: Any
) -> None:
    code, said = await refused(jp_fetch, "fit", params=query)
    assert code == 400
    assert words in said["message"]


async def test_a_cluster_out_of_reach_is_an_answer(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_PATIENCE", 0.0)
    seen = await server.call("GET", "jupyter-kube", "cluster")
    check("Cluster", seen)
    assert seen["state"] == "unreachable"
    assert "has not answered" in seen["message"]


def test_a_kernels_end_is_the_first_that_is_known() -> None:
    idle = datetime(2026, 1, 1, 12, tzinfo=UTC)
    pod: dict[str, Any] = {
        "metadata": {},
        "spec": {},
        "status": {"startTime": "2026-01-01T10:00:00Z"},
    }
    assert ends(pod, idle) is None
    pod["metadata"]["annotations"] = {naming.IDLE_TIMEOUT: "7200"}
    assert ends(pod, idle) == "2026-01-01T14:00:00+00:00"
    assert ends(pod, None) is None
    pod["spec"]["activeDeadlineSeconds"] = 10800
    assert ends(pod, idle) == ends(pod, None) == "2026-01-01T13:00:00+00:00"
    pod["metadata"]["annotations"] = {naming.IDLE_TIMEOUT: "soon"}
    assert ends(pod, idle) == "2026-01-01T13:00:00+00:00"


async def test_an_idle_kernel_of_this_server_has_an_end(
    server: Server, cluster: LocalCluster
) -> None:
    model = await server.start("kube-idle")
    (row,) = (await server.call("GET", "jupyter-kube", "kernels"))["kernels"]
    manager = server.manager(model["id"])
    since = max(manager.last_activity, manager.joined)
    assert row["ends"] == (since + timedelta(hours=2)).isoformat(timespec="seconds")
    await server.delete(model["id"])


def test_devices_are_counted_by_who_holds_them() -> None:
    def pod(name: str, number: int, phase: str = "Running", node: str = "n") -> dict[str, Any]:
        limits = {"resources": {"limits": {"example.com/gpu": str(number)}}}
        spec = {"nodeName": node, "containers": [limits, {}]}
        return {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}}

    pods = [pod("a", 2), pod("b", 1, "Succeeded"), pod("c", 1, "Pending", ""), pod("d", 0)]
    nodes = [{"status": {"allocatable": {"example.com/gpu": "4"}}}, {"status": {}}]
    assert clusters.gpu("example.com/gpu", pods, nodes) == {
        "resource": "example.com/gpu",
        "total": 4,
        "held": {"a": 2},
    }
    assert clusters.gpu("example.com/gpu", pods, None)["total"] is None
