"""The default backend: one Indexed Job a role and a headless Service; needs nothing in the cluster.

The first role's Job is the job: it owns all else, and its end is the job's.
"""

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
    first, *more = request.roles.counts.items()
    job = _job(request, bundle, *first)
    job["metadata"]["annotations"] = jobspec.annotate(request)
    job["spec"] |= _elastic() if request.least else _fixed(request)
    roles = [_job(request, bundle, *role) for role in more]
    for each in roles:
        each["spec"]["backoffLimitPerIndex"] = _ALWAYS  # the ranks themselves count: see _fixed
    return Manifests(
        job=job,
        service=jobspec.service(request),
        secrets=jobspec.secrets(request, bundle, key),
        roles=tuple(roles),
    )


def _job(request: JobRequest, bundle: Bundle, role: str, count: int) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "completionMode": "Indexed",
        "completions": count,
        "parallelism": count,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": [*_failure_rules()]},
        "ttlSecondsAfterFinished": int(request.keep),
        "template": jobspec.pod_template(request, bundle, role),
    }
    if request.timeout is not None:
        spec["activeDeadlineSeconds"] = max(int(request.timeout), 1)
    about = jobspec.metadata(request, jobspec.role_name(request, role), role=role)
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": about, "spec": spec}


def _fixed(request: JobRequest) -> dict[str, Any]:
    """Rules of a job whose ranks are nothing without each other.

    Deaths of processes are repaired inside the pods. A pod that fails as a whole comes back as
    often as all ranks may start again; then the job has failed. Of further roles the coordinator
    says so, since the end of their Jobs would not be the job's.
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
