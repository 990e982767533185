"""How many pods there is room for: by nodes, by quotas, and by what nobody here may know."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube import naming
from jupyter_kube.kube.room import Seen, fits, needs

GPU = "nvidia.com/gpu"


def pod(
    gpus: int = 0, cpu: str = "1", memory: str = "1Gi", node: str = "", **more: Any
) -> dict[str, Any]:
    requests = {"cpu": cpu, "memory": memory} | ({GPU: str(gpus)} if gpus else {})
    limits = {key: requests[key] for key in requests if key != "cpu"}
    container = {"resources": {"requests": requests, "limits": limits}}
    spec = {"containers": [container], **({"nodeName": node} if node else {}), **more}
    return {"metadata": {"name": "p"}, "spec": spec, "status": {"phase": "Running"}}


def node(name: str = "n", gpus: int = 4, cpu: str = "8", **spec: Any) -> dict[str, Any]:
    has = {"cpu": cpu, "memory": "64Gi", "pods": "110", GPU: str(gpus)}
    labels = {"kind": name}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {"allocatable": has, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def quota(hard: dict[str, str], used: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "team"},
        "spec": {"hard": hard, **spec},
        "status": {"hard": hard, "used": used},
    }


def test_free_gpus_are_counted_node_by_node() -> None:
    seen = Seen([node("a"), node("b", gpus=3)], [pod(2, node="a")])
    found = fits(pod(2), 2, seen)
    assert (found.fits, found.wanted) == (2, 2)
    held = "2 held by others."
    assert found.why == f"There is room: 5 of 7 GPUs free, each takes 2 GPUs, {held}"
    assert fits(pod(2), 3, seen).why == f"2 of 3 fit: 5 of 7 GPUs free, each takes 2 GPUs, {held}"
    assert fits(pod(1), 5, seen).why == f"There is room: 5 of 7 GPUs free, {held}"


def test_only_my_own_are_named_of_those_who_hold_them() -> None:
    kernel, worker, other, stranger = (pod(n, node="n") for n in (1, 2, 1, 1))
    kernel["metadata"] |= {
        "labels": naming.labels(component="kernel", user="ada"),
        "annotations": {naming.NOTEBOOK: "a.ipynb"},
    }
    worker["metadata"] |= {"labels": naming.labels(component="job", user="ada", job="digits-7f3a")}
    other["metadata"] |= {
        "labels": naming.labels(component="kernel", user="bob"),
        "annotations": {naming.NOTEBOOK: "secret.ipynb"},
    }
    pods = [kernel, worker, other, stranger]
    found = fits(pod(1), 6, Seen([node(gpus=5)], pods, user="ada"))
    assert found.fits == 0
    assert found.why == (
        "0 of 6 fit: 0 of 5 GPUs free, 2 held by digits-7f3a, 2 held by others,"
        " 1 held by the kernel of a.ipynb."
    )


def test_pods_that_are_over_or_wait_hold_nothing() -> None:
    over, waits = pod(4, node="n"), pod(4)
    over["status"]["phase"] = "Succeeded"
    assert fits(pod(4), 1, Seen([node()], [over, waits])).fits == 1


def test_what_is_scarce_is_named_in_peoples_units() -> None:
    assert fits(pod(0, cpu="3"), 4, Seen([node()], [])).why == (
        "2 of 4 fit: 8 of 8 CPU free, each takes 3 CPU."
    )
    assert fits(pod(0, cpu="1m", memory="40Gi"), 4, Seen([node()], [])).why == (
        "1 of 4 fit: 64Gi of 64Gi memory free, each takes 40Gi memory."
    )


@pytest.mark.parametrize(
    ("spec", "takes"),
    [
        ({}, True),
        ({"unschedulable": True}, False),
        ({"taints": [{"key": "gpu", "effect": "NoSchedule"}]}, False),
        ({"taints": [{"key": "gpu", "effect": "PreferNoSchedule"}]}, True),
        ({"taints": [{"key": "ours", "value": "1", "effect": "NoExecute"}]}, True),
        ({"taints": [{"key": "ours", "value": "2", "effect": "NoExecute"}]}, False),
    ],
)
def test_only_nodes_that_take_such_pods_count(spec: dict[str, Any], takes: bool) -> None:
    wanted = pod(1, tolerations=[{"key": "ours", "value": "1"}])
    found = fits(wanted, 1, Seen([node(**spec)], []))
    assert found.fits == (4 if takes else 0)
    if not takes:
        assert found.why == "0 of 1 fit: none of 1 nodes is ready and open to such pods."


@pytest.mark.parametrize(
    ("operator", "values", "takes"),
    [
        ("In", ["n"], True),
        ("In", ["m"], False),
        ("NotIn", ["n"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Gt", ["1"], True),  # not judged here
    ],
)
def test_selectors_and_affinity_to_nodes_are_kept(
    operator: str, values: list[str], takes: bool
) -> None:
    term = {"matchExpressions": [{"key": "kind", "operator": operator, "values": values}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    wanted = pod(1, affinity={"nodeAffinity": required})
    assert fits(wanted, 1, Seen([node()], [])).fits == (4 if takes else 0)
    assert fits(pod(1, nodeSelector={"kind": "m"}), 1, Seen([node()], [])).fits == 0


def test_a_node_that_is_not_ready_takes_none() -> None:
    gone = node()
    gone["status"]["conditions"][0]["status"] = "Unknown"
    assert fits(pod(1), 1, Seen([gone], [])).fits == 0


def test_a_quota_may_be_narrower_than_the_nodes() -> None:
    left = quota({f"requests.{GPU}": "4", "pods": "100"}, {f"requests.{GPU}": "3", "pods": "3"})
    found = fits(pod(1), 2, Seen([node()], [], [left]))
    assert (found.fits, found.why) == (1, '1 of 2 fit: 1 of 4 GPUs left in quota "team".')
    memory = quota({"limits.memory": "4Gi"}, {"limits.memory": "1Gi"})
    found = fits(pod(1, memory="2Gi"), 2, Seen([node()], [], [memory]))
    assert found.why == '1 of 2 fit: 3Gi of 4Gi memory left in quota "team".'


def test_quotas_of_other_scopes_and_other_things_do_not_count() -> None:
    other = quota({"pods": "0"}, {}, scopes=["BestEffort"])
    things = quota({"count/secrets": "0", "requests.storage": "0"}, {})
    assert fits(pod(1), 4, Seen([node()], [], [other, things])).fits == 4


def test_without_nodes_only_a_quota_can_refuse() -> None:
    unseen = "What is free on the nodes may not be seen here."
    assert fits(pod(1), 2, Seen(None, [])).why == unseen
    assert fits(pod(1), 2, Seen(None, [])).fits is None
    left = quota({f"requests.{GPU}": "2"}, {f"requests.{GPU}": "0"})
    found = fits(pod(1), 2, Seen(None, [], [left]))
    assert (found.fits, found.why) == (None, f'2 of 2 GPUs left in quota "team". {unseen}')
    assert fits(pod(1), 3, Seen(None, [], [left])).fits == 2


def test_what_is_not_seen_of_others_is_said() -> None:
    found = fits(pod(1), 2, Seen([node()], [], whole=False))
    assert found.fits == 4
    assert found.why.endswith("they may hold some of it.")
    claiming = pod(0, resourceClaims=[{"name": "gpu"}])
    assert fits(claiming, 1, Seen([node()], [])).fits is None


def test_init_containers_and_overhead_are_part_of_a_pod() -> None:
    first = {"resources": {"requests": {"cpu": "3"}}}
    spec = pod(1, initContainers=[first, {}], overhead={"cpu": "500m"})
    assert needs(spec)["cpu"] == Fraction(7, 2)
    assert needs(spec)[GPU] == 1


@given(st.lists(st.integers(0, 8), min_size=1, max_size=5), st.integers(1, 4), st.integers(1, 30))
def test_as_many_fit_as_a_scheduler_would_place(sizes: list[int], each: int, wanted: int) -> None:
    nodes = [node(str(number), gpus=size, cpu="100") for number, size in enumerate(sizes)]
    placed: list[dict[str, Any]] = []
    for name, size in enumerate(sizes):
        placed += [pod(each, node=str(name)) for _ in range(size // each)]
    assert fits(pod(each), wanted, Seen(nodes, [])).fits == len(placed)
    assert fits(pod(each), wanted, Seen(nodes, placed)).fits == 0
