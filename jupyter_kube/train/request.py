"""What a user asked for, as plain values: one training job and the shape of its pods (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import InvalidInput
from ..models import Profile, check_quantity

KERNEL_CONTAINER = "kernel"
"""Name of the container in a kernel's pod that workers are modelled on."""

_NOT_FOR_WORKERS = ("JUPYTER_KUBE_", "JUPYTERHUB_", "JPY_")
"""Beginnings of variables that belong to the kernel alone."""
_KERNELS_OWN = {"POD_IP", "POD_NAME"}
_ADDED_BY_CLUSTER = ("node.kubernetes.io/",)
_TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/"  # noqa: S105 - a path


@dataclass(frozen=True)
class PodTemplate:
    """The shape of one worker's pod; quantities are Kubernetes' own strings."""

    image: str
    image_pull_policy: str = "IfNotPresent"
    python: str = "python3"
    """The interpreter in the image, 3.11 or newer."""
    cpu: str = "1"
    """Request; there is no limit, so that idle cores can be used."""
    memory: str = "2Gi"
    """Request and limit."""
    gpus: int = 0
    gpu_resource: str = "nvidia.com/gpu"
    env: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Mapping[str, Any], ...] = ()
    volume_mounts: tuple[Mapping[str, Any], ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    run_as_user: int = 1000
    working_dir: str = ""
    """Where the cell runs; empty means the image's own folder."""

    @classmethod
    def from_profile(
        cls,
        profile: Profile,
        *,
        gpus: int | None = None,
        cpu: str | None = None,
        memory: str | None = None,
    ) -> PodTemplate:
        """Take a profile's shape, with what the user asked for instead.

        Raises
        ------
        InvalidInput
            If a quantity is none, or ``gpus`` is no whole number.

        """
        template = cls(
            image=profile.image,
            image_pull_policy=profile.image_pull_policy,
            python=profile.python,
            cpu=profile.cpu,
            memory=profile.memory,
            gpus=profile.gpus,
            gpu_resource=profile.gpu_resource,
            env=dict(profile.env),
            volumes=profile.volumes,
            volume_mounts=profile.volume_mounts,
            node_selector=dict(profile.node_selector),
            tolerations=profile.tolerations,
            run_as_user=profile.run_as_user,
        )
        return template._with(gpus, cpu, memory)

    @classmethod
    def from_pod(
        cls,
        pod: Mapping[str, Any],
        *,
        gpu_resource: str = "nvidia.com/gpu",
        gpus: int | None = None,
        cpu: str | None = None,
        memory: str | None = None,
    ) -> PodTemplate:
        """Take the shape of a kernel's own pod, so that workers see what the kernel sees.

        Left out is what belongs to that one pod: its keys, its token, its session, and what the
        cluster added by itself.

        Raises
        ------
        InvalidInput
            If a quantity is none, or the pod has no container of ours.

        """
        spec = pod["spec"]
        container = next((c for c in spec["containers"] if c["name"] == KERNEL_CONTAINER), None)
        if container is None:
            raise InvalidInput("this kernel's pod was not made by jupyter-kube; name a --profile")
        resources = container.get("resources") or {}
        requests = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        mounts = tuple(
            mount
            for mount in container.get("volumeMounts") or ()
            if not mount["mountPath"].startswith(_TOKEN_FOLDER)
        )
        mounted = {mount["name"] for mount in mounts}
        security = {
            **(spec.get("securityContext") or {}),
            **(container.get("securityContext") or {}),
        }
        template = cls(
            image=container["image"],
            image_pull_policy=container.get("imagePullPolicy", "IfNotPresent"),
            python=(container.get("command") or ["python3"])[0],
            cpu=requests.get("cpu", "1"),
            memory=requests.get("memory", "2Gi"),
            gpus=int(requests.get(gpu_resource, 0)),
            gpu_resource=gpu_resource,
            env=_plain_env(container),
            volumes=tuple(v for v in spec.get("volumes") or () if v["name"] in mounted),
            volume_mounts=mounts,
            node_selector=dict(spec.get("nodeSelector") or {}),
            tolerations=tuple(
                t
                for t in spec.get("tolerations") or ()
                if not str(t.get("key", "")).startswith(_ADDED_BY_CLUSTER)
            ),
            run_as_user=security.get("runAsUser", 1000),
            working_dir=container.get("workingDir", ""),
        )
        return template._with(gpus, cpu, memory)

    def _with(self, gpus: int | None, cpu: str | None, memory: str | None) -> PodTemplate:
        if gpus is not None and (not isinstance(gpus, int) or gpus < 0):
            raise InvalidInput(f"GPUs are whole devices (got {gpus!r})")
        return replace(
            self,
            gpus=self.gpus if gpus is None else gpus,
            cpu=self.cpu if cpu is None else check_quantity(cpu, "cpu"),
            memory=self.memory if memory is None else check_quantity(memory, "memory"),
        )


def _plain_env(container: Mapping[str, Any]) -> dict[str, str]:
    return {
        entry["name"]: entry.get("value", "")
        for entry in container.get("env") or ()
        if "valueFrom" not in entry
        and entry["name"] not in _KERNELS_OWN
        and not entry["name"].startswith(_NOT_FOR_WORKERS)
    }


@dataclass(frozen=True)
class JobRequest:
    """One training job, as it was asked for."""

    name: str
    """The job's name, from :func:`jupyter_kube.naming.job_name`."""
    submission: str
    """From :func:`jupyter_kube.naming.new_id`: makes a repeated create harmless."""
    framework: str
    """``tensorflow`` or ``python``."""
    workers: int
    template: PodTemplate
    namespace: str
    outputs: tuple[str, ...] = ()
    """Names whose values come back from rank 0."""
    retries: int = 3
    """How often all ranks may start again after a worker's process died."""
    timeout: float | None = None
    """Seconds after which Kubernetes ends the job; None: never."""
    keep: float = 86400.0
    """Seconds a finished job stays before Kubernetes removes it."""
    profile: str = ""
    """The profile's name, for people."""
    user: str = ""
    notebook: str = ""
    kernel_id: str = ""
    """Jupyter's id of the kernel of ours that it is submitted from; empty elsewhere."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InvalidInput(f"a job needs at least one worker (got {self.workers})")
        if self.retries < 0:
            raise InvalidInput(f"retries must be 0 or more (got {self.retries})")

    def to_json(self) -> dict[str, Any]:
        """Return what the annotation on the job keeps for those who attach later."""
        return {
            "framework": self.framework,
            "workers": self.workers,
            "outputs": list(self.outputs),
            "retries": self.retries,
            "timeout": self.timeout,
            "keep": self.keep,
            "profile": self.profile,
            "gpus": self.template.gpus,
            "memory": self.template.memory,
            "notebook": self.notebook,
        }
