"""A kernel as front ends show it."""

import pytest

from jupyter_kube import naming
from jupyter_kube.handlers.kernelrows import kernel
from jupyter_kube.kube.pods import pod_state


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ({}, ("failed", "Error")),
        ({"deletionTimestamp": "2026-01-01T00:01:00Z"}, ("gone", "Deleted")),
    ],
)
def test_a_kernel_whose_pod_is_being_deleted_has_not_failed(meta, told):
    ended = {"terminated": {"exitCode": 143, "reason": "Error"}}
    pod = {
        "metadata": {
            "name": "kernel-1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {naming.KERNEL_ID: "1", naming.PROFILE: "cpu"},
            **meta,
        },
        "spec": {"containers": [{"name": "kernel"}]},
        "status": {
            "phase": "Failed",
            "containerStatuses": [{"name": "kernel", "restartCount": 0, "state": ended}],
        },
    }
    row = kernel(pod, pod_state(pod), None, [])
    assert (row["phase"], row["reason"]) == told
