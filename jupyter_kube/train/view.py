"""What a job looks like now: its Job, pods and events made into words (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from .. import naming
from ..kube.pods import death, exit_words, pod_state
from ..models import PodState
from .frames import FAIL_JOB, MARK
from .options import MOST_PROCS, MOST_WORKERS
from .replacing import due
from .request import STORAGE_ENV
from .roles import WORKER, Roles

INDEX = "batch.kubernetes.io/job-completion-index"
"""Label and annotation by which Kubernetes tells a pod's index in its Job."""

_BY_RANKS = "PodFailurePolicy"
"""Reason of a failed Job about which its ranks know more than its message."""

_REFUSED = re.compile(r'Error creating: (pods "[^"]*" is forbidden: )?')
"""How the Job controller begins to say why it could not make a pod, each time of another name."""

_WITH_OTHERS = "ended with the others"


@dataclass(frozen=True)
class RankView:
    """One rank: its newest pod's state, what it says, and its last report."""

    rank: int
    state: PodState
    role: str = ""
    """chief, worker, ps or evaluator; empty in a job of workers only."""
    says: str = ""
    """The supervisor's own words, as in "waiting for ranks 1, 3"."""
    progress: str = ""
    """The last unfinished line: a progress bar."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    death: Mapping[str, Any] | None = None
    """What its supervisor wrote as its last words about the job's failure: ``rank``, ``text``,
    ``traceback`` …; of ranks that ended with another one, in the first of them only."""
    due: float | None = None
    """When Kubernetes will replace its pod that has ended, in seconds since 1970."""

    @property
    def reason(self) -> str:
        """Why it is not running yet, or what its supervisor waits for; empty if all is well."""
        return self.state.message or self.says


@dataclass(frozen=True)
class JobView:
    """A whole job at one moment.

    ``phase`` is one of waiting, starting, running, succeeded, failed, stopped; ``message`` says why
    it waits or failed, in Kubernetes' words; ``started`` and ``ended`` are seconds since 1970.
    """

    name: str
    framework: str = ""
    workers: int = 0
    """How many there are to be, those of other roles with them; of an elastic job, at most."""
    roles: tuple[str, ...] = ()
    """The roles that there are, as in "chief", "2 workers"; empty where there are workers only."""
    procs: int = 1
    """How many ranks there are in each worker's pod."""
    least: int = 0
    """How many an elastic job needs; 0 for a job of fixed size."""
    lasting: bool = False
    """Whether its pods share storage that outlives them."""
    profile: str = ""
    outputs: tuple[str, ...] = ()
    user: str = ""
    """Whose it is."""
    phase: str = "waiting"
    reason: str = ""
    message: str = ""
    started: float | None = None
    ended: float | None = None
    ranks: tuple[RankView, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether nothing of it will run any more."""
        return self.phase in ("succeeded", "failed", "stopped")

    def succeeded(self) -> JobView:
        """Return what the view will be once Kubernetes has been told that all ranks are done."""
        ranks = tuple(
            replace(rank, says="", state=replace(rank.state, phase="succeeded", message=""))
            for rank in self.ranks
        )
        return replace(self, phase="succeeded", message="", ranks=ranks)


@dataclass
class Told:
    """What the ranks told in their logs, by rank: last reports, states and progress bars."""

    metrics: dict[int, dict[str, Any]] = field(default_factory=dict)
    says: dict[int, str] = field(default_factory=dict)
    progress: dict[int, str] = field(default_factory=dict)
    fates: dict[int, str] = field(default_factory=dict)
    """Why a rank failed; said by itself or by the coordinator."""
    deleted: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    """Pods that were there, as they were last seen."""


def job_view(
    job: Mapping[str, Any],
    pods: Iterable[Mapping[str, Any]] = (),
    events: Iterable[Mapping[str, Any]] = (),
    told: Told | None = None,
    *,
    now: datetime | None = None,
) -> JobView:
    """Make the view of a Job, its pods and the events about both.

    Parameters
    ----------
    job
        The Job object.
    pods, events
        Those of this job; events about other objects are passed over.
    told
        Last reports and states from the logs.
    now
        The cluster's time; this machine's where it is not given.

    """
    meta, spec = job["metadata"], job.get("spec") or {}
    by_object: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        about = event.get("involvedObject") or {}
        by_object.setdefault(about.get("name", ""), []).append(dict(event))
    asked = request_of(job)
    roles = roles_of(asked, _number(spec, "completions"))
    over = bool(_conditions(job).keys() & {"Complete", "Failed"})
    limit = spec.get("backoffLimitPerIndex")
    procs = _number(asked, "procs", MOST_PROCS) or 1
    ranks = _ranks(roles, pods, by_object, told or Told(), limit, procs=procs, over=over, now=now)
    least = _number(asked, "least")
    phase, reason, message, ended = _verdict(job, ranks, least)
    if phase in ("waiting", "starting"):
        names = (meta["name"], *(f"{meta['name']}-{role}" for role in roles.counts))
        about = (event for name in names for event in by_object.get(name, ()))
        message = message or _not_created(ranks, about)
    return JobView(
        name=meta["name"],
        framework=(meta.get("annotations") or {}).get(naming.FRAMEWORK, ""),
        user=(meta.get("annotations") or {}).get(naming.USER, ""),
        workers=roles.size,
        roles=_in_words(roles) if roles.several else (),
        procs=procs,
        least=least,
        lasting=_has_storage(spec),
        profile=str(asked.get("profile") or ""),
        outputs=_names(asked.get("outputs")),
        phase=phase,
        reason=reason,
        message=message,
        started=seconds(meta.get("creationTimestamp")),
        ended=ended,
        ranks=ranks,
    )


def _has_storage(spec: Mapping[str, Any]) -> bool:
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = pod.get("containers") or ()
    return any(entry["name"] == STORAGE_ENV for c in containers for entry in c.get("env") or ())


def request_of(job: Mapping[str, Any]) -> dict[str, Any]:
    """Read what was asked for from a Job's annotation; empty if there is none."""
    text = (job["metadata"].get("annotations") or {}).get(naming.REQUEST, "")
    try:
        asked = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return asked if isinstance(asked, dict) else {}


def is_whole(job: Mapping[str, Any]) -> bool:
    """Say whether a Job is a job itself, and not one of its further roles."""
    meta = job["metadata"]
    return bool(meta["name"] == (meta.get("labels") or {}).get(naming.JOB, meta["name"]))


def roles_of(asked: Mapping[str, Any], first: int) -> Roles:
    """Tell which roles a job has, from what was asked for and the size of its first Job."""
    chief, evaluator = (bool(asked.get(what)) for what in ("chief", "evaluator"))
    workers = _number(asked, "workers") if chief else first
    return Roles(workers, chief, _number(asked, "ps"), evaluator)


def _number(written: Mapping[str, Any], name: str, most: int = MOST_WORKERS) -> int:
    """Read a number, as large as it can be: whoever may create Jobs may write anything there."""
    value = written.get(name)
    return max(0, min(value, most)) if isinstance(value, int) else 0


def _names(written: Any) -> tuple[str, ...]:
    return tuple(map(str, written)) if isinstance(written, list) else ()


def _in_words(roles: Roles) -> tuple[str, ...]:
    plural = {WORKER: "workers"}
    return tuple(
        role if count == 1 else f"{count} {plural.get(role, role)}"
        for role, count in roles.counts.items()
    )


def ranks_of(pod: Mapping[str, Any]) -> range:
    """Tell which ranks a pod has: mostly one; none if it is no worker's."""
    meta = pod["metadata"]
    notes = meta.get("annotations") or {}
    procs = min(_digits(notes, naming.PROCS) or 1, MOST_PROCS)
    for known in (notes, meta.get("labels") or {}):
        if (index := _digits(known, INDEX)) is not None:
            first = (_digits(notes, naming.FIRST_RANK) or 0) + index * procs
            return range(first, first + procs)
    return range(0)


def _digits(notes: Mapping[str, str], name: str) -> int | None:
    """Read a number of at most five digits: others may have written there what they like."""
    text = notes.get(name, "")
    return int(text) if re.fullmatch("[0-9]{1,5}", text) else None


def seconds(timestamp: str | None) -> float | None:
    """Read a timestamp of the API as seconds since 1970."""
    return datetime.fromisoformat(timestamp).timestamp() if timestamp else None


def _ranks(
    roles: Roles,
    pods: Iterable[Mapping[str, Any]],
    events: Mapping[str, list[dict[str, Any]]],
    told: Told,
    limit: int | None,
    *,
    procs: int,
    over: bool,
    now: datetime | None,
) -> tuple[RankView, ...]:
    newest: dict[int, Mapping[str, Any]] = {}
    for pod in sorted(pods, key=_age_key):
        if ranks := ranks_of(pod):
            newest[ranks[0]] = pod
    out, heard = [], False
    for rank in range(roles.size * procs):
        first = rank - rank % procs  # of its pod
        found = newest.get(first)
        state, death = PodState("", "gone" if over else "queued"), None
        if found is not None:
            about = events.get(found["metadata"]["name"], ())
            state = ended_or(pod_state(dict(found), about, now=now), found)
            state, death = readable(state, rank)
            if heard and state.message == _WITH_OTHERS:  # all tell the same, and it is long
                death = None
            heard = heard or death is not None
        if over and rank in told.fates:  # by now its pod may be gone
            state = replace(state, phase="failed", message=told.fates[rank])
        last = found or told.deleted.get(first)
        out.append(
            RankView(
                rank,
                state,
                roles.of(rank)[0] if roles.several else "",
                told.says.get(rank, ""),
                told.progress.get(rank, ""),
                dict(told.metrics.get(rank, {})),
                death,
                due=due(last, limit) if last and not over else None,
            )
        )
    return tuple(out)


def ended_or(state: PodState, pod: Mapping[str, Any]) -> PodState:
    """Return a state, or the end of a container whose pod has not been told of it yet."""
    if state.phase not in ("starting", "running"):
        return state
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        if last := (container.get("state") or {}).get("terminated"):
            reason, words, code = death(last, _limits(pod, container["name"]))
            if code == 0:
                return replace(state, phase="succeeded", reason=reason, message="", exit_code=0)
            return replace(state, phase="failed", reason=reason, message=words, exit_code=code)
    return state


def _limits(pod: Mapping[str, Any], name: str) -> dict[str, Any]:
    container = next(c for c in pod["spec"]["containers"] if c["name"] == name)
    return (container.get("resources") or {}).get("limits") or {}


def readable(state: PodState, rank: int) -> tuple[PodState, dict[str, Any] | None]:
    """Take a supervisor's last words out of a rank's state, and what only machines read.

    They tell why the job failed, which may be for another rank.
    """
    if last := _last_words(state.message):
        if last.get("rank", rank) != rank:
            return replace(state, message=_WITH_OTHERS), last
        text = last["text"].removeprefix(f"rank {last.get('rank')} ")
        return replace(state, message=text), last
    if state.exit_code == FAIL_JOB:
        return replace(state, message=_WITH_OTHERS), None
    if MARK.strip() in state.message:  # without last words Kubernetes takes the log's end
        return replace(state, message=exit_words(state.exit_code)), None
    return state, None


def _last_words(message: str) -> dict[str, Any]:
    """Read what a supervisor has left; empty if it is none of that: a cell may write there, too."""
    if not message.startswith("{"):
        return {}
    try:
        said = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    rank = said.pop("rank", None)
    last = {key: _showable(text) for key, text in said.items() if isinstance(text, str)}
    if "text" not in last:
        return {}
    return {**last, "rank": rank} if type(rank) is int else last


def _showable(text: str) -> str:
    """Write half a character, which no front end could show, as its number."""
    return text.encode("utf-8", "backslashreplace").decode()


def _age_key(pod: Mapping[str, Any]) -> tuple[bool, str, str]:
    """Sort a rank's pods so that the one that counts comes last."""
    meta = pod["metadata"]
    leaving = bool(meta.get("deletionTimestamp"))
    return (not leaving, meta.get("creationTimestamp") or "", meta["name"])


def _verdict(
    job: Mapping[str, Any], ranks: tuple[RankView, ...], least: int
) -> tuple[str, str, str, float | None]:
    """Judge the whole: phase, machine reason, message, end."""
    status, true = job.get("status") or {}, _conditions(job)
    for kind, phase in (("Complete", "succeeded"), ("Failed", "failed")):
        if kind in true:
            condition = true[kind]
            end = status.get("completionTime") or condition.get("lastTransitionTime")
            reason = condition.get("reason", "")
            quiet = phase == "succeeded" or reason == _BY_RANKS
            return phase, reason, "" if quiet else condition.get("message", ""), seconds(end)
    if job["metadata"].get("deletionTimestamp"):
        return "stopped", "Deleted", "", seconds(job["metadata"]["deletionTimestamp"])
    phases = [rank.state.phase for rank in ranks]
    if "Suspended" in true:
        return "waiting", "Suspended", true["Suspended"].get("message", ""), None
    if phases and set(phases) == {"succeeded"}:  # the Job will be told of it in a moment
        return "succeeded", "", "", None
    if least and phases[:1] == ["running"] and phases.count("running") >= least:
        return "running", "", "", None
    if not phases or any(phase in ("queued", "waiting") for phase in phases):
        return "waiting", "", "", None
    if any(phase in ("pulling", "starting") for phase in phases):
        return "starting", "", "", None
    return "running", "", "", None


def _conditions(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the conditions of a Job that hold, by type."""
    found = (job.get("status") or {}).get("conditions") or ()
    return {condition["type"]: condition for condition in found if condition["status"] == "True"}


def _not_created(ranks: tuple[RankView, ...], events: Iterable[Mapping[str, Any]]) -> str:
    """Tell why pods are missing (quota, admission): only events on the Job say so."""
    if all(rank.state.name for rank in ranks):
        return ""
    failed = [e for e in events if e.get("reason") == "FailedCreate"]
    latest = max(
        failed, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "", default={}
    )
    return _REFUSED.sub("", str(latest.get("message", "")))
