"""Kernelspecs: one folder per profile, which is all that Jupyter needs to offer a kernel."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from ..config import KubeConfig
from ..models import Profile

PROVISIONER = "kube-provisioner"
"""Name of the entry point in group ``jupyter_client.kernel_provisioners``."""

_PREFIX = "kube-"
_LOGO = "logo-svg.svg"


def spec_name(profile: str) -> str:
    """Return the kernelspec's name for a profile's name."""
    return _PREFIX + profile


def kernel_json(profile: Profile) -> dict[str, Any]:
    """Build the content of one ``kernel.json``."""
    return {
        # For the reader only: the pod's launcher starts the kernel.
        "argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": profile.title,
        "language": "python",
        "interrupt_mode": "message",
        "metadata": {
            "debugger": True,
            "kernel_provisioner": {
                "provisioner_name": PROVISIONER,
                "config": {"profile": profile.name},
            },
            "supported_encryption": ["curve"],
        },
    }


def provisioner_config(spec: Any) -> dict[str, Any] | None:
    """Return our provisioner's configuration in a ``KernelSpec``, None where it is not ours."""
    entry = (spec.metadata or {}).get("kernel_provisioner") or {}
    if entry.get("provisioner_name") != PROVISIONER:
        return None
    return dict(entry.get("config") or {})


def write(folder: Path, profiles: Iterable[Profile]) -> list[Path]:
    """Write one kernelspec per profile into ``folder``; returns their folders."""
    logo = resources.files(__package__).joinpath(_LOGO).read_text(encoding="utf-8")
    written = []
    for profile in profiles:
        target = folder / spec_name(profile.name)
        target.mkdir(parents=True, exist_ok=True)
        text = json.dumps(kernel_json(profile), indent=2) + "\n"
        (target / "kernel.json").write_text(text, encoding="utf-8")
        (target / _LOGO).write_text(logo, encoding="utf-8")
        written.append(target)
    return written


def install(config: KubeConfig, *, prefix: str | None = None) -> list[Path]:
    """Install kernelspecs for use outside our server extension.

    Parameters
    ----------
    config
        Holds the profiles.
    prefix
        An environment's folder, as ``sys.prefix``; None installs for the current user.

    Returns
    -------
    The folders written.

    Raises
    ------
    InvalidInput
        If a profile is wrong.

    """
    from jupyter_core.paths import jupyter_data_dir

    data = Path(prefix, "share", "jupyter") if prefix else Path(jupyter_data_dir())
    return write(data / "kernels", config.parsed_profiles().values())
