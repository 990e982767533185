"""Names, labels and annotations: valid for Kubernetes and free of collisions (pure functions).

A name is a readable slug and a hash of the whole identity. Identity is never parsed back out of a
name: it is in labels and annotations.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string

PREFIX = "jupyter-kube/"

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "jupyter-kube"
COMPONENT = "app.kubernetes.io/component"
"""Label: ``kernel`` or ``job``."""

KERNEL_ID = PREFIX + "kernel-id"
JOB = PREFIX + "job"
"""Label on every object of one training job: the job's name."""
ROLE = PREFIX + "role"
"""Label on worker pods: chief, worker, ps or evaluator."""
FIRST_RANK = PREFIX + "first-rank"
"""Annotation on the pods of a role: the rank of the first of them."""
PROCS = PREFIX + "procs"
"""Annotation on pods with several ranks: how many there are in each."""
PROFILE = PREFIX + "profile"
USER_HASH = PREFIX + "user-hash"
"""Label: the user as a hash (selectable)."""
USER = PREFIX + "user"
"""Annotation: the user as written."""
NOTEBOOK = PREFIX + "notebook"
"""Annotation: path of the notebook a kernel belongs to."""
SERVER = PREFIX + "server"
"""Label on a kernel's pod: hash of the Jupyter Server it belongs to."""
POOL = PREFIX + "pool"
"""Label on the pod of a kernel that nobody has asked for yet."""
KERNEL_NAME = PREFIX + "kernel-name"
"""Annotation on a kernel's pod: the kernelspec's name."""
SESSIONS = PREFIX + "sessions"
"""Annotation on a kernel's pod: JSON list of Jupyter's sessions with it."""
IDLE_TIMEOUT = PREFIX + "idle-timeout"
"""Annotation on a kernel's pod: seconds after which it ends if it is idle."""
FRAMEWORK = PREFIX + "framework"
"""Annotation on a job: tensorflow, paddle, pytorch or python."""
REQUEST = PREFIX + "request"
"""Annotation on a job: JSON of what was asked for (workers, outputs, …)."""
SUBMISSION = PREFIX + "submission"
"""Label on a job: the id of one submission, which makes a repeated create harmless."""

SELECTOR = f"{MANAGED_BY}={MANAGER}"
"""Selects everything of ours in a namespace."""

KERNEL_PREFIX = "kernel-"
"""How the names of kernels' pods and Secrets begin."""

_ALPHABET = string.ascii_lowercase + string.digits


def digest(text: str, length: int = 8) -> str:
    """Hash text to ``length`` characters that are safe in names and labels."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    out = ""
    for _ in range(length):
        number, index = divmod(number, len(_ALPHABET))
        out += _ALPHABET[index]
    return out


def slug(text: str, longest: int = 20) -> str:
    """Reduce text to a readable RFC 1035 label, possibly empty."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower())
    return re.sub(r"^[^a-z]+", "", plain)[:longest].strip("-")


def safe_name(text: str, *, longest: int = 63) -> str:
    """Make a valid name that differs whenever ``text`` differs."""
    readable = slug(text, longest - 9) or "x"
    return f"{readable}-{digest(text)}"


def kernel_name(kernel_id: str) -> str:
    """Name a kernel's pod and Secret: the same for the same kernel id, always."""
    return f"{KERNEL_PREFIX}{digest(kernel_id, 16)}"


def job_name(base: str, submission: str) -> str:
    """Name a job: readable, short enough for its pods' names, unique by submission."""
    return f"{slug(base, 30) or 'job'}-{digest(submission, 4)}"


def new_id() -> str:
    """Make a fresh submission id."""
    return secrets.token_hex(8)


def user_hash(user: str) -> str:
    """Hash a user's name for use as a label value."""
    return digest(user, 16)


def labels(component: str, *, user: str = "", **extra: str) -> dict[str, str]:
    """Build the labels that everything of ours carries, plus ``extra`` by short key."""
    out = {MANAGED_BY: MANAGER, COMPONENT: component}
    if user:
        out[USER_HASH] = user_hash(user)
    out.update({PREFIX + key.replace("_", "-"): value for key, value in extra.items()})
    return out


def selector(**wanted: str) -> str:
    """Build a label selector from validated values, keys as in :func:`labels`.

    Raises
    ------
    ValueError
        If a value could change the selector's meaning.

    """
    parts = [SELECTOR]
    for key, value in wanted.items():
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", value):
            msg = f"not a label value: {value[:80]!r}"
            raise ValueError(msg)
        name = COMPONENT if key == "component" else PREFIX + key.replace("_", "-")
        parts.append(f"{name}={value}")
    return ",".join(parts)
