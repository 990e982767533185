"""Where a job is submitted from: whose it is, which notebook, and the kernel's own pod."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from .. import naming
from ..config import SETTINGS_ENV, user_name
from ..errors import ClusterError
from ..kube import objects

if TYPE_CHECKING:
    from ..kube.client import KubeClient

USER_ENV = "JUPYTER_KUBE_USER"
"""Overrides the name of the operating system's user as the owner of jobs."""


@dataclass(frozen=True)
class Origin:
    """Whose job it will be, and what it is modelled on."""

    user: str
    notebook: str = ""
    pod: Mapping[str, Any] | None = None
    """The kernel's own pod, where this is a kernel of ours."""

    @property
    def kernel_id(self) -> str:
        """Jupyter's id of the kernel pod; empty elsewhere."""
        return _meta(self.pod, "labels", naming.KERNEL_ID)

    @property
    def profile(self) -> str:
        """The profile of the kernel's own pod; empty elsewhere."""
        return _meta(self.pod, "labels", naming.PROFILE)

    @property
    def title(self) -> str:
        """The notebook's name without folder and suffix; empty if unknown."""
        return PurePosixPath(self.notebook).stem


def in_kernel_pod(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether this process is a kernel of ours that may submit jobs."""
    return SETTINGS_ENV in environ and bool(environ.get("HOSTNAME"))


def local_origin(environ: Mapping[str, str] = os.environ) -> Origin:
    """Tell whose job it is from this process alone."""
    return Origin(environ.get(USER_ENV) or user_name(environ), environ.get("JPY_SESSION_NAME", ""))


async def find_origin(client: KubeClient, environ: Mapping[str, str] = os.environ) -> Origin:
    """Tell whose job it is, asking the cluster for the kernel's own pod where there is one."""
    here = local_origin(environ)
    if not in_kernel_pod(environ):
        return here
    try:
        pod = await objects.get(client, objects.PODS, environ["HOSTNAME"])
    except ClusterError:
        return here  # a pod may be named otherwise than its host; profiles do as well
    found = origin_of(pod)
    return replace(found, user=found.user or here.user, notebook=found.notebook or here.notebook)


def origin_of(pod: Mapping[str, Any]) -> Origin:
    """Tell whose jobs are those of a kernel's pod."""
    user, notebook = (_meta(pod, "annotations", key) for key in (naming.USER, naming.NOTEBOOK))
    return Origin(user, notebook, pod)


def _meta(pod: Mapping[str, Any] | None, part: str, key: str) -> str:
    if pod is None:
        return ""
    return str((pod["metadata"].get(part) or {}).get(key, ""))
