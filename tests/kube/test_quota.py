"""A full quota in words."""

from __future__ import annotations

import pytest

from jupyter_kube.kube.quota import quota_words

REFUSED = 'pods "kube-1" is forbidden: exceeded quota: q, '


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (
            (
                "requested: requests.nvidia.com/gpu=4, used: requests.nvidia.com/gpu=3, "
                "limited: requests.nvidia.com/gpu=4"
            ),
            'needs 4 GPU, 1 left in namespace n (quota "q")',
        ),
        (
            (
                "requested: limits.memory=2Gi,requests.cpu=500m, used: limits.memory=3Gi,"
                "requests.cpu=1750m, limited: limits.memory=4Gi,requests.cpu=2"
            ),
            'needs 2Gi memory, 1Gi left, needs 0.5 CPU, 0.25 left in namespace n (quota "q")',
        ),
        (
            "requested: count/pods=1, used: count/pods=7, limited: count/pods=5",
            'needs 1 pods, 0 left in namespace n (quota "q")',
        ),
        (
            (
                "requested: nvidia.com/mig-1g.5gb=8, used: nvidia.com/mig-1g.5gb=0, "
                "limited: nvidia.com/mig-1g.5gb=2"
            ),
            (
                "needs 8 nvidia.com/mig-1g.5gb, more than the 2 that are allowed in namespace n "
                '(quota "q")'
            ),
        ),
    ],
)
def test_f15_a_full_quota_is_said_in_what_is_needed_and_left(refusal: str, words: str) -> None:
    assert quota_words(REFUSED + refusal, "n") == words


@pytest.mark.parametrize(
    "text",
    [
        "something else",
        REFUSED + "requested: cpu=1, used: cp",
        REFUSED + "requested: cpu=1, used: memory=1, limited: cpu=1",
        REFUSED + "requested: cpu=much, used: cpu=1, limited: cpu=1",
    ],
)
def test_what_is_not_understood_is_said_as_it_came(text: str) -> None:
    assert quota_words(text, "n") == text
