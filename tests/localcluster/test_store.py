"""The store: versions, conflicts, deletion and what goes along with it."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_kube.localcluster.history import History
from jupyter_kube.localcluster.store import (
    EVENT,
    JOB,
    NAMESPACE,
    POD,
    SECRET,
    ApiError,
    Store,
)


def secret(name: str, **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **meta}, "data": {}}


def pod(name: str, node: str = "", **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **meta}, "spec": {"nodeName": node, "containers": []}}


def owned_by(owner: dict[str, Any], *, block: bool = False) -> dict[str, Any]:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": block,
    }
    return {"ownerReferences": [reference]}


def names(store: Store, kind: Any) -> list[str]:
    return [each["metadata"]["name"] for each in store.list(kind)]


def test_what_is_answered_is_a_copy() -> None:
    store = Store()
    made = store.create(SECRET, secret("a"))
    made["data"]["x"] = "y"
    store.get(SECRET, "default", "a")["data"]["x"] = "y"
    store.list(SECRET)[0]["data"]["x"] = "y"
    assert store.get(SECRET, "default", "a")["data"] == {}


def test_each_change_has_a_higher_version_and_no_change_has_none() -> None:
    store = Store()
    made = store.create(SECRET, secret("a"))
    same = store.update(SECRET, made)
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    changed = store.update(SECRET, {**made, "data": {"a": "Yg=="}})
    assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


def test_an_update_of_an_old_version_conflicts() -> None:
    store = Store()
    made = store.create(SECRET, secret("a"))
    store.update(SECRET, {**made, "data": {"a": "Yg=="}})
    with pytest.raises(ApiError) as caught:
        store.update(SECRET, {**made, "data": {"a": "Yw=="}})
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")
    assert caught.value.message == (
        'Operation cannot be fulfilled on secrets "a": the object has been modified; please apply '
        "your changes to the latest version and try again"
    )


def test_status_and_the_rest_are_written_apart() -> None:
    store = Store()
    made = store.create(POD, pod("p"))
    changed = {**made, "metadata": {**made["metadata"], "labels": {"a": "b"}}}
    store.update(POD, {**changed, "status": {"phase": "Running"}}, subresource="status")
    now = store.get(POD, "default", "p")
    assert now["status"] == {"phase": "Running"}
    assert "labels" not in now["metadata"]
    now["metadata"]["labels"] = {"a": "b"}
    now["status"] = {}
    store.update(POD, now)
    assert store.get(POD, "default", "p")["status"] == {"phase": "Running"}


def test_generation_counts_changes_of_the_spec() -> None:
    store = Store()
    store.create(JOB, {"metadata": {"name": "j"}, "spec": {"parallelism": 1}})
    store.mutate(JOB, "default", "j", lambda job: job.update(status={"active": 1}))
    store.mutate(JOB, "default", "j", lambda job: job["spec"].update(parallelism=2))
    assert store.get(JOB, "default", "j")["metadata"]["generation"] == 2


def test_a_name_is_made_up_from_its_prefix() -> None:
    store = Store()
    made = {store.create(SECRET, {"metadata": {"generateName": "a-"}})["metadata"]["name"]}
    made.add(store.create(SECRET, {"metadata": {"generateName": "a-"}})["metadata"]["name"])
    assert len(made) == 2
    assert all(name.startswith("a-") and len(name) == 7 for name in made)


def test_a_dry_run_stores_nothing() -> None:
    store = Store()
    assert store.create(SECRET, secret("a"), dry_run=True)["metadata"]["uid"]
    assert names(store, SECRET) == []


def test_admission_may_change_and_refuse() -> None:
    store = Store()

    def admit(_kind: Any, new: dict[str, Any], _old: Any) -> None:
        if new["metadata"]["name"] == "bad":
            raise ApiError(403, "Forbidden", "no")
        new["type"] = "Opaque"

    store.admission.append(admit)
    assert store.create(SECRET, secret("a"))["type"] == "Opaque"
    with pytest.raises(ApiError, match="no"):
        store.create(SECRET, secret("bad"))


def test_subscribers_are_told_of_each_change_until_they_want_no_more() -> None:
    store = Store()
    seen: list[tuple[str, bool]] = []
    unsubscribe = store.subscribe(SECRET, lambda what, _new, old: seen.append((what, bool(old))))
    store.create(SECRET, secret("a"))
    store.patch(SECRET, "default", "a", {"data": {"a": "Yg=="}}, "application/merge-patch+json")
    store.delete(SECRET, "default", "a")
    unsubscribe()
    store.create(SECRET, secret("b"))
    assert seen == [("ADDED", False), ("MODIFIED", True), ("DELETED", True)]


def test_what_an_object_owns_goes_with_it_down_to_the_last() -> None:
    store = Store()
    owner = store.create(JOB, {"metadata": {"name": "j"}, "spec": {}})
    middle = store.create(POD, pod("p", **owned_by(owner)))
    store.create(SECRET, secret("s", **owned_by(middle)))
    store.create(SECRET, secret("other"))
    store.delete(JOB, "default", "j")
    assert names(store, POD) == []
    assert names(store, SECRET) == ["other"]


def test_an_object_whose_owner_is_gone_already_goes_too() -> None:
    store = Store()
    owner = store.create(POD, pod("p"))
    store.delete(POD, "default", "p")
    assert store.create(SECRET, secret("s", **owned_by(owner)))["metadata"]["name"] == "s"
    assert names(store, SECRET) == []


def test_one_of_two_owners_is_enough_to_stay() -> None:
    store = Store()
    first, second = (store.create(POD, pod(name)) for name in ("a", "b"))
    both = owned_by(first)["ownerReferences"] + owned_by(second)["ownerReferences"]
    store.create(SECRET, secret("s", ownerReferences=both))
    store.delete(POD, "default", "a")
    assert names(store, SECRET) == ["s"]
    store.delete(POD, "default", "b")
    assert names(store, SECRET) == []


def test_orphans_stay() -> None:
    store = Store()
    owner = store.create(JOB, {"metadata": {"name": "j"}, "spec": {}})
    store.create(SECRET, secret("s", **owned_by(owner)))
    store.delete(JOB, "default", "j", propagation="Orphan")
    assert store.get(SECRET, "default", "s")["metadata"]["ownerReferences"] == []


def test_in_the_foreground_the_owner_waits_for_what_it_owns() -> None:
    store = Store()
    owner = store.create(JOB, {"metadata": {"name": "j"}, "spec": {}})
    store.create(POD, pod("p", node="n", **owned_by(owner, block=True)))
    store.delete(JOB, "default", "j", propagation="Foreground")
    assert store.get(JOB, "default", "j")["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert store.get(POD, "default", "p")["metadata"]["deletionTimestamp"]
    store.remove(POD, "default", "p")
    assert names(store, JOB) == []


def test_a_running_pod_is_marked_and_its_grace_only_shortened() -> None:
    store = Store()
    store.create(POD, pod("p", node="n"))
    store.delete(POD, "default", "p", grace_seconds=20)
    store.delete(POD, "default", "p", grace_seconds=60)
    assert store.get(POD, "default", "p")["metadata"]["deletionGracePeriodSeconds"] == 20
    store.delete(POD, "default", "p", grace_seconds=5)
    assert store.get(POD, "default", "p")["metadata"]["deletionGracePeriodSeconds"] == 5
    store.delete(POD, "default", "p", grace_seconds=0)
    assert names(store, POD) == []


@pytest.mark.parametrize("phase", ["", "Succeeded", "Failed"])
def test_a_pod_that_does_not_run_goes_at_once(phase: str) -> None:
    store = Store()
    store.create(POD, {**pod("p", node="n" if phase else ""), "status": {"phase": phase}})
    store.delete(POD, "default", "p")
    assert names(store, POD) == []


def test_finalizers_hold_an_object_until_they_are_gone() -> None:
    store = Store()
    store.create(SECRET, secret("s", finalizers=["a/b"]))
    store.delete(SECRET, "default", "s")
    assert store.get(SECRET, "default", "s")["metadata"]["deletionTimestamp"]
    store.mutate(SECRET, "default", "s", lambda obj: obj["metadata"].update(finalizers=[]))
    assert names(store, SECRET) == []


def test_only_the_object_that_is_meant_is_deleted() -> None:
    store = Store()
    store.create(SECRET, secret("s"))
    with pytest.raises(
        ApiError, match=r"the UID in the precondition \(1\) does not match"
    ) as caught:
        store.delete(SECRET, "default", "s", preconditions={"uid": "1"})
    assert caught.value.code == 409


def test_a_namespace_goes_when_all_that_is_in_it_has_gone() -> None:
    store = Store()
    store.create(NAMESPACE, {"metadata": {"name": "n"}})
    store.create(SECRET, secret("s"), namespace="n")
    store.create(POD, pod("p", node="x"), namespace="n")
    store.delete(NAMESPACE, None, "n")
    assert names(store, SECRET) == []
    assert store.get(NAMESPACE, None, "n")["status"]["phase"] == "Terminating"
    with pytest.raises(ApiError, match="because it is being terminated"):
        store.create(SECRET, secret("t"), namespace="n")
    store.remove(POD, "n", "p")
    assert names(store, NAMESPACE) == []


def test_there_must_be_a_namespace_once_there_are_any() -> None:
    store = Store()
    store.create(NAMESPACE, {"metadata": {"name": "default"}})
    with pytest.raises(ApiError, match='namespaces "x" not found') as caught:
        store.create(SECRET, secret("s"), namespace="x")
    assert caught.value.code == 404


def test_the_same_event_is_counted() -> None:
    store = Store()
    about = store.create(POD, pod("p"))
    for _ in range(3):
        store.event(about, "BackOff", "again", type="Warning", component="kubelet")
    store.event(about, "Started", "started")
    found = {each["reason"]: each for each in store.list(EVENT)}
    assert found["BackOff"]["count"] == 3
    assert found["BackOff"]["involvedObject"]["uid"] == about["metadata"]["uid"]
    assert found["Started"]["count"] == 1


def test_history_knows_what_it_no_longer_knows() -> None:
    history = History(longest=2)
    for version in (2, 3, 4):
        history.add(version, SECRET, ("ADDED", {"v": version}, None))
    assert [change[1]["v"] for change in history.since(SECRET, 2)] == [3, 4]
    assert history.since(POD, 3) == []
    with pytest.raises(ApiError, match="too old resource version: 1") as caught:
        history.since(SECRET, 1)
    assert (caught.value.code, caught.value.reason) == (410, "Expired")
