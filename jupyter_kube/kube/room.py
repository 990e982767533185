"""How many pods of one kind there is room for: what nodes have left, and what quotas allow (pure).

An estimate for people, made before anything is created: the scheduler has the last word. Pods that
wait hold no room, and affinity between pods is passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from .. import naming
from ..quantity import amount, readable
from .quota import is_size, word

Object = Mapping[str, Any]
Amounts = dict[str, Fraction]

_MOST_HOLDERS = 3  # named in one sentence
_POD = "pods"  # of which a node, too, has only so many
_OVER = ("Succeeded", "Failed")
_COVERED = {"NotBestEffort"}  # scopes of quotas that all pods of ours are in


@dataclass(frozen=True)
class Fit:
    """What there is room for now."""

    fits: int | None
    """How many such pods; None if what would tell may not be seen here."""
    wanted: int
    why: str
    """What there is, what holds it, and what is not known; sentences for people."""


@dataclass(frozen=True)
class Seen:
    """What of a cluster its user may see."""

    nodes: Sequence[Object] | None
    """None: they may not be listed."""
    pods: Sequence[Object]
    quotas: Sequence[Object] = ()
    """Those of the namespace."""
    whole: bool = True
    """Whether the pods are those of all namespaces."""
    user: str = ""
    """Whose pods are named; all else is others'."""


class _Limit(NamedTuple):
    """So many pods fit by one of all that limits them, and what to say of it."""

    number: int
    words: str


def fits(pod: Object, wanted: int, seen: Seen) -> Fit:
    """Say how many pods there is room for.

    Parameters
    ----------
    pod
        As it would be created; its name does not matter.
    wanted
        How many there are to be.
    seen
        The cluster, as far as it is known.

    """
    limits = [_by_quota(pod, quota) for quota in seen.quotas if _covers(quota)]
    if seen.nodes is not None:
        limits.append(_by_nodes(pod, seen.nodes, seen.pods, seen.user))
    least = min(filter(None, limits), default=None)
    caveats = _caveats(pod, seen)
    if least is not None and least.number < wanted:
        return Fit(least.number, wanted, f"{least.number} of {wanted} fit: {least.words}.")
    known = least is not None and seen.nodes is not None and not _claims(pod)
    said = [f"There is room: {least.words}." if known else f"{least.words}."] if least else []
    return Fit(least.number if known and least else None, wanted, " ".join([*said, *caveats]))


def needs(pod: Object, kind: str = "requests") -> Amounts:
    """Add up what a pod's containers request, or with ``kind`` "limits" what they may use."""
    spec = pod["spec"]
    total = _sum(_asked(each, kind) for each in spec["containers"])
    for each in spec.get("initContainers") or ():  # they come first, one by one
        total = {**total, **{k: max(v, total.get(k, v)) for k, v in _asked(each, kind).items()}}
    return _sum((total, _amounts(spec.get("overhead"))))


def _asked(container: Object, kind: str) -> Amounts:
    resources = container.get("resources") or {}
    limits = _amounts(resources.get("limits"))
    return limits if kind == "limits" else limits | _amounts(resources.get("requests"))


def _by_nodes(pod: Object, nodes: Sequence[Object], pods: Iterable[Object], user: str) -> _Limit:
    """Count by what is free on the nodes that a pod may be on."""
    open_to_it = [node for node in nodes if _takes(node, pod["spec"])]
    if not open_to_it:
        return _Limit(0, f"none of {len(nodes)} nodes is ready and open to such pods")
    wanted = {**needs(pod), _POD: Fraction(1)}
    there: dict[str, list[Object]] = {node["metadata"]["name"]: [] for node in open_to_it}
    for each in pods:
        name = each["spec"].get("nodeName")
        if name in there and each["status"].get("phase") not in _OVER:
            there[name].append(each)
    number, alone, free, total = 0, Counter[str](), Amounts(), Amounts()
    for node in open_to_it:
        has = {_POD: Fraction(110), **_amounts(node["status"].get("allocatable"))}
        on_it = there[node["metadata"]["name"]]
        held = _sum({**needs(each), _POD: Fraction(1)} for each in on_it)
        left = {
            k: max(has.get(k, Fraction()) - held.get(k, Fraction()), Fraction()) for k in wanted
        }
        times = {name: int(left[name] / need) for name, need in wanted.items() if need}
        number += min(times.values())
        alone.update(times)
        free, total = _sum((free, left)), _sum((total, {k: has.get(k, Fraction()) for k in wanted}))
    scarce = min(alone, key=lambda name: (alone[name], "/" not in name))
    words = f"{_sizes(scarce, free[scarce], total[scarce])} free"
    if alone[scarce] > number:
        words += ", but not all of it where the rest of a pod fits"
    elif number and wanted[scarce] != 1:
        words += f", each takes {_size(scarce, wanted[scarce])}"
    on = [each for several in there.values() for each in several]
    return _Limit(number, words + _holders(scarce, on, user))


def _holders(resource: str, pods: Iterable[Object], user: str) -> str:
    """Say who holds devices: a user's own by name, and how many others have."""
    if "/" not in resource:
        return ""
    held = Counter[str]()
    for pod in pods:
        if number := int(needs(pod).get(resource, 0)):
            held[_holder(pod["metadata"], naming.user_hash(user))] += number
    named = [f"{number} held by {who}" for who, number in held.most_common(_MOST_HOLDERS)]
    return "".join(f", {each}" for each in named)


def _holder(meta: Object, user_hash: str) -> str:
    notes, labels = meta.get("annotations") or {}, meta.get("labels") or {}
    if labels.get(naming.USER_HASH) != user_hash:
        return "others"
    return labels.get(naming.JOB) or f"the kernel of {notes.get(naming.NOTEBOOK) or meta['name']}"


def _by_quota(pod: Object, quota: Object) -> _Limit | None:
    """Count by what a quota has left of what it limits; None if that is nothing of a pod's."""
    requests, most = needs(pod), needs(pod, "limits")
    takes = {_POD: Fraction(1), "count/pods": Fraction(1)}
    takes |= {name: requests[name] for name in ("cpu", "memory") if name in requests}
    takes |= {f"requests.{name}": value for name, value in requests.items()}
    takes |= {f"limits.{name}": value for name, value in most.items()}
    status = quota.get("status") or {}
    hard = _amounts(status.get("hard") or quota["spec"].get("hard"))
    used = _amounts(status.get("used"))
    found = []
    for name, limit in hard.items():
        if need := takes.get(name):
            left = max(limit - used.get(name, Fraction()), Fraction())
            words = f'{_sizes(name, left, limit)} left in quota "{quota["metadata"]["name"]}"'
            found.append(_Limit(int(left / need), words))
    return min(found, default=None)


def _covers(quota: Object) -> bool:
    """Say whether a quota is for all pods: which are in other scopes is not known before."""
    spec = quota["spec"]
    return not (spec.get("scopeSelector") or set(spec.get("scopes") or ()) - _COVERED)


def _caveats(pod: Object, seen: Seen) -> list[str]:
    said = []
    if seen.nodes is None:
        said.append("What is free on the nodes may not be seen here.")
    elif not seen.whole:
        said.append("Pods of other namespaces may not be seen here; they may hold some of it.")
    if _claims(pod):
        said.append("Devices that the profile claims are not counted.")
    return said


def _claims(pod: Object) -> bool:
    return bool(pod["spec"].get("resourceClaims"))


def _takes(node: Object, spec: Object) -> bool:
    """Say whether a pod may be on a node, whatever is there."""
    about = node.get("spec") or {}
    ready = (each for each in node["status"].get("conditions") or () if each["type"] == "Ready")
    if about.get("unschedulable") or any(each["status"] != "True" for each in ready):
        return False
    labels = node["metadata"].get("labels") or {}
    if (spec.get("nodeSelector") or {}).items() - labels.items():
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    chosen = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = chosen.get("nodeSelectorTerms")
    if terms and not any(_matches(labels, each.get("matchExpressions") or ()) for each in terms):
        return False
    return all(_tolerates(spec, taint) for taint in about.get("taints") or ())


def _matches(labels: Mapping[str, str], expressions: Iterable[Object]) -> bool:
    """Say whether a node's labels are as a term of an affinity wants them."""
    for each in expressions:
        value, among = labels.get(each["key"]), each.get("values") or ()
        good = {
            "In": value in among,
            "NotIn": value not in among,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not good.get(each["operator"], True):  # numbers are compared by the scheduler alone
            return False
    return True


def _tolerates(spec: Object, taint: Mapping[str, str]) -> bool:
    if taint.get("effect") == "PreferNoSchedule":
        return True
    for each in spec.get("tolerations") or ():
        key = not each.get("key") or each["key"] == taint["key"]
        value = each.get("operator") == "Exists" or each.get("value", "") == taint.get("value", "")
        if key and value and each.get("effect") in (None, "", taint.get("effect")):
            return True
    return False


def _amounts(written: Mapping[str, Any] | None) -> Amounts:
    return {name: amount(str(value)) for name, value in (written or {}).items()}


def _sum(several: Iterable[Amounts]) -> Amounts:
    total: Amounts = {}
    for each in several:
        for name, value in each.items():
            total[name] = total.get(name, Fraction()) + value
    return total


def _sizes(name: str, part: Fraction, whole: Fraction) -> str:
    return f"{readable(part, size=is_size(name))} of {_size(name, whole)}"


def _size(name: str, value: Fraction) -> str:
    said = word(name)
    plural = "s" if value != 1 and said == "GPU" else ""
    return f"{readable(value, size=is_size(name))} {said}{plural}"
