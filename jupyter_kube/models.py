"""Plain values that cross a border between packages: profiles, and what a pod is waiting for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any, NamedTuple

from . import bounds, overlay, places, rules
from .checks import clip, is_label, suggest
from .errors import InvalidInput
from .quantity import amount
from .restricted import CONTAINER_SECURITY, pod_security
from .rules import Rule

_LONGEST_NAME = 40


def _key(default: Any, rule: Rule, meaning: str, example: Any) -> Any:
    """Describe one key of a profile: its default, what it may be, what it means, an example."""
    about = {"rule": rule, "meaning": meaning, "example": example}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=about)
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Profile:
    """What one kind of pod looks like, as the platform engineer decided it.

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
        "Service account whose token kernels get, so that they can submit jobs; empty: no token.",
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

    @classmethod
    def parse(cls, name: str, values: Mapping[str, Any]) -> Profile:
        """Check one profile of the configuration.

        Parameters
        ----------
        name
            At most 40 lower-case letters, digits and "-", beginning with a letter.
        values
            By the keys that :func:`profile_keys` lists. Numbers for quantities become text,
            times become seconds.

        Raises
        ------
        InvalidInput
            In one sentence, with the profile's name, the key and what is allowed.

        """
        if not is_label(name) or not name[0].isalpha() or len(name) > _LONGEST_NAME:
            raise InvalidInput(
                f'profile name "{clip(name)}" is not allowed',
                'at most 40 lower-case letters, digits and "-", beginning with a letter',
            )
        rules_ = {key.name: key.rule for key in profile_keys()}
        for key in values:
            if key not in rules_:
                raise InvalidInput(
                    f'profile "{name}" has an unknown key "{clip(key)}"{suggest(str(key), rules_)}',
                    f"known keys are {', '.join(sorted(rules_))}",
                )
        with cls(name)._named():
            profile = cls(name, **{key: rules_[key].check(key, values[key]) for key in values})
            profile._check_whole()
        return profile

    def vary(self, choice: Mapping[str, Any]) -> Profile:
        """Return the profile with what a user chose.

        Parameters
        ----------
        choice
            By option: ``cpu``, ``memory``, ``gpus``, ``image``.

        Raises
        ------
        InvalidInput
            In one sentence: if the profile does not offer that option, or not that value.

        """
        with self._named():
            chosen = {
                name: bounds.choose(self.options, self.image, name, value)
                for name, value in choice.items()
            }
            return self._with(chosen)

    def resize(
        self, *, gpus: int | None = None, cpu: str | None = None, memory: str | None = None
    ) -> Profile:
        """Return the profile with what a job's workers need; None is the profile's own.

        Unlike :meth:`vary`, an option for which the profile sets no bounds is free: what a job
        may take in all is for quotas to say.

        Raises
        ------
        InvalidInput
            In one sentence: if a value is none, or out of the profile's bounds.

        """
        wanted = {"gpus": gpus, "cpu": cpu, "memory": memory}
        with self._named():
            chosen = {
                name: bounds.choose(self.options, self.image, name, value)
                if name in self.options
                else bounds.read(name, name, value)
                for name, value in wanted.items()
                if value is not None
            }
            return self._with(chosen)

    def placed(self, *, user: str, folder: str = "") -> Profile:
        """Return the profile with ``{user}`` and ``{folder}`` filled in.

        Parameters
        ----------
        user
            Whose pod it will be.
        folder
            The notebook's, relative to the server's root.

        Raises
        ------
        InvalidInput
            If what comes out is no path, or two volumes would be at one.

        """
        texts = [*self.pvcs, *self.pvcs.values(), self.working_dir]
        if not any(map(places.is_template, texts)):
            return self
        try:
            where = places.plain_folder(folder) if places.FOLDER in "".join(texts) else ""

            def filled(text: str) -> str:
                return places.fill(text, places.user_slug(user), where)

            pvcs = {
                filled(claim): filled(place.removesuffix(":ro"))
                + (":ro" if place.endswith(":ro") else "")
                for claim, place in self.pvcs.items()
            }
            made = replace(
                self,
                pvcs=rules.PVCS.check("pvcs", pvcs),
                working_dir=rules.FOLDER.check("working_dir", filled(self.working_dir)),
            )
            made._check_mounts()
        except InvalidInput as error:
            raise InvalidInput(f'profile "{self.name}": {error.what}', error.why) from None
        return made

    @property
    def title(self) -> str:
        """Text for people."""
        if self.display_name:
            return self.display_name
        return "Python on Kubernetes" + ("" if self.name == "python" else f" ({self.name})")

    @property
    def resources(self) -> dict[str, Any]:
        """The container's requests and limits, as in a pod."""
        requests = {"cpu": self.cpu, "memory": self.memory}
        limits = {"memory": self.memory}
        if self.gpus:
            requests[self.gpu_resource] = limits[self.gpu_resource] = str(self.gpus)
        claims = [{"name": name} for name in self.resource_claims]
        return {"requests": requests, "limits": limits, **({"claims": claims} if claims else {})}

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`parse` takes, without the name and without defaults."""
        default = Profile(self.name)
        values = {key.name: getattr(self, key.name) for key in profile_keys()}
        return {key: value for key, value in values.items() if value != getattr(default, key)}

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Begin a refusal with the profile's name."""
        try:
            yield
        except InvalidInput as error:
            what = f'profile "{self.name}": {error.what}' if self.name else error.what
            raise InvalidInput(what, error.why, error.next) from None

    def _with(self, chosen: Mapping[str, Any]) -> Profile:
        varied = replace(self, **chosen)
        varied._check_shm()
        return varied

    # what each key's rule cannot see

    def _check_whole(self) -> None:
        if both := sorted(set(self.env) & set(self.env_from_secrets)):
            raise InvalidInput(f"{both[0]} is in env and in env_from_secrets", "choose one")
        self._check_mounts()
        self._check_shm()
        if self.warm and (self.files or "{folder}" in f"{self.working_dir}{self.pvcs}"):
            raise InvalidInput(
                "warm kernels are started before there is a notebook",
                'files and "{folder}" need one',
                "Take warm out, or those.",
            )
        for name, limits in self.options.items():
            if name != "image":
                bounds.within(limits, f"options: its own {name}", getattr(self, name))
        skeleton = {
            "metadata": {},
            "spec": {
                "securityContext": pod_security(self.run_as_user),
                "containers": [
                    {
                        "name": overlay.CONTAINER,
                        "securityContext": CONTAINER_SECURITY,
                        "resources": self.resources,
                    }
                ],
            },
        }
        try:
            overlay.apply(skeleton, self.overlay, overlay.CONTAINER)
        except InvalidInput as error:
            raise InvalidInput(f"overlay: {error.what}", error.why) from error

    def _check_mounts(self) -> None:
        known = {volume["name"] for volume in self.volumes}
        for mount in self.volume_mounts:
            if mount["name"] not in known:
                raise InvalidInput(
                    f'volume_mounts has "{mount["name"]}", which is not in volumes',
                    f"there are {', '.join(sorted(known))}" if known else "",
                )
        paths = [str(mount["mountPath"]).rstrip("/") for mount in self.volume_mounts]
        paths += [place.removesuffix(":ro").rstrip("/") for place in self.pvcs.values()]
        paths += [rules.SHM] if self.shm_size else []
        for path in paths:
            if paths.count(path) > 1:
                raise InvalidInput(f"two volumes are mounted at {path}")

    def _check_shm(self) -> None:
        if self.shm_size and amount(self.shm_size) > amount(self.memory):
            raise InvalidInput(
                f"shm_size {self.shm_size} is above memory {self.memory}",
                "what is in /dev/shm counts against memory",
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
    for each in fields(Profile):
        if each.metadata:
            about = each.metadata
            yield Key(each.name, _default(each), about["rule"], about["meaning"], about["example"])


def _default(of: Field[Any]) -> Any:
    return of.default if of.default_factory is MISSING else of.default_factory()


@dataclass(frozen=True)
class PodState:
    """Where one pod stands, in words.

    ``phase`` is one of queued, waiting, pulling, starting, running, succeeded, failed, gone;
    ``reason`` is a short machine word (``Unschedulable``, ``ErrImagePull``, ``OOMKilled`` …);
    ``message`` is for people; ``terminal`` says that waiting will not help.
    """

    name: str
    phase: str
    reason: str = ""
    message: str = ""
    terminal: bool = False
    node: str = ""
    ip: str = ""
    exit_code: int | None = None
    restarts: int = 0
    """How often its containers were started again."""
