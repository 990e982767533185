"""Plain values that cross a border between packages: profiles, and what a pod is waiting for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from . import bounds, overlay, places, rules
from .checks import clip, is_label, suggest
from .errors import InvalidInput
from .keys import ProfileKeys, profile_keys
from .quantity import amount
from .restricted import CONTAINER_SECURITY, pod_security

_LONGEST_NAME = 40


@dataclass(frozen=True)
class Profile(ProfileKeys):
    """What one kind of pod looks like, as the platform engineer decided it."""

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
