"""When a Job is over, and why (pure functions)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .conditions import seconds
from .jobrules import Pod, Rules, Tally, parse_indexes
from .quantities import is_terminal

Verdict = tuple[str, str, str]
"""Condition type (``SuccessCriteriaMet`` or ``FailureTarget``), reason and message."""


def standing_verdict(job: Mapping[str, Any]) -> Verdict | None:
    """Give the verdict an earlier turn wrote into the Job's status."""
    for each in (job.get("status") or {}).get("conditions") or ():
        if each["type"] in {"SuccessCriteriaMet", "FailureTarget"} and each["status"] == "True":
            return each["type"], each.get("reason", ""), each.get("message", "")
    return None


def early_verdict(
    job: Mapping[str, Any], tally: Tally, pods: Iterable[Pod], now: float
) -> Verdict | None:
    """Tell whether the Job is over though not all its work is done."""
    rules = tally.rules
    if message := next((end.fails_job for end in tally.ends if end.fails_job), ""):
        return "FailureTarget", "PodFailurePolicy", message
    if tally.failed > rules.backoff_limit or _too_many_restarts(rules, pods):
        message = "Job has reached the specified backoff limit"
        return "FailureTarget", "BackoffLimitExceeded", message
    if seconds_left(job, rules, now) <= 0:
        message = "Job was active longer than specified deadline"
        return "FailureTarget", "DeadlineExceeded", message
    return _index_verdict(tally)


def _index_verdict(tally: Tally) -> Verdict | None:
    rules = tally.rules
    done, failed = tally.succeeded_indexes, tally.failed_indexes
    if rules.max_failed_indexes is not None and len(failed) > rules.max_failed_indexes:
        message = "Job has exceeded the specified maximal number of failed indexes"
        return "FailureTarget", "MaxFailedIndexesExceeded", message
    if failed and len(failed) + len(done) >= (rules.completions or 0):
        return "FailureTarget", "FailedIndexes", "Job has failed indexes"
    for number, rule in enumerate(rules.success_rules):
        named = rule.get("succeededIndexes")
        hits = done if named is None else done & parse_indexes(named)
        enough = rule.get("succeededCount", len(parse_indexes(named or "")))
        if len(hits) >= enough > 0:
            return "SuccessCriteriaMet", "SuccessPolicy", f"Matched rules at index {number}"
    return None


def _too_many_restarts(rules: Rules, pods: Iterable[Pod]) -> bool:
    if not rules.on_failure:
        return False
    restarts: int = sum(
        each.get("restartCount", 0)
        for pod in pods
        if not is_terminal(pod)
        for each in (pod.get("status") or {}).get("containerStatuses") or ()
    )
    return restarts >= max(rules.backoff_limit, 1)


def seconds_left(job: Mapping[str, Any], rules: Rules, now: float) -> float:
    """Tell how long the Job may still be active; infinite without a deadline."""
    started = (job.get("status") or {}).get("startTime")
    if rules.deadline is None or rules.suspended or not started:
        return float("inf")
    return seconds(started) + rules.deadline - now


def is_complete(tally: Tally, active: int) -> bool:
    """Tell whether all the work is done."""
    if tally.rules.completions is None:
        return tally.succeeded > 0 and active == 0
    return tally.succeeded >= tally.rules.completions and active == 0
