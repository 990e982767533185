"""What can go wrong, in the user's words: the one error tree and its only status-code table.

Every message says *what* happened, *why*, and *what next*; the object's name for the platform
engineer travels in ``obj``. Nothing here imports anything heavy: magics and pods' clients use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LONGEST_MESSAGE = 256
"""Characters of an API message shown to a user; longer ones may carry manifests or secrets."""
_LONGEST_REFUSAL = 2000
"""The same where a policy or a quota has refused: the words are its author's, for the user."""


class KubeError(Exception):
    """Anything of ours that a user may see.

    Parameters
    ----------
    what, why, next
        Three short sentences; only ``what`` is needed.
    obj
        ``kind/name`` of the object concerned, for the platform engineer.

    """

    status = 500
    """HTTP status code of the answer over REST."""

    def __init__(self, what: str, why: str = "", next: str = "", *, obj: str = "") -> None:  # noqa: A002 - the word users see
        super().__init__(what, why, next)
        self.what, self.why, self.next, self.obj = what, why, next, obj

    def __str__(self) -> str:
        text = self.what if not self.why else f"{self.what}: {self.why}"
        if self.next:
            text = f"{text.rstrip('.')}. {self.next}"
        return text

    def _render_traceback_(self) -> list[str]:
        """Give IPython the lines to show: our words, not our frames."""
        return [f"{type(self).__name__}: {self}"]


class InvalidInput(KubeError):
    """A user's input, refused before anything is created."""

    status = 400


class LimitReached(KubeError):
    """A user has as many of something as the platform engineer allows."""

    status = 403


class NotConfigured(KubeError):
    """No usable credentials or no such context."""

    status = 503


class ClusterError(KubeError):
    """An answer of the Kubernetes API that is not success."""

    def __init__(
        self,
        what: str,
        why: str = "",
        next: str = "",  # noqa: A002 - the word users see
        *,
        obj: str = "",
        reason: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(what, why, next, obj=obj)
        self.reason = reason
        self.retry_after = retry_after


class AccessDenied(ClusterError):
    """401 or 403: names verb, resource and namespace as the API said them."""

    status = 403


class QuotaExceeded(ClusterError):
    """403 of the quota admission: waiting for room may help."""

    status = 403


class NotFound(ClusterError):
    """404."""

    status = 404


class Conflict(ClusterError):
    """409: exists already, or was changed by somebody else."""

    status = 409


class Expired(ClusterError):
    """410: a resourceVersion too old to continue from. List again."""

    status = 410


class InvalidManifest(ClusterError):
    """400 or 422: the API refused the object itself."""

    status = 422


class ClusterUnavailable(ClusterError):
    """429, 5xx, or no answer at all: worth another try after ``retry_after`` seconds."""

    status = 503


class StartFailed(KubeError):
    """A kernel's pod cannot start; the text is Kubernetes' own reason."""

    status = 503


class JobFailed(KubeError):
    """A training job ended without its result."""

    status = 502


class RemoteError(JobFailed):
    """An exception raised by the cell in one of the workers.

    Parameters
    ----------
    etype, message
        The exception's class name and text as the worker saw them.
    rank, pod
        Where it was raised.
    traceback
        The remote traceback, ready to print, with the cell's source lines. Outside IPython it is
        shown as a note.

    """

    def __init__(self, etype: str, message: str, *, rank: int, pod: str, traceback: str) -> None:
        super().__init__(f"rank {rank} raised {etype}", message, obj=f"pod/{pod}")
        self.etype, self.message = etype, message
        self.rank, self.pod, self.traceback = rank, pod, traceback
        self.add_note(traceback.rstrip())

    def _render_traceback_(self) -> list[str]:
        return [*self.traceback.rstrip().splitlines(), "", f"{self} (pod {self.pod})"]


IS_IT_UP = "Is the cluster up? `jupyter kube doctor` looks."
"""What next, when the API does not answer as it should."""

_BY_CODE: dict[int, type[ClusterError]] = {
    400: InvalidManifest,
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    409: Conflict,
    410: Expired,
    413: InvalidManifest,
    415: InvalidManifest,
    422: InvalidManifest,
    429: ClusterUnavailable,
}

_NEXT: dict[type[ClusterError], str] = {
    AccessDenied: "Ask the cluster's administrator for this right in this namespace.",
    QuotaExceeded: "Stop something that holds the resource, or ask for a larger quota.",
    ClusterUnavailable: IS_IT_UP,
}


def from_status(
    code: int, body: Mapping[str, Any], *, what: str = "", retry_after: float | None = None
) -> ClusterError:
    """Build our error from an HTTP code and the API's ``Status`` body.

    Parameters
    ----------
    code
        The HTTP status code of the answer.
    body
        The ``Status`` object; anything else counts as empty.
    what
        What was being done, as in ``"create pod kube-ab12"``.
    retry_after
        Seconds from the Retry-After header, if there was one.

    """
    message = str(body.get("message") or "")
    refused = code == 403 or "denied" in message  # by a policy, whatever its code
    longest = _LONGEST_REFUSAL if refused else _LONGEST_MESSAGE
    message = message[:longest]
    reason = str(body.get("reason") or "")
    kind = _BY_CODE.get(code, ClusterUnavailable if code >= 500 else ClusterError)
    if code == 403 and "exceeded quota" in message:
        kind = QuotaExceeded
    details = body.get("details") or {}
    obj = "/".join(str(details[key]) for key in ("kind", "name") if details.get(key))
    return kind(
        f"Kubernetes refused to {what}" if what and code < 500 else what or "Kubernetes refused",
        message or f"HTTP {code}",
        _NEXT.get(kind, ""),
        obj=obj,
        reason=reason,
        retry_after=retry_after,
    )
