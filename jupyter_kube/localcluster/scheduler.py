"""The scheduler: gives each pod a node, or says why none fits, in the real scheduler's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .conditions import set_condition
from .quantities import Amounts, add, is_terminal, parse, pod_amounts
from .store import NODE, POD, PVC, Store
from .workqueue import WorkQueue

_PASS = "pass"  # noqa: S105 - the queue's only key: pods are placed in one pass over all


@dataclass(frozen=True)
class Misfit:
    """Why one node does not take a pod.

    ``hopeless`` means that no other pod's end would change it.
    """

    reasons: tuple[str, ...]
    hopeless: bool


class Scheduler:
    """Bind waiting pods to nodes, oldest first, each time something changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: WorkQueue[str] = WorkQueue(self._place_all)
        self._unsubscribe: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Begin to place pods, those that wait already included."""
        for kind in (POD, NODE, PVC):
            self._unsubscribe.append(self._store.subscribe(kind, self._changed))
        self._queue.add(_PASS)

    async def stop(self) -> None:
        """Place no more pods."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe.clear()
        self._queue.clear()

    def _changed(self, change: str, obj: dict[str, Any], old: dict[str, Any] | None) -> None:
        if obj.get("kind") != "Pod" or _may_change_placement(change, obj, old):
            self._queue.add(_PASS)

    def _place_all(self, _key: str) -> None:
        pods = self._store.list(POD)
        waiting = [pod for pod in pods if is_waiting(pod)]
        if not waiting:
            return
        nodes = self._store.list(NODE)
        placed = [pod for pod in pods if pod["spec"].get("nodeName") and not is_terminal(pod)]
        for pod in sorted(waiting, key=lambda each: each["metadata"]["creationTimestamp"]):
            chosen, problem = self._choose(pod, nodes, placed)
            if chosen is None:
                self._refuse(pod, problem)
            else:
                pod["spec"]["nodeName"] = chosen
                placed.append(pod)
                self._bind(pod, chosen)

    def _choose(
        self, pod: Mapping[str, Any], nodes: list[dict[str, Any]], placed: list[dict[str, Any]]
    ) -> tuple[str | None, str]:
        if problem := self._claim_problem(pod):
            return None, unschedulable_text(len(nodes), problem, hopeless=len(nodes))
        misfits = []
        for node in nodes:
            name = node["metadata"]["name"]
            there = [each for each in placed if each["spec"]["nodeName"] == name]
            misfit = fit(pod, node, there)
            if misfit is None:
                return name, ""
            misfits.append(misfit)
        return None, misfits_text(misfits)

    def _claim_problem(self, pod: Mapping[str, Any]) -> str:
        claims = {
            claim["metadata"]["name"]: claim
            for claim in self._store.list(PVC, pod["metadata"]["namespace"])
        }
        for volume in pod["spec"].get("volumes") or ():
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if name and name not in claims:
                return f'persistentvolumeclaim "{name}" not found'
            if name and (claims[name].get("status") or {}).get("phase") != "Bound":
                return "pod has unbound immediate PersistentVolumeClaims"
        return ""

    def _bind(self, pod: dict[str, Any], node: str) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        self._store.mutate(POD, namespace, name, lambda obj: obj["spec"].update(nodeName=node))
        self._condition(pod, status="True")
        self._store.event(
            pod,
            "Scheduled",
            f"Successfully assigned {namespace}/{name} to {node}",
            component="default-scheduler",
        )

    def _refuse(self, pod: dict[str, Any], message: str) -> None:
        before = (pod.get("status") or {}).get("conditions") or ()
        if any(
            each["type"] == "PodScheduled" and each.get("message") == message for each in before
        ):
            return
        self._condition(pod, status="False", reason="Unschedulable", message=message)
        self._store.event(
            pod, "FailedScheduling", message, type="Warning", component="default-scheduler"
        )

    def _condition(self, pod: Mapping[str, Any], **fields: str) -> None:
        self._store.mutate(
            POD,
            pod["metadata"]["namespace"],
            pod["metadata"]["name"],
            lambda obj: set_condition(obj, "PodScheduled", **fields),
            subresource="status",
        )


def is_waiting(pod: Mapping[str, Any]) -> bool:
    """Tell whether a pod still needs a node."""
    return not (
        pod["spec"].get("nodeName")
        or pod["spec"].get("schedulingGates")
        or pod["metadata"].get("deletionTimestamp")
        or is_terminal(pod)
    )


def _may_change_placement(
    change: str, pod: Mapping[str, Any], old: Mapping[str, Any] | None
) -> bool:
    """A pod came to wait, went, or ended: status updates of running pods move nobody."""
    if change == "DELETED" or old is None:
        return True
    return is_terminal(pod) != is_terminal(old) or is_waiting(pod) != is_waiting(old)


def fit(
    pod: Mapping[str, Any], node: Mapping[str, Any], there: Iterable[Mapping[str, Any]]
) -> Misfit | None:
    """Tell why ``node``, where the pods ``there`` run, cannot take ``pod``; None if it can."""
    spec = node.get("spec") or {}
    if spec.get("unschedulable"):
        return Misfit(("node(s) were unschedulable",), hopeless=True)
    labels = node["metadata"].get("labels") or {}
    if (pod["spec"].get("nodeSelector") or {}).items() - labels.items():
        return Misfit(("node(s) didn't match Pod's node affinity/selector",), hopeless=True)
    if any(not _tolerates(pod, taint) for taint in spec.get("taints") or ()):
        return Misfit(("node(s) had untolerated taint(s)",), hopeless=True)
    return _resource_misfit(pod, node, list(there))


def _tolerates(pod: Mapping[str, Any], taint: Mapping[str, str]) -> bool:
    if taint.get("effect") == "PreferNoSchedule":
        return True
    for each in pod["spec"].get("tolerations") or ():
        same_key = not each.get("key") or each["key"] == taint["key"]
        same_value = each.get("operator") == "Exists" or each.get("value", "") == taint.get(
            "value", ""
        )
        if same_key and same_value and each.get("effect") in {None, "", taint.get("effect")}:
            return True
    return False


def _resource_misfit(
    pod: Mapping[str, Any], node: Mapping[str, Any], there: list[Mapping[str, Any]]
) -> Misfit | None:
    room = allocatable(node)
    used = add(pod_amounts(each) for each in there)
    wanted = pod_amounts(pod)
    if len(there) + 1 > room.get("pods", Fraction(110)):
        return Misfit(("Too many pods",), hopeless=False)
    short = [
        name
        for name, amount in wanted.items()
        if amount and used.get(name, Fraction()) + amount > room.get(name, Fraction())
    ]
    if not short:
        return None
    hopeless = any(wanted[name] > room.get(name, Fraction()) for name in short)
    return Misfit(tuple(f"Insufficient {name}" for name in short), hopeless)


def allocatable(node: Mapping[str, Any]) -> Amounts:
    """Read what a node has to give."""
    status = node.get("status") or {}
    written = status.get("allocatable") or status.get("capacity") or {}
    return {name: parse(value) for name, value in written.items()}


def misfits_text(misfits: list[Misfit]) -> str:
    """Sum up why no node takes a pod."""
    counts = Counter(reason for misfit in misfits for reason in misfit.reasons)
    reasons = sorted(f"{count} {reason}" for reason, count in counts.items())
    return unschedulable_text(
        len(misfits), ", ".join(reasons), hopeless=sum(each.hopeless for each in misfits)
    )


def unschedulable_text(nodes: int, problem: str, *, hopeless: int) -> str:
    """Word a refusal; ``hopeless`` nodes would not help if other pods were evicted."""
    if not nodes:
        return "no nodes available to schedule pods"
    victims = [
        f"{count} {reason}"
        for count, reason in (
            (nodes - hopeless, "No preemption victims found for incoming pod"),
            (hopeless, "Preemption is not helpful for scheduling"),
        )
        if count
    ]
    head = f"0/{nodes} nodes are available"
    return (
        f"{head}: {problem}. no new claims to deallocate, "
        f"preemption: {head}: {', '.join(sorted(victims))}."
    )
