"""Which pods a Job needs, which it has too many of, and what they look like (pure functions)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .conditions import seconds
from .jobrules import (
    CONTROLLER_UID,
    INDEX,
    Pod,
    Rules,
    Tally,
    index_of,
    is_active,
    is_ready,
    is_terminating,
)

INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"


def wanted_active(tally: Tally, active: int) -> int:
    """Tell how many pods should be active."""
    rules = tally.rules
    if rules.completions is None:
        return active if tally.succeeded else rules.parallelism
    return max(0, min(rules.parallelism, rules.completions - tally.succeeded))


def to_remove(rules: Rules, active: Sequence[Pod], wanted: int) -> list[Pod]:
    """Choose the pods to remove: wrong and double indexes first, then those least far."""
    removed: list[Pod] = []
    left = list(active)
    if rules.indexed:
        best_first = sorted(active, key=_progress, reverse=True)
        seen: set[int | None] = set()
        left = []
        for pod in best_first:
            index = index_of(pod)
            (removed if index in seen or not rules.is_valid(index) else left).append(pod)
            seen.add(index)
        left.sort(key=lambda pod: index_of(pod) or 0)
    surplus = len(left) - wanted
    return removed + sorted(left, key=_progress)[: max(surplus, 0)]


def _progress(pod: Pod) -> tuple[bool, bool, bool, float]:
    running = (pod.get("status") or {}).get("phase") == "Running"
    age = -seconds(pod["metadata"]["creationTimestamp"])
    return bool(pod["spec"].get("nodeName")), running, is_ready(pod), age


def pending_indexes(tally: Tally, pods: Iterable[Pod], count: int) -> list[int]:
    """Give the lowest indexes that need a pod."""
    rules = tally.rules
    taken = {index_of(pod) for pod in pods if is_active(pod)}
    if rules.only_replace_failed:
        taken |= {index_of(pod) for pod in pods if is_terminating(pod)}
    done = tally.succeeded_indexes | tally.failed_indexes
    free = (each for each in range(rules.completions or 0) if each not in taken | done)
    return [index for index, _ in zip(free, range(count), strict=False)]


def pod_for(job: Mapping[str, Any], index: int | None, failures: int | None) -> dict[str, Any]:
    """Build a pod of the Job.

    Parameters
    ----------
    job
        The Job.
    index
        The completion index, None for a Job without indexes.
    failures
        How often this index failed before, None where that is not counted by index.

    """
    meta, template = job["metadata"], job["spec"]["template"]
    written = template.get("metadata") or {}
    labels = {
        **(written.get("labels") or {}),
        CONTROLLER_UID: meta["uid"],
        "batch.kubernetes.io/job-name": meta["name"],
        "controller-uid": meta["uid"],
        "job-name": meta["name"],
    }
    annotations = dict(written.get("annotations") or {})
    spec = {**template["spec"]}
    prefix = f"{meta['name']}-"
    if index is not None:
        labels[INDEX] = annotations[INDEX] = str(index)
        prefix = f"{meta['name'][: 56 - len(str(index))]}-{index}-"
        spec["hostname"] = f"{meta['name']}-{index}"
        spec["containers"] = [_with_index(each) for each in spec["containers"]]
    if failures is not None:
        annotations[INDEX_FAILURES] = str(failures)
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": prefix[:58],
            "namespace": meta["namespace"],
            "labels": labels,
            **({"annotations": annotations} if annotations else {}),
            "ownerReferences": [owner],
        },
        "spec": spec,
    }


def _with_index(container: Mapping[str, Any]) -> dict[str, Any]:
    entry = {
        "name": "JOB_COMPLETION_INDEX",
        "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}},
    }
    env = list(container.get("env") or ())
    if any(each["name"] == entry["name"] for each in env):
        return dict(container)
    return {**container, "env": [*env, entry]}
