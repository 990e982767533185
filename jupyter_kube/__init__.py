"""From a notebook to a Kubernetes cluster and back.

Importing this package costs next to nothing: what is heavy is imported where it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["__version__", "load_ipython_extension"]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter Server which extension to load."""
    from .app import KubeExtension

    return [{"module": "jupyter_kube", "app": KubeExtension}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Tell ``jupyter-builder develop`` where the front end is built."""
    return [{"src": "labextension", "dest": "jupyter-kube"}]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Provide ``%%kubetrain`` and ``%kube`` after ``%load_ext jupyter_kube``."""
    from .magics import KubeMagics

    shell.register_magics(KubeMagics(shell))
