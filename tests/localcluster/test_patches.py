"""The four kinds of patch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_kube.localcluster import patches
from jupyter_kube.localcluster.kinds import ApiError

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
TREES = st.recursive(
    LEAVES, lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=8
)


@pytest.mark.parametrize(
    ("base", "patch", "result"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": None}}, {"a": {"y": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
    ],
)
def test_merge_patch(base: Any, patch: Any, result: Any) -> None:
    assert patches.patched(base, patch, patches.MERGE) == result


@given(TREES, TREES)
def test_a_merge_patch_leaves_its_base_alone_and_can_be_repeated(base: Any, patch: Any) -> None:
    before = copy.deepcopy(base)
    once = patches.merge(base, patch)
    assert base == before
    assert patches.merge(once, patch) == once


def test_strategic_patch_merges_known_lists_by_key() -> None:
    base = {"spec": {"containers": [{"name": "a", "image": "1", "args": ["x"]}], "other": [1]}}
    patch = {"spec": {"containers": [{"name": "a", "image": "2"}, {"name": "b"}], "other": [2]}}
    assert patches.patched(base, patch, patches.STRATEGIC) == {
        "spec": {
            "containers": [{"name": "a", "image": "2", "args": ["x"]}, {"name": "b"}],
            "other": [2],
        }
    }


def test_strategic_patch_has_directives() -> None:
    base = {"env": [{"name": "a"}, {"name": "b"}], "x": {"a": 1, "b": 2}, "finalizers": ["a", "b"]}
    patch = {
        "env": [{"name": "a", "$patch": "delete"}],
        "x": {"$patch": "replace", "c": 3},
        "$setElementOrder/env": [{"name": "b"}],
        "$deleteFromPrimitiveList/finalizers": ["a"],
    }
    assert patches.patched(base, patch, patches.STRATEGIC) == {
        "env": [{"name": "b"}],
        "x": {"c": 3},
        "finalizers": ["b"],
    }


def test_ports_of_services_and_containers_have_different_keys() -> None:
    base = {"ports": [{"port": 80, "targetPort": 1}, {"port": 81}]}
    patch = {"ports": [{"port": 80, "targetPort": 2}]}
    merged = patches.patched(base, patch, patches.STRATEGIC)
    assert merged == {"ports": [{"port": 80, "targetPort": 2}, {"port": 81}]}


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ({"op": "add", "path": "/a~1b", "value": 1}, {"list": [1], "a/b": 1}),
        ({"op": "add", "path": "/list/-", "value": 2}, {"list": [1, 2]}),
        ({"op": "add", "path": "/list/0", "value": 0}, {"list": [0, 1]}),
        ({"op": "replace", "path": "/list", "value": []}, {"list": []}),
        ({"op": "remove", "path": "/list/0"}, {"list": []}),
        ({"op": "test", "path": "/list/0", "value": 1}, {"list": [1]}),
    ],
)
def test_json_patch(operation: Any, result: Any) -> None:
    base = {"list": [1]}
    assert patches.patched(base, [operation], patches.JSON) == result
    assert base == {"list": [1]}


@pytest.mark.parametrize(
    ("patch", "content_type", "code"),
    [
        ([{"op": "remove", "path": "/missing"}], patches.JSON, 422),
        ([{"op": "test", "path": "/a", "value": 2}], patches.JSON, 422),
        ([{"op": "dance", "path": "/a"}], patches.JSON, 422),
        ({}, patches.JSON, 400),
        ([], patches.MERGE, 400),
        ({}, "text/plain", 415),
    ],
)
def test_what_cannot_be_applied_is_refused(patch: Any, content_type: str, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        patches.patched({"a": 1}, patch, content_type)
    assert caught.value.code == code
