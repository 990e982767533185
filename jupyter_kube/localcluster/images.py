"""Image references: all count as present, except those that stand for a missing one."""

from __future__ import annotations

import re
from collections.abc import Collection

_NAME = re.compile(
    r"(?:[a-zA-Z0-9.-]+(?::\d+)?/)?[a-z0-9]+(?:(?:[._]|__|-+|/)[a-z0-9]+)*"
    r"(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)


class ImageProblem(Exception):
    """Why a container's image cannot be used.

    Parameters
    ----------
    reason
        The container's waiting reason, as in ``ErrImagePull``.
    message
        The container runtime's words.
    retry
        Whether the kubelet pulls again, ever more rarely.

    """

    def __init__(self, reason: str, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.reason, self.retry = reason, retry


def check(image: str, policy: str, missing: Collection[str]) -> None:
    """Raise the problem a kubelet would have with an image.

    Parameters
    ----------
    image
        The reference as written; one that contains ``missing`` stands for a missing image.
    policy
        The container's ``imagePullPolicy``.
    missing
        Further references that do not exist.

    """
    if not _NAME.fullmatch(image):
        msg = (
            f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": '
            "invalid reference format"
        )
        raise ImageProblem("InvalidImageName", msg, retry=False)
    if image not in missing and "missing" not in image:
        return
    if policy == "Never":
        msg = f'Container image "{image}" is not present with pull policy of Never'
        raise ImageProblem("ErrImageNeverPull", msg, retry=False)
    full = full_reference(image)
    msg = (
        f'failed to pull and unpack image "{full}": failed to resolve reference "{full}": '
        f"{full}: not found"
    )
    raise ImageProblem("ErrImagePull", msg, retry=True)


def full_reference(image: str) -> str:
    """Complete a reference with the registry and tag that are implied."""
    host, _, rest = image.partition("/")
    if not rest:
        image = f"docker.io/library/{image}"
    elif not set(".:") & set(host) and host != "localhost":
        image = f"docker.io/{image}"
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"
