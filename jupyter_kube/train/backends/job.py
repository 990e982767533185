"""The default backend: one Indexed Job and a headless Service; needs nothing in the cluster."""

from __future__ import annotations

from typing import Any

from .. import jobspec
from ..cell import Bundle
from ..frames import FAIL_JOB
from ..jobspec import Manifests
from ..request import JobRequest

_ALWAYS = 1_000_000  # replacements of one pod


def render(request: JobRequest, bundle: Bundle, key: bytes) -> Manifests:
    """Build the manifests of a job; parameters as for :func:`.jobspec.manifests`."""
    return Manifests(
        job=_job(request, bundle),
        service=jobspec.service(request),
        secrets=jobspec.secrets(request, bundle, key),
    )


def _job(request: JobRequest, bundle: Bundle) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "completionMode": "Indexed",
        "completions": request.workers,
        "parallelism": request.workers,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": [*_failure_rules()]},
        "ttlSecondsAfterFinished": int(request.keep),
        "template": jobspec.pod_template(request, bundle),
    }
    spec |= _elastic() if request.least else _fixed(request)
    if request.timeout is not None:
        spec["activeDeadlineSeconds"] = max(int(request.timeout), 1)
    about = {**jobspec.metadata(request), "annotations": jobspec.annotate(request)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": about, "spec": spec}


def _fixed(request: JobRequest) -> dict[str, Any]:
    """Rules of a job whose ranks are nothing without each other.

    Deaths of processes are repaired inside the pods. A pod that fails as a whole comes back as
    often as all ranks may start again; then the job has failed.
    """
    return {"backoffLimitPerIndex": request.retries, "maxFailedIndexes": 0}


def _elastic() -> dict[str, Any]:
    """Rules of a job that goes on with whoever is there: rank 0 speaks for all, pods may come back
    as often as they like. Their number may change only if ``completions`` changes with it.
    """
    return {
        "backoffLimitPerIndex": _ALWAYS,
        "successPolicy": {"rules": [{"succeededIndexes": "0"}]},
    }


def _failure_rules() -> list[dict[str, Any]]:
    return [
        {
            "action": "FailJob",
            "onExitCodes": {
                "containerName": jobspec.CONTAINER,
                "operator": "In",
                "values": [FAIL_JOB],
            },
        },
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
