"""What a command needs that may not be there, refused in one sentence before anything starts."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from .errors import KubeError


def modules(what: str, extra: str, *names: str) -> None:
    """Refuse if one of the modules is not installed.

    Parameters
    ----------
    what
        What needs them, as the beginning of a sentence.
    extra
        The extra of ours that brings them.

    Raises
    ------
    KubeError
        With the missing ones and the command that installs them.

    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise KubeError(
            f"{what} needs {', '.join(missing)}",
            f"not installed in {sys.prefix}",
            f'Install with: pip install "jupyter-kube[{extra}]"',
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
    modules("The local cluster", "local", "yaml", "tornado")
