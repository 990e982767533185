"""Settings shared by the server, the provisioner, the magics and the command line.

They come from, strongest first: what the caller passes, ``jupyter_kube_config.py|json`` on
Jupyter's configuration path (or the server's own configuration), and, inside a kernel pod that may
submit jobs, the environment variable :data:`SETTINGS_ENV` that the server wrote.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping
from typing import Any

from traitlets import Dict, Float, Int, TraitError, Unicode
from traitlets.config import Config, LoggingConfigurable

from .checks import check_quantity, clip, suggest
from .errors import InvalidInput
from .keys import profile_keys
from .models import Profile
from .quantity import amount

SETTINGS_ENV = "JUPYTER_KUBE_SETTINGS"
"""JSON of the settings a kernel pod needs to submit jobs; holds no secret."""


class KubeConfig(LoggingConfigurable):
    """Which cluster, which namespace, which profiles."""

    kubeconfig = Unicode(
        "",
        help="""File with the cluster's credentials. Empty: the KUBECONFIG variable, then
        ~/.kube/config, then, in a pod, its service account.""",
    ).tag(config=True)
    context = Unicode(
        "",
        help="""Context of the kubeconfig to use. Empty: its current context. See
        ``kubectl config get-contexts``.""",
    ).tag(config=True)
    namespace = Unicode(
        "",
        help="""Namespace for kernels and jobs. Empty: the context's own, else "default". We
        recommend one namespace per user: whoever may read its Secrets can reach its kernels.""",
    ).tag(config=True)
    profiles = Dict(
        value_trait=Dict(),
        key_trait=Unicode(),
        help='Kinds of pods that users may choose, by name. Empty: one named "python" with all'
        " defaults. One that is wrong is left out; the log says why. Example::\n\n"
        "    c.KubeConfig.profiles = {\n"
        '        "python": {"memory": "4Gi"},\n'
        '        "gpu-small": {"gpus": 1, "image": "registry.example/tf:1"},\n'
        "    }\n\n"
        "Each is a dictionary with any of these keys:\n\n"
        + "\n\n".join(
            f"{key.name}: {key.meaning} Default: {key.default!r}. Example: {key.example!r}."
            for key in profile_keys()
        ),
    ).tag(config=True)
    default_profile = Unicode(
        "", help="Profile used where none is named. Empty: the first one."
    ).tag(config=True)
    files_size = Unicode(
        "64Mi",
        help="""How much may travel at once between a notebook's folder and its kernel's pod.""",
    ).tag(config=True)
    files_count = Int(5000, help="How many files may travel at once.").tag(config=True)
    request_timeout = Float(30.0, help="Seconds one request to the Kubernetes API may take.").tag(
        config=True
    )

    def parsed_profiles(self) -> dict[str, Profile]:
        """Check and return all profiles.

        Raises
        ------
        InvalidInput
            For the first profile that is wrong.

        """
        return {name: Profile.parse(name, values) for name, values in self._raw().items()}

    def valid_profiles(self) -> dict[str, Profile]:
        """Return the profiles that are right; :meth:`wrong_profiles` tells of the others."""
        wrong = self.wrong_profiles()
        return {n: Profile.parse(n, values) for n, values in self._raw().items() if n not in wrong}

    def gpu_resources(self) -> list[str]:
        """Return what profiles call their GPUs, as in ``nvidia.com/gpu``."""
        return sorted({profile.gpu_resource for profile in self.valid_profiles().values()})

    def wrong_profiles(self) -> dict[str, InvalidInput]:
        """Tell what is wrong with the profiles that are, by name, and with the default's name."""
        wrong = {}
        for name, values in self._raw().items():
            try:
                Profile.parse(name, values)
            except InvalidInput as error:
                wrong[name] = error
        if self.default_profile and self.default_profile not in self._raw():
            wrong[self.default_profile] = self._unknown(self.default_profile)
        return wrong

    def profile(self, name: str = "") -> Profile:
        """Return one profile, the default one without a name.

        Raises
        ------
        InvalidInput
            If there is none of that name (the text lists those there are), or it is wrong.

        """
        raw = self._raw()
        wanted = name or self.default_profile or next(iter(raw))
        if wanted not in raw:
            raise self._unknown(wanted)
        return Profile.parse(wanted, raw[wanted])

    def _raw(self) -> Mapping[str, Mapping[str, Any]]:
        return self.profiles or {"python": {}}

    def _unknown(self, name: str) -> InvalidInput:
        known = list(self._raw())
        return InvalidInput(
            f'there is no profile "{clip(name)}"{suggest(name, known)}',
            f"there are: {', '.join(known)}",
        )

    def files_limits(self) -> tuple[int, int]:
        """Return how many files, and bytes, may travel at once between a notebook and its pod.

        Raises
        ------
        InvalidInput
            If ``files_size`` is no quantity.

        """
        return self.files_count, int(amount(check_quantity(self.files_size, "files_size")))

    def settings(self, *, user: str = "", folder: str = "") -> str:
        """Return the JSON that a kernel pod gets as :data:`SETTINGS_ENV`.

        Parameters
        ----------
        user, folder
            For :meth:`.models.Profile.placed`; in a pod nobody knows them. Without a user,
            profiles stay as they are.

        """
        profiles = {}
        for name, profile in self.valid_profiles().items():
            try:
                placed = profile.placed(user=user, folder=folder) if user else profile
            except InvalidInput:  # not to be had from this folder; the other ones are
                continue
            profiles[name] = placed.to_json()
        return json.dumps(
            {
                "namespace": self.namespace,
                "default_profile": self.default_profile,
                "profiles": profiles,
            }
        )


def load(**overrides: Any) -> KubeConfig:
    """Load the settings outside a Jupyter Server: in a notebook's kernel or at the command line.

    Raises
    ------
    InvalidInput
        If a configuration file cannot be read, or a setting is of the wrong type.

    """
    config = Config()
    inherited = os.environ.get(SETTINGS_ENV)
    if inherited:
        config.merge(Config({"KubeConfig": json.loads(inherited)}))
    config.merge(_config_files())
    given = {name: value for name, value in overrides.items() if value}
    try:
        return KubeConfig(config=config, **given)
    except TraitError as error:
        raise InvalidInput("the settings cannot be used", str(error)) from error


def user_name(environ: Mapping[str, str] = os.environ) -> str:
    """Return whose kernels and jobs these are: the hub's user, or this process's own."""
    if name := environ.get("JUPYTERHUB_USER"):
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as containers often have
        return f"uid-{os.getuid()}"


def _config_files() -> Config:
    """Read jupyter_kube_config.py and .json from Jupyter's configuration path."""
    from jupyter_core.paths import jupyter_config_path
    from traitlets.config.loader import (
        ConfigFileNotFound,
        JSONFileConfigLoader,
        PyFileConfigLoader,
    )

    found = Config()
    for folder in reversed(jupyter_config_path()):
        for loader in (JSONFileConfigLoader, PyFileConfigLoader):
            suffix = "json" if loader is JSONFileConfigLoader else "py"
            try:
                found.merge(loader(f"jupyter_kube_config.{suffix}", path=folder).load_config())
            except ConfigFileNotFound:
                continue
            except Exception as error:
                raise InvalidInput(
                    f"jupyter_kube_config.{suffix} in {folder} cannot be read", str(error)
                ) from error
    return found
