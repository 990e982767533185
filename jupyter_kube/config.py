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

from traitlets import Dict, Float, TraitError, Unicode
from traitlets.config import Config, LoggingConfigurable

from .errors import InvalidInput
from .models import Profile

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
        help="""Kinds of pods that users may choose, by name. Each is a dictionary with any of:
        display_name, image, image_pull_policy, python, cpu, memory, gpus, gpu_resource, env,
        volumes, volume_mounts, service_account, node_selector, tolerations, run_as_user,
        start_timeout. Empty: one profile named "python" with the defaults. Example::

            c.KubeConfig.profiles = {
                "python": {"memory": "4Gi"},
                "gpu-small": {"gpus": 1, "image": "registry.example/tf:1"},
            }
        """,
    ).tag(config=True)
    default_profile = Unicode(
        "", help="Profile used where none is named. Empty: the first one."
    ).tag(config=True)
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
        raw = self.profiles or {"python": {}}
        return {name: Profile.parse(name, values) for name, values in raw.items()}

    def profile(self, name: str = "") -> Profile:
        """Return one profile, the default one without a name.

        Raises
        ------
        InvalidInput
            If there is none of that name; the text lists those there are.

        """
        profiles = self.parsed_profiles()
        wanted = name or self.default_profile or next(iter(profiles))
        if wanted not in profiles:
            raise InvalidInput(
                f'there is no profile "{wanted[:80]}"', f"there are: {', '.join(profiles)}"
            )
        return profiles[wanted]

    def settings(self) -> str:
        """Return the JSON that a kernel pod gets as :data:`SETTINGS_ENV`."""
        profiles = {name: p.to_json() for name, p in self.parsed_profiles().items()}
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
