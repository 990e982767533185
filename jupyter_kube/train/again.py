"""A job once more, from what the cluster has of it: the same but for its name and key (pure)."""

from __future__ import annotations

import base64
import json
import secrets as random
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .. import naming
from ..errors import InvalidInput
from . import jobspec
from .payload import renew_payload

_OURS = (naming.PREFIX, "app.kubernetes.io/")
_DIGEST = "@sha256:"


class Again(NamedTuple):
    """What is to be created."""

    manifests: jobspec.Manifests
    submission: str
    key: bytes


def secrets_of(job: Mapping[str, Any]) -> list[str]:
    """Name the Secrets that hold a job's code: its first, and the parts of a large cell."""
    volumes = job["spec"]["template"]["spec"].get("volumes") or ()
    parts = [
        source["secret"]["name"]
        for volume in volumes
        if volume["name"] == jobspec.BUNDLE_VOLUME
        for source in volume["projected"]["sources"]
    ]
    return [job["metadata"]["name"], *parts]


def again(
    job: Mapping[str, Any],
    secrets: Iterable[Mapping[str, Any]],
    pods: Iterable[Mapping[str, Any]] = (),
    roles: Iterable[Mapping[str, Any]] = (),
    *,
    user: str,
    submission: str = "",
) -> Again:
    """Build what runs a job again.

    Parameters
    ----------
    job, secrets, pods, roles
        Those of the earlier one, as the API returns them; ``roles`` are further Jobs. Where its
        pods tell the digest of their image, that very image is used.
    user
        Whose the new one is.
    submission
        Its id; empty: a fresh one.

    Raises
    ------
    InvalidInput
        If parts of the earlier one are not there any more.

    """
    old, submission = job["metadata"]["name"], submission or naming.new_id()
    name, key = naming.job_name(old.rpartition("-")[0], submission), random.token_bytes(32)
    labels = {k: v for k, v in job["metadata"]["labels"].items() if k.startswith(_OURS)}
    labels.pop(naming.ROLE, None)
    before = labels.get(naming.SUBMISSION, "")

    def renamed(value: Any) -> Any:
        text = json.dumps(value).replace(old, name)
        return json.loads(text.replace(before, submission) if before else text)

    labels = renamed({**labels, naming.USER_HASH: naming.user_hash(user)})
    about = {"name": name, "namespace": job["metadata"]["namespace"], "labels": labels}
    image = _image(job, pods)

    def job_again(part: Mapping[str, Any]) -> dict[str, Any]:
        meta = part["metadata"]
        role = {k: v for k, v in meta["labels"].items() if k == naming.ROLE}
        named = {**about, "name": renamed(meta["name"]), "labels": {**labels, **role}}
        notes = _annotations(meta, user)
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {**named, "annotations": notes},
            "spec": renamed(_spec(part["spec"], labels, user, image)),
        }

    found = {secret["metadata"]["name"]: secret["data"] for secret in secrets}
    if not found.keys() >= set(secrets_of(job)):
        raise InvalidInput(f"{old} cannot run again", "its code is not in the cluster any more")
    start = {k: base64.b64decode(v).decode() for k, v in found.pop(old).items()}
    start |= {"key": key.hex(), "worker": renew_payload(start["worker"], key, renamed)}
    parts = (
        jobspec.opaque({**about, "name": renamed(part)}, data=dict(data))
        for part, data in sorted(found.items())
    )
    first = jobspec.opaque(about, stringData=start)
    made = jobspec.Manifests(
        job_again(job),
        jobspec.headless(about),
        (first, *parts),
        tuple(job_again(role) for role in roles),
    )
    return Again(made, submission, key)


def _annotations(meta: Mapping[str, Any], user: str) -> dict[str, str]:
    """Keep those of ours; the user is the new one's."""
    kept = (meta.get("annotations") or {}).items()
    return {**{k: v for k, v in kept if k.startswith(naming.PREFIX)}, naming.USER: user}


def _spec(
    spec: Mapping[str, Any], labels: Mapping[str, str], user: str, image: str
) -> dict[str, Any]:
    """Return a Job's spec without what the cluster added to it."""
    template = spec["template"]
    meta, pod = template["metadata"], template["spec"]
    own = {k: v for k, v in meta["labels"].items() if k.startswith(_OURS)}
    about = {
        "labels": {**own, naming.USER_HASH: labels[naming.USER_HASH]},
        "annotations": _annotations(meta, user),
    }
    containers = [{**each, "image": image or each["image"]} for each in pod["containers"]]
    added = ("selector", "suspend", "manualSelector")
    return {
        **{k: v for k, v in spec.items() if k not in added},
        "template": {"metadata": about, "spec": {**pod, "containers": containers}},
    }


def _image(job: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> str:
    """Tell which image it was, to the byte; empty if nobody knows, or it is named so already."""
    asked = job["spec"]["template"]["spec"]["containers"][0]["image"]
    repository = asked.rpartition(":")[0] if ":" in asked.rpartition("/")[2] else asked
    for pod in pods:
        for status in (pod.get("status") or {}).get("containerStatuses") or ():
            ran = str(status.get("imageID", "")).rpartition("//")[2]
            if _DIGEST in ran and f"/{ran.partition('@')[0]}".endswith(f"/{repository}"):
                return ran
    return ""
