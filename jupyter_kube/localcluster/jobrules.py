"""The rules of Jobs: what the ends of pods mean and add up to (pure functions)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .conditions import has_condition
from .quantities import is_terminal

INDEX = "batch.kubernetes.io/job-completion-index"
CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
FIRST_BACKOFF, LONGEST_BACKOFF = 10.0, 600.0
_NO_LIMIT = 2**31 - 1

Pod = Mapping[str, Any]


@dataclass(frozen=True)
class Rules:
    """A Job's spec with its defaults filled in."""

    parallelism: int
    completions: int | None
    indexed: bool
    backoff_limit: int
    per_index_limit: int | None
    max_failed_indexes: int | None
    suspended: bool
    deadline: int | None
    on_failure: bool
    failure_rules: Sequence[Mapping[str, Any]]
    success_rules: Sequence[Mapping[str, Any]]
    only_replace_failed: bool

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> Rules:
        """Read the rules of one Job."""
        spec = job["spec"]
        per_index = spec.get("backoffLimitPerIndex")
        parallelism = spec.get("parallelism")
        completions = spec.get("completions", 1 if parallelism is None else None)
        replacement = "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"
        replacement = spec.get("podReplacementPolicy") or replacement
        return cls(
            parallelism=1 if parallelism is None else parallelism,
            completions=completions,
            indexed=spec.get("completionMode") == "Indexed",
            backoff_limit=spec.get("backoffLimit", 6 if per_index is None else _NO_LIMIT),
            per_index_limit=per_index,
            max_failed_indexes=spec.get("maxFailedIndexes"),
            suspended=bool(spec.get("suspend")),
            deadline=spec.get("activeDeadlineSeconds"),
            on_failure=spec["template"]["spec"].get("restartPolicy") == "OnFailure",
            failure_rules=(spec.get("podFailurePolicy") or {}).get("rules") or (),
            success_rules=(spec.get("successPolicy") or {}).get("rules") or (),
            only_replace_failed=replacement == "Failed",
        )

    def is_valid(self, index: int | None) -> bool:
        """Tell whether a pod of this index counts."""
        return not self.indexed or (index is not None and index < (self.completions or 0))


@dataclass(frozen=True)
class PodEnd:
    """How one pod of a Job ended."""

    index: int | None
    succeeded: bool
    at: float
    counted: bool = True
    """Whether a failure counts towards the limits."""
    fails_index: bool = False
    fails_job: str = ""
    """Message, if the failure policy ends the whole Job."""


@dataclass
class Ledger:
    """All ends of a Job's pods so far, each noted once."""

    ends: dict[str, PodEnd] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    """Pods the controller itself removed: neither successes nor failures."""

    def note(self, pod: Pod, rules: Rules, now: float, *, failed: bool = False) -> None:
        """Note a pod's end, if it has ended; ``failed`` says that it has, whatever it shows."""
        uid = pod["metadata"]["uid"]
        if uid in self.ends or uid in self.dropped:
            return
        phase = (pod.get("status") or {}).get("phase")
        if phase == "Succeeded":
            self.ends[uid] = PodEnd(index_of(pod), True, now)
        elif failed or has_failed(pod, rules):
            self.ends[uid] = judge(pod, rules, now)

    def valid(self, rules: Rules) -> list[PodEnd]:
        """Give the ends that count for the Job as it is now, in the order of time."""
        return [end for end in self.ends.values() if rules.is_valid(end.index)]


def index_of(pod: Pod) -> int | None:
    """Read a pod's completion index."""
    written = (pod["metadata"].get("annotations") or {}).get(INDEX)
    return None if written is None else int(written)


def is_active(pod: Pod) -> bool:
    """Tell whether a pod works or will work."""
    return not is_terminal(pod) and not pod["metadata"].get("deletionTimestamp")


def is_terminating(pod: Pod) -> bool:
    """Tell whether a pod is being deleted and has not ended yet."""
    return not is_terminal(pod) and bool(pod["metadata"].get("deletionTimestamp"))


def is_ready(pod: Pod) -> bool:
    """Tell whether a pod is ready."""
    return has_condition(dict(pod), "Ready")


def has_failed(pod: Pod, rules: Rules) -> bool:
    """Tell whether a pod counts as failed; one being deleted does, unless only ended ones do."""
    if (pod.get("status") or {}).get("phase") == "Failed":
        return True
    return not rules.only_replace_failed and is_terminating(pod)


def judge(pod: Pod, rules: Rules, now: float) -> PodEnd:
    """Judge a failed pod by the Job's failure policy."""
    index = index_of(pod)
    for number, rule in enumerate(rules.failure_rules):
        matched = _matches(pod, rule, number)
        if matched and rule["action"] == "FailJob":
            return PodEnd(index, False, now, fails_job=matched)
        if matched:
            action = rule["action"]
            return PodEnd(
                index, False, now, counted=action != "Ignore", fails_index=action == "FailIndex"
            )
    return PodEnd(index, False, now)


def _matches(pod: Pod, rule: Mapping[str, Any], number: int) -> str:
    """Word why a rule matches; empty if it does not."""
    meta, status = pod["metadata"], pod.get("status") or {}
    where = f"{meta['namespace']}/{meta['name']}"
    tail = f"matching {rule['action']} rule at index {number}"
    if wanted := rule.get("onExitCodes"):
        for each in status.get("containerStatuses") or ():
            code = ((each.get("state") or {}).get("terminated") or {}).get("exitCode", 0)
            same = wanted.get("containerName") in {None, each["name"]}
            if code and same and (code in wanted["values"]) == (wanted["operator"] == "In"):
                return (
                    f"Container {each['name']} for pod {where} failed with exit code {code} {tail}"
                )
        return ""
    for pattern in rule.get("onPodConditions") or ():
        for each in status.get("conditions") or ():
            if (each["type"], each["status"]) == (pattern["type"], pattern.get("status", "True")):
                return f"Pod {where} has condition {each['type']} {tail}"
    return ""


def format_indexes(indexes: Iterable[int]) -> str:
    """Write indexes as the API does: ``0,2-4``."""
    parts: list[list[int]] = []
    for index in sorted(indexes):
        if parts and parts[-1][-1] == index - 1:
            parts[-1].append(index)
        else:
            parts.append([index])
    return ",".join(
        f"{part[0]}-{part[-1]}" if len(part) > 2 else ",".join(map(str, part)) for part in parts
    )


def parse_indexes(text: str) -> set[int]:
    """Read indexes written as ``0,2-4``."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


@dataclass(frozen=True)
class Tally:
    """What the ends so far add up to."""

    rules: Rules
    ends: Sequence[PodEnd]

    @property
    def succeeded_indexes(self) -> set[int]:
        """Indexes that are done."""
        return {end.index for end in self.ends if end.succeeded and end.index is not None}

    @property
    def succeeded(self) -> int:
        """Successes: of an Indexed Job each index once."""
        if self.rules.indexed:
            return len(self.succeeded_indexes)
        return sum(end.succeeded for end in self.ends)

    @property
    def failed(self) -> int:
        """Failures that count."""
        return sum(not end.succeeded and end.counted for end in self.ends)

    def index_failures(self, index: int) -> int:
        """Count an index's failures."""
        return sum(not end.succeeded and end.counted and end.index == index for end in self.ends)

    @property
    def failed_indexes(self) -> set[int]:
        """Indexes that are given up."""
        limit = self.rules.per_index_limit
        if limit is None:
            return set()
        failed = {end.index for end in self.ends if not end.succeeded and end.index is not None}
        given_up = {end.index for end in self.ends if end.fails_index}
        return {
            index for index in failed if index in given_up or self.index_failures(index) > limit
        } - self.succeeded_indexes

    def retry_at(self, scale: float, index: int | None = None) -> float:
        """Tell when a pod may be created after failures: of one index, or of all."""
        failures: list[float] = []
        for end in self.ends:
            if index is not None and end.index != index:
                continue
            failures = [] if end.succeeded else [*failures, end.at]
        if not failures:
            return 0.0
        delay = min(FIRST_BACKOFF * 2.0 ** min(len(failures) - 1, 16), LONGEST_BACKOFF)
        return max(failures) + delay * scale
