"""What a profile may say: each key with its default, its rule, its meaning and an example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, NamedTuple

from . import bounds, rules
from .rules import Rule


def _key(default: Any, rule: Rule, meaning: str, example: Any) -> Any:
    """Describe one key of a profile: its default, what it may be, what it means, an example."""
    about = {"rule": rule, "meaning": meaning, "example": example}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=about)
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class ProfileKeys:
    """What a platform engineer decides of one kind of pod.

    Everything has a default but the name; quantities are Kubernetes' own strings, times seconds.
    """

    name: str

    # --- what is offered
    display_name: str = _key(
        "", rules.TEXT, "Text on the launcher's tile; empty: made from the name.", "One GPU"
    )
    options: Mapping[str, Any] = _key(
        {},
        bounds.RULE,
        "What users may vary: cpu, memory and gpus from min to max, image from a list.",
        {"gpus": {"min": 0, "max": 4}, "memory": {"max": "32Gi"}, "image": ["lab:2", "lab:3"]},
    )
    max_per_user: int = _key(
        0, rules.WHOLE, "Kernels of this profile that one user may have at once; 0: any number.", 2
    )

    warm: int = _key(
        0,
        rules.WHOLE,
        "Kernels that each server keeps ready before anybody asks for one. Each holds all that the "
        "profile asks for, GPUs too, while nobody uses it.",
        1,
    )

    # --- what runs
    image: str = _key(
        "quay.io/jupyter/scipy-notebook:2026-11-02",
        rules.IMAGE,
        "Any image with Python 3.11 or newer and ipykernel 7.3 or newer.",
        "registry.example/team/lab:1",
    )
    image_pull_policy: str = _key(
        "IfNotPresent", rules.POLICY, "Always, IfNotPresent or Never.", "Always"
    )
    pull_secrets: tuple[str, ...] = _key(
        (), rules.NAMES, "Secrets with the registry's credentials.", ["registry"]
    )
    python: str = _key(
        "python3", rules.WORD, "The interpreter in the image.", "/opt/conda/bin/python"
    )
    working_dir: str = _key(
        "",
        rules.FOLDER,
        "Folder the kernel starts in; empty: the image's own. {user} and {folder} as in pvcs.",
        "/home/jovyan/{folder}",
    )
    run_as_user: int = _key(1000, rules.USER, "User and group of all processes; never root.", 1001)

    # --- resources
    cpu: str = _key(
        "1",
        rules.QUANTITY,
        "Cores requested; no limit is set, so that idle cores can be used.",
        "500m",
    )
    memory: str = _key("2Gi", rules.QUANTITY, "Memory requested, and its limit.", "16Gi")
    gpus: int = _key(0, rules.WHOLE, "Whole devices of gpu_resource.", 1)
    gpu_resource: str = _key(
        "nvidia.com/gpu", rules.RESOURCE, "What a GPU is called here, or a MIG slice of one.",
        "nvidia.com/mig-1g.5gb",
    )  # fmt: skip
    resource_claims: Mapping[str, str] = _key(
        {},
        rules.CLAIMS,
        "Devices by dynamic resource allocation: a name for each ResourceClaimTemplate.",
        {"gpu": "one-h200"},
    )
    shm_size: str = _key(
        "",
        rules.SIZE_OR_NONE,
        "Size of /dev/shm in memory; what is in it counts against memory. Empty: 64 MiB, as ever.",
        "1Gi",
    )

    # --- where it runs
    node_selector: Mapping[str, str] = _key(
        {}, rules.LABELS, "Labels that a node must have.", {"pool": "gpu"}
    )
    tolerations: tuple[Mapping[str, Any], ...] = _key(
        (),
        rules.TOLERATIONS,
        "Taints of nodes that do not matter, as in a pod.",
        [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    )
    affinity: Mapping[str, Any] = _key(
        {},
        rules.AFFINITY,
        "Finer rules for the choice of nodes, as in a pod.",
        {"podAntiAffinity": {}},
    )
    priority_class: str = _key(
        "", rules.NAME, "PriorityClass: who waits for whom, who may be preempted.", "interactive"
    )

    # --- what it finds there
    env: Mapping[str, str] = _key(
        {},
        rules.ENV,
        "Environment; everybody who can read pods can read it.",
        {"HF_HOME": "/data/hf"},
    )
    env_from_secrets: Mapping[str, str] = _key(
        {},
        rules.SECRETS,
        "Environment from Secrets of the namespace, each as secret/key.",
        {"DB_PASSWORD": "database/password"},
    )
    pvcs: Mapping[str, str] = _key(
        {},
        rules.PVCS,
        "PersistentVolumeClaims and where they are mounted; with :ro, to be read only. {user} is"
        " the user's name as KubeSpawner writes it, {folder} the notebook's folder below the"
        " server's root.",
        {"claim-{user}": "/home/jovyan", "datasets": "/data:ro"},
    )
    files: str = _key(
        "",
        rules.FILES,
        "copy: the notebook's folder is copied into the pod before the kernel is used, and what"
        " changed there comes back when it ends, or on %kube pull. Empty: nothing is copied"
        " unasked.",
        "copy",
    )
    volumes: tuple[Mapping[str, Any], ...] = _key(
        (),
        rules.VOLUMES,
        "Other volumes, as in a pod; folders of the node are refused.",
        [{"name": "conf", "configMap": {"name": "lab"}}],
    )
    volume_mounts: tuple[Mapping[str, Any], ...] = _key(
        (), rules.MOUNTS, "Where they are mounted.", [{"name": "conf", "mountPath": "/etc/lab"}]
    )
    service_account: str = _key(
        "",
        rules.NAME,
        "Service account whose token kernels get, for code that uses the Kubernetes API itself;"
        " empty: no token, and jobs need none.",
        "jupyter-kube",
    )

    # --- how long
    start_timeout: float = _key(
        600.0, rules.TIME, "How long a start may wait for room, images and the kernel.", "20m"
    )
    idle_timeout: float = _key(
        0.0, rules.TIME_OR_NEVER, "A kernel that is idle so long ends; 0: never.", "2h"
    )
    lost_timeout: float = _key(
        3600.0,
        rules.TIME_OR_NEVER,
        "An idle kernel whose server is gone so long ends; 0: never.",
        "2h",
    )
    lost_busy_timeout: float = _key(
        86400.0,
        rules.TIME_OR_NEVER,
        "A busy kernel whose server is gone so long ends; 0: never.",
        "12h",
    )
    lifetime: float = _key(
        0.0,
        rules.TIME_OR_NEVER,
        "A kernel's pod ends after this time, whatever it does; 0: never.",
        "5d",
    )

    # --- everything else
    overlay: Mapping[str, Any] = _key(
        {},
        rules.OVERLAY,
        'Part of a pod, laid over ours last; our container is called "kernel". Lists of things with'
        " names merge by name. Refused where Pod Security restricted would refuse the pod.",
        {"spec": {"runtimeClassName": "nvidia"}},
    )


class Key(NamedTuple):
    """One key of a profile."""

    name: str
    default: Any
    rule: Rule
    meaning: str
    """One or more sentences."""
    example: Any


def profile_keys() -> Iterator[Key]:
    """List what a profile may have, in the order in which it is explained."""
    for each in fields(ProfileKeys):
        if each.metadata:
            about = each.metadata
            yield Key(each.name, _default(each), about["rule"], about["meaning"], about["example"])


def _default(of: Field[Any]) -> Any:
    return of.default if of.default_factory is MISSING else of.default_factory()
