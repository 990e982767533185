"""What a command needs that may not be there, refused in one sentence before anything starts."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from .errors import KubeError


def from_checkout(extra: str) -> str:
    """Say how one of our extras is installed.

    From a checkout: while there is no release, a package index may have anybody's under our name.
    """
    return f'pip install -e ".[{extra}]" in a checkout of jupyter-kube'


def modules(what: str, how: str, *names: str) -> None:
    """Refuse if one of the modules is not installed.

    Parameters
    ----------
    what
        What needs them, as the beginning of a sentence.
    how
        The command that installs them.

    Raises
    ------
    KubeError
        With the missing ones and that command.

    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise KubeError(
            f"{what} needs {', '.join(missing)}",
            f"not installed in {sys.prefix}",
            f"Install with: {how}",
        )


def local_cluster() -> None:
    """Refuse if the local cluster cannot run on this machine.

    Raises
    ------
    KubeError
        If this is not Linux, or the extra ``local`` is not installed.

    """
    if not sys.platform.startswith("linux"):
        raise KubeError(
            "the local cluster runs on Linux only",
            "each of its pods has a loopback address of its own",
            "Name a context of your kubeconfig with --context.",
        )
    modules("The local cluster", from_checkout("local"), "yaml", "tornado")
