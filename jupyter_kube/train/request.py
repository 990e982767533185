"""What a user asked for, as plain values: one training job and what its pods look like (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .. import naming
from ..errors import InvalidInput
from ..models import Profile
from ..quantity import amount
from .roles import Roles

STORAGE_ENV = "JUPYTER_KUBE_STORAGE"
"""Variable of a worker that says where storage that outlives its pod is mounted, if any is."""
KERNEL_CONTAINER = "kernel"
"""Name of the container in a kernel's pod that workers are modelled on."""

_NOT_FOR_WORKERS = ("JUPYTER_KUBE_", "JUPYTERHUB_", "JPY_")
"""Beginnings of variables that belong to the kernel alone."""
_KERNELS_OWN = {"POD_IP", "POD_NAME"}
_ADDED_BY_CLUSTER = ("node.kubernetes.io/",)
_TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/"  # noqa: S105 - a path


def like_kernel(pod: Mapping[str, Any], profile: Profile | None = None) -> Profile:
    """Return a profile for workers that see what a kernel's own pod sees.

    Parameters
    ----------
    pod
        The kernel's pod, as the API returns it.
    profile
        The profile it was made from, where that is known: only what its user may have varied is
        taken from the pod then. Else all is, but for what belongs to that one pod (its keys, its
        token, its session) and what the cluster added by itself.

    Raises
    ------
    InvalidInput
        If the pod has no container of ours.

    """
    spec = pod["spec"]
    container = next((c for c in spec["containers"] if c["name"] == KERNEL_CONTAINER), None)
    if container is None:
        raise InvalidInput("this kernel's pod was not made by jupyter-kube; name a --profile")
    resources = container.get("resources") or {}
    requests = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    base = profile or _seen(pod, container, requests)
    return replace(
        base,
        image=container["image"],
        cpu=requests.get("cpu", base.cpu),
        memory=requests.get("memory", base.memory),
        gpus=int(amount(requests.get(base.gpu_resource, "0"))),
    )


def _seen(
    pod: Mapping[str, Any], container: Mapping[str, Any], requests: Mapping[str, str]
) -> Profile:
    """Read a profile off a pod."""
    spec = pod["spec"]
    name = (pod.get("metadata", {}).get("labels") or {}).get(naming.PROFILE, "")
    mounts = tuple(
        mount
        for mount in container.get("volumeMounts") or ()
        if not mount["mountPath"].startswith(_TOKEN_FOLDER)
    )
    mounted = {mount["name"] for mount in mounts}
    security = {**(spec.get("securityContext") or {}), **(container.get("securityContext") or {})}
    plain, secret = _env(container)
    return Profile(
        name,
        image_pull_policy=container.get("imagePullPolicy", "IfNotPresent"),
        pull_secrets=tuple(each["name"] for each in spec.get("imagePullSecrets") or ()),
        python=(container.get("command") or ["python3"])[0],
        working_dir=container.get("workingDir", ""),
        run_as_user=security.get("runAsUser", 1000),
        gpu_resource=next((name for name in requests if "/" in name), "nvidia.com/gpu"),
        node_selector=dict(spec.get("nodeSelector") or {}),
        tolerations=tuple(
            each
            for each in spec.get("tolerations") or ()
            if not str(each.get("key", "")).startswith(_ADDED_BY_CLUSTER)
        ),
        affinity=dict(spec.get("affinity") or {}),
        priority_class=spec.get("priorityClassName", ""),
        env=plain,
        env_from_secrets=secret,
        volumes=tuple(each for each in spec.get("volumes") or () if each["name"] in mounted),
        volume_mounts=mounts,
    )


def _env(container: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Read plain variables, and those from Secrets, that are not the kernel's alone."""
    plain, secret = {}, {}
    for entry in container.get("env") or ():
        name = entry["name"]
        if name in _KERNELS_OWN or name.startswith(_NOT_FOR_WORKERS):
            continue
        source = entry.get("valueFrom")
        if source is None:
            plain[name] = entry.get("value", "")
        elif reference := source.get("secretKeyRef"):
            secret[name] = f"{reference['name']}/{reference['key']}"
    return plain, secret


@dataclass(frozen=True)
class JobRequest:
    """One training job, as it was asked for."""

    name: str
    """The job's name, from :func:`jupyter_kube.naming.job_name`."""
    submission: str
    """From :func:`jupyter_kube.naming.new_id`: makes a repeated create harmless."""
    framework: str
    """One of :data:`.options.FRAMEWORKS`."""
    workers: int
    """How many; of an elastic job, at most."""
    profile: Profile
    """What its pods look like."""
    namespace: str
    outputs: tuple[str, ...] = ()
    """Names whose values come back from rank 0."""
    pip: tuple[str, ...] = ()
    """What each worker installs before the cell."""
    least: int = 0
    """How many workers an elastic job needs; 0: it needs all of them."""
    procs: int = 1
    """How many processes, a rank each, run in every worker's pod."""
    chief: bool = False
    """Whether a chief leads the workers."""
    ps: int = 0
    """How many parameter servers there are."""
    evaluator: bool = False
    """Whether one more evaluates what the others train."""
    retries: int = 3
    """How often all ranks may start again after a worker's process died."""
    timeout: float | None = None
    """Seconds after which Kubernetes ends the job; None: never."""
    keep: float = 86400.0
    """Seconds a finished job stays before Kubernetes removes it."""
    user: str = ""
    notebook: str = ""
    kernel_id: str = ""
    """Jupyter's id of the kernel of ours that it is submitted from; empty elsewhere."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InvalidInput(f"a job needs at least one worker (got {self.workers})")
        if not 0 <= self.least <= self.workers:
            raise InvalidInput(f"{self.workers} workers cannot be at least {self.least}")
        if self.retries < 0:
            raise InvalidInput(f"retries must be 0 or more (got {self.retries})")

    @property
    def roles(self) -> Roles:
        """How many ranks there are of each role."""
        return Roles(self.workers, self.chief, self.ps, self.evaluator)

    def to_json(self) -> dict[str, Any]:
        """Return what the annotation on the job keeps for those who attach later."""
        return {
            "framework": self.framework,
            "workers": self.workers,
            "least": self.least,
            "procs": self.procs,
            "chief": self.chief,
            "ps": self.ps,
            "evaluator": self.evaluator,
            "outputs": list(self.outputs),
            "pip": list(self.pip),
            "retries": self.retries,
            "timeout": self.timeout,
            "keep": self.keep,
            "profile": self.profile.name,
            "gpus": self.profile.gpus,
            "memory": self.profile.memory,
            "notebook": self.notebook,
        }
