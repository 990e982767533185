"""Label and field selectors."""

from __future__ import annotations

import pytest

from jupyter_kube.localcluster import selectors
from jupyter_kube.localcluster.kinds import EVENT, NODE, POD, ApiError


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("a=1", True),
        ("a==1", True),
        ("a=2", False),
        ("a!=2", True),
        ("a!=1", False),
        ("missing!=1", True),
        ("a", True),
        ("!a", False),
        ("missing", False),
        ("!missing", True),
        ("a in (1,2)", True),
        ("a in (2)", False),
        ("a notin (2, 3)", True),
        ("missing notin (2)", True),
        ("a=1,x.io/b=c", True),
        ("a in (1,2),x.io/b!=c", False),
    ],
)
def test_labels(selector: str, matches: bool) -> None:
    obj = {"metadata": {"labels": {"a": "1", "x.io/b": "c"}}}
    assert selectors.labels(selector)(obj) is matches


def test_an_object_without_labels_matches_what_asks_for_none() -> None:
    assert selectors.labels("!a")({"metadata": {}})
    assert not selectors.labels("a=")({"metadata": {}})


@pytest.mark.parametrize("selector", ["a=b=c", "a in 1", "(", "a b"])
def test_nonsense_is_refused(selector: str) -> None:
    with pytest.raises(ApiError) as caught:
        selectors.labels(selector)
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("metadata.name=p", True),
        ("metadata.name!=p", False),
        ("status.phase=Running,spec.nodeName=", True),
        ("status.phase!=Running", False),
    ],
)
def test_fields(selector: str, matches: bool) -> None:
    obj = {"metadata": {"name": "p"}, "status": {"phase": "Running"}, "spec": {}}
    assert selectors.fields(POD, selector)(obj) is matches


def test_fields_of_other_kinds() -> None:
    assert selectors.fields(EVENT, "involvedObject.name=p")({"involvedObject": {"name": "p"}})
    unschedulable = selectors.fields(NODE, "spec.unschedulable=true")
    assert unschedulable({"spec": {"unschedulable": True}})


@pytest.mark.parametrize("selector", ["spec.restart=x", "status.phase>1"])
def test_only_some_fields_can_be_selected_by(selector: str) -> None:
    with pytest.raises(ApiError, match=r"field label not supported|can't understand it"):
        selectors.fields(POD, selector)
